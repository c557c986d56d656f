"""The result store: parts written once and whole, and read only when complete.

Each part is created exclusively under its final name: on a file system by linking a finished
temporary file, on S3 by a conditional put. An attempt's raw output, requests and timeline are
written before its cell part, so a cell that can be seen is complete. Here is the writing half;
`StoredResults` in `reading.py` is the other.
"""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC
from pathlib import Path
from typing import Any

from tidemark.errors import AlreadyThere, StoreAway, StoreError
from tidemark.results.compacted import CompactedFiles
from tidemark.results.context import TimelinePoint
from tidemark.results.files import Files
from tidemark.results.layout import (
    FLOOR_FILE,
    manifest_path,
    run_path,
)
from tidemark.results.locations import Location, parse_location
from tidemark.results.opening import files_at, options_of
from tidemark.results.outbox import Outbox, Sent, Waiting, outbox_folder, outbox_name
from tidemark.results.parts import cell_table, clean_requests_table, clean_row
from tidemark.results.patience import Patience
from tidemark.results.providers.provider import PROVIDERS
from tidemark.results.raw import keep_raw
from tidemark.results.reading import StoredAttempt, StoredResults, with_reuse
from tidemark.results.redact import Json, Redactor
from tidemark.results.requests import RequestRow
from tidemark.results.schema import RUNS, SCHEMA_VERSION
from tidemark.results.tables import Row, parquet_bytes, table_of, timeline_table

__all__ = ["Attempt", "Probe", "Store", "StoredAttempt", "open_store", "with_reuse"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """What is to be kept of one attempt.

    `row` is from `rows.cell_row`. `raw_files` are the engine's files by name, as bytes or where
    they lie; `raw_context` what they do not say, as JSON values; `record` is from `record_of`.
    """

    row: Row
    requests: Sequence[RequestRow]
    raw_files: Mapping[str, bytes | Path] = field(default_factory=dict)
    raw_context: Mapping[str, Any] = field(default_factory=dict)
    record: Mapping[str, Any] = field(default_factory=dict)
    timeline: Sequence[TimelinePoint] = ()


@dataclass(frozen=True, slots=True)
class Probe:
    """A store that was written to, read, listed and cleaned; `notes` say what it would not do."""

    uri: str
    elapsed_s: float
    notes: tuple[str, ...] = ()


def open_store(
    uri: str | Location,
    *,
    options: Mapping[str, str] | None = None,
    credentials: Mapping[str, str] | None = None,
    redactor: Redactor | None = None,
    outbox: Path | None = None,
    patience: Patience | None = None,
) -> Store:
    """The store at a location. Touches nothing yet; `probe` says whether it works.

    `options` and `credentials` are those of `plan/store_parameters.py`; without credentials those
    of the environment, a profile or a role are used. `redactor` knows the run's secrets;
    what looks like a secret is taken out without one too. Below `outbox`, a folder, results wait
    while the store takes nothing. Raises StoreError for a location, an option or a credential
    that is malformed or cannot be used there.
    """
    location = parse_location(uri) if isinstance(uri, str) else uri
    there = files_at(location, options or {}, credentials, patience)
    files = CompactedFiles(there)
    redactor = (redactor or Redactor()).knowing((credentials or {}).values())
    if outbox is None:
        return Store(location, files, redactor)
    used, named = options_of(there), outbox_name(location)
    folder = outbox_folder(outbox, named, used)
    return Store(location, files, redactor, Outbox(files, folder, named, used))


class Store(StoredResults):
    """Results below one root. Made by `open_store`."""

    def __init__(
        self,
        location: Location,
        files: Files,
        redactor: Redactor,
        outbox: Outbox | None = None,
    ) -> None:
        compacted = files if isinstance(files, CompactedFiles) else CompactedFiles(files)
        super().__init__(location, compacted, outbox or compacted, redactor)
        self._outbox = outbox

    def __repr__(self) -> str:
        return f"Store({str(self.location)!r})"

    def probe(self) -> Probe:
        """Write, create again in vain, read, list and remove one small file.

        Raises StoreError with the first thing that does not work. A store that lets nothing be
        removed is fine, and noted.
        """
        begin = time.monotonic()
        path = f"probes/{uuid.uuid4().hex}.txt"
        data = f"probe {path}\n".encode()
        self._files.create(path, data)
        try:
            self._files.create(path, data)
        except AlreadyThere:
            pass
        else:
            raise StoreError(
                "the store overwrites a file that was to be created only if absent",
                self.uri,
                "Two runs could overwrite each other's results there: use another store",
            )
        if self._files.read(path) != data:
            raise StoreError("what was written does not come back", self.uri, "Use another store")
        if path not in self._files.list("probes"):
            raise StoreError("what was written is not listed", self.uri, "Use another store")
        notes = []
        try:
            self._files.remove(path)
        except StoreError as error:
            notes.append(f"the probe could not be removed: {error}")
        if weaker := PROVIDERS[self.location.scheme].weaker:
            notes.append(weaker)
        return Probe(self.uri, time.monotonic() - begin, tuple(notes))

    @property
    def beat_s(self) -> float:
        """Seconds between the signs of life that a run at work gives there."""
        return PROVIDERS[self.location.scheme].beat_s

    @property
    def outbox(self) -> Path | None:
        """The folder where results wait while the store takes nothing; None without one."""
        return None if self._outbox is None else self._outbox.folder

    def waiting(self) -> Waiting:
        """How many files and bytes wait in the outbox; none without one."""
        return Waiting() if self._outbox is None else self._outbox.waiting()

    def send(self) -> Sent:
        """Send what waits in the outbox: evidence, cells, runs, manifests, in this order.

        It may be ended at any instant, and done by several processes at once. Raises StoreError
        if the store still takes nothing.
        """
        return Sent() if self._outbox is None else self._outbox.send()

    def put_cell(self, attempt: Attempt) -> StoredAttempt:
        """Keep one attempt: raw output, requests, timeline, and last the cell's own part.

        An attempt that was cut short can be put again: parts with the same bytes are left as they
        are. Raises AlreadyThere if the attempt's cell part exists, or another part with other
        bytes.
        """
        return self.put_verdict(attempt.row, attempt.requests, self.put_evidence(attempt))

    def put_evidence(self, attempt: Attempt) -> str:
        """Keep raw output, requests and timeline of an attempt whose verdict is still to come.

        Nothing reads it as a result until `put_verdict` has followed, but nothing is lost either.
        Answers the evidence's SHA-256. Raises AlreadyThere where a part is there with other bytes.
        """
        identity = _identity(attempt.row)
        stored = self.stored(attempt.row)
        kept = keep_raw(
            identity, attempt.raw_files, attempt.raw_context, attempt.record, self._redactor
        )
        for name, data in kept.files.items():
            self._keep(f"{stored.raw_folder}/{name}", data)
        self._keep(stored.requests_part, self._requests(attempt.row, attempt.requests))
        self._known.add(stored.requests_part)
        if attempt.timeline:
            self.put_timeline(attempt.row, attempt.timeline)
        return kept.evidence_sha256

    def put_timeline(self, row: Row, points: Sequence[TimelinePoint]) -> str:
        """Keep the series beside the cell of a row; returns the path.

        Raises AlreadyThere if it has others.
        """
        path = self.stored(row).requests_part.replace("requests/", "timeline/", 1)
        self._keep(path, parquet_bytes(timeline_table(**_identity(row), points=points)))
        return path

    def put_verdict(
        self, row: Row, requests: Sequence[RequestRow], evidence_sha256: str
    ) -> StoredAttempt:
        """Make a result of an attempt whose evidence is kept: its floor, then its row.

        Raises AlreadyThere if the attempt has a row.
        """
        stored = self.stored(row)
        written = self._requests(row, requests)
        if stored.requests_part not in self._known:
            self._keep(stored.requests_part, written)
        if row["floor_json"] is not None:
            self._keep(f"{stored.raw_folder}/{FLOOR_FILE}", row["floor_json"].encode())
        table = cell_table(
            row,
            raw_folder=stored.raw_folder,
            evidence_sha256=evidence_sha256,
            requests_sha256=hashlib.sha256(written).hexdigest(),
            redactor=self._redactor,
        )
        self._create(stored.cell_part, parquet_bytes(table))
        return replace(stored, row=table.to_pylist()[0])

    def _requests(self, row: Row, requests: Sequence[RequestRow]) -> bytes:
        return parquet_bytes(clean_requests_table(row, requests, self._redactor))

    def put_run(self, row: Row) -> str:
        """Keep the row of a run; returns its path. Raises AlreadyThere if the run has one."""
        path = run_path(row["run_id"], row["created_at"].astimezone(UTC).date())
        self._create(path, parquet_bytes(table_of(RUNS, [clean_row(row, self._redactor)])))
        return path

    def put_manifest(
        self,
        run_id: str,
        *,
        run_part: str,
        cell_parts: Sequence[str],
        contents: Mapping[str, Json] | None = None,
    ) -> str:
        """Say that a run is complete, as the last thing it writes; returns the path.

        `contents` is kept beside the paths of the run's parts. Raises AlreadyThere if the run has
        a manifest, StoreError if a part it names is not there.
        """
        parts = {run_part, *cell_parts}
        if not parts <= self._known:  # a store that is away cannot be asked
            self._known.update(self._files.list("runs"), self._files.list("cells"))
        for part in sorted(parts - self._known):
            raise StoreError("a part of the run is missing", part, "Write it first")
        document: dict[str, Json] = {
            **dict(contents or {}),
            "schema_version": SCHEMA_VERSION,
            "run_id": run_id,
            "run_part": run_part,
            "cell_parts": [*sorted(cell_parts)],
        }
        cleaned = self._redactor.tree(document)
        path = manifest_path(run_id)
        text = json.dumps(cleaned, indent=2, sort_keys=True, allow_nan=False) + "\n"
        self._files.create(path, text.encode())
        return path

    def _create(self, path: str, data: bytes) -> None:
        self._files.create(path, data)
        self._known.add(path)

    def _keep(self, path: str, data: bytes) -> None:
        """Create a part that an earlier, cut short writing of the same attempt may have left."""
        try:
            self._files.create(path, data)
        except AlreadyThere:
            try:
                same = self._files.read(path) == data
            except StoreAway as error:
                if self._outbox is None:
                    raise
                self._outbox.keep(path, data, error)  # compared when it is sent
                return
            if not same:
                raise


def _identity(row: Row) -> dict[str, str]:
    return {name: row[name] for name in ("run_id", "cell_id", "attempt_id")}
