"""What a compaction of a store is to do: which parts are merged, and which are only removed."""

from __future__ import annotations

import json
import posixpath
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final

from tidemark.errors import StoreAway, StoreError
from tidemark.results.catalog import Catalog
from tidemark.results.failures import explained
from tidemark.results.files import Files
from tidemark.results.layout import PARTED, PartName, attempt_id, manifest_path
from tidemark.results.reading import READERS
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
    `alone` counts the small parts that stay because their folder has none to merge them with,
    `unfinished` those that stay because something may still be added to them.
    """

    catalog: Catalog
    merges: tuple[Merge, ...]
    replaced: tuple[str, ...] = ()
    dead: tuple[str, ...] = ()
    unnamed: tuple[str, ...] = ()
    abandoned: bool = False
    alone: int = 0
    unfinished: int = 0

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
    own = {path: name for path in there if (name := PartName.parse(path)) is not None}
    taken = set(_ready(own, catalog, files, oldest))
    for path in taken:
        folders[posixpath.dirname(path)][path] = there[path]
    for part in catalog.parts.values():
        if part.size_bytes < largest_bytes / 2:
            folders[part.folder][part.path] = part.size_bytes
    merges = tuple(
        merge
        for folder in sorted(folders)
        for merge in _merges(folder, folders[folder], largest_bytes)
    )
    return Plan(
        catalog,
        merges,
        tuple(replaced),
        tuple(dead),
        tuple(unnamed),
        abandoned=bool(unnamed) and all(_abandoned(files, path, now) for path in unnamed),
        alone=len(taken.difference(*(merge.sources for merge in merges))),
        unfinished=len(own.keys() - taken - catalog.places.keys()),
    )


def _ready(
    own: Mapping[str, PartName], catalog: Catalog, files: Files, oldest: date
) -> Iterator[str]:
    """The parts of complete attempts that nothing will be added to."""
    places: dict[str, set[str]] = {
        table: {
            path.partition("/")[2] for path in (*own, *catalog.places) if path.startswith(table)
        }
        for table in ("cells", "requests")
    }
    complete = places["cells"] & places["requests"]
    candidates = {
        path: name
        for path, name in own.items()
        if path not in catalog.places and path.partition("/")[2] in complete
    }
    young = [name for name in candidates.values() if name.date > oldest.isoformat()]
    finished = _finished(files, young)
    for path, name in candidates.items():
        if name.date <= oldest.isoformat() or name.attempt_id in finished:
            yield path


def _finished(files: Files, names: Iterable[PartName]) -> set[str]:
    """Those of some attempts that are of runs which have a manifest.

    The attempts of a run begin alike, after its id. Those of an import are named after its files:
    only its manifest tells which they are.
    """
    attempts = {name.attempt_id for name in names}
    if not attempts:
        return attempts
    manifests = {
        attempt_id(run_id, 0).rpartition("r")[0]: path
        for path in files.list("manifests")
        if (run_id := _run_of(path)) is not None
    }
    runs = {attempt: attempt.rpartition("r")[0] for attempt in attempts}
    found = {attempt for attempt, run in runs.items() if run in manifests}
    if found == attempts:
        return found
    others = [path for run, path in manifests.items() if run not in runs.values()]
    with ThreadPoolExecutor(READERS) as pool:
        for named in pool.map(lambda path: _named(files, path), others):
            found |= attempts & named
    return found


def _run_of(manifest: str) -> str | None:
    """The id of a manifest's run; None if it is called like no run."""
    run_id = posixpath.basename(manifest).removesuffix(".json")
    try:
        return run_id if manifest_path(run_id) == manifest else None
    except StoreError:
        return None


def _named(files: Files, manifest: str) -> set[str]:
    """The attempts that a manifest names; none for one that is damaged."""
    try:
        parts = json.loads(files.read(manifest))["cell_parts"]
        names = [PartName.parse(path) for path in parts]
    except StoreAway:
        raise
    except (StoreError, ValueError, KeyError, TypeError, RecursionError):
        return set()
    return {name.attempt_id for name in names if name is not None}


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
