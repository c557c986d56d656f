"""The same store on a service that speaks S3, over the network."""

from __future__ import annotations

import gc
import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import pyarrow.parquet as pq
import pytest

from tidemark.errors import AlreadyThere, StoreError
from tidemark.results.rows import RunContext, RunOutcome, run_row
from tidemark.results.store import Attempt, Store, open_store

MakeAttempt = Callable[..., Attempt]


class Service(Protocol):
    endpoint_url: str

    def create_bucket(self, name: str) -> None: ...


COUNTER = itertools.count()


@pytest.fixture
def store(s3: Service) -> Store:
    bucket = f"results-{next(COUNTER)}"
    s3.create_bucket(bucket)
    return open_store(
        f"s3://{bucket}@us-east-1/nightly/runs", options={"endpoint_url": s3.endpoint_url}
    )


def test_what_is_put_comes_back(store: Store, run: RunContext, make_attempt: MakeAttempt) -> None:
    assert store.probe().notes == ()
    assert store.cells().num_rows == 0
    first, second = store.put_cell(make_attempt(0)), store.put_cell(make_attempt(1))
    assert store.cells().to_pylist() == [first.row, second.row]
    assert store.requests(attempt_id=first.row["attempt_id"]).num_rows == 200
    assert len(store.find_cells([first.row["cell_id"]], "2026-11-21")) == 2
    outcome = RunOutcome(outcome="complete", exit_status=0, finished_at=run.created_at)
    part = store.put_run(run_row(run, outcome, [first.row]))
    assert store.runs().num_rows == 0
    store.put_manifest("run-1", run_part=part, cell_parts=[first.cell_part, second.cell_part])
    assert store.runs()["run_id"].to_pylist() == ["run-1"]
    evidence = store.evidence(first.row["cell_id"], first.row["attempt_id"])
    assert evidence.engine_context == {"exit_status": 0}
    assert evidence.run == run
    assert store.torn() == ()


def test_plain_readers_read_it(store: Store, make_attempt: MakeAttempt) -> None:
    store.put_cell(make_attempt())
    files = store._files
    table = pq.read_table(f"{files.root}/cells", filesystem=files.filesystem)
    assert table["model"].to_pylist() == ["org/model=7b"] == table["model_name"].to_pylist()


def test_of_sixteen_writers_of_one_part_one_wins(store: Store, make_attempt: MakeAttempt) -> None:
    attempt, gate = make_attempt(), threading.Barrier(16)

    def write(_: int) -> str:
        gate.wait(timeout=30)
        try:
            store.put_cell(attempt)
        except AlreadyThere:
            return "lost"
        return "won"

    with ThreadPoolExecutor(16) as pool:
        outcomes = sorted(pool.map(write, range(16)))
    assert outcomes == ["lost"] * 15 + ["won"]
    assert store.cells().num_rows == 1


def test_a_put_whose_answer_was_lost_is_known_as_ones_own(store: Store) -> None:
    files = store._files
    put = files.filesystem.pipe_file

    def losing(*arguments: object, **named: object) -> None:
        put(*arguments, **named)
        put(*arguments, **named)  # as a client does that heard nothing

    files.filesystem.pipe_file = losing
    files.create("cells/x", b"mine")
    with pytest.raises(AlreadyThere):
        files.create("cells/x", b"mine")
    assert files.read("cells/x") == b"mine"


def test_a_part_in_several_uploads_is_created_once_too(store: Store) -> None:
    files = store._files
    put = files.filesystem.pipe_file
    files.filesystem.pipe_file = lambda *a, **k: put(*a, **k, chunksize=5 * 2**20)
    large = bytes(11 * 2**20)
    files.create("raw/large", large)
    with pytest.raises(AlreadyThere):
        files.create("raw/large", bytes(11 * 2**20))
    assert len(files.read("raw/large")) == len(large)


def test_a_bucket_that_is_not_there_is_named(s3: Service) -> None:
    absent = open_store("s3://no-such-bucket/p", options={"endpoint_url": s3.endpoint_url})
    for use in (absent.probe, absent.cells, absent.torn):
        with pytest.raises(StoreError, match="there is no such bucket") as caught:
            use()
        assert "no-such-bucket" in str(caught.value)
        assert caught.value.remedy


def test_without_credentials_it_says_which(
    s3: Service, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    store = open_store("s3://results/p", options={"endpoint_url": s3.endpoint_url})
    with pytest.raises(StoreError, match="no credentials were found") as caught:
        store.probe()
    assert "AWS_ACCESS_KEY_ID" in str(caught.value)


def test_an_unknown_profile_is_named_as_such(s3: Service) -> None:
    options = {"endpoint_url": s3.endpoint_url, "profile": "absent"}
    with pytest.raises(StoreError, match="there is no such profile"):
        open_store("s3://results/p", options=options).probe()


@pytest.mark.usefixtures("s3")
def test_a_service_that_does_not_answer_is_named() -> None:
    store = open_store("s3://results/p", options={"endpoint_url": "http://127.0.0.1:9"})
    with pytest.raises(StoreError, match="cannot be reached") as caught:
        store.probe()
    assert "endpoint_url" in str(caught.value)


@pytest.fixture(autouse=True)
def nothing_left_open() -> Iterator[None]:
    yield
    gc.collect()
