"""A store in a folder: what is put comes back, whole or not at all, to any reader."""

from __future__ import annotations

import errno
import gzip
import hashlib
import json
import logging
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from tidemark.errors import AlreadyThere, StoreError
from tidemark.results.rows import Row, RunContext, RunOutcome, run_row
from tidemark.results.schema import CELLS, REQUESTS, RUNS
from tidemark.results.store import Attempt, Store, open_store

MakeAttempt = Callable[..., Attempt]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "results"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "results"


def files_below(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def finished_run(run: RunContext, rows: list[Row]) -> Row:
    outcome = RunOutcome(outcome="complete", exit_status=0, finished_at=run.created_at)
    return run_row(run, outcome, rows)


def test_what_is_put_comes_back(store: Store, make_attempt: MakeAttempt) -> None:
    attempt = make_attempt()
    stored = store.put_cell(attempt)
    cells = store.cells()
    assert cells.schema.equals(CELLS)
    (row,) = cells.to_pylist()
    assert row == stored.row
    assert {name: row[name] for name in ("cell_id", "concurrency", "validity", "ttft_s_p50")} == {
        name: attempt.row[name] for name in ("cell_id", "concurrency", "validity", "ttft_s_p50")
    }
    requests = store.requests(cell_id=row["cell_id"])
    assert requests.schema.equals(REQUESTS)
    assert requests["ttft_s"].to_pylist() == [request.ttft_s for request in attempt.requests]
    assert store.requests(attempt_id="another").num_rows == 0
    assert store.torn() == ()


def test_an_empty_store_has_empty_tables(store: Store) -> None:
    assert store.cells().num_rows == store.requests().num_rows == store.runs().num_rows == 0
    assert store.cells().schema.equals(CELLS)
    assert store.torn() == ()


def test_plain_pandas_and_pyarrow_read_it(
    store: Store, root: Path, run: RunContext, make_attempt: MakeAttempt
) -> None:
    first, second = store.put_cell(make_attempt(0)), store.put_cell(make_attempt(1))
    run_part = store.put_run(finished_run(run, [first.row, second.row]))
    store.put_manifest("run-1", run_part=run_part, cell_parts=[first.cell_part])
    cells = pd.read_parquet(root / "cells")
    assert list(cells["model"].unique()) == ["org/model=7b"]
    assert list(cells["date"].astype(str).unique()) == ["2026-11-21"]
    assert list(cells["try_idx"]) == [0, 1]
    assert cells["ttft_s_p50"].notna().all()
    assert len(pd.read_parquet(root / "requests")) == 400
    assert len(pd.read_parquet(root / "timeline")) == 2
    assert pd.read_parquet(root / "runs")["outcome"].tolist() == ["complete"]
    table = ds.dataset(root / "cells", partitioning="hive").to_table()
    assert table["model_name"].to_pylist() == table["model"].to_pylist()
    chosen = pd.read_parquet(root / "cells", filters=[("model", "=", "org/model=7b")])
    assert len(chosen) == 2


def test_the_same_input_gives_the_same_bytes(tmp_path: Path, make_attempt: MakeAttempt) -> None:
    for name in ("one", "two"):
        open_store(str(tmp_path / name)).put_cell(make_attempt())
    files = files_below(tmp_path / "one")
    assert files == files_below(tmp_path / "two")
    packed = [data for name, data in files.items() if name.endswith(".gz")]
    assert [data[4:8] for data in packed] == [b"\0\0\0\0"] * 2  # no time of packing inside


def test_raw_output_is_kept_compressed_with_a_record(
    store: Store, root: Path, make_attempt: MakeAttempt
) -> None:
    attempt = make_attempt()
    binary = {"summary.xlsx": b"PK\x03\x04", "core": b"a\0b"}
    files = {**attempt.raw_files, **binary, "attempt.json": b"the engine's own"}
    stored = store.put_cell(Attempt(row=attempt.row, requests=attempt.requests, raw_files=files))
    folder = root / stored.raw_folder
    assert gzip.decompress((folder / "logs/engine.log.gz").read_bytes()) == b"INFO ready\n" * 100
    record = json.loads((folder / "attempt.json").read_bytes())
    listed = {entry["name"]: entry for entry in record["files"]}
    assert set(listed) == {"run.json", "logs/engine.log", "attempt.json"}
    assert listed["run.json"]["sha256"] == hashlib.sha256(b'{"run": 1}\n').hexdigest()
    assert gzip.decompress((folder / listed["attempt.json"]["stored_as"]).read_bytes())
    assert [entry["name"] for entry in record["not_kept"]] == ["core", "summary.xlsx"]
    evidence = (folder / "attempt.json").read_bytes()
    assert stored.row["evidence_sha256"] == hashlib.sha256(evidence).hexdigest()


def test_raw_files_may_lie_on_disk(
    store: Store, root: Path, tmp_path: Path, make_attempt: MakeAttempt
) -> None:
    attempt, log = make_attempt(), tmp_path / "engine.log"
    log.write_bytes(b"line\n" * 10)
    stored = store.put_cell(
        Attempt(row=attempt.row, requests=attempt.requests, raw_files={"engine.log": log})
    )
    packed = (root / stored.raw_folder / "engine.log.gz").read_bytes()
    assert gzip.decompress(packed) == b"line\n" * 10


def test_an_attempt_is_written_once(store: Store, root: Path, make_attempt: MakeAttempt) -> None:
    store.put_cell(make_attempt())
    before = files_below(root)
    with pytest.raises(AlreadyThere):
        store.put_cell(make_attempt())
    assert files_below(root) == before


def test_of_sixteen_writers_of_one_part_one_wins(
    store: Store, root: Path, make_attempt: MakeAttempt
) -> None:
    attempt, gate = make_attempt(), threading.Barrier(16)
    outcomes: list[str] = []

    def write() -> None:
        gate.wait(timeout=30)
        try:
            store.put_cell(attempt)
            outcomes.append("won")
        except AlreadyThere:
            outcomes.append("lost")

    threads = [threading.Thread(target=write) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert sorted(outcomes) == ["lost"] * 15 + ["won"]
    assert store.cells().num_rows == 1
    assert not [name for name in files_below(root) if name.endswith(".part")]


KILLED_WRITERS = """
import os, pickle, signal, sys
from tidemark.results.store import open_store
attempt, deaths = pickle.load(sys.stdin.buffer)
link = os.link
for root, deadly in deaths:
    def dying(source, target):
        if deadly in str(target):
            os.kill(os.getpid(), signal.SIGKILL)
        link(source, target)
    if (child := os.fork()) == 0:
        os.link = dying
        open_store(root).put_cell(attempt)
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_writer_killed_between_parts_leaves_no_result_and_can_be_repeated(
    tmp_path: Path, make_attempt: MakeAttempt
) -> None:
    """Killed as the raw output, the requests, the timeline, the cell is to get its name."""
    deadly = ["/run.json", "/requests/", "/timeline/", "/cells/"]
    roots = [tmp_path / str(index) for index in range(len(deadly))]
    deaths = [(str(root), part) for root, part in zip(roots, deadly, strict=True)]
    done = subprocess.run(
        [sys.executable, "-c", KILLED_WRITERS],
        input=pickle.dumps((make_attempt(), deaths)),
        stdout=subprocess.PIPE,
        timeout=60,
        check=True,
    )
    assert done.stdout.split() == [str(-signal.SIGKILL.value).encode()] * len(deadly)
    for root in roots:
        store = open_store(str(root))
        assert store.cells().num_rows == 0
        assert store.requests().num_rows == 0
        assert store.find_cells([make_attempt().row["cell_id"]], "2026-11-21") == []
    assert [len(open_store(str(root)).torn()) for root in roots] == [0, 0, 1, 1]
    assert "its cell is missing" in open_store(str(roots[-1])).torn()[0].reason
    for root in roots:
        store = open_store(str(root))
        store.put_cell(make_attempt())
        assert store.cells().num_rows == 1
        assert store.torn() == ()
        assert len(pd.read_parquet(root / "cells")) == 1


def test_a_leftover_with_other_bytes_is_not_taken_for_ones_own(
    store: Store, root: Path, make_attempt: MakeAttempt
) -> None:
    stored = store.put_cell(make_attempt())
    (root / stored.cell_part).unlink()
    attempt = make_attempt()
    other = Attempt(row=attempt.row, requests=attempt.requests[:10], raw_files=attempt.raw_files)
    with pytest.raises(AlreadyThere):
        store.put_cell(Attempt(row=other.row, requests=other.requests))
    assert store.cells().num_rows == 0


def test_a_cell_without_its_requests_is_torn_and_said_so(
    store: Store, root: Path, make_attempt: MakeAttempt, caplog: pytest.LogCaptureFixture
) -> None:
    torn, whole = store.put_cell(make_attempt(0)), store.put_cell(make_attempt(1))
    (root / torn.requests_part).unlink()
    with caplog.at_level(logging.WARNING):
        rows = store.cells().to_pylist()
    assert [row["attempt_id"] for row in rows] == [whole.row["attempt_id"]]
    assert torn.cell_part in caplog.text
    (reported,) = store.torn()
    assert reported.path == torn.cell_part
    assert "requests are missing" in reported.reason


def test_damaged_parts_are_reported_and_do_not_hide_the_others(
    store: Store, root: Path, make_attempt: MakeAttempt, caplog: pytest.LogCaptureFixture
) -> None:
    cut, changed, whole = (store.put_cell(make_attempt(index)) for index in range(3))
    (root / cut.cell_part).write_bytes((root / cut.cell_part).read_bytes()[:1000])
    requests = pq.read_table(root / changed.requests_part)
    pq.write_table(requests.slice(0, 5), root / changed.requests_part)
    with caplog.at_level(logging.WARNING):
        attempts = store.cells()["attempt_id"].to_pylist()
    assert attempts == [changed.row["attempt_id"], whole.row["attempt_id"]]
    assert cut.cell_part in caplog.text
    assert {torn.path for torn in store.torn()} == {cut.cell_part, changed.requests_part}


def test_foreign_files_are_reported(store: Store, root: Path, make_attempt: MakeAttempt) -> None:
    store.put_cell(make_attempt())
    (root / "cells/notes.txt").write_text("mine")
    (torn,) = store.torn()
    assert torn.path == "cells/notes.txt"


def test_rows_of_a_newer_schema_are_refused(
    store: Store, root: Path, make_attempt: MakeAttempt
) -> None:
    stored = store.put_cell(make_attempt())
    table = pq.read_table(root / stored.cell_part, partitioning=None)
    newer = table.set_column(0, table.schema.field(0), pa.array([99], pa.int32()))
    pq.write_table(newer, root / stored.cell_part)
    with pytest.raises(StoreError, match="schema version 99") as caught:
        store.cells()
    assert "newer tidemark" in str(caught.value)


def test_a_part_of_an_older_schema_is_read_with_nulls(
    store: Store, root: Path, make_attempt: MakeAttempt
) -> None:
    stored = store.put_cell(make_attempt())
    table = pq.read_table(root / stored.cell_part, partitioning=None)
    pq.write_table(table.drop_columns(["reproduce"]), root / stored.cell_part)
    (row,) = store.cells().to_pylist()
    assert row["reproduce"] is None
    assert row["cell_id"] == stored.row["cell_id"]


def test_cells_are_found_by_round_and_id(
    store: Store, make_attempt: MakeAttempt, make_row: Callable[..., Row]
) -> None:
    earlier = make_attempt(0)
    earlier.row["created_at"] = datetime(2026, 11, 20, 23, 59, tzinfo=UTC)
    other = make_attempt(1)
    other.row["round"] = "another"
    for attempt in (make_attempt(2), earlier, other):
        store.put_cell(attempt)
    cell_id = make_row()["cell_id"]
    found = store.find_cells([cell_id], "2026-11-21")
    assert [row["try_idx"] for row in found] == [0, 2]
    assert store.find_cells([cell_id], "another")[0]["try_idx"] == 1
    assert store.find_cells(["f00"], "2026-11-21") == []
    assert store.cells(where=ds.field("round") == "another").num_rows == 1


def test_a_run_is_read_once_its_manifest_says_it_is_complete(
    store: Store, root: Path, run: RunContext, make_attempt: MakeAttempt
) -> None:
    stored = store.put_cell(make_attempt())
    part = store.put_run(finished_run(run, [stored.row]))
    assert store.runs().num_rows == 0
    manifest = store.put_manifest(
        "run-1",
        run_part=part,
        cell_parts=[stored.cell_part],
        contents={"note": "Bearer c4nary-token"},
    )
    assert store.runs().schema.equals(RUNS)
    assert store.runs()["run_id"].to_pylist() == ["run-1"]
    document = json.loads((root / manifest).read_text())
    assert document["cell_parts"] == [stored.cell_part]
    assert document["note"] == "Bearer [REDACTED]"
    with pytest.raises(AlreadyThere):
        store.put_run(finished_run(run, []))
    with pytest.raises(AlreadyThere):
        store.put_manifest("run-1", run_part=part, cell_parts=[])


def test_a_manifest_names_only_parts_that_are_there(store: Store, run: RunContext) -> None:
    part = store.put_run(finished_run(run, []))
    with pytest.raises(StoreError, match="a part of the run is missing"):
        store.put_manifest("run-1", run_part=part, cell_parts=["cells/model=m/date=d/c-a.parquet"])
    assert store.runs().num_rows == 0


def test_the_probe_leaves_nothing_behind(store: Store, root: Path) -> None:
    probe = store.probe()
    assert probe.uri == f"file://{root}"
    assert probe.elapsed_s > 0
    assert files_below(root) == {}


def test_a_folder_that_is_a_file_is_refused_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(StoreError, match="a file is where a folder should be") as caught:
        open_store(str(tmp_path / "taken")).probe()
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EDQUOT, "the quota is used up"),
        (errno.EROFS, "the file system is read-only"),
        (errno.EACCES, "access is denied"),
        (errno.EIO, "reading or writing failed"),
    ],
)
def test_what_the_disk_refuses_is_explained(
    store: Store,
    root: Path,
    make_attempt: MakeAttempt,
    monkeypatch: pytest.MonkeyPatch,
    code: int,
    message: str,
) -> None:
    def refuse(_: int) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", refuse)
        with pytest.raises(StoreError, match=message) as caught:
            store.put_cell(make_attempt())
        with pytest.raises(StoreError, match=message):
            store.probe()
    assert caught.value.remedy
    assert files_below(root) == {}


def test_without_hard_links_a_part_is_still_created_only_once(
    store: Store, root: Path, make_attempt: MakeAttempt, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_: Path) -> None:
        raise OSError(errno.EPERM, "no hard links here")

    monkeypatch.setattr(os, "link", no_links)
    store.put_cell(make_attempt())
    with pytest.raises(AlreadyThere):
        store.put_cell(make_attempt())
    assert store.probe().notes == ()
    assert not [name for name in files_below(root) if name.endswith(".part")]


def test_plain_pandas_reads_results_of_a_model_that_is_not_known(
    tmp_path: Path, make_attempt: MakeAttempt
) -> None:
    store = open_store(str(tmp_path))
    known, unknown = make_attempt(0), make_attempt(1)
    unknown.row["model_name"] = None
    store.put_cell(unknown)
    for folder in ("cells", "requests"):
        assert set(pd.read_parquet(tmp_path / folder)["model"]) == {"unknown"}
    store.put_cell(known)
    for folder in ("cells", "requests"):
        assert set(pd.read_parquet(tmp_path / folder)["model"]) == {"unknown", "org/model=7b"}
    assert store.torn() == ()


@pytest.mark.parametrize("path", ["../x", "raw/../../x", "/x", "raw//x", "raw/./x", ""])
def test_no_name_leads_out_of_a_store(tmp_path: Path, path: str) -> None:
    (tmp_path / "x").write_bytes(b"another's")
    files = open_store(str(tmp_path / "store")).files
    for use in (files.read, files.remove, lambda name: files.create(name, b"planted")):
        with pytest.raises(StoreError, match="leads out"):
            use(path)
    assert (tmp_path / "x").read_bytes() == b"another's"
