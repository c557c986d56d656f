"""Results that wait on this machine while their store, here a folder on a full disk, takes none."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tidemark.errors import AlreadyThere, StoreAway, StoreError
from tidemark.results.outbox import outbox_folder, outboxes
from tidemark.results.rows import RunContext, RunOutcome, run_row
from tidemark.results.store import Attempt, Store, StoredAttempt, open_store

MakeAttempt = Callable[..., Attempt]
Full = Callable[..., contextlib.AbstractContextManager[None]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "results"


@pytest.fixture
def outbox(tmp_path: Path) -> Path:
    return tmp_path / "home/outbox"


@pytest.fixture
def store(root: Path, outbox: Path) -> Store:
    return open_store(str(root), outbox=outbox)


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> Full:
    """Makes the disk below a folder full: with full(folder): …"""

    @contextlib.contextmanager
    def fill(*folders: Path) -> Iterator[None]:
        opening = os.open

        def refuse(path: os.PathLike[str], flags: int, *arguments: int) -> int:
            if flags & os.O_CREAT and any(Path(path).is_relative_to(full) for full in folders):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
            return opening(path, flags, *arguments)

        with monkeypatch.context() as patched:
            patched.setattr(os, "open", refuse)
            yield

    return fill


def files_below(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def end_run(store: Store, run: RunContext, stored: list[StoredAttempt]) -> str:
    outcome = RunOutcome(outcome="complete", exit_status=0, finished_at=run.created_at)
    part = store.put_run(run_row(run, outcome, [each.row for each in stored]))
    cell_parts = [each.cell_part for each in stored]
    return store.put_manifest(run.run_id, run_part=part, cell_parts=cell_parts)


def test_what_a_full_disk_does_not_take_waits_and_is_sent_whole(
    store: Store,
    root: Path,
    outbox: Path,
    tmp_path: Path,
    full: Full,
    run: RunContext,
    make_attempt: MakeAttempt,
    caplog: pytest.LogCaptureFixture,
) -> None:
    first = store.put_cell(make_attempt(0))
    with full(root):
        second = store.put_cell(make_attempt(1))
        manifest = end_run(store, run, [first, second])
    assert caplog.text.count("results wait in") == 1
    assert "the disk is full" in caplog.text
    waiting = store.waiting()
    folder = store.outbox
    assert folder is not None
    kept = {name: data for name, data in files_below(folder).items() if name != "store.json"}
    assert (waiting.files, waiting.size_bytes) == (len(kept), sum(map(len, kept.values())))
    assert stat.S_IMODE(outbox.stat().st_mode) == 0o700
    assert not (root / second.requests_part).exists()

    sent = store.send()
    assert (sent.files, sent.size_bytes, sent.left) == (waiting.files, waiting.size_bytes, ())
    assert store.waiting().files == 0
    assert not folder.exists()
    assert (root / manifest).exists()
    at_once = open_store(str(tmp_path / "at-once"))
    end_run(at_once, run, [at_once.put_cell(make_attempt(index)) for index in (0, 1)])
    assert files_below(root) == files_below(tmp_path / "at-once")


def test_everything_follows_what_waits_until_it_is_sent(
    store: Store, root: Path, full: Full, make_attempt: MakeAttempt
) -> None:
    with full(root):
        store.put_evidence(make_attempt(0))
    second = store.put_cell(make_attempt(1))
    first = store.put_cell(make_attempt(0))
    assert files_below(root) == {}
    store.send()
    assert {(root / part).exists() for part in (first.cell_part, second.cell_part)} == {True}
    third = store.put_cell(make_attempt(2))
    assert (root / third.cell_part).exists()
    assert store.waiting().files == 0


def test_what_waits_is_read_with_what_the_store_has(
    store: Store, root: Path, full: Full, run: RunContext, make_attempt: MakeAttempt
) -> None:
    first = store.put_cell(make_attempt(0))
    with full(root):
        second = store.put_cell(make_attempt(1))
        end_run(store, run, [first, second])
    assert store.cells().to_pylist() == [first.row, second.row]
    assert len(store.find_cells([first.row["cell_id"]], "2026-11-21")) == 2
    assert store.requests().num_rows == 400
    assert store.runs().num_rows == 1
    assert store.torn() == ()
    assert store.evidence(second.row["cell_id"], second.row["attempt_id"]).run == run
    with pytest.raises(AlreadyThere):
        store.put_cell(make_attempt(1))
    assert open_store(str(root)).runs().num_rows == 0


def test_what_the_store_has_already_counts_as_sent(
    store: Store, root: Path, full: Full, make_attempt: MakeAttempt
) -> None:
    """As after a death between the last byte in the store and the removal here."""
    with full(root):
        store.put_cell(make_attempt())
    open_store(str(root)).put_cell(make_attempt())
    waiting = store.waiting()
    assert waiting.files > 0
    sent = store.send()
    assert (sent.files, sent.left) == (waiting.files, ())
    assert store.waiting().files == 0


def test_another_result_under_the_same_name_is_not_overwritten_and_holds_back_what_needs_it(
    store: Store, root: Path, full: Full, run: RunContext, make_attempt: MakeAttempt
) -> None:
    with full(root):
        taken, fine = store.put_cell(make_attempt(0)), store.put_cell(make_attempt(1))
        manifest = end_run(store, run, [taken, fine])
    (root / taken.requests_part).parent.mkdir(parents=True)
    (root / taken.requests_part).write_bytes(b"another's")
    sent = store.send()
    assert {left.path for left in sent.left} == {taken.requests_part, taken.cell_part, manifest}
    reasons = {left.path: left.reason for left in sent.left}
    assert "other bytes" in reasons[taken.requests_part]
    assert taken.requests_part in reasons[taken.cell_part]
    assert taken.cell_part in reasons[manifest]
    assert (root / taken.requests_part).read_bytes() == b"another's"
    assert not (root / taken.cell_part).exists()
    assert store.waiting().files == 3
    assert open_store(str(root)).cells().num_rows == 1
    # The rest of the night does not wait for it.
    assert (root / store.put_cell(make_attempt(2)).cell_part).exists()
    with pytest.raises(StoreError, match="other bytes under the name of a file that waits"):
        store.put_cell(make_attempt(0))
    # Once the other is out of the way it goes.
    (root / taken.requests_part).unlink()
    assert store.send().left == ()
    assert open_store(str(root)).runs().num_rows == 1
    assert store.torn() == ()


def test_if_it_cannot_wait_either_both_reasons_are_told(
    store: Store, root: Path, outbox: Path, full: Full, make_attempt: MakeAttempt
) -> None:
    with full(root, outbox):
        for _ in range(2):
            with pytest.raises(StoreError) as caught:
                store.put_cell(make_attempt())
            assert str(root) in str(caught.value)
            assert str(outbox) in str(caught.value)
            assert str(caught.value).count("the disk is full") == 2


def test_without_an_outbox_it_is_an_error_as_before(
    root: Path, full: Full, make_attempt: MakeAttempt
) -> None:
    store = open_store(str(root))
    with full(root), pytest.raises(StoreAway, match="the disk is full"):
        store.put_cell(make_attempt())
    assert store.waiting().files == store.send().files == 0
    assert store.outbox is None


def test_the_probe_asks_the_store_itself(
    store: Store, root: Path, full: Full, make_attempt: MakeAttempt
) -> None:
    with full(root):
        with pytest.raises(StoreError, match="the disk is full"):
            store.probe()
        assert store.waiting().files == 0
        store.put_cell(make_attempt())
        with pytest.raises(StoreError, match="the disk is full"):
            store.probe()
    assert store.probe().notes == ()


def test_sending_while_the_store_still_takes_nothing_says_so_and_keeps_all(
    store: Store, root: Path, full: Full, make_attempt: MakeAttempt
) -> None:
    with full(root):
        store.put_cell(make_attempt())
        waiting = store.waiting()
        with pytest.raises(StoreError, match="the disk is full"):
            store.send()
        assert store.waiting() == waiting
        store.put_cell(make_attempt(1))
    assert store.waiting().files == 2 * waiting.files


def test_what_killed_writers_left_is_cleared_away(
    store: Store, root: Path, full: Full, make_attempt: MakeAttempt
) -> None:
    with full(root):
        stored = store.put_cell(make_attempt())
    assert store.outbox is not None
    (store.outbox / stored.raw_folder / ".0123.part").write_bytes(b"half")
    store.send()
    assert not store.outbox.exists()


def test_each_store_has_an_outbox_of_its_own_that_says_whose_it_is(
    outbox: Path, tmp_path: Path, full: Full, make_attempt: MakeAttempt
) -> None:
    roots = [tmp_path / "one", tmp_path / "two"]
    with full(*roots):
        for root in roots:
            open_store(str(root), outbox=outbox).put_cell(make_attempt())
    labels, _ = outboxes(outbox)
    assert [label.uri for label in labels] == [f"file://{root}" for root in roots]
    assert [label.folder for label in labels] == [
        outbox_folder(outbox, f"file://{root}", {}) for root in roots
    ]
    open_store(str(roots[0]), outbox=outbox).send()
    assert [label.uri for label in outboxes(outbox)[0]] == [f"file://{roots[1]}"]
    for text in (json.dumps(["x"]), "", "[" * 100_000):
        (labels[1].folder / "store.json").write_text(text)
        known, unreadable = outboxes(outbox)
        assert known == ()
        assert "cannot be read" in unreadable[0].reason


def test_the_same_bucket_name_at_another_endpoint_is_another_store(tmp_path: Path) -> None:
    options = ({}, {"endpoint_url": "http://127.0.0.1:9"}, {"endpoint_url": "http://127.0.0.1:8"})
    stores = [open_store("s3://bucket/p", options=each, outbox=tmp_path) for each in options]
    assert len({store.outbox for store in stores}) == 3
    again = open_store("s3://bucket/p", options={**options[1], "sse": "AES256"}, outbox=tmp_path)
    assert again.outbox == stores[1].outbox
