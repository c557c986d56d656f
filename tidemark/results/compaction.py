"""Small parts of a store made into few large ones, by generations; nothing is lost or read twice.

The large parts of a generation are written first, each created exclusively, read back and proved:
from their rows the part of every attempt comes out again, byte by byte. Then one file names them,
`generations/<number>.json`, created exclusively: of two compactors at once one has the number, and
what the other wrote is not read. Only then are the parts they replace removed. Whatever is left by
a compaction that was stopped is removed by the next.

Raw output, runs' rows and manifests stay as they are: a day seldom has more than one run.
"""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tidemark.errors import AlreadyThere, RefusedError, StoreAway, StoreError
from tidemark.results.catalog import Catalog
from tidemark.results.compacted import CompactedFiles, own_bytes
from tidemark.results.compaction_plan import Merge, Plan
from tidemark.results.difference import Unreadable, read_part
from tidemark.results.generations import WHOLE_EVERY, Generation, LargePart, Member
from tidemark.results.layout import (
    LargeName,
    PartName,
    generation_path,
    large_path,
)
from tidemark.results.outbox import Left
from tidemark.results.reading import READERS
from tidemark.results.store import Store
from tidemark.results.tables import parquet_bytes

__all__ = ["Compaction", "compact"]


@dataclass(frozen=True, slots=True)
class Compaction:
    """What came of a compaction.

    `generation` is its number, None if no part was merged. `parts_before` were made into
    `parts_after`; `leftovers` counts the files removed that earlier compactions had left.
    """

    uri: str
    generation: int | None = None
    attempts: int = 0
    parts_before: int = 0
    parts_after: int = 0
    size_bytes_before: int = 0
    size_bytes_after: int = 0
    leftovers: int = 0
    left: tuple[Left, ...] = ()

    def document(self) -> dict[str, Any]:
        """The compaction as JSON values."""
        return asdict(self)


def compact(
    store: Store, plan: Plan, *, on_progress: Callable[[int, int], None] | None = None
) -> Compaction:
    """Carry a plan out. It may be ended at any instant: nothing is lost, and it can be repeated.

    `on_progress` is told how many parts of how many are merged. Raises RefusedError for a store
    that lets nothing be removed, before anything is merged, and where another compaction was
    first; StoreError for a store that cannot be read or written.
    """
    if not plan.merges and not plan.leftovers:
        return Compaction(store.uri)
    _demand_removal(store)
    work = _Work(store.compacted, plan, on_progress)
    try:
        for merge in plan.merges:
            work.merge(merge)
        if work.made or plan.abandoned:
            work.name()
    except StoreAway:
        raise
    except StoreError as error:
        if store.compacted.catalog().number == plan.catalog.number:
            raise
        work.withdraw()
        remedy = "Nothing is lost; compact again once the other is done"
        raise RefusedError("another compaction was first", store.uri, remedy) from error
    leftovers = work.remove_leftovers()
    work.remove_replaced()
    return Compaction(
        uri=store.uri,
        generation=work.number if work.made else None,
        attempts=len(
            {(one.cell_id, one.attempt_id) for part in work.made for one in part.attempts}
        ),
        parts_before=sum(len(part.replaces) for part in work.made),
        parts_after=len(work.made),
        size_bytes_before=work.replaced_bytes,
        size_bytes_after=sum(part.size_bytes for part in work.made),
        leftovers=leftovers,
        left=tuple(work.left),
    )


@dataclass(frozen=True, slots=True)
class _Source:
    """A part to be merged: its rows, and whose they are."""

    path: str
    size_bytes: int
    rows: pa.Table
    members: tuple[Member, ...]


class _Work:
    """A compaction at work: the parts it made, and the files it left as they are."""

    def __init__(
        self,
        compacted: CompactedFiles,
        plan: Plan,
        on_progress: Callable[[int, int], None] | None,
    ) -> None:
        self.number = plan.catalog.number + 1
        self.made: list[LargePart] = []
        self.left: list[Left] = []
        self.replaced_bytes = 0
        self._compacted = compacted
        self._files = compacted.files
        self._plan = plan
        self._created: list[str] = []
        self._on_progress = on_progress
        self._done = 0

    def merge(self, merge: Merge) -> None:
        """Write the rows of some parts as one; as several, where parts differ in their columns."""
        alike: list[list[_Source]] = []
        with ThreadPoolExecutor(READERS) as pool:
            for source in pool.map(self._source, merge.sources):
                if isinstance(source, Left):
                    self.left.append(source)
                    continue
                schema = source.rows.schema
                for group in alike:
                    if group[0].rows.schema.equals(schema, check_metadata=True):
                        group.append(source)
                        break
                else:
                    alike.append([source])
        for group in alike:
            self._write(merge.folder, group)
        self._done += len(merge.sources)
        if self._on_progress is not None:
            self._on_progress(self._done, self._plan.sources)

    def name(self) -> None:
        """Say that the parts made count from now on."""
        parts = list(self.made)
        whole = self.number % WHOLE_EVERY == 0
        if whole:
            gone = {path for part in parts for path in part.replaces}
            carried = (part for path, part in self._plan.catalog.parts.items() if path not in gone)
            parts += [replace(part, replaces=()) for part in carried]
        generation = Generation(self.number, tuple(parts), whole)
        self._files.create(generation_path(self.number), generation.to_bytes())

    def withdraw(self) -> None:
        """Remove what was written for a number that another compaction has."""
        named = self._compacted.catalog().parts
        self._remove([path for path in self._created if path not in named])

    def remove_replaced(self) -> None:
        """Remove the parts whose rows lie in the large ones that were named."""
        self._remove([path for part in self.made for path in part.replaces])

    def remove_leftovers(self) -> int:
        """Remove what earlier compactions left, if what took its place is whole; how many files."""
        catalog = self._compacted.catalog()
        found: list[str] = []
        for path in self._plan.replaced:
            if (reason := self._not_taken_over(path, catalog)) is not None:
                self.left.append(Left(path, reason))
            else:
                found.append(path)
        damaged = {
            part.folder
            for part in catalog.parts.values()
            if part.folder in map(posixpath.dirname, self._plan.dead) and self._is_damaged(part)
        }
        for path in self._plan.dead:
            if posixpath.dirname(path) in damaged:
                self.left.append(Left(path, "a large part in its folder is damaged"))
            else:
                found.append(path)
        for path in self._plan.unnamed:
            name = LargeName.parse(path)
            if name is not None and name.number <= catalog.number and path not in catalog.parts:
                found.append(path)
        return len(found) - self._remove(found)

    def _source(self, path: str) -> _Source | Left:
        """A part to be merged, or why it is not."""
        large = self._plan.catalog.parts.get(path)
        try:
            if large is not None:
                rows = sum(member.rows for member in large.attempts)
                table = self._compacted.rows(large, 0, rows)
                return _Source(path, large.size_bytes, table, large.attempts)
            data = self._files.read(path)
            table = read_part(data)
        except StoreAway:
            raise
        except StoreError as error:
            if self._compacted.catalog().number != self._plan.catalog.number:
                raise
            return Left(path, error.what)
        except Unreadable as error:
            return Left(path, f"damaged: {error}")
        name = PartName.parse(path)
        assert name is not None  # it was taken by its name
        digest = hashlib.sha256(data).hexdigest()
        member = Member(name.cell_id, name.attempt_id, table.num_rows, digest)
        return _Source(path, len(data), table, (member,))

    def _write(self, folder: str, sources: list[_Source]) -> None:
        """Write parts of the same columns as one, but those that would not come out again."""
        while len(sources) > 1:
            data = parquet_bytes(pa.concat_tables([source.rows for source in sources]))
            changed = _changed(sources, data)
            if not changed:
                break
            what = (
                "another version wrote it, or a damaged disk: its bytes do not follow from its rows"
            )
            self.left += [Left(source.path, what) for source in changed]
            sources = [source for source in sources if source not in changed]
        else:
            return
        digest = hashlib.sha256(data).hexdigest()
        path = large_path(folder, self.number, digest)
        try:
            self._files.create(path, data)
            self._created.append(path)
        except AlreadyThere:
            pass  # of a compaction that was stopped, or of one at work: the same bytes by its name
        if self._files.read(path) != data:
            raise StoreError("what was written does not come back", path, "Use another store")
        self.replaced_bytes += sum(source.size_bytes for source in sources)
        self.made.append(
            LargePart(
                path,
                digest,
                len(data),
                tuple(member for source in sources for member in source.members),
                tuple(source.path for source in sources),
            )
        )

    def _not_taken_over(self, path: str, catalog: Catalog) -> str | None:
        """Why a part is not removed that a generation says is replaced; None if it can be."""
        place = catalog.places.get(path)
        if place is None or self._is_damaged(place.part):
            return "the large part that has its rows is damaged"
        if hashlib.sha256(self._files.read(path)).hexdigest() != place.sha256:
            return f"it has other bytes than the part whose rows {place.part.path} has"
        return None

    def _is_damaged(self, part: LargePart) -> bool:
        try:
            self._compacted.rows(part, 0, 0)
        except StoreAway:
            raise
        except StoreError:
            return True
        return False

    def _remove(self, paths: Sequence[str]) -> int:
        """Remove files; how many could not be."""
        with ThreadPoolExecutor(READERS) as pool:
            stuck = [left for left in pool.map(self._remove_one, paths) if left is not None]
        self.left += stuck
        return len(stuck)

    def _remove_one(self, path: str) -> Left | None:
        try:
            self._files.remove(path)
        except StoreError as error:
            if path in self._files.list(posixpath.dirname(path)):  # nobody else removed it
                return Left(
                    path, f"its rows are in a large part, but it cannot be removed: {error}"
                )
        return None


def _changed(sources: list[_Source], data: bytes) -> list[_Source]:
    """The sources of a large part from which not every attempt's part comes out as it was."""
    table = pq.ParquetFile(pa.BufferReader(data)).read(use_threads=False)

    def is_changed(source: _Source, start: int) -> bool:
        own = 0
        for member in source.members:
            again = own_bytes(table.slice(start + own, member.rows))
            if LargeName.parse(source.path) is None:
                if hashlib.sha256(again).hexdigest() != member.sha256:
                    return True
            elif again != own_bytes(source.rows.slice(own, member.rows)):
                return True  # that it was made of the part it was written as was proved then
            own += member.rows
        return False

    starts, start = [], 0
    for source in sources:
        starts.append(start)
        start += source.rows.num_rows
    with ThreadPoolExecutor(READERS) as pool:
        verdicts = list(pool.map(is_changed, sources, starts))
    return [source for source, changed in zip(sources, verdicts, strict=True) if changed]


def _demand_removal(store: Store) -> None:
    notes = store.probe().notes
    if notes:
        remedy = (
            "Compact it with credentials that may delete (s3:DeleteObject), or copy it to another "
            "store and compact that"
        )
        raise RefusedError(f"the store lets nothing be removed: {notes[0]}", store.uri, remedy)
