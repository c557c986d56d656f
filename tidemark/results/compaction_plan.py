"""What a compaction of a store is to do: which parts are merged, and which are only removed."""

from __future__ import annotations

import posixpath
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final

from tidemark.results.catalog import Catalog
from tidemark.results.failures import explained
from tidemark.results.files import Files
from tidemark.results.layout import PARTED, PartName, attempt_id
from tidemark.results.store import Store

__all__ = ["LARGEST_BYTES", "Merge", "Plan", "plan_compaction"]

LARGEST_BYTES: Final = 64 * 2**20
"""About how large a part becomes at most."""

_ABANDONED_AFTER: Final = timedelta(days=1)
"""After how long nobody will name a large part any more that nobody has named."""


@dataclass(frozen=True, slots=True)
class Merge:
    """Parts of one folder (one table, model and date) whose rows are to lie in one."""

    folder: str
    sources: tuple[str, ...]
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What a compaction is to do: `merges`, and the removal of what earlier ones left.

    `replaced` are parts whose rows lie in large ones, `dead` large parts that do not count and
    never will, `unnamed` those of a generation to come, which are `abandoned` after a day.
    """

    catalog: Catalog
    merges: tuple[Merge, ...]
    replaced: tuple[str, ...] = ()
    dead: tuple[str, ...] = ()
    unnamed: tuple[str, ...] = ()
    abandoned: bool = False

    @property
    def sources(self) -> int:
        """How many parts are read and replaced."""
        return sum(len(merge.sources) for merge in self.merges)

    @property
    def leftovers(self) -> int:
        """How many files earlier compactions left."""
        unnamed = self.unnamed if self.abandoned else ()
        return len(self.replaced) + len(self.dead) + len(unnamed)


def plan_compaction(
    store: Store, *, now: datetime, older_than: timedelta, largest_bytes: int = LARGEST_BYTES
) -> Plan:
    """What `compact` would do; touches nothing.

    Taken are complete attempts of runs that have a manifest, and of any run if their date is
    `older_than` or more before `now`. Raises StoreError for a store that cannot be read.
    """
    files = store.compacted.files
    # First what is there: what a compaction at work takes over meanwhile is then in the catalog.
    there = {path: size for table in PARTED for path, size in files.sizes(table).items()}
    catalog = store.compacted.catalog()
    replaced, dead, unnamed = catalog.leftovers(there)
    oldest = (now - older_than).astimezone(UTC).date()
    folders: dict[str, dict[str, int]] = defaultdict(dict)
    for path in _ready(there, catalog, _finished(files), oldest):
        folders[posixpath.dirname(path)][path] = there[path]
    for part in catalog.parts.values():
        if part.size_bytes < largest_bytes / 2:
            folders[part.folder][part.path] = part.size_bytes
    return Plan(
        catalog,
        tuple(
            merge
            for folder in sorted(folders)
            for merge in _merges(folder, folders[folder], largest_bytes)
        ),
        tuple(replaced),
        tuple(dead),
        tuple(unnamed),
        abandoned=bool(unnamed) and all(_abandoned(files, path, now) for path in unnamed),
    )


def _ready(
    there: Iterable[str], catalog: Catalog, finished: set[str], oldest: date
) -> Iterator[str]:
    """The parts of complete attempts that nothing will be added to."""
    own = {path: name for path in there if (name := PartName.parse(path)) is not None}
    places: dict[str, set[str]] = {
        table: {
            path.partition("/")[2] for path in (*own, *catalog.places) if path.startswith(table)
        }
        for table in ("cells", "requests")
    }
    complete = places["cells"] & places["requests"]
    for path, name in sorted(own.items()):
        over = name.attempt_id.rpartition("r")[0] in finished or name.date <= oldest.isoformat()
        if over and path not in catalog.places and path.partition("/")[2] in complete:
            yield path


def _finished(files: Files) -> set[str]:
    """What the attempts of finished runs begin with."""
    runs = (posixpath.basename(path) for path in files.list("manifests"))
    return {attempt_id(run.removesuffix(".json"), 0).rpartition("r")[0] for run in runs}


def _merges(folder: str, parts: Mapping[str, int], largest_bytes: int) -> Iterator[Merge]:
    """The parts of a folder in bins of at most about `largest_bytes`, each of two parts or more."""
    sources: list[str] = []
    size_bytes = 0
    for path in sorted(parts):
        if sources and size_bytes + parts[path] > largest_bytes:
            if len(sources) > 1:
                yield Merge(folder, tuple(sources), size_bytes)
            sources, size_bytes = [], 0
        sources.append(path)
        size_bytes += parts[path]
    if len(sources) > 1:
        yield Merge(folder, tuple(sources), size_bytes)


def _abandoned(files: Files, path: str, now: datetime) -> bool:
    """Whether a part was written so long ago that its writer has ended; if the store tells."""
    with explained(path):
        try:
            written_at: datetime = files.filesystem.modified(f"{files.root}/{path}")
        except NotImplementedError:
            return False
    return now - written_at > _ABANDONED_AFTER
