"""A store's files as they were before any compaction: each attempt with parts of its own.

Whoever asks for the part of an attempt gets its bytes, made again from the rows of the large part
that took them over; whoever wants to create it is told that it is there.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from tidemark.errors import AlreadyThere, StoreAway, StoreError
from tidemark.results.catalog import Catalog, Place
from tidemark.results.files import Files
from tidemark.results.generations import Generation, LargePart, first_needed
from tidemark.results.layout import (
    GENERATIONS,
    PARTED,
    LargeName,
    PartName,
    generation_number,
    generation_path,
)
from tidemark.results.tables import parquet_bytes

__all__ = ["CompactedFiles", "own_bytes"]

_KEPT_BYTES: Final = 256 * 2**20
_READERS: Final = 8


def own_bytes(rows: pa.Table) -> bytes:
    """An attempt's part, made of its rows: in one piece, as they were when it was written."""
    return parquet_bytes(rows.combine_chunks())


class CompactedFiles:
    """The files of a store, whatever was compacted. Safe for threads.

    `files` are those that are really there.
    """

    def __init__(self, files: Files) -> None:
        self.files = files
        self.root = files.root
        self.filesystem: Any = files.filesystem
        self._catalog: Catalog | None = None
        self._generations: dict[int, Generation] = {}
        self._tables = _Tables(files)

    def __repr__(self) -> str:
        return f"CompactedFiles({self.root!r})"

    @property
    def known(self) -> Catalog:
        """The catalog as it was read last."""
        return self._catalog or self.catalog()

    def catalog(self) -> Catalog:
        """Where attempts lie by now.

        Raises StoreError for a generation that is damaged, missing or of a later version: what
        counts cannot be told without it.
        """
        numbers = {generation_number(path) for path in self.files.list(GENERATIONS)} - {None}
        newest = max((number for number in numbers if number is not None), default=0)
        known = self._catalog
        if known is not None and known.number == newest:
            return known
        needed = range(first_needed(newest), newest + 1) if newest else range(0)
        kept = self._generations if known is not None and known.number < newest else {}
        unread = [number for number in needed if number not in kept]
        with ThreadPoolExecutor(_READERS) as pool:
            read = dict(zip(unread, pool.map(self._generation, unread), strict=True))
        generations = {number: kept.get(number) or read[number] for number in needed}
        found = Catalog.of(generations.values())
        self._generations, self._catalog = generations, found
        return found

    def rows(self, part: LargePart, start: int, rows: int) -> pa.Table:
        """So many rows of a large part, from row `start` on.

        Raises StoreError if the part is not there, or is not the one that its generation names.
        """
        return self._tables.of(part).slice(start, rows)

    def create(self, path: str, data: bytes) -> None:
        """Put a file there. Raises AlreadyThere if there is one, or was before a compaction."""
        if _has_place(path) and (place := self.catalog().places.get(path)) is not None:
            what = f"there was a file of this name; {place.part.path} has its rows"
            raise AlreadyThere(what, path, "Another writer was first; what it wrote stays")
        self.files.create(path, data)

    def replace(self, path: str, data: bytes) -> None:
        """Put a file there, whole, in the place of one that may be there."""
        self.files.replace(path, data)

    def read(self, path: str) -> bytes:
        """The bytes of a file, those of an attempt's part made again if need be."""
        if not _has_place(path):
            return self.files.read(path)
        place = self.known.places.get(path)
        try:
            return self.files.read(path) if place is None else self._own(place)
        except StoreAway:
            raise
        except StoreError:
            now = self.catalog().places.get(path)  # a compaction may just have moved it
            if now is None or now == place:
                raise
            return self._own(now)

    def list(self, folder: str) -> list[str]:
        """Paths of all files below a folder, sorted: large parts left out, their attempts' in."""
        # First what is there: a part that is taken over meanwhile is seen in one place or both.
        there = self.files.list(folder)
        if folder.partition("/")[0] not in ("", *PARTED):
            return there
        below = f"{folder}/" if folder else ""
        moved = [path for path in self.catalog().places if path.startswith(below)]
        return sorted({*moved, *(path for path in there if LargeName.parse(path) is None)})

    def sizes(self, folder: str = "") -> dict[str, int]:
        """The size in bytes of every file that is really there, by path."""
        return self.files.sizes(folder)

    def remove(self, path: str) -> None:
        """Remove one file that is really there."""
        self.files.remove(path)

    def _own(self, place: Place) -> bytes:
        return own_bytes(self.rows(place.part, place.start, place.rows))

    def _generation(self, number: int) -> Generation:
        return Generation.parse(number, self.files.read(generation_path(number)))


class _Tables:
    """Large parts as tables, each read once by those who ask at the same time.

    So many are kept as fit in `_KEPT_BYTES`, and always the last one. One that is damaged is not
    read again for each of its attempts.
    """

    def __init__(self, files: Files) -> None:
        self._files = files
        self._kept: OrderedDict[str, pa.Table] = OrderedDict()
        self._damaged: dict[LargePart, StoreError] = {}
        self._lock = threading.Lock()
        self._reading: dict[str, threading.Lock] = {}

    def of(self, part: LargePart) -> pa.Table:
        with self._lock:
            reading = self._reading.setdefault(part.path, threading.Lock())
        with reading:
            with self._lock:
                if part.path in self._kept:
                    self._kept.move_to_end(part.path)
                    return self._kept[part.path]
            if part in self._damaged:
                damage = self._damaged[part]
                raise StoreError(damage.what, damage.where, damage.remedy)
            data = self._files.read(part.path)
            try:
                table = _table(part, data)
            except StoreError as error:
                self._damaged[part] = error
                raise
            with self._lock:
                self._kept[part.path] = table
                while len(self._kept) > 1 and self._size() > _KEPT_BYTES:
                    self._kept.popitem(last=False)
                self._reading.pop(part.path, None)
        return table

    def _size(self) -> int:
        return sum(int(table.nbytes) for table in self._kept.values())


def _table(part: LargePart, data: bytes) -> pa.Table:
    remedy = "Copy it again from where it is whole; tidemark store check names all such parts"
    if hashlib.sha256(data).hexdigest() != part.sha256:
        raise StoreError("damaged: not the bytes that its generation names", part.path, remedy)
    try:
        table = pq.ParquetFile(pa.BufferReader(data)).read(use_threads=False)
    except (pa.ArrowException, OSError) as error:
        what = f"damaged: it cannot be read: {error}"[:300]
        raise StoreError(what, part.path, remedy) from error
    if table.num_rows != sum(member.rows for member in part.attempts):
        what = "damaged: it has not as many rows as its generation says"
        raise StoreError(what, part.path, remedy)
    return table


def _has_place(path: str) -> bool:
    return path.partition("/")[0] in PARTED and PartName.parse(path) is not None
