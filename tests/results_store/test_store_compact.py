"""A compacted store answers as before, whatever happened to the compaction."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from stored_sweep import (
    PLAN,
    READERS,
    Sweep,
    attempt_at,
    context_of,
    floor,
    put_run,
    put_sweep,
    taken_over,
)

from tidemark.errors import AlreadyThere, RefusedError, StoreError
from tidemark.plan.cells import cells
from tidemark.results.compaction import Compaction, compact
from tidemark.results.compaction_plan import Plan, plan_compaction
from tidemark.results.context import TimelinePoint
from tidemark.results.files import Files, LocalFiles
from tidemark.results.layout import LargeName
from tidemark.results.locations import FileLocation
from tidemark.results.redact import Redactor
from tidemark.results.rounds import look_up
from tidemark.results.store import Attempt, Store, open_store
from tidemark.results.verify import verify

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
RUNS = ("20261121T030000-0badcafe", "20261121T040000-0badcafe", "20261121T050000-0badcafe")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "results"


@pytest.fixture
def store(root: Path) -> Store:
    return open_store(str(root))


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


def test_a_compacted_store_has_few_files_and_answers_as_before(store: Store, root: Path) -> None:
    put_night(store)
    before, files = answers(root), files_below(root)
    done = compacted(store)
    assert (done.generation, done.attempts, done.parts_before, done.parts_after) == (1, 4, 8, 2)
    assert done.size_bytes_after < done.size_bytes_before
    assert done.left == ()
    now = files_below(root)
    assert len(now) == len(files) - 8 + 2 + 1
    assert len(large_parts(root)) == 2
    assert {path: now[path] for path in now if path.startswith(("raw", "runs", "manif"))} == {
        path: files[path] for path in files if path.startswith(("raw", "runs", "manif"))
    }
    assert answers(root) == before
    assert before["torn"] == open_store(str(root)).torn()
    assert planned(store).merges == ()


def test_the_store_that_compacted_and_one_opened_before_answer_as_before(
    store: Store, root: Path
) -> None:
    put_night(store)
    other = open_store(str(root))
    rows, requests = other.cells().to_pylist(), other.requests().num_rows
    compacted(store)
    for each in (store, other):
        assert each.cells().to_pylist() == rows
        assert each.requests().num_rows == requests
        assert {each.files.read(path) for path in each.files.list("cells")}


def test_a_plain_reader_sees_the_same_rows(store: Store, root: Path) -> None:
    put_night(store)
    key = ["cell_id", "attempt_id"]

    def plain(table: str, by: list[str]) -> pd.DataFrame:
        return pd.read_parquet(root / table).sort_values(by).reset_index(drop=True)

    before = plain("cells", key), plain("requests", [*key, "request_idx"])
    compacted(store)
    pd.testing.assert_frame_equal(plain("cells", key), before[0])
    pd.testing.assert_frame_equal(plain("requests", [*key, "request_idx"]), before[1])


def test_the_same_store_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        store = open_store(str(tmp_path / name))
        put_night(store)
        compacted(store)
    assert files_below(tmp_path / "one") == files_below(tmp_path / "two")


def test_a_second_compaction_takes_the_parts_of_the_first(store: Store, root: Path) -> None:
    put_sweep(store, context_of(RUNS[0]))
    compacted(store)
    put_sweep(store, context_of(RUNS[1]))
    before, first = answers(root), large_parts(root)
    done = compacted(store)
    assert (done.generation, done.parts_before, done.parts_after) == (2, 6, 2)
    assert len(large_parts(root)) == 2
    assert not set(large_parts(root)) & set(first)
    assert answers(root) == before


def test_parts_grow_to_a_size_and_no_further(store: Store, root: Path) -> None:
    for run_id in RUNS:
        put_sweep(store, context_of(run_id))
    before = answers(root)
    size = max(merge.size_bytes for merge in planned(store).merges)
    compact(store, planned(store, largest_bytes=size // 2))
    per_table = [path.partition("/")[0] for path in large_parts(root)]
    assert per_table.count("cells") == 2
    assert answers(root) == before


@pytest.mark.parametrize(("days", "taken"), [(30, 4), (1, 5)])
def test_what_has_not_finished_is_taken_once_it_is_old(
    store: Store, root: Path, days: int, taken: int
) -> None:
    put_night(store)
    before = answers(root)
    assert compacted(store, older_than=timedelta(days=days)).attempts == taken
    assert answers(root) == before


def test_an_attempt_that_was_compacted_cannot_be_written_again(store: Store, root: Path) -> None:
    run = context_of(RUNS[0])
    sweep = put_sweep(store, run)
    compacted(store)
    before = files_below(root)
    for each in (store, open_store(str(root))):
        with pytest.raises(AlreadyThere):
            each.put_cell(attempt_at(run, cells(PLAN)[0]))
    other = attempt_at(run, cells(PLAN)[0])
    with pytest.raises(AlreadyThere):
        store.put_cell(Attempt(row=other.row, requests=other.requests[:3]))
    assert {path for path in files_below(root)} == set(before)
    later = taken_over(open_store(str(root)), sweep)  # its manifest names the parts of the cells
    assert later.row["cells_reused"] == 2
    assert answers(root)["verified"][0] == ()


# -- killed at any instant -----------------------------------------------------------------


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


@pytest.mark.parametrize("after", [False, True])
def test_killed_at_any_call_nothing_is_lost_and_nothing_counts_twice(
    store: Store, root: Path, tmp_path: Path, after: bool
) -> None:
    """A second compaction is killed, so that large parts are replaced too; the next one mends."""
    for run_id in RUNS[:2]:
        run = context_of(run_id)
        put_run(store, run, (store.put_cell(attempt_at(run, cells(PLAN)[0])),))
    compacted(store)
    run = context_of(RUNS[2])
    put_run(store, run, (store.put_cell(attempt_at(run, cells(PLAN)[1], floor())),))
    before = answers(root)
    shutil.copytree(root, tmp_path / "whole")
    compacted(open_store(str(tmp_path / "whole")))
    at_last = {path for path in files_below(tmp_path / "whole") if not path.startswith("probes")}
    deaths = 0
    for calls in range(1, 1000):
        place = tmp_path / f"killed{calls}"
        shutil.copytree(root, place)
        victim = dying(place, calls, after=after)
        try:
            compacted(victim)
        except Killed:
            deaths += 1
        else:
            break
        quick = open_store(str(place))
        assert quick.cells().to_pylist() == before["cells"], calls
        assert quick.requests().to_pylist() == before["requests"], calls
        if calls % 9 == 0:
            assert answers(place) == before, calls
        compacted(open_store(str(place)))
        left = {path for path in files_below(place) if not path.startswith("probes")}
        assert left == at_last, calls
        if calls % 9 == 0:
            assert answers(place) == before, calls
        shutil.rmtree(place)
    assert deaths > 15


def test_of_two_compactors_at_once_one_wins_and_the_other_leaves_nothing(
    store: Store, root: Path
) -> None:
    put_night(store)
    before = answers(root)
    late = planned(store)
    put_sweep(store, context_of(RUNS[2] + "b"))
    before = answers(root)
    early = open_store(str(root))
    first_look = planned(early)
    assert len(first_look.merges) == len(late.merges)
    compact(early, first_look)
    with pytest.raises(RefusedError, match="another compaction was first"):
        compact(store, late)
    assert {LargeName.parse(path) is not None for path in large_parts(root)} == {True}
    assert len(large_parts(root)) == 2
    assert answers(root) == before


def test_many_compactors_at_once(store: Store, root: Path) -> None:
    put_night(store)
    before = answers(root)
    gate = threading.Barrier(6)
    said: list[str] = []

    def work() -> None:
        mine = open_store(str(root))
        gate.wait(timeout=30)
        try:
            said.append("done" if compacted(mine).generation else "nothing to do")
        except (RefusedError, StoreError) as error:
            said.append(error.what)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert said.count("done") == 1, said
    compacted(store)
    assert len(large_parts(root)) == 2
    assert answers(root) == before
