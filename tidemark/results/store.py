"""The result store: parts written once and whole, and read only when complete.

The only file of this room that touches the outside. Each part is created exclusively under its
final name: on a file system by linking a finished temporary file, on S3 by a conditional put. An
attempt's raw output, requests and timeline are written before its cell part, so a cell that can
be seen is complete.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
import uuid
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tidemark.errors import AlreadyThere, StoreAway, StoreError
from tidemark.results.context import TimelinePoint
from tidemark.results.files import Files
from tidemark.results.inventory import Inventory, Torn, take_stock
from tidemark.results.layout import (
    ATTEMPT_FILE,
    FLOOR_FILE,
    PartName,
    manifest_path,
    part_path,
    raw_path,
    run_path,
)
from tidemark.results.locations import Location, parse_location
from tidemark.results.opening import files_at, options_of
from tidemark.results.outbox import Outbox, Sent, Waiting, outbox_folder
from tidemark.results.parts import cell_table, clean_requests_table, clean_row
from tidemark.results.patience import Patience
from tidemark.results.raw import keep_raw
from tidemark.results.record import Evidence, read_evidence
from tidemark.results.redact import Json, Redactor
from tidemark.results.requests import RequestRow
from tidemark.results.schema import CELLS, REQUESTS, RUNS, SCHEMA_VERSION
from tidemark.results.tables import Row, parquet_bytes, table_of, timeline_table

__all__ = ["Attempt", "Probe", "Store", "StoredAttempt", "open_store", "with_reuse"]

_logger = logging.getLogger(__name__)

READERS = 8  # parts read at the same time: what a remote store needs, and a local one bears


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
class StoredAttempt:
    """Where an attempt lies, relative to the root, and its row as it was written."""

    cell_part: str
    requests_part: str
    raw_folder: str
    row: Row


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

    `options` and `credentials` are for s3 only and described in `options.py`; without credentials
    those of the environment, a profile or a role are used. `redactor` knows the run's secrets;
    what looks like a secret is taken out without one too. Below `outbox`, a folder, results wait
    while the store takes nothing. Raises StoreError for a location, an option or a credential
    that is malformed or cannot be used by this version.
    """
    location = parse_location(uri) if isinstance(uri, str) else uri
    files = files_at(location, options or {}, credentials, patience)
    redactor = (redactor or Redactor()).knowing((credentials or {}).values())
    if outbox is None:
        return Store(location, files, redactor)
    used = options_of(files)
    folder = outbox_folder(outbox, str(location), used)
    return Store(location, files, redactor, Outbox(files, folder, str(location), used))


class Store:
    """Results below one root. Made by `open_store`."""

    def __init__(
        self,
        location: Location,
        files: Files,
        redactor: Redactor,
        outbox: Outbox | None = None,
    ) -> None:
        self.location = location
        self._files = outbox or files
        self._redactor = redactor
        self._outbox = outbox
        self._known: set[str] = set()  # parts seen to be there: nothing removes one

    def __repr__(self) -> str:
        return f"Store({str(self.location)!r})"

    @property
    def uri(self) -> str:
        """The canonical location, without options."""
        return str(self.location)

    @property
    def files(self) -> Files:
        """The files below the root, and those that wait to be sent there."""
        return self._files

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
        notes: tuple[str, ...] = ()
        try:
            self._files.remove(path)
        except StoreError as error:
            notes = (f"the probe could not be removed: {error}",)
        return Probe(self.uri, time.monotonic() - begin, notes)

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
            points = timeline_table(**identity, points=attempt.timeline)
            path = stored.requests_part.replace("requests/", "timeline/", 1)
            self._keep(path, parquet_bytes(points))
        return kept.evidence_sha256

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
        path = run_path(row["run_id"], _day(row["created_at"]))
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

    def cells(self, where: pc.Expression | None = None) -> pa.Table:
        """The rows of all complete cells, in the order of their paths; `CELLS` as schema.

        `where` is a filter on its columns. What is torn is left out, logged as a warning, and
        listed by `torn`.
        """
        return self._read(self._complete().cells, CELLS, where)

    def requests(self, *, cell_id: str | None = None, attempt_id: str | None = None) -> pa.Table:
        """The rows of the requests of all complete cells, or of one cell or attempt."""
        wanted = [
            path
            for path in self._complete().requests
            if (cell_id is None or _file_name(path).startswith(f"{cell_id}-"))
            and (attempt_id is None or _file_name(path).endswith(f"-{attempt_id}.parquet"))
        ]
        return self._read(wanted, REQUESTS, None)

    def runs(self) -> pa.Table:
        """The rows of all runs that have a manifest, which says that they are complete."""
        manifests = self._files.list("manifests")
        finished = {_file_name(path).removesuffix(".json") for path in manifests}
        paths = [
            path
            for path in self._files.list("runs")
            if _file_name(path).removesuffix(".parquet") in finished
        ]
        return self._read(paths, RUNS, None)

    def torn(self) -> tuple[Torn, ...]:
        """What is there but is no result, and why: half-written, half-copied, damaged.

        Reads every part, so it takes its time.
        """
        stock = take_stock(self._files.list("cells"), self._files.list("requests"))
        damaged = []
        for cell_part, requests_part in zip(stock.cells, stock.requests, strict=True):
            try:
                named = self._part(cell_part, CELLS)["requests_sha256"][0].as_py()
            except (pa.ArrowException, OSError, IndexError, ValueError):
                damaged.append(Torn(cell_part, "damaged; copy it again, or remove it"))
                continue
            digest = hashlib.sha256(self._files.read(requests_part)).hexdigest()
            if digest != named:
                reason = "not the bytes its cell was written with; copy it again"
                damaged.append(Torn(requests_part, reason))
        return (*stock.torn, *damaged)

    def find_cells(self, cell_ids: Collection[str], round: str | None = None) -> list[Row]:
        """The rows of the complete attempts at some cells, oldest first; of one round if named."""
        wanted = set(cell_ids)
        paths = [
            path for path in self._complete().cells if _file_name(path).partition("-")[0] in wanted
        ]
        where = None if round is None else pc.field("round") == round
        rows = self._read(paths, CELLS, where).to_pylist()
        return sorted(rows, key=lambda row: (row["created_at"], row["attempt_id"]))

    def judged(self, cell_ids: Collection[str]) -> set[tuple[str, str]]:
        """The attempts at some cells that a row was written for, whole or not: (cell, attempt)."""
        names = (PartName.parse(path) for path in self._files.list("cells"))
        return {
            (name.cell_id, name.attempt_id)
            for name in names
            if name is not None and name.cell_id in cell_ids
        }

    def stored(self, row: Row) -> StoredAttempt:
        """Where the attempt of a row lies."""
        cell_id, attempt_id = row["cell_id"], row["attempt_id"]
        place = (row["model_name"], _day(row["created_at"]), cell_id, attempt_id)
        return StoredAttempt(
            cell_part=part_path("cells", *place),
            requests_part=part_path("requests", *place),
            raw_folder=raw_path(cell_id, attempt_id),
            row=row,
        )

    def run_cells(self, run: Row) -> list[Row]:
        """The rows of the cells that a run counts, those it took over from other runs too.

        `reused_from` then names the run that measured them.
        """
        counted = {(cell["cell_id"], cell["attempt_id"]) for cell in run["cells"]}
        rows = self.find_cells({cell_id for cell_id, _ in counted})
        return with_reuse(
            run, [row for row in rows if (row["cell_id"], row["attempt_id"]) in counted]
        )

    def attempts(self, cell_id: str) -> list[str]:
        """The attempts at a cell whose raw output is complete, judged or not."""
        last = f"/{ATTEMPT_FILE}"
        paths = self._files.list(f"raw/{cell_id}")
        return [path.removesuffix(last).rpartition("/")[2] for path in paths if path.endswith(last)]

    def evidence(self, cell_id: str, attempt_id: str) -> Evidence:
        """The raw output of an attempt, unpacked and checked against what was kept.

        Raises StoreError for what is missing or damaged.
        """
        folder = raw_path(cell_id, attempt_id)
        floor = f"{folder}/{FLOOR_FILE}"
        return read_evidence(
            self._files.read(f"{folder}/{ATTEMPT_FILE}"),
            lambda name: self._files.read(raw_path(cell_id, attempt_id, name)),
            folder,
            self._files.read(floor) if floor in self._files.list(folder) else None,
        )

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

    def _complete(self) -> Inventory:
        stock = take_stock(self._files.list("cells"), self._files.list("requests"))
        self._known.update(stock.cells)
        for torn in stock.torn:
            if not torn.path.startswith("requests/"):  # those only wait to be judged
                _logger.warning("not read as a result: %s", torn)
        return stock

    def _read(
        self, paths: Sequence[str], schema: pa.Schema, where: pc.Expression | None
    ) -> pa.Table:
        """The rows of many parts. A damaged one is left out and logged, not the end of all."""

        def read(path: str) -> pa.Table | Exception:
            try:
                return self._part(path, schema)
            except (pa.ArrowException, OSError) as error:
                return error

        tables = [schema.empty_table()]
        # Our own threads, not Arrow's: those may call back into an interpreter that has ended.
        with ThreadPoolExecutor(READERS) as pool:
            for path, found in zip(paths, pool.map(read, paths), strict=True):
                if isinstance(found, Exception):
                    reason = self._redactor.text(str(found))[:200]
                    _logger.warning("not read as a result: %s: damaged: %s", path, reason)
                else:
                    tables.append(found)
        table = pa.concat_tables(tables)
        newest = pc.max(table["schema_version"]).as_py()
        if newest is not None and newest > SCHEMA_VERSION:
            what = f"holds rows of schema version {newest}, this version knows {SCHEMA_VERSION}"
            raise StoreError(what, self.uri, "Read it with a newer tidemark")
        return table if where is None else table.filter(where)

    def _part(self, path: str, schema: pa.Schema) -> pa.Table:
        """One part, with the columns of `schema`: null where it has none."""
        data = pa.BufferReader(self._files.read(path))
        found = pq.ParquetFile(data).read(use_threads=False)
        # By a table of names: to ask for each of some hundred columns by name takes long.
        there = dict(zip(found.column_names, found.columns, strict=True))
        for name in ("run_id", "created_at"):
            if name in schema.names and (name not in there or there[name].null_count):
                raise pa.ArrowInvalid(f"a row has no {name}")
        columns = [
            there[field.name].cast(field.type)
            if field.name in there
            else pa.nulls(found.num_rows, field.type)
            for field in schema
        ]
        return pa.Table.from_arrays(columns, schema=schema)


def with_reuse(run: Row, cells: Sequence[Row]) -> list[Row]:
    """The rows of a run's cells; `reused_from` names the run that one was taken over from."""
    own = run["run_id"]
    return [
        {**row, "reused_from": None if row["run_id"] == own else row["run_id"]} for row in cells
    ]


def _identity(row: Row) -> dict[str, str]:
    return {name: row[name] for name in ("run_id", "cell_id", "attempt_id")}


def _day(instant: datetime) -> date:
    return instant.astimezone(UTC).date()


def _file_name(path: str) -> str:
    return path.rpartition("/")[2]
