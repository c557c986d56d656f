"""Keeping what a job's pods wrote and what happened to them, before anything is stopped."""

from __future__ import annotations

import asyncio
import gzip
import json

from prefect.artifacts import acreate_markdown_artifact

from tasks.job_room import JobRoom
from tasks.log import logger
from tidemark.alibaba.job_evidence import JobEvidence
from tidemark.errors import AlreadyThere, StoreError
from tidemark.history.report import escape_markdown

__all__ = ["evidence_folder", "keep_evidence"]

_SHOWN_CHARACTERS = 20_000


def evidence_folder(run_id: str) -> str:
    """Where the evidence of a run's job lies, below the store's root."""
    return f"raw/jobs/{run_id}"


async def keep_evidence(room: JobRoom, evidence: JobEvidence) -> None:
    """Keep logs, events and the job's own answer in the store, and show their end in Prefect.

    What the store does not take is in Prefect all the same: nothing hinders the stop that follows.
    """
    text = room.redactor.text(evidence.text())
    document = json.dumps(room.redactor.tree(evidence.document()), indent=2, sort_keys=True)
    moment = f"{room.now():%Y%m%dT%H%M%SZ}"
    folder = evidence_folder(room.run.run_id)
    kept = f"{folder}/{moment}.json.gz"
    try:
        await asyncio.to_thread(
            room.store.files.create, kept, gzip.compress(document.encode(), mtime=0)
        )
    except AlreadyThere:
        logger().info("%s is kept already", kept)
    except StoreError as error:
        logger().warning("the evidence is not in the store: %s", error)
    else:
        logger().info("logs and events are kept in %s/%s", room.store.uri, kept)
    await acreate_markdown_artifact(
        f"```text\n{escape_markdown(text[-_SHOWN_CHARACTERS:])}\n```\n",
        key="job-evidence",
        description=f"Logs and events of job {evidence.job.job_id}",
    )
