"""The same store in the assets of a release."""

from __future__ import annotations

import itertools
import json
import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from github_server import GithubServer

from tidemark.errors import AlreadyThere, StoreAway, StoreBusy, StoreError
from tidemark.results.patience import Patience
from tidemark.results.providers.provider import PROVIDERS
from tidemark.results.rows import RunContext, RunOutcome, run_row
from tidemark.results.store import Attempt, Store, open_store

MakeAttempt = Callable[..., Attempt]
COUNTER = itertools.count()


@pytest.fixture(scope="module")
def service() -> Iterator[GithubServer]:
    server = GithubServer()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def github(service: GithubServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[GithubServer]:
    for name in ("GITHUB_TOKEN", "GH_TOKEN", "GITHUB_API_URL"):
        monkeypatch.delenv(name, raising=False)
    service.clear()
    yield service
    service.clear()


@pytest.fixture
def repository(github: GithubServer) -> str:
    name = f"harbour/results-{next(COUNTER)}"
    github.create_repository(name)
    return name


def opened(
    github: GithubServer, repository: str, token: str | None = GithubServer.WRITER, **more: Any
) -> Store:
    """The store, as a process of its own would open it."""
    return open_store(
        f"github://{repository}",
        options={"endpoint_url": github.endpoint_url},
        credentials={} if token is None else {"github_token": token},
        **more,
    )


@pytest.fixture
def store(github: GithubServer, repository: str) -> Store:
    return opened(github, repository, patience=Patience(sleep=lambda _: None))


def test_what_is_put_comes_back(
    github: GithubServer, repository: str, store: Store, run: RunContext, make_attempt: MakeAttempt
) -> None:
    assert store.probe().notes == (PROVIDERS["github"].weaker,)
    assert store.cells().num_rows == 0
    first, second = store.put_cell(make_attempt(0)), store.put_cell(make_attempt(1))
    assert store.cells().to_pylist() == [first.row, second.row]
    assert store.requests(attempt_id=first.row["attempt_id"]).num_rows == 200
    outcome = RunOutcome(outcome="complete", exit_status=0, finished_at=run.created_at)
    part = store.put_run(run_row(run, outcome, [first.row]))
    assert store.runs().num_rows == 0
    store.put_manifest("run-1", run_part=part, cell_parts=[first.cell_part, second.cell_part])
    again = opened(github, repository)
    assert again.runs()["run_id"].to_pylist() == ["run-1"]
    assert len(again.find_cells([first.row["cell_id"]], "2026-11-21")) == 2
    evidence = again.evidence(first.row["cell_id"], first.row["attempt_id"])
    assert evidence.engine_context == {"exit_status": 0}
    assert again.torn() == ()
    with pytest.raises(AlreadyThere):
        again.put_cell(make_attempt(1))
    assert again.files.sizes("cells") == {
        path: len(again.files.read(path)) for path in (first.cell_part, second.cell_part)
    }


def test_plain_pandas_reads_it(
    github: GithubServer, repository: str, store: Store, make_attempt: MakeAttempt
) -> None:
    for index in (0, 1):
        store.put_cell(make_attempt(index))
    files = opened(github, repository, None).files
    table = pd.read_parquet(f"{files.root}/cells", filesystem=files.filesystem)
    assert [*table["model"]] == ["org/model=7b"] * 2 == [*table["model_name"]]


def test_opening_asks_for_nothing(github: GithubServer) -> None:
    opened(github, "nobody/nothing")
    assert github.requests() == []


def test_the_release_is_none_that_the_project_shows_as_its_latest(
    github: GithubServer, repository: str, store: Store
) -> None:
    store.files.create("raw/x", b"x")
    (release,) = github.repository(repository)["releases"]
    assert release["tag_name"] == "latest"
    assert release["prerelease"]
    assert release["make_latest"] == "false"
    assert not release["draft"]  # else only who may write could read


def test_a_release_that_is_published_meanwhile_does_not_move_the_store(
    github: GithubServer, repository: str, store: Store
) -> None:
    store.files.create("raw/x", b"x")
    github.publish(repository, "v2.0.0")
    github.publish(repository, "latest-of-all")
    store.files.create("raw/y", b"y")
    assert opened(github, repository).files.list("") == ["raw/x", "raw/y"]
    releases = github.repository(repository)["releases"]
    assert [len(release["assets"]) for release in releases] == [2, 0, 0]


def test_a_tag_that_is_moved_does_not_move_the_store_of_a_run(
    github: GithubServer, repository: str, store: Store
) -> None:
    store.files.create("raw/x", b"x")
    github.control("retag", name=repository, old="latest", new="kept")
    github.publish(repository, "latest")
    store.files.create("raw/y", b"y")
    kept, latest = github.repository(repository)["releases"]
    assert [len(kept["assets"]), len(latest["assets"])] == [2, 0]


@pytest.mark.parametrize("tag", ["nightly", "results/2026", "v1.0+x"])
def test_a_tag_is_another_store(github: GithubServer, repository: str, tag: str) -> None:
    options = {"endpoint_url": github.endpoint_url}
    given = {"github_token": github.WRITER}
    uri = f"github://{repository}@{tag}"
    store = open_store(uri, options=options, credentials=given)
    store.files.create("raw/x", b"x")
    assert open_store(uri, options=options, credentials=given).files.read("raw/x") == b"x"
    assert opened(github, repository).files.list("") == []


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


def test_of_sixteen_writers_of_one_manifest_one_wins(
    github: GithubServer,
    repository: str,
    store: Store,
    run: RunContext,
    make_attempt: MakeAttempt,
) -> None:
    stored = store.put_cell(make_attempt())
    outcome = RunOutcome(outcome="complete", exit_status=0, finished_at=run.created_at)
    part = store.put_run(run_row(run, outcome, [stored.row]))
    writers = [opened(github, repository) for _ in range(4)]
    gate = threading.Barrier(16)

    def write(index: int) -> int | None:
        gate.wait(timeout=30)
        try:
            writers[index % 4].put_manifest(
                "run-1",
                run_part=part,
                cell_parts=[stored.cell_part],
                contents={"writer": index},
            )
        except AlreadyThere:
            return None
        return index

    with ThreadPoolExecutor(16) as pool:
        (winner,) = [index for index in pool.map(write, range(16)) if index is not None]
    (manifest,) = store.files.list("manifests")
    assert json.loads(store.files.read(manifest))["writer"] == winner


def test_of_writers_that_come_at_once_one_creates_the_release(
    github: GithubServer, repository: str
) -> None:
    writers, gate = [opened(github, repository) for _ in range(8)], threading.Barrier(8)

    def write(index: int) -> None:
        gate.wait(timeout=30)
        writers[index].files.create(f"raw/{index}", b"x")

    with ThreadPoolExecutor(8) as pool:
        assert len([*pool.map(write, range(8))]) == 8
    (release,) = github.repository(repository)["releases"]
    assert len(release["assets"]) == 8


def test_a_file_is_replaced_and_removed_for_all(
    github: GithubServer, repository: str, store: Store
) -> None:
    other = opened(github, repository)
    store.files.replace("leases/a.json", b"one")
    assert other.files.read("leases/a.json") == b"one"
    store.files.replace("leases/a.json", b"two!")
    # What it remembers of the first is not told as the file's content.
    assert other.files.read("leases/a.json") == b"two!"
    other.files.replace("leases/a.json", b"three")
    store.files.replace("leases/a.json", b"four")
    assert other.files.filesystem.info(f"{other.files.root}/leases/a.json")["size"] == 4
    store.files.remove("leases/a.json")
    assert other.files.list("leases") == []
    with pytest.raises(StoreError, match="there is no such file"):
        other.files.read("leases/a.json")
    store.files.create("leases/a.json", b"anew")
    assert other.files.read("leases/a.json") == b"anew"


def test_empty_files_hidden_files_and_any_name_are_kept(store: Store) -> None:
    files = {"raw/a/empty": b"", "raw/a/ä ö+%.json": b"1", "raw/a/B": b"2", "raw/a/b": b"3"}
    for path, data in files.items():
        store.files.create(path, data)
    store.files.create("raw/a/.hidden", b"x")
    assert {path: store.files.read(path) for path in store.files.list("raw")} == files
    assert store.files.sizes()["raw/a/empty"] == 0
    assert store.files.sizes()["raw/a/.hidden"] == 1


def test_parts_of_a_file_are_read_as_parts_and_from_services_that_know_none(
    github: GithubServer, store: Store
) -> None:
    store.files.create("raw/x", b"0123456789")
    read, path = store.files.filesystem.cat_file, f"{store.files.root}/raw/x"
    assert read(path, 2, 5) == b"234"
    assert [one["range"] for one in github.requests() if one["port"] == "storage"] == ["bytes=2-4"]
    github.fault("GET /of-a-signed-address", "whole")
    assert read(path, 2, 5) == b"234"
    assert read(path, -3) == b"789"
    assert read(path, 4, -2) == b"4567"
    assert read(path, 5, 5) == b""
    with store.files.filesystem.open(path, "rb") as opened_file:
        opened_file.seek(7)
        assert opened_file.read() == b"789"


def test_the_token_is_not_sent_to_where_an_asset_lies(
    github: GithubServer, store: Store, make_attempt: MakeAttempt
) -> None:
    store.put_cell(make_attempt())
    assert store.cells().num_rows == 1
    sent = {(one["port"], one["token"]) for one in github.requests()}
    assert sent == {("api", True), ("uploads", True), ("storage", False)}


def test_more_assets_than_a_page_has_are_all_listed(
    github: GithubServer, repository: str, store: Store
) -> None:
    store.files.create("raw/000", b"x")
    github.fill(repository, "latest", 99)
    reader = opened(github, repository, None)
    assert len(reader.files.list("")) == 100
    for index in (1, 2):
        store.files.create(f"raw/{index:03}", b"x")
        assert len(reader.files.list("")) == 100 + index
        assert len(opened(github, repository).files.list("")) == 100 + index


def test_what_is_removed_while_pages_are_read_hides_nothing_else(
    github: GithubServer, repository: str, store: Store
) -> None:
    store.files.create("raw/000", b"x")
    github.fill(repository, "latest", 99)
    for index in (1, 2):  # the first of the second page, and one after it
        store.files.create(f"raw/{index:03}", b"x")
    github.fault("GET .*assets$", "remove-first", after=1)  # before the second page is asked for
    assert opened(github, repository).files.list("raw") == ["raw/001", "raw/002"]


def test_a_full_release_says_so_and_results_wait(
    github: GithubServer, repository: str, store: Store, tmp_path: Path
) -> None:
    store.files.create("raw/a/b/000", b"x")
    github.fill(repository, "latest", 998)
    store.files.create("raw/a/b/999", b"x")
    with pytest.raises(StoreAway, match=r"the release is full: it has 1,000 assets") as caught:
        store.files.create("raw/a/b/more", b"x")
    assert not isinstance(caught.value, StoreBusy)
    assert "another release" in str(caught.value)
    waiting = opened(github, repository, outbox=tmp_path)
    waiting.files.create("raw/a/b/more", b"x")
    assert waiting.waiting().files == 1
    assert len(waiting.files.list("")) == 1001
    store.files.remove("raw/a/b/000")
    assert waiting.send().files == 1


def test_a_file_too_large_for_an_asset_is_refused_before_it_is_sent(
    github: GithubServer, store: Store
) -> None:
    class Large(bytes):
        def __len__(self) -> int:
            return 2**31 + 1

        def __bytes__(self) -> bytes:
            return self

    with pytest.raises(StoreError, match="2 GiB") as caught:
        store.files.create("raw/large", Large())
    assert not isinstance(caught.value, StoreAway)
    assert github.requests() == []


def test_the_token_of_the_environment_is_used(
    github: GithubServer, repository: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_API_URL", github.endpoint_url)
    monkeypatch.setenv("GH_TOKEN", github.WRITER)
    uri = f"github://{repository}"
    assert open_store(uri).probe().notes == (PROVIDERS["github"].weaker,)
    monkeypatch.setenv("GITHUB_TOKEN", "made-up")
    with pytest.raises(StoreAway, match="the token is wrong"):
        open_store(uri).probe()
    given = {"github_token": github.WRITER}
    assert open_store(uri, credentials=given).probe().notes == (PROVIDERS["github"].weaker,)


def test_a_public_repository_is_read_without_a_token_and_not_written(
    github: GithubServer, repository: str, store: Store
) -> None:
    store.files.create("raw/x", b"x")
    anyone = opened(github, repository, None)
    assert anyone.files.read("raw/x") == b"x"
    for write in (anyone.files.create, anyone.files.replace):
        with pytest.raises(StoreAway, match="writing needs a token") as caught:
            write("raw/y", b"y")
        assert "GITHUB_TOKEN" in str(caught.value)
    with pytest.raises(StoreAway, match="writing needs a token"):
        anyone.files.remove("raw/x")


SECRETS = (
    GithubServer.WRITER,
    GithubServer.READER,
    GithubServer.STRANGER,
    "ghp_canary0badbadbad01",
)


@pytest.mark.parametrize(
    ("token", "private", "message"),
    [
        ("ghp_canary0badbadbad01", False, "the token is wrong or has expired"),
        (GithubServer.STRANGER, False, "the token has no right to this"),
        (GithubServer.READER, True, "the token has no right to this"),
        (GithubServer.STRANGER, True, "the token has no right to see it"),
        (None, True, "it is private and no token was given"),
    ],
)
def test_each_kind_of_missing_right_has_its_own_message_and_results_wait(
    github: GithubServer,
    make_attempt: MakeAttempt,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
    token: str | None,
    private: bool,
    message: str,
) -> None:
    name = f"harbour/guarded-{next(COUNTER)}"
    github.create_repository(name, private=private)
    caplog.set_level(logging.DEBUG)
    store = opened(github, name, token, outbox=tmp_path / "outbox")
    if token is None:
        with pytest.raises(StoreAway, match=message) as caught:
            store.files.list("cells")
        return
    with pytest.raises(StoreAway, match=message) as caught:
        store.probe()
    assert caught.value.remedy
    store.put_cell(make_attempt())  # nothing measured is lost for a token that is withdrawn
    assert store.waiting().files > 5
    kept = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    said = [str(caught.value), repr(caught.value), repr(caught.value.__cause__), caplog.text]
    said += [repr(vars(store)), repr(vars(store.files)), repr(vars(store.files.filesystem))]
    said += [data.decode("latin-1") for data in kept]
    for text in said:
        assert not any(secret in text for secret in SECRETS)


def test_no_log_holds_the_token_or_a_signed_address(
    github: GithubServer,
    repository: str,
    make_attempt: MakeAttempt,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.INFO, "httpx")
    store = opened(github, repository)
    store.put_cell(make_attempt())
    assert store.cells().num_rows == 1
    assert "of-a-signed-address" in caplog.text
    assert "sig=" not in caplog.text
    assert GithubServer.WRITER not in caplog.text
