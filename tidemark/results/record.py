"""What `attempt.json` says besides the engine's files: enough to make the attempt's row again.

A record is JSON: the run as it was asked for (`run`), the attempt (`attempt`) and what the engine's
files do not say (`context`). With the files themselves it is the whole evidence of an attempt.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

import pyarrow as pa
from pydantic import TypeAdapter

from tidemark.errors import StoreError
from tidemark.results.client_floor import Floor
from tidemark.results.context import AttemptContext, RunContext
from tidemark.results.schema import CELLS, RUNS

__all__ = ["Evidence", "read_evidence", "record_of"]

_RUN: Final = TypeAdapter(RunContext)
_ATTEMPT: Final = TypeAdapter(AttemptContext)
_FLOOR_IS_KEPT_LATER: Final = {"floor"}


@dataclass(frozen=True, slots=True)
class Evidence:
    """One attempt as its raw folder holds it. `files` are the engine's, by name, unpacked.

    `floor` is the client floor under which a run had begun to judge it.
    """

    run: RunContext
    attempt: AttemptContext
    engine_context: Mapping[str, Any]
    files: Mapping[str, bytes] = field(repr=False)
    sha256: str
    floor: Floor | None = None


def record_of(run: RunContext, attempt: AttemptContext) -> dict[str, Any]:
    """The JSON values that `read_evidence` makes the same contexts of."""
    return {
        "run": _RUN.dump_python(run, mode="json"),
        "attempt": _ATTEMPT.dump_python(attempt, mode="json", exclude=_FLOOR_IS_KEPT_LATER),
    }


def read_evidence(
    document: bytes, read: Callable[[str], bytes], where: str, floor: bytes | None = None
) -> Evidence:
    """The evidence that an `attempt.json` describes; `read` gives a file beside it by its name.

    `floor` is the content of `floor.json`, if there is one.

    Raises StoreError for a file that is missing or not the one that was kept, and for a record
    that this version cannot read.
    """
    try:
        record = json.loads(document)
        run = _RUN.validate_python(record["run"])
        attempt = _ATTEMPT.validate_python(record["attempt"])
        listed = [(item["name"], item["stored_as"], item["sha256"]) for item in record["files"]]
        if not all(isinstance(text, str) for texts in listed for text in texts):
            raise TypeError("a file's name is no text")
        context = dict(record["context"])
        run = replace(run, resources=_typed(run.resources))
        attempt = replace(attempt, resources=_typed(attempt.resources))
    except (ValueError, KeyError, TypeError, ArithmeticError, RecursionError) as error:
        words = str(error).splitlines()[0]
        raise StoreError(
            f"this record of an attempt cannot be read ({words})",
            where,
            "Copy it again, or read it with the version that wrote it",
        ) from error
    files = {name: _unpacked(read(kept), digest, where, kept) for name, kept, digest in listed}
    return Evidence(
        run=run,
        attempt=attempt,
        engine_context=context,
        files=files,
        sha256=hashlib.sha256(document).hexdigest(),
        floor=None if floor is None else Floor.from_json(floor.decode("utf-8", "replace")),
    )


def _unpacked(packed: bytes, digest: str, where: str, name: str) -> bytes:
    try:
        content = gzip.decompress(packed)
    except (OSError, EOFError, ValueError) as error:
        content, reason = b"", f"cannot be unpacked ({error})"
    else:
        reason = "is not the file that was kept"
    if hashlib.sha256(content).hexdigest() != digest:
        raise StoreError(f"{name} {reason}", where, "Copy it again from where it is whole")
    return content


def _typed(resources: Mapping[str, Any]) -> dict[str, Any]:
    """Columns as their tables want them: JSON knows neither instants nor exact decimals."""
    typed = {}
    for name, value in resources.items():
        schema = CELLS if name in CELLS.names else RUNS
        kind = schema.field(name).type if name in schema.names else None
        if isinstance(value, str) and kind is not None:
            if pa.types.is_decimal(kind):
                value = Decimal(value)
            elif pa.types.is_timestamp(kind):
                value = datetime.fromisoformat(value)
        typed[name] = value
    return typed
