"""A whole store made again from its raw output, and compared with what is stored, byte by byte.

Only reads. Attempts are checked by several processes, each of which opens the store itself.
"""

from __future__ import annotations

import os
import posixpath
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final

from tidemark import __version__
from tidemark.errors import ConfigError, StoreError
from tidemark.results.context import RunContext
from tidemark.results.difference import Unreadable, read_part
from tidemark.results.finding import LEVELS, Finding, Level, by_weight
from tidemark.results.layout import LargeName, PartName, attempt_id, raw_path
from tidemark.results.reading import READERS
from tidemark.results.rebuild import AttemptFiles, Checked, Readers, check_attempt
from tidemark.results.run_proof import RunFiles, check_run
from tidemark.results.store import Store
from tidemark.results.tables import Row
from tidemark.results.verdict import RULES_VERSION, verification_hash
from tidemark.results.workers import in_processes

__all__ = ["Opener", "Verification", "verify"]

Opener = Callable[[], Store]
"""Opens the store; pickled to every process, so a function with its arguments, not a lambda."""

ATTEMPTS_PER_TURN: Final = 4
ATTEMPTS_PER_PROCESS: Final = 50
"""Starting a process takes as long as checking so many attempts."""

FINE, WRONG, PARTLY, NOTHING = 0, 1, 3, 4


@dataclass(frozen=True, slots=True)
class Verification:
    """What came of verifying a store.

    `cells`, `requests` and `runs` count the rows that are as rebuilt, `attempts` and `unjudged`
    what was looked at, and what of it has no row yet.
    """

    uri: str
    findings: tuple[Finding, ...]
    attempts: int
    unjudged: int
    cells: int
    requests: int
    runs: int

    def count(self, level: Level) -> int:
        """How many findings there are of a level."""
        return sum(found.level == level for found in self.findings)

    @property
    def exit_status(self) -> int:
        """0 as rebuilt, 1 something is wrong, 3 a part could not be verified, 4 nothing could."""
        if self.count("wrong"):
            return WRONG
        if not self.cells and not self.requests and not self.count("rules"):
            return NOTHING
        return PARTLY if self.count("unverified") else FINE

    def document(self) -> dict[str, Any]:
        """The verification as JSON values."""
        return {
            "store": self.uri,
            "exit_status": self.exit_status,
            "tidemark_version": __version__,
            "rules_version": RULES_VERSION,
            "verification_hash": verification_hash(),
            "as_rebuilt": {
                "cells": self.cells,
                "requests": self.requests,
                "runs": self.runs,
            },
            "attempts": self.attempts,
            "unjudged": self.unjudged,
            "counts": {level: self.count(level) for level in LEVELS},
            "findings": [found.document() for found in self.findings],
        }


@dataclass(slots=True)
class AttemptPaths:
    """The paths of one attempt's files, by table."""

    cell_id: str
    attempt_id: str
    cells: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    timeline: list[str] = field(default_factory=list)
    raw: list[str] = field(default_factory=list)


def verify(
    opener: Opener,
    readers: Readers,
    *,
    run: str | None = None,
    jobs: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Verification:
    """Make every row of a store again by today's rules and say where a stored one is another.

    `readers` read the raw output of engines, by name. `run` is the beginning of the id of the one
    run to look at. `jobs` is the number of processes, by default as many as there are processors
    and work for; with 1 nothing is started. `on_progress` is told how many attempts of how many
    are done. Raises StoreError for a store that cannot be read, ConfigError for a run it does not
    have.
    """
    store = opener()
    stock = _Stock(store)
    runs, attempts = stock.chosen(run)
    checked: list[Checked] = []
    turns = [
        attempts[i : i + ATTEMPTS_PER_TURN] for i in range(0, len(attempts), ATTEMPTS_PER_TURN)
    ]
    work = _Work(opener, readers)
    processes = jobs or min(_processors(), len(attempts) // ATTEMPTS_PER_PROCESS)
    results: Iterator[list[Checked]]
    if processes > 1 and len(turns) > 1:
        results = in_processes(work, turns, min(processes, len(turns)))
    else:
        results = map(work, turns)
    for some in results:
        checked += some
        if on_progress is not None:
            on_progress(len(checked), len(attempts))
    found = list(stock.foreign) if run is None else []
    told: set[tuple[str, str]] = set()  # of a large part that is damaged, by each of its attempts
    for finding in (finding for one in checked for finding in one.findings):
        if LargeName.parse(finding.path) is None or (finding.path, finding.what) not in told:
            told.add((finding.path, finding.what))
            found.append(finding)
    of_runs = _check_runs(store, stock, runs, checked)
    found += of_runs
    bad = {finding.path for finding in of_runs if finding.level in ("wrong", "unverified")}
    return Verification(
        uri=store.uri,
        findings=by_weight(found),
        attempts=len(attempts),
        unjudged=sum(one.unjudged for one in checked),
        cells=sum(one.cells for one in checked),
        requests=sum(one.requests for one in checked),
        runs=sum(stock.runs[one] not in bad for one in runs if one in stock.runs),
    )


class _Stock:
    """What is there, by name. Listed in the order opposite to that of writing, so that what a
    run at work adds meanwhile is not missed below what is already seen."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.foreign: list[Finding] = []
        listed = store.files.list
        self.manifests = dict(self._named(listed("manifests"), 2, ".json"))
        self.runs = dict(self._named(listed("runs"), 3, ".parquet"))
        self.present = set(self.runs.values())
        self.attempts: dict[tuple[str, str], AttemptPaths] = {}
        for table in ("cells", "timeline", "requests"):
            for path in listed(table):
                part = PartName.parse(path)
                if part is None:
                    self._strange(path)
                    continue
                self.present.add(path)
                of = self._attempt(part.cell_id, part.attempt_id)
                getattr(of, table).append(path)
        for path in listed("raw"):
            segments = path.split("/", 3)
            if len(segments) < 4:
                self._strange(path)
                continue
            self._attempt(segments[1], segments[2]).raw.append(path)

    def _attempt(self, cell_id: str, attempt: str) -> AttemptPaths:
        key = (cell_id, attempt)
        if key not in self.attempts:
            self.attempts[key] = AttemptPaths(cell_id, attempt)
        return self.attempts[key]

    def _turn(self, key: tuple[str, str]) -> tuple[str, tuple[str, str]]:
        """Attempts whose rows lie in the same large part come one after another."""
        paths = self.attempts[key]
        return posixpath.dirname(next(iter((*paths.cells, *paths.requests)), "")), key

    def _named(self, paths: Iterable[str], depth: int, suffix: str) -> Iterator[tuple[str, str]]:
        for path in paths:
            if path.count("/") != depth - 1 or not path.endswith(suffix):
                self._strange(path)
            else:
                yield path.rpartition("/")[2].removesuffix(suffix), path

    def _strange(self, path: str) -> None:
        what = "not the name of a part; it is not read"
        self.foreign.append(Finding("foreign", path, what))

    @property
    def run_ids(self) -> list[str]:
        """All runs that have a row or a manifest."""
        return sorted({*self.runs, *self.manifests})

    def chosen(self, run: str | None) -> tuple[list[str], list[AttemptPaths]]:
        """The runs to look at, and the attempts: those that the runs made or count."""
        every = [self.attempts[key] for key in sorted(self.attempts, key=self._turn)]
        if run is None:
            return self.run_ids, every
        if not run.strip():
            raise ConfigError("no run is named", "--run", "Give the beginning of a run's id")
        runs = [one for one in self.run_ids if one.startswith(run)]
        if len(runs) > 1 and run not in runs:
            told = ", ".join(runs[:5])
            raise ConfigError("several runs begin so", f"--run {run}", f"Choose one: {told}")
        if not runs:
            told = ", ".join(self.run_ids[-5:]) or "none"
            raise ConfigError("no run begins so", f"--run {run}", f"The latest are: {told}")
        one = run if run in runs else runs[0]
        made = attempt_id(one, 0).rpartition("r")[0]
        counted = self._counted(one)
        return [one], [
            paths
            for paths in every
            if paths.attempt_id.rpartition("r")[0] == made
            or (paths.cell_id, paths.attempt_id) in counted
        ]

    def _counted(self, run_id: str) -> set[tuple[str, str]]:
        """The attempts that a run's row counts, as far as it can be read; also taken over ones."""
        if run_id not in self.runs:
            return set()
        try:
            rows = read_part(self.store.files.read(self.runs[run_id])).to_pylist()
        except (Unreadable, StoreError):
            return set()  # which is said when the run is looked at
        return {
            (cell["cell_id"], cell["attempt_id"]) for row in rows for cell in row.get("cells") or ()
        }


@dataclass
class _Work:
    """Checks attempts, wherever it is called; opens the store where it works, and once."""

    opener: Opener
    readers: Readers
    store: Store | None = None

    def __call__(self, turn: Sequence[AttemptPaths]) -> list[Checked]:
        store = self.store = self.store or self.opener()
        with ThreadPoolExecutor(min(READERS, len(turn))) as pool:
            return [
                check_attempt(read, self.readers) if isinstance(read, AttemptFiles) else read
                for read in pool.map(lambda paths: _read(store, paths), turn)
            ]


def _read(store: Store, paths: AttemptPaths) -> AttemptFiles | Checked:
    """All files of an attempt, or what could not be read of it."""
    found: list[Finding] = []
    places = store.compacted.known.places

    def read(wanted: Iterable[str], folder: str = "") -> dict[str, bytes]:
        files = {}
        for path in wanted:
            try:
                files[path.removeprefix(folder)] = store.files.read(path)
            except StoreError as error:
                place = places.get(path)
                kind, told = ("unreadable", path) if place is None else ("damaged", place.part.path)
                found.append(Finding(kind, told, error.what, remedy=error.remedy))
        return files

    try:
        folder = f"{raw_path(paths.cell_id, paths.attempt_id)}/"
    except StoreError:
        names = [Finding("foreign", path, "not the name of an attempt") for path in paths.raw]
        return Checked(paths.cell_id, paths.attempt_id, tuple(names))
    files = AttemptFiles(
        paths.cell_id,
        paths.attempt_id,
        cells=read(paths.cells),
        requests=read(paths.requests),
        timeline=read(paths.timeline),
        raw=read(paths.raw, folder),
        written={path: places[path].sha256 for path in paths.requests if path in places},
    )
    return Checked(paths.cell_id, paths.attempt_id, tuple(found)) if found else files


def _check_runs(
    store: Store, stock: _Stock, runs: Sequence[str], checked: Sequence[Checked]
) -> list[Finding]:
    rows: dict[tuple[str, str], Row] = {}
    contexts: dict[str, RunContext] = {}
    for one in checked:
        if one.row is not None:
            rows[one.cell_id, one.attempt_id] = one.row
        if one.run is not None:
            contexts.setdefault(one.run.run_id, one.run)
    parts: Mapping[tuple[str, str], list[str]] = defaultdict(
        list, {key: paths.cells for key, paths in stock.attempts.items()}
    )
    found: list[Finding] = []

    def read(path: str | None) -> tuple[str, bytes] | None:
        if path is None:
            return None
        try:
            return path, store.files.read(path)
        except StoreError as error:
            found.append(Finding("unreadable", path, error.what, remedy=error.remedy))
            return None

    for run_id in runs:
        files = RunFiles(run_id, read(stock.runs.get(run_id)), read(stock.manifests.get(run_id)))
        found += check_run(files, rows, parts, stock.present, contexts.get(run_id))
    return found


def _processors() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1
