"""A release that many write to while GitHub loses answers, limits requests, or goes away."""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from github_server import GithubServer

from tidemark.errors import AlreadyThere, StoreAway, StoreBusy, StoreError
from tidemark.results.patience import Patience
from tidemark.results.rows import RunContext, RunOutcome, run_row
from tidemark.results.store import Attempt, Store, open_store

MakeAttempt = Callable[..., Attempt]
COUNTER = itertools.count()
CELL_FILES = 6  # three of raw output, requests, timeline, the cell
UPLOAD, LIST = "POST /api/uploads", "GET .*/releases/[0-9]+/assets$"


class Time:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now_s, self.slept = 1000.0, list[float]()

    def patience(self, **more: Any) -> Patience:
        return Patience(sleep=self.sleep, clock=lambda: self.now_s, **more)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now_s += seconds


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
    name = f"harbour/faults-{next(COUNTER)}"
    github.create_repository(name)
    return name


def opened(github: GithubServer, repository: str, patience: Patience, **more: Any) -> Store:
    return open_store(
        f"github://{repository}",
        options={"endpoint_url": github.endpoint_url},
        credentials={"github_token": github.WRITER},
        patience=patience,
        **more,
    )


@pytest.fixture
def clock() -> Time:
    return Time()


@pytest.fixture
def store(github: GithubServer, repository: str, clock: Time) -> Store:
    """A store whose release is there, with one file in it."""
    store = opened(github, repository, clock.patience())
    store.files.create("raw/first", b"first")
    return store


def uploads(github: GithubServer) -> list[int]:
    return [one["status"] for one in github.requests() if one["port"] == "uploads"]


def test_an_upload_whose_answer_was_lost_is_known_as_ones_own(
    github: GithubServer, store: Store
) -> None:
    github.fault(UPLOAD, "lose")
    store.files.create("raw/x", b"mine")
    assert store.files.read("raw/x") == b"mine"
    assert uploads(github)[1:] == [0, 422]
    with pytest.raises(AlreadyThere):
        store.files.create("raw/x", b"mine")


def test_a_lost_answer_does_not_make_ones_own_of_another_writers_file(
    github: GithubServer, repository: str, store: Store, clock: Time
) -> None:
    opened(github, repository, clock.patience()).files.create("raw/x", b"mine")
    github.fault(UPLOAD, "lose")
    with pytest.raises(AlreadyThere):
        store.files.create("raw/x", b"mine")


def test_an_upload_that_broke_off_is_done_again(
    github: GithubServer, repository: str, store: Store
) -> None:
    github.fault(UPLOAD, "cut")
    store.files.create("raw/x", b"whole" * 1000)
    assert store.files.read("raw/x") == b"whole" * 1000
    (release,) = github.repository(repository)["releases"]
    assert [asset["state"] for asset in release["assets"]] == ["uploaded"] * 2


def test_what_another_upload_is_writing_is_left_alone_and_what_broke_off_is_removed(
    github: GithubServer, repository: str, store: Store, clock: Time
) -> None:
    github.fault(UPLOAD, "cut")
    with pytest.raises(StoreBusy):
        opened(github, repository, clock.patience(tries=1)).files.create("raw/x", b"of the dead")
    assert store.files.list("raw") == ["raw/first"]
    github.advance(60)
    with pytest.raises(StoreBusy, match="under way, or broke off") as caught:
        store.files.create("raw/x", b"of another")
    assert "Try again; in " in str(caught.value)
    github.advance(120)
    store.files.create("raw/x", b"of another")
    assert store.files.read("raw/x") == b"of another"


def test_of_many_that_remove_what_broke_off_one_writes(
    github: GithubServer, repository: str, store: Store, clock: Time
) -> None:
    github.fault(UPLOAD, "cut")
    with pytest.raises(StoreBusy):
        opened(github, repository, clock.patience(tries=1)).files.create("raw/x", b"dead")
    github.advance(600)
    writers = [opened(github, repository, Patience(first_wait_s=0.05)) for _ in range(4)]
    gate = threading.Barrier(4)

    def write(index: int) -> int | None:
        gate.wait(timeout=30)
        try:
            writers[index].files.create("raw/x", f"of {index}".encode())
        except AlreadyThere:
            return None
        return index

    with ThreadPoolExecutor(4) as pool:
        (winner,) = [index for index in pool.map(write, range(4)) if index is not None]
    assert store.files.read("raw/x") == f"of {winner}".encode()


def test_a_file_that_no_list_shows_yet_is_there_for_its_writer_and_nobody_overwrites_it(
    github: GithubServer, repository: str, store: Store, clock: Time
) -> None:
    github.fault(UPLOAD, "unlisted")
    store.files.create("raw/x", b"x")
    assert store.files.list("raw") == ["raw/first", "raw/x"]
    assert store.files.read("raw/x") == b"x"
    with pytest.raises(AlreadyThere):
        store.files.create("raw/x", b"y")
    with pytest.raises(StoreBusy, match="not listed yet"):
        opened(github, repository, clock.patience()).files.create("raw/x", b"y")
    store.files.remove("raw/x")
    assert store.files.list("raw") == ["raw/first"]


def test_a_removal_whose_answer_was_lost_is_done(github: GithubServer, store: Store) -> None:
    github.fault("DELETE ", "lose")
    store.files.remove("raw/first")
    assert store.files.list("raw") == []
    with pytest.raises(StoreError, match="there is no such file"):
        store.files.remove("raw/first")


def test_a_replacement_whose_answer_was_lost_is_done(github: GithubServer, store: Store) -> None:
    github.fault("DELETE ", "lose")
    github.fault(UPLOAD, "lose")
    store.files.replace("raw/first", b"second")
    assert store.files.read("raw/first") == b"second"


def limited(**headers: str) -> dict[str, Any]:
    body = {"message": "API rate limit exceeded for installation."}
    return {"status": 403, "body": body, "headers": headers}


def test_a_limit_that_passes_soon_is_waited_for(
    github: GithubServer, store: Store, clock: Time
) -> None:
    github.fault(UPLOAD, "status", **limited(**{"retry-after": "7"}))
    store.files.create("raw/x", b"x")
    assert 7 <= sum(clock.slept) < 12
    assert uploads(github)[1:] == [403, 201]


def test_a_limit_that_lasts_is_told_and_nothing_is_sent_until_then(
    github: GithubServer, store: Store, clock: Time
) -> None:
    reset = str(int(time.time()) + 1800)
    headers = {"x-ratelimit-remaining": "0", "x-ratelimit-reset": reset}
    github.fault(UPLOAD, "status", **limited(**headers))
    with pytest.raises(StoreBusy, match=r"asks to wait 1[78]\d\d s") as caught:
        store.files.create("raw/x", b"x")
    assert caught.value.remedy
    asked = len(github.requests())
    for _ in range(5):
        with pytest.raises(StoreBusy, match="asks to wait"):
            store.files.list("raw")
    assert len(github.requests()) == asked
    assert sum(clock.slept) < 40
    clock.now_s += 1800
    store.files.create("raw/x", b"x")
    assert store.files.list("raw") == ["raw/first", "raw/x"]


def test_the_last_request_of_a_limit_is_taken_as_such(
    github: GithubServer, store: Store, clock: Time
) -> None:
    reset = str(int(time.time()) + 900)
    headers = {"x-ratelimit-remaining": "0", "x-ratelimit-reset": reset}
    github.fault(LIST, "headers", headers=headers)
    assert store.files.list("raw") == ["raw/first"]
    asked = len(github.requests())
    with pytest.raises(StoreBusy, match="asks to wait"):
        store.files.create("raw/x", b"x")
    assert len(github.requests()) == asked
    clock.now_s += 901
    store.files.create("raw/x", b"x")


@pytest.mark.parametrize("status", [403, 429])
def test_a_secondary_limit_without_a_time_is_one_of_a_minute(
    github: GithubServer, clock: Time, tmp_path: Path, repository: str, status: int
) -> None:
    body = {"message": "You have exceeded a secondary rate limit. Please wait a few minutes."}
    waiting = opened(github, repository, clock.patience(), outbox=tmp_path)
    github.fault(UPLOAD, "status", status=status, body=body)
    waiting.files.create("raw/a/b/x", b"x")
    assert waiting.waiting().files == 1
    with pytest.raises(StoreBusy, match="asks to wait"):
        waiting.send()
    clock.now_s += 61
    assert waiting.send().files == 1


@pytest.mark.parametrize(
    ("match", "status", "body", "kind", "message"),
    [
        (UPLOAD, 500, {"message": "Error saving asset"}, StoreBusy, "Error saving asset"),
        (UPLOAD, 502, {}, StoreBusy, "cannot do it now"),
        (UPLOAD, 422, {"message": "Cannot upload assets to an immutable release."}, StoreAway,
         "can no longer be changed"),
        (UPLOAD, 400, {"message": "Bad Content-Length: "}, StoreError, "Bad Content-Length"),
        (UPLOAD, 403, {"message": "Repository was archived so is read-only."}, StoreAway,
         "the repository is archived"),
        (UPLOAD, 403, {"message": "Resource protected by organization SAML enforcement."},
         StoreAway, "authorized"),
        (UPLOAD, 404, {"message": "Not Found"}, StoreAway, "no right"),
        (UPLOAD, 200, [], StoreBusy, "no asset"),
        (LIST, 200, {"message": "no list"}, StoreBusy, "no list"),
    ],
)  # fmt: skip
def test_what_github_refuses_is_told_with_what_helps(
    github: GithubServer,
    store: Store,
    match: str,
    status: int,
    body: object,
    kind: type[StoreError],
    message: str,
) -> None:
    headers = {"x-github-sso": "required; url=https://example"} if "SAML" in str(body) else {}
    github.fault(match, "status", times=3, status=status, body=body, headers=headers)
    use = {UPLOAD: lambda: store.files.create("raw/x", b"x"), LIST: lambda: store.files.list("raw")}
    with pytest.raises(kind, match=message) as caught:
        use[match]()
    assert type(caught.value) is kind
    assert caught.value.remedy
    assert "canary" not in str(caught.value)


def test_a_token_that_may_see_but_not_write_is_told_as_such(
    github: GithubServer, repository: str, clock: Time
) -> None:
    body = {"message": "Not Found"}  # so GitHub answers where it does not say what is missing
    github.fault("POST .*/releases$", "status", status=404, body=body)
    with pytest.raises(StoreAway, match="the token has no right to this") as caught:
        opened(github, repository, clock.patience()).files.create("raw/x", b"x")
    assert "contents: write" in str(caught.value)


def test_a_repository_without_a_commit_is_named_as_such(github: GithubServer, clock: Time) -> None:
    github.create_repository("harbour/empty", empty=True)
    store = opened(github, "harbour/empty", clock.patience())
    assert store.files.list("") == []
    with pytest.raises(StoreAway, match="needs a commit"):
        store.probe()


def test_a_renamed_repository_is_followed_but_not_with_the_token_to_another_host(
    github: GithubServer, repository: str, store: Store
) -> None:
    place = f"{github.endpoint_url}/repos/{repository}/releases/tags/latest"
    github.fault("tags/latest", "status", status=301, headers={"Location": place})
    again = opened(github, repository, Patience())
    assert again.files.list("raw") == ["raw/first"]
    elsewhere = f"{github.storage_url}/stolen"
    github.fault(LIST, "status", status=302, headers={"Location": elsewhere})
    with pytest.raises(StoreError):
        store.files.list("raw")
    github.fault("DELETE ", "status", status=307, headers={"Location": elsewhere})
    with pytest.raises(StoreBusy, match="not safe"):
        opened(github, repository, Patience(tries=1)).files.remove("raw/first")
    assert [one["token"] for one in github.requests() if one["port"] == "storage"] == [False]


@pytest.mark.parametrize("address", ["http://127.0.0.2:9/x", "ftp://127.0.0.1/x", "nowhere"])
def test_the_token_goes_to_no_other_service_for_uploads(
    github: GithubServer, repository: str, address: str, clock: Time
) -> None:
    body = {"id": 1, "upload_url": f"{address}{{?name,label}}"}
    github.fault("tags/latest", "status", status=200, body=body)
    with pytest.raises(StoreError, match="another service"):
        opened(github, repository, clock.patience()).files.create("raw/x", b"x")


def test_a_release_that_is_removed_in_use_is_told_and_made_again(
    github: GithubServer, repository: str, store: Store, tmp_path: Path
) -> None:
    waiting = opened(github, repository, Patience(), outbox=tmp_path)
    waiting.files.list("")
    github.create_repository(repository)  # as new: without its release
    waiting.files.create("raw/a/b/x", b"x")
    assert waiting.waiting().files == 1
    assert waiting.send().files == 1
    with pytest.raises(StoreAway, match="the release was removed"):
        store.files.create("raw/y", b"y")
    assert store.files.list("") == ["raw/a/b/x"]


def test_a_service_that_hangs_ends_a_try_in_time(github: GithubServer, repository: str) -> None:
    begin = time.monotonic()
    hasty = opened(github, repository, Patience(tries=1, connect_s=2.0, answer_s=2.0))
    hasty.files.create("raw/first", b"first")
    github.pause()
    try:
        with pytest.raises(StoreBusy, match="cannot be reached"):
            hasty.files.list("raw")
        with pytest.raises(StoreBusy, match="cannot be reached"):
            hasty.files.create("raw/large", bytes(16 * 2**20))  # more than sockets buffer
    finally:
        github.resume()
    assert time.monotonic() - begin < 30


def test_a_server_that_dies_half_way_loses_nothing_that_is_written_from_then_on(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    make_attempt: MakeAttempt,
    run: RunContext,
) -> None:
    monkeypatch.delenv("GITHUB_API_URL", raising=False)
    github = GithubServer()
    github.start()
    try:
        github.create_repository("harbour/night")
        hasty = Patience(tries=2, sleep=lambda _: None)
        store = opened(github, "harbour/night", hasty, outbox=tmp_path)
        first = store.put_cell(make_attempt(0))
        put, count = store.files.filesystem.pipe_file, itertools.count(1)

        def counted(*arguments: object, **named: object) -> None:
            if next(count) == random.Random(run.run_id).randrange(1, CELL_FILES):
                github.kill()
            put(*arguments, **named)

        store.files.filesystem.pipe_file = counted
        stored = [first, *(store.put_cell(make_attempt(index)) for index in (1, 2))]
        outcome = RunOutcome(outcome="complete", exit_status=0, finished_at=run.created_at)
        part = store.put_run(run_row(run, outcome, [each.row for each in stored]))
        parts = [each.cell_part for each in stored]
        store.put_manifest(run.run_id, run_part=part, cell_parts=parts)
        waiting = store.waiting().files
        assert waiting > CELL_FILES
        with pytest.raises(StoreBusy, match="cannot be reached"):
            store.send()
        github.start()
        with pytest.raises(StoreAway, match="no such repository"):
            store.send()
        github.create_repository("harbour/night")
        while store.waiting().files:
            try:
                assert store.send().files
            except StoreAway as error:  # it held a release that this server has lost
                assert "the release was removed" in str(error)  # noqa: PT017
        others = opened(github, "harbour/night", hasty)
        assert others.runs().num_rows == 1
        assert {row["attempt_id"] for row in others.cells().to_pylist()} >= {
            stored[2].row["attempt_id"]
        }
    finally:
        github.stop()


def test_sixteen_threads_write_and_read_through_faults(
    github: GithubServer, repository: str
) -> None:
    store = opened(github, repository, Patience(tries=6, first_wait_s=0.01, longest_wait_s=0.05))
    store.files.create("raw/first", b"first")
    for fault in ("lose", "cut", "lose"):
        github.fault(UPLOAD, fault, times=2, after=5)
    github.fault(LIST, "status", times=3, after=4, status=502)
    written = {f"raw/{index}": f"{index}".encode() * 100 for index in range(32)}

    def write(path: str) -> bytes:
        store.files.create(path, written[path])
        return store.files.read(path)

    with ThreadPoolExecutor(16) as pool:
        assert [*pool.map(write, written)] == [*written.values()]
    others = opened(github, repository, Patience())
    assert {*others.files.list("raw")} == {"raw/first", *written}
