"""Stores to be compacted, all they can be asked, and processes that are killed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from stored_sweep import PLAN, READERS, Sweep, attempt_at, context_of, floor, put_sweep

from tidemark.plan.cells import cells
from tidemark.results.compaction import Compaction, compact
from tidemark.results.compaction_plan import Plan, plan_compaction
from tidemark.results.context import TimelinePoint
from tidemark.results.files import Files, LocalFiles
from tidemark.results.layout import LargeName
from tidemark.results.locations import FileLocation
from tidemark.results.redact import Redactor
from tidemark.results.rounds import look_up
from tidemark.results.store import Store, open_store
from tidemark.results.verify import verify

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
RUNS = ("20261121T030000-0badcafe", "20261121T040000-0badcafe", "20261121T050000-0badcafe")


def planned(store: Store, **options: Any) -> Plan:
    return plan_compaction(store, **{"now": NOW, "older_than": timedelta(days=30), **options})


def compacted(store: Store, **options: Any) -> Compaction:
    return compact(store, planned(store, **options))


def files_below(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def large_parts(root: Path) -> list[str]:
    return sorted(path for path in files_below(root) if LargeName.parse(path) is not None)


def answers(root: Path) -> dict[str, Any]:
    """Everything a store can be asked."""
    store = open_store(str(root))
    rows = store.cells().to_pylist()
    runs = store.runs().to_pylist()
    ids = sorted({row["cell_id"] for row in rows})
    done = verify(partial(open_store, str(root)), READERS, jobs=1)
    found = look_up(store, cells(PLAN), "2026-11-21")
    return {
        "cells": rows,
        "requests": store.requests().to_pylist(),
        "of each cell": [store.requests(cell_id=cell_id).to_pylist() for cell_id in ids],
        "of each attempt": [store.requests(attempt_id=row["attempt_id"]).num_rows for row in rows],
        "runs": runs,
        "of each run": [store.run_cells(run) for run in runs],
        "found": store.find_cells(ids, "2026-11-21"),
        "judged": store.judged(ids),
        "look up": (found.reusable, len(found.unjudged)),
        "evidence": [store.evidence(row["cell_id"], row["attempt_id"]) for row in rows],
        "torn": store.torn(),
        "verified": (done.findings, done.cells, done.requests, done.runs, done.attempts),
        "parts": {
            path: store.files.read(path)
            for table in ("cells", "requests", "timeline")
            for path in store.files.list(table)
        },
    }


def put_night(store: Store, runs: int = 2) -> list[Sweep]:
    """Some runs of one day, a third that has not finished, and an attempt nobody judged."""
    sweeps = [put_sweep(store, context_of(run_id)) for run_id in RUNS[:runs]]
    for run_id in RUNS[runs:]:
        first, second = cells(PLAN)
        store.put_cell(attempt_at(context_of(run_id), first))
        attempt = attempt_at(context_of(run_id), second, floor())
        points = (TimelinePoint("server", "running", "1", 0.0, 4.0),)
        store.put_evidence(replace(attempt, timeline=points))
    return sweeps


class Killed(BaseException):
    """A process that is no more."""


class DyingFiles:
    """Files of a process that is killed before, or just after, its n-th call; the rest never is."""

    def __init__(self, files: Files, calls: int, *, after: bool) -> None:
        self.root, self.filesystem = files.root, files.filesystem
        self._files, self._left, self._after = files, calls, after
        self._lock = threading.Lock()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        call = getattr(self._files, name)

        def dying(*arguments: Any) -> Any:
            with self._lock:
                self._left -= 1
                if self._left < 0 or (self._left == 0 and not self._after):
                    raise Killed
                answer = call(*arguments)
                if self._left == 0:
                    raise Killed
                return answer

        return dying


def local(root: Path) -> LocalFiles:
    return LocalFiles(FileLocation(str(root)))


def dying(root: Path, calls: int, *, after: bool) -> Store:
    location = FileLocation(str(root))
    return Store(location, DyingFiles(LocalFiles(location), calls, after=after), Redactor())
