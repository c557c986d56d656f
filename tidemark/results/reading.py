"""The reading half of the result store: what is complete, as tables and rows.

What is half-written, half-copied or damaged is no result: it is left out, and named by `torn`.
"""

from __future__ import annotations

import hashlib
import itertools
import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tidemark.errors import StoreAway, StoreError
from tidemark.results.catalog import Place
from tidemark.results.compacted import CompactedFiles
from tidemark.results.files import Files
from tidemark.results.generations import LargePart
from tidemark.results.inventory import Inventory, Torn, take_stock
from tidemark.results.layout import ATTEMPT_FILE, FLOOR_FILE, PartName, part_path, raw_path
from tidemark.results.locations import Location
from tidemark.results.record import Evidence, read_evidence
from tidemark.results.redact import Redactor
from tidemark.results.schema import CELLS, REQUESTS, RUNS, SCHEMA_VERSION
from tidemark.results.tables import Row

__all__ = ["READERS", "StoredAttempt", "StoredResults", "with_reuse"]

_logger = logging.getLogger(__name__)

_JOINED_AT_ONCE = 256

READERS = 8  # parts read at the same time: what a remote store needs, and a local one bears


@dataclass(frozen=True, slots=True)
class StoredAttempt:
    """Where an attempt lies, relative to the root, and its row as it was written.

    The paths are those it was written to: a compacted store reads them all the same.
    """

    cell_part: str
    requests_part: str
    raw_folder: str
    row: Row


class StoredResults:
    """What can be read below one root. `compacted` are the store's own files, `files` also those
    that wait to be sent there."""

    def __init__(
        self, location: Location, compacted: CompactedFiles, files: Files, redactor: Redactor
    ) -> None:
        self.location = location
        self.compacted = compacted
        self._files = files
        self._redactor = redactor
        self._known: set[str] = set()  # parts seen to be there: nothing removes one

    @property
    def uri(self) -> str:
        """The canonical location, without options."""
        return str(self.location)

    @property
    def files(self) -> Files:
        """The files below the root, and those that wait to be sent there."""
        return self._files

    @property
    def redactor(self) -> Redactor:
        """What takes secrets out of all that is written there."""
        return self._redactor

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

    def run_row(self, run_part: str) -> Row:
        """The row in a run's part, whether the run is complete or not. Raises StoreError."""
        try:
            row: Row = self._part(run_part, RUNS).to_pylist()[0]
        except (pa.ArrowException, IndexError) as error:
            raise StoreError("is damaged", run_part, "Copy it again") from error
        return row

    def torn(self) -> tuple[Torn, ...]:
        """What is there but is no result, and why: half-written, half-copied, damaged.

        Reads every part, so it takes its time.
        """
        stock = take_stock(self._files.list("cells"), self._files.list("requests"))
        places = self.compacted.known.places
        damaged = self._damaged_large_parts()
        torn = [*stock.torn, *damaged.values()]
        for cell_part, requests_part in zip(stock.cells, stock.requests, strict=True):
            of_both = (places.get(cell_part), places.get(requests_part))
            if any(place is not None and place.part.path in damaged for place in of_both):
                continue
            try:
                named = self._part(cell_part, CELLS)["requests_sha256"][0].as_py()
            except (pa.ArrowException, OSError, IndexError, ValueError):
                torn.append(Torn(cell_part, "damaged; copy it again, or remove it"))
                continue
            if self._digest(requests_part) != named:
                reason = "not the bytes its cell was written with; copy it again"
                torn.append(Torn(requests_part, reason))
        return tuple(torn)

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

        def read(stretch: _Stretch) -> list[tuple[str, pa.Table | Exception]]:
            return self._read_stretch(stretch, schema)

        rows = _Rows(schema)
        # Our own threads, not Arrow's: those may call back into an interpreter that has ended.
        with ThreadPoolExecutor(READERS) as pool:
            stretches = _stretches(paths, self.compacted.known.places)
            for path, found in itertools.chain.from_iterable(pool.map(read, stretches)):
                if isinstance(found, Exception):
                    reason = self._redactor.text(str(found))[:200]
                    _logger.warning("not read as a result: %s: damaged: %s", path, reason)
                else:
                    rows.add(found)
        table = rows.table()
        newest = pc.max(table["schema_version"]).as_py()
        if newest is not None and newest > SCHEMA_VERSION:
            what = f"holds rows of schema version {newest}, this version knows {SCHEMA_VERSION}"
            raise StoreError(what, self.uri, "Read it with a newer tidemark")
        return table if where is None else table.filter(where)

    def _read_stretch(
        self, stretch: _Stretch, schema: pa.Schema
    ) -> list[tuple[str, pa.Table | Exception]]:
        """The rows of a stretch, or what is damaged of it, each with the path of its part."""
        large, paths = stretch.part, stretch.paths
        found: list[tuple[str, pa.Table | Exception]] = []
        if large is not None:
            try:
                rows = self.compacted.rows(large, stretch.start, stretch.rows)
                return [(large.path, _conformed(rows, schema))]
            except pa.ArrowException:
                pass  # one by one tells which
            except StoreAway:
                raise
            except StoreError as error:
                now = self.compacted.catalog().places  # a compaction may just have moved them
                paths = [path for path in paths if path in now and now[path].part != large]
                if len(paths) < len(stretch.paths):
                    found = [(large.path, error)]
        for path in paths:
            try:
                found.append((path, self._part(path, schema)))
            except (pa.ArrowException, OSError) as error:
                found.append((path, error))
        return found

    def _part(self, path: str, schema: pa.Schema) -> pa.Table:
        """The rows of one attempt or run, with the columns of `schema`: null where it has none."""
        place = self.compacted.known.places.get(path)
        if place is not None:
            try:
                return _conformed(self.compacted.rows(place.part, place.start, place.rows), schema)
            except StoreAway:
                raise
            except StoreError:
                pass  # moved meanwhile, or damaged
        data = pa.BufferReader(self._files.read(path))
        return _conformed(pq.ParquetFile(data).read(use_threads=False), schema)

    def _digest(self, path: str) -> str:
        """The SHA-256 of the part that an attempt was written as."""
        place = self.compacted.known.places.get(path)
        return hashlib.sha256(self._files.read(path)).hexdigest() if place is None else place.sha256

    def _damaged_large_parts(self) -> dict[str, Torn]:
        """The large parts that are missing or not what their generation names, by path."""
        damaged = {}
        for path, part in sorted(self.compacted.known.parts.items()):
            try:
                self.compacted.rows(part, 0, 0)
            except StoreAway:
                raise
            except StoreError as error:
                told = f"it holds {len(part.attempts)} attempts; copy it again"
                damaged[path] = Torn(path, f"{error.what}; {told}")
        return damaged


@dataclass(slots=True)
class _Stretch:
    """Parts to be read at once: one, or those whose rows follow each other in a large part."""

    paths: list[str]
    part: LargePart | None = None
    start: int = 0
    rows: int = 0

    def reaches(self, place: Place) -> bool:
        return self.part is place.part and place.start == self.start + self.rows


def _stretches(paths: Sequence[str], places: Mapping[str, Place]) -> Iterator[_Stretch]:
    last: _Stretch | None = None
    for path in paths:
        place = places.get(path)
        if last is not None and place is not None and last.reaches(place):
            last.paths.append(path)
            last.rows += place.rows
            continue
        if last is not None:
            yield last
        last = _Stretch([path])
        if place is not None:
            last = _Stretch([path], place.part, place.start, place.rows)
    if last is not None:
        yield last


class _Rows:
    """Tables to be one, those of single attempts joined now and then: a row in a table of its own
    takes many times its room."""

    def __init__(self, schema: pa.Schema) -> None:
        self._joined, self._loose = [schema.empty_table()], list[pa.Table]()

    def add(self, table: pa.Table) -> None:
        self._loose.append(table)
        if len(self._loose) == _JOINED_AT_ONCE:
            self._join()

    def table(self) -> pa.Table:
        self._join()
        return pa.concat_tables(self._joined)

    def _join(self) -> None:
        if self._loose:
            self._joined.append(pa.concat_tables(self._loose).combine_chunks())
            self._loose.clear()


def _conformed(found: pa.Table, schema: pa.Schema) -> pa.Table:
    """The columns of `schema`: null where there are none. Raises ArrowInvalid without identity."""
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
    """The rows of a run's cells; `reused_from` names the run that one was taken over from.

    What a sweep measured inside of a job, in the round that is called after the job's run, was
    measured for that run.
    """
    own = run["run_id"]
    return [
        {**row, "reused_from": None if own in (row["run_id"], row["round"]) else row["run_id"]}
        for row in cells
    ]


def _day(instant: datetime) -> date:
    return instant.astimezone(UTC).date()


def _file_name(path: str) -> str:
    return path.rpartition("/")[2]
