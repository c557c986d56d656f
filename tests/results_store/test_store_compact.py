"""A compacted store answers as before, whatever happened to the compaction."""

from __future__ import annotations

import hashlib
import shutil
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from compacted_store import (
    RUNS,
    Killed,
    answers,
    compacted,
    dying,
    files_below,
    large_parts,
    planned,
    put_night,
)
from stored_sweep import (
    PLAN,
    attempt_at,
    context_of,
    floor,
    put_run,
    put_sweep,
    taken_over,
)

from tidemark.errors import AlreadyThere, RefusedError, StoreError
from tidemark.plan.cells import cells
from tidemark.results.compaction import compact
from tidemark.results.compaction_plan import Plan
from tidemark.results.files import LocalFiles
from tidemark.results.layout import LargeName
from tidemark.results.locations import FileLocation
from tidemark.results.redact import Redactor
from tidemark.results.store import Attempt, Store, open_store


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "results"


@pytest.fixture
def store(root: Path) -> Store:
    return open_store(str(root))


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
    for row in store.cells().to_pylist():  # of the part it was written as, made again
        part = store.files.read(store.stored(row).requests_part)
        assert hashlib.sha256(part).hexdigest() == row["requests_sha256"]


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


def test_what_stays_as_it_is_is_counted(store: Store) -> None:
    """A cell that was judged and one that was not, of a run without a manifest."""
    put_night(store)
    plan = planned(store)
    assert (plan.sources, plan.alone, plan.unfinished) == (8, 0, 4)
    compact(store, plan)
    again = planned(store)
    assert (again.sources, again.alone, again.unfinished) == (0, 0, 4)
    assert planned(store, older_than=timedelta(days=1)).unfinished == 2


def test_a_run_is_finished_whatever_its_attempts_are_named_after(store: Store) -> None:
    """A manifest that is damaged names none of them, and harms no other."""
    run = context_of(RUNS[0])
    kept = []
    for number, cell in enumerate(cells(PLAN)):
        attempt = attempt_at(run, cell)
        row = {**attempt.row, "attempt_id": f"{number:032x}"}
        kept.append(store.put_cell(Attempt(row=row, requests=attempt.requests)))
    store.files.create(f"manifests/{RUNS[1]}.json", b"[")
    assert (planned(store).sources, planned(store).unfinished) == (0, 4)
    put_run(store, run, tuple(kept))
    assert (planned(store).sources, planned(store).unfinished) == (4, 0)


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
    assert set(files_below(root)) == set(before)
    later = taken_over(open_store(str(root)), sweep)  # its manifest names the parts of the cells
    assert later.row["cells_reused"] == 2
    assert answers(root)["verified"][0] == ()


# -- killed at any instant -----------------------------------------------------------------


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


class Overtaken(LocalFiles):
    """A folder in which another compaction, which began earlier, is done just before this one."""

    plan: Plan | None = None

    def create(self, path: str, data: bytes) -> None:
        other = open_store(self.root)
        if LargeName.parse(path) is not None and self.plan is None:
            put_sweep(other, context_of(RUNS[2]))
            self.plan = planned(other)
        elif path.startswith("generations/") and self.plan is not None:
            compact(other, self.plan)
        super().create(path, data)


def test_a_compaction_that_is_overtaken_at_the_end_takes_back_what_it_wrote(
    store: Store, root: Path
) -> None:
    for run_id in RUNS[:2]:
        put_sweep(store, context_of(run_id))
    location = FileLocation(str(root))
    with pytest.raises(RefusedError, match="another compaction was first"):
        compacted(Store(location, Overtaken(location), Redactor()))
    assert len(large_parts(root)) == 2
    now = answers(root)
    assert (len(now["cells"]), now["torn"], now["verified"][0]) == (6, (), ())


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


def test_an_outbox_does_not_send_what_was_compacted(store: Store, root: Path) -> None:
    """It was sent once, and the answer was lost: the same bytes count as sent."""
    run = context_of(RUNS[0])
    with_outbox = open_store(str(root), outbox=root.parent / "outbox")
    attempt = attempt_at(run, cells(PLAN)[0])
    stored = with_outbox.put_cell(attempt)
    assert with_outbox.outbox is not None
    put_run(store, run, (stored, store.put_cell(attempt_at(run, cells(PLAN)[1], floor()))))
    waiting = with_outbox.outbox / stored.cell_part
    waiting.parent.mkdir(parents=True)
    waiting.write_bytes((root / stored.cell_part).read_bytes())
    compacted(store)
    before = answers(root)
    sent = with_outbox.send()
    assert (sent.files, sent.left) == (1, ())
    assert not (root / stored.cell_part).exists()
    waiting.parent.mkdir(parents=True)
    waiting.write_bytes(b"other bytes")
    assert [left.path for left in with_outbox.send().left] == [stored.cell_part]
    assert answers(root) == before


def test_a_reader_that_is_overtaken_by_a_compaction_reads_on(store: Store, root: Path) -> None:
    """It has listed the parts; then they are merged, and merged again."""
    put_night(store)
    reader = open_store(str(root))
    rows = reader.cells().to_pylist()
    listed = reader.files.list("requests")
    sizes_before = [len(reader.files.read(path)) for path in listed]
    compacted(store)
    assert [len(reader.files.read(path)) for path in listed] == sizes_before
    put_sweep(store, context_of("20261121T060000-0badcafe"))
    compacted(store)
    overtaken = open_store(str(root))
    overtaken.compacted._catalog = reader.compacted._catalog
    overtaken.compacted._generations = dict(reader.compacted._generations)
    assert [len(overtaken.files.read(path)) for path in listed] == sizes_before
    assert reader.cells().num_rows == len(rows) + 2


def test_a_store_on_s3_is_compacted(s3: Any) -> None:
    s3.create_bucket("compacted")
    options = {"endpoint_url": s3.endpoint_url}
    store = open_store("s3://compacted@us-east-1/nightly", options=options)
    put_night(store)
    rows, requests = store.cells().to_pylist(), store.requests().to_pylist()
    done = compacted(store)
    assert (done.attempts, done.parts_after, done.left) == (4, 2, ())
    again = open_store("s3://compacted@us-east-1/nightly", options=options)
    assert again.cells().to_pylist() == rows
    assert again.requests().to_pylist() == requests
    assert compacted(again).generation is None
