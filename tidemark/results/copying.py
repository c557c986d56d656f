"""A store's results copied into another store, each file read back and compared.

Evidence goes first, then cells, runs, generations, and the manifests last, so that a copy which
was stopped shows nothing without what belongs to it; done again, it goes on. What the destination
has stays as it is. Of a compacted store only what counts is copied: as it lies there or, where the
destination was compacted otherwise, each attempt as it was written.
"""

from __future__ import annotations

import hashlib
import json
import os
import posixpath
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any, Final

from tidemark.errors import AlreadyThere, RefusedError, StoreAway, StoreError
from tidemark.results.layout import (
    ATTEMPT_FILE,
    GENERATIONS,
    LargeName,
    PartName,
    generation_number,
    generation_path,
)
from tidemark.results.locations import FileLocation
from tidemark.results.outbox import Left
from tidemark.results.store import Store

__all__ = ["Copied", "copy_store"]

_AT_ONCE: Final = 4
"""So many files are copied at the same time, and are in memory."""

_LISTED: Final = (
    "manifests", "runs", "cells", "timeline", "requests", GENERATIONS, "raw", "jobs",
)  # fmt: skip
"""In the order opposite to that of writing: what belongs to anything found is found too."""


@dataclass(frozen=True, slots=True)
class Copied:
    """What came of copying a store.

    `files` and `size_bytes` are what was copied, `same` counts files that were there with the same
    bytes. `left` are those that were not copied although they are results, `passed_over` counts
    those that are none.
    """

    source: str
    destination: str
    files: int = 0
    size_bytes: int = 0
    same: int = 0
    passed_over: int = 0
    left: tuple[Left, ...] = ()

    def document(self) -> dict[str, Any]:
        """The copying as JSON values."""
        return asdict(self)


def copy_store(
    source: Store, destination: Store, *, on_progress: Callable[[int, int], None] | None = None
) -> Copied:
    """Copy what counts in a store into another one; it may be stopped and done again.

    `on_progress` is told how many files of how many are done. What waits in an outbox is not
    copied, nor is anything put into one. Raises RefusedError if one store lies in the other,
    StoreError if the source holds nothing, or a store cannot be read or written at all.
    """
    _demand_two(source, destination)
    return _Copying(source, destination, on_progress).done()


class _Copying:
    """A store on its way into another."""

    def __init__(
        self,
        source: Store,
        destination: Store,
        on_progress: Callable[[int, int], None] | None,
    ) -> None:
        self._uris = (source.uri, destination.uri)
        self._from, self._to = source.compacted, destination.compacted
        self._on_progress = on_progress
        self._found = {folder: self._from.files.list(folder) for folder in _LISTED}
        if not any(self._found.values()):
            remedy = "Check the address of the store that is copied"
            raise StoreError("holds nothing", source.uri, remedy)
        self._there = {path for folder in _LISTED for path in self._to.list(folder)}
        self._there |= set(self._to.catalog().parts)
        self._catalog = self._from.catalog()
        self._as_it_lies = self._catalog.number > 0 and self._continues()
        self._left: dict[str, str] = {}
        self._left_attempts: dict[tuple[str, str], str] = {}
        self._files = self._size_bytes = self._same = self._done = 0

    def done(self) -> Copied:
        """Copy everything, in the order in which it may be seen."""
        own, large = self._parts()
        raw = [path for path in self._found["raw"] if path.count("/") >= 3]
        records = [path for path in raw if posixpath.basename(path) == ATTEMPT_FILE]
        jobs = [path for path in self._found["jobs"] if path.count("/") == 2]
        others = [*jobs, *(path for path in raw if posixpath.basename(path) != ATTEMPT_FILE)]
        evidence = [path for path in own if not path.startswith("cells/")]
        cells = [path for path in own if path.startswith("cells/")]
        generations = []
        if self._as_it_lies:
            generations = [generation_path(n) for n in range(1, self._catalog.number + 1)]
        runs, manifests = self._found["runs"], self._found["manifests"]
        stages = (others, records, evidence, cells, large, runs, generations, manifests)
        total = sum(map(len, stages))
        for stage in stages[:3]:
            self._copy(stage, total)
        self._copy(self._allowed(cells, self._held_back_cell, total), total)
        self._copy(self._allowed(large, self._held_back_large, total), total)
        self._copy(runs, total)
        for path in generations:  # one after another: each goes on from the one before
            self._copy(self._allowed([path], self._held_back_generation, total), total)
        self._copy(self._allowed(manifests, self._held_back_manifest, total), total)
        known = {*own, *large, *raw, *jobs, *runs, *manifests, *self._found[GENERATIONS]}
        strange = {path for paths in self._found.values() for path in paths} - known
        return Copied(
            *self._uris,
            files=self._files,
            size_bytes=self._size_bytes,
            same=self._same,
            passed_over=sum(
                path not in self._catalog.places and LargeName.parse(path) is None
                for path in strange
            ),
            left=tuple(Left(*entry) for entry in self._left.items()),
        )

    def _continues(self) -> bool:
        """Whether the destination can take the source's generations as they are.

        So it is if its own are the first of the source's, and no part that would be replaced there
        has other bytes than the one whose rows replace it.
        """
        newest = self._to.catalog().number
        if newest > self._catalog.number:
            return False
        for number in range(1, newest + 1):
            path = generation_path(number)
            if self._from.files.read(path) != self._to.files.read(path):
                return False
        ours = self._catalog.places
        return all(self._digest(path) == ours[path].sha256 for path in ours if path in self._there)

    def _parts(self) -> tuple[list[str], list[str]]:
        """Paths of the parts of single attempts, and of the large ones, that are to be copied."""
        places = self._catalog.places
        own = [
            path
            for table in ("requests", "timeline", "cells")
            for path in self._found[table]
            if PartName.parse(path) is not None and path not in places
        ]
        if self._as_it_lies:
            return own, sorted(self._catalog.parts)
        return [*own, *sorted(places)], []

    def _allowed(
        self, paths: Iterable[str], held_back: Callable[[str], str | None], total: int
    ) -> list[str]:
        """The paths that nothing holds back; the others are left."""
        allowed = []
        for path in paths:
            reason = held_back(path)
            if reason is None:
                allowed.append(path)
            else:
                self._note(path, Left(path, reason), total)
        return allowed

    def _held_back_cell(self, path: str) -> str | None:
        name = PartName.parse(path)
        assert name is not None  # it was chosen by its name
        other = self._left_attempts.get((name.cell_id, name.attempt_id))
        return None if other is None else f"its evidence is left: {other}"

    def _held_back_large(self, path: str) -> str | None:
        if path.startswith("cells/"):
            for member in self._catalog.parts[path].attempts:
                other = self._left_attempts.get((member.cell_id, member.attempt_id))
                if other is not None:
                    return f"evidence of an attempt in it is left: {other}"
        return None

    def _held_back_generation(self, _: str) -> str | None:
        for other in self._left:
            if LargeName.parse(other) is not None or generation_number(other) is not None:
                return f"what it needs is left: {other}"
        return None

    def _held_back_manifest(self, path: str) -> str | None:
        unnamed = [other for other in self._left if generation_number(other) is not None]
        try:
            document = json.loads(self._from.files.read(path))
            named = [str(document["run_part"]), *map(str, document["cell_parts"])]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return "it is no manifest"
        for part in named:
            if part in self._left:
                return f"a part it names is left: {part}"
            if unnamed and part in self._catalog.places:
                return f"a part it names is in a generation that is left: {unnamed[0]}"
        return None

    def _copy(self, paths: Sequence[str], total: int) -> None:
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for path, outcome in zip(paths, pool.map(self._copy_one, paths), strict=True):
                self._note(path, outcome, total)

    def _note(self, path: str, outcome: int | Left | None, total: int) -> None:
        """Count one file: copied (its size), the same already (None), or left."""
        if isinstance(outcome, Left):
            self._left[path] = outcome.reason
            if (attempt := _attempt_of(path)) is not None:
                self._left_attempts.setdefault(attempt, path)
        elif outcome is None:
            self._same += 1
        else:
            self._files += 1
            self._size_bytes += outcome
        self._done += 1
        if self._on_progress is not None:
            self._on_progress(self._done, total)

    def _copy_one(self, path: str) -> int | Left | None:
        try:
            place = self._catalog.places.get(path)
            if place is not None and self._is_there(path, place.sha256):
                return None
            data = self._from.read(path)
            digest = hashlib.sha256(data).hexdigest()
            if digest != (self._named(path) or digest):
                return Left(path, "damaged, or not made again byte by byte by this version")
            if path not in self._there:
                try:
                    self._to.create(path, data)
                except AlreadyThere:
                    pass
                else:
                    back = hashlib.sha256(self._to.files.read(path)).hexdigest()
                    return len(data) if back == digest else Left(path, "it did not come back whole")
            if self._digest(path) == digest:
                return None
        except StoreAway:
            raise
        except StoreError as error:
            return Left(path, str(error))
        return Left(path, "the destination has other bytes under this name")

    def _is_there(self, path: str, digest: str) -> bool:
        """Whether the destination has an attempt's part in a large one, with this SHA-256."""
        return path in self._to.known.places and self._digest(path) == digest

    def _named(self, path: str) -> str | None:
        """The SHA-256 that a generation of the source names for a part, if one does."""
        large, place = self._catalog.parts.get(path), self._catalog.places.get(path)
        if large is not None:
            return large.sha256
        return None if place is None else place.sha256

    def _digest(self, path: str) -> str:
        """The SHA-256 of a file of the destination; of an attempt's part, as it was written."""
        place = self._to.known.places.get(path)
        if place is not None:
            self._to.rows(place.part, 0, 0)  # or it is there by name only
            return place.sha256
        return hashlib.sha256(self._to.read(path)).hexdigest()


def _attempt_of(path: str) -> tuple[str, str] | None:
    """The cell and the attempt that a file belongs to, None if to none."""
    segments = path.split("/")
    if segments[0] == "raw" and len(segments) > 3:
        return segments[1], segments[2]
    name = PartName.parse(path)
    return None if name is None else (name.cell_id, name.attempt_id)


def _demand_two(source: Store, destination: Store) -> None:
    """See that neither store lies in the other."""
    roots = [
        f"{store.location.scheme}://"
        + (
            os.path.realpath(store.compacted.root)
            if isinstance(store.location, FileLocation)
            else store.compacted.root
        ).rstrip("/")
        + "/"
        for store in (source, destination)
    ]
    if roots[0] == roots[1]:
        remedy = "Name another destination"
        raise RefusedError("a store is not copied into itself", destination.uri, remedy)
    if roots[0].startswith(roots[1]) or roots[1].startswith(roots[0]):
        what = f"one of the two stores lies in the other: {source.uri}"
        raise RefusedError(what, destination.uri, "Copy to a folder or prefix beside it")
