"""Keeping what a job's pods wrote and what happened to them, before anything is stopped."""

from __future__ import annotations

import asyncio

from prefect.artifacts import acreate_markdown_artifact

from tasks.job_room import JobRoom
from tasks.log import logger
from tasks.showing import showing
from tidemark.alibaba.job_evidence import JobEvidence
from tidemark.errors import StoreError
from tidemark.history.report import escape_markdown
from tidemark.results.job_files import evidence_name, put_job_file

__all__ = ["keep_evidence"]

_SHOWN_CHARACTERS = 20_000


async def keep_evidence(room: JobRoom, evidence: JobEvidence) -> None:
    """Keep logs, events and the job's own answer in the store, and show their end in Prefect.

    What the store does not take is in Prefect all the same: nothing hinders the stop that follows.
    """
    name, run_id = evidence_name(room.now()), room.run.run_id
    try:
        kept = await asyncio.to_thread(put_job_file, room.store, run_id, name, evidence.document())
    except StoreError as error:
        logger().warning("the evidence is not in the store: %s", error)
    else:
        logger().info("logs and events are kept in %s/%s", room.store.uri, kept)
    text = room.redactor.text(evidence.text())
    async with showing("the evidence"):
        await acreate_markdown_artifact(
            f"```text\n{escape_markdown(text[-_SHOWN_CHARACTERS:])}\n```\n",
            key="job-evidence",
            description=f"Logs and events of job {evidence.job.job_id}",
        )
