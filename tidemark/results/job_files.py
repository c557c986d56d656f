"""What is kept of a job besides cells: its logs, its events, its use of the machine.

They lie below `jobs/<run_id>/`, each a gzipped JSON document under a name that is never used twice.
"""

from __future__ import annotations

import gzip
import json
from contextlib import suppress
from datetime import UTC, datetime

from tidemark.errors import AlreadyThere
from tidemark.results.redact import Json
from tidemark.results.store import Store

__all__ = ["evidence_name", "job_path", "put_job_file"]

FOLDER = "jobs"


def job_path(run_id: str, name: str) -> str:
    """Where a document about a run's job lies, below the store's root."""
    return f"{FOLDER}/{run_id}/{name}.json.gz"


def evidence_name(moment: datetime) -> str:
    """The name of logs and events that were collected at a moment."""
    return f"evidence-{moment.astimezone(UTC):%Y%m%dT%H%M%SZ}"


def put_job_file(store: Store, run_id: str, name: str, document: Json) -> str:
    """Keep a document about a run's job, without secrets; returns its path.

    One that is there under this name stands. Raises StoreError.
    """
    path = job_path(run_id, name)
    text = json.dumps(store.redactor.tree(document), indent=2, sort_keys=True, allow_nan=False)
    with suppress(AlreadyThere):
        store.files.create(path, gzip.compress(text.encode(), mtime=0))
    return path
