"""A service on the network that goes away while results are written, and comes back."""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Protocol

import pytest

from tidemark.errors import StoreAway, StoreBusy, StoreError
from tidemark.results.patience import Patience
from tidemark.results.rows import RunContext, RunOutcome, run_row
from tidemark.results.store import Attempt, Store, open_store

MakeAttempt = Callable[..., Attempt]
COUNTER = itertools.count()
CELL_FILES = 6  # three of raw output, requests, timeline, the cell
HASTY = Patience(tries=2, answer_s=10.0, sleep=lambda _: None)
HASTIER = Patience(tries=1, answer_s=2.0)  # for a service that is known to hang


class Service(Protocol):
    endpoint_url: str
    process: subprocess.Popen[bytes]

    def start(self) -> None: ...
    def stop(self) -> None: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def create_bucket(self, name: str) -> None: ...


@pytest.fixture(scope="module")
def own_service(s3_service: Service) -> Iterator[Service]:
    """A service that may be killed."""
    service = type(s3_service)()
    service.start()
    yield service
    service.stop()


@pytest.fixture
def service(own_service: Service, s3: Service) -> Iterator[Service]:
    assert own_service.endpoint_url != s3.endpoint_url  # but with its credentials
    own_service.create_bucket("night")
    yield own_service
    own_service.resume()


@pytest.fixture
def prefix() -> str:
    return f"p{next(COUNTER)}"


@pytest.fixture
def open_it(service: Service, prefix: str, tmp_path: Path) -> Callable[[Patience], Store]:
    """Opens the store as another process would: open_it(patience)."""

    def opened(patience: Patience) -> Store:
        options = {"endpoint_url": service.endpoint_url}
        outbox = tmp_path / "outbox"
        return open_store(f"s3://night/{prefix}", options=options, outbox=outbox, patience=patience)

    return opened


@pytest.fixture
def store(open_it: Callable[[Patience], Store]) -> Store:
    return open_it(HASTY)


def plain(service: Service, prefix: str) -> Store:
    """The store as others see it."""
    return open_store(f"s3://night/{prefix}", options={"endpoint_url": service.endpoint_url})


def before_put(store: Store, number: int, do: Callable[[], None]) -> None:
    """Do something as the store's n-th put from now is to begin."""
    filesystem = store._files.filesystem
    put, count = filesystem.pipe_file, itertools.count(1)

    def counted(*arguments: object, **named: object) -> None:
        if next(count) == number:
            do()
        put(*arguments, **named)

    filesystem.pipe_file = counted


@pytest.mark.parametrize("number", [2, 7])
def test_a_service_killed_between_puts_loses_nothing_that_is_written_from_then_on(
    service: Service,
    store: Store,
    prefix: str,
    make_attempt: MakeAttempt,
    run: RunContext,
    number: int,
) -> None:
    """Killed before the second file of raw output of two cells, or before the first's own part."""
    before_put(store, number, service.stop)
    stored = [store.put_cell(make_attempt(index)) for index in (0, 1)]
    outcome = RunOutcome(outcome="complete", exit_status=0, finished_at=run.created_at)
    part = store.put_run(run_row(run, outcome, [each.row for each in stored]))
    store.put_manifest(run.run_id, run_part=part, cell_parts=[each.cell_part for each in stored])
    waiting = store.waiting().files
    assert waiting > CELL_FILES
    with pytest.raises(StoreBusy, match="cannot be reached"):
        store.send()
    with pytest.raises(StoreBusy, match="cannot be reached"):
        store.cells()
    service.start()
    with pytest.raises(StoreAway, match="no such bucket"):
        store.send()
    assert store.waiting().files == waiting
    service.create_bucket("night")
    again = store.put_cell(make_attempt(2))
    assert plain(service, prefix)._files.list("cells") == []
    assert store.send().files == waiting + CELL_FILES
    assert store.waiting().files == 0
    # What it had been given before it was killed it has lost; what was sent since it has.
    found = plain(service, prefix)
    assert len(found._files.list("raw")) + len(found._files.list("requests")) >= 3
    assert set(found._files.list("cells")) >= {stored[1].cell_part, again.cell_part}
    assert found.runs().num_rows == 1


def test_a_service_that_hangs_and_goes_on_has_everything_once(
    service: Service,
    open_it: Callable[[Patience], Store],
    prefix: str,
    make_attempt: MakeAttempt,
) -> None:
    first = open_it(HASTY).put_cell(make_attempt(0))
    store = open_it(HASTIER)
    before_put(store, 4, service.pause)
    second = store.put_cell(make_attempt(1))  # a put it hears of, and answers to nobody
    third = store.put_cell(make_attempt(2))
    assert store.waiting().files == 3 + CELL_FILES
    service.resume()
    sent = open_it(HASTY).send()
    assert (sent.files, sent.left) == (3 + CELL_FILES, ())
    assert store.waiting().files == store.send().files == 0
    others = plain(service, prefix)
    assert others.cells().to_pylist() == [first.row, second.row, third.row]
    assert others.torn() == ()


def test_a_service_that_stops_taking_in_the_middle_of_a_large_file_is_given_up_on(
    service: Service, open_it: Callable[[Patience], Store]
) -> None:
    store = open_it(Patience(tries=1, connect_s=0.5, answer_s=1.0, slowest_bytes_per_s=1e9))
    service.pause()
    store.files.create("raw/cell/attempt/large", bytes(16 * 2**20))  # more than sockets buffer
    assert store.waiting().size_bytes == 16 * 2**20


SENDERS = """
import json, os, signal, sys, time, traceback
from pathlib import Path
from tidemark.results.store import open_store

uri, options, outbox = json.loads(sys.stdin.readline())

def sender():
    if (child := os.fork()):
        return child
    try:
        open_store(uri, options=options, outbox=Path(outbox)).send()
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)

def waiting():
    return sum(path.is_file() for path in Path(outbox).glob("*/*/**/*"))

for line in iter(sys.stdin.readline, ""):
    order = json.loads(line)
    before, children = waiting(), [sender() for _ in range(order["senders"])]
    if order["kill_after_s"] is not None:
        while order["once_begun"] and waiting() == before:
            time.sleep(0.001)
        time.sleep(order["kill_after_s"])
        os.kill(children[0], signal.SIGKILL)
    ends = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    print(json.dumps([ends, waiting()]), flush=True)
"""


class Senders:
    """Processes that send, forked from one that has everything imported."""

    def __init__(self, store: Store, service: Service) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", SENDERS],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert store.outbox is not None
        options = {"endpoint_url": service.endpoint_url}
        self._say([store.uri, options, str(store.outbox.parent)])

    def send(self, senders: int = 1) -> list[Any]:
        """Exit statuses of that many at once, and the number of files that wait then."""
        return self._order(senders, None, once_begun=False)

    def killed(self, after_s: float, *, once_begun: bool) -> list[Any]:
        """The same of one that is killed, some time after it was started or sent its first."""
        return self._order(1, after_s, once_begun=once_begun)

    def close(self) -> None:
        self._process.communicate(timeout=60)
        assert self._process.returncode == 0

    def _order(self, senders: int, kill_after_s: float | None, *, once_begun: bool) -> list[Any]:
        self._say({"senders": senders, "kill_after_s": kill_after_s, "once_begun": once_begun})
        assert self._process.stdout is not None
        answer: list[Any] = json.loads(self._process.stdout.readline())
        return answer

    def _say(self, document: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(document) + "\n")
        self._process.stdin.flush()


@pytest.fixture
def senders(store: Store, service: Service) -> Iterator[Senders]:
    forked = Senders(store, service)
    yield forked
    forked.close()


@pytest.fixture
def night(
    service: Service,
    open_it: Callable[[Patience], Store],
    make_attempt: MakeAttempt,
    run: RunContext,
) -> dict[str, bytes]:
    """Four cells and their run wait for a service that is there again: paths and bytes."""
    service.pause()
    store = open_it(HASTIER)
    stored = [store.put_cell(make_attempt(index)) for index in range(4)]
    outcome = RunOutcome(outcome="complete", exit_status=0, finished_at=run.created_at)
    part = store.put_run(run_row(run, outcome, [each.row for each in stored]))
    store.put_manifest(run.run_id, run_part=part, cell_parts=[each.cell_part for each in stored])
    service.resume()
    folder = store.outbox
    assert folder is not None
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.glob("*/**/*")
        if path.is_file()
    }


def whole(found: Store) -> set[str]:
    """What others see, of which nothing is there before what it needs."""
    there = {
        path
        for folder in ("raw", "requests", "timeline", "cells", "runs", "manifests")
        for path in found._files.list(folder)
    }
    for path in there:
        folder, _, rest = path.partition("/")
        if folder == "cells":
            cell_id, _, attempt = rest.rpartition("/")[2].removesuffix(".parquet").rpartition("-")
            needed = {f"raw/{cell_id}/{attempt}/attempt.json", f"requests/{rest}"}
            assert needed | {f"timeline/{rest}"} <= there
        if folder == "manifests":
            document = json.loads(found._files.read(path))
            assert {document["run_part"], *document["cell_parts"]} <= there
    return there


def test_a_sender_killed_at_any_point_loses_nothing_and_keeps_the_order(
    service: Service, prefix: str, store: Store, night: dict[str, bytes], senders: Senders
) -> None:
    seed = int.from_bytes(os.urandom(4), "big")
    chance, others = random.Random(seed), plain(service, prefix)
    for _ in range(5):
        ends, waiting = senders.killed(chance.uniform(0, 0.12), once_begun=chance.random() < 0.8)
        assert ends in ([-signal.SIGKILL], [0]), seed
        assert store.outbox is not None
        here = {path for path in night if (store.outbox / path).exists()}
        assert night.keys() - here <= whole(others), seed
        if not waiting:
            break
    assert senders.send()[1] == 0
    assert {path: others._files.read(path) for path in night} == night
    assert whole(others) == night.keys()
    assert others.cells().num_rows == 4
    assert others.torn() == ()


def test_two_that_send_at_once_send_it_once(
    service: Service, prefix: str, store: Store, night: dict[str, bytes], senders: Senders
) -> None:
    assert senders.send(2) == [[0, 0], 0]
    others = plain(service, prefix)
    assert {path: others._files.read(path) for path in night} == night
    assert others.runs().num_rows == 1
    assert store.waiting().files == store.send().files == 0


class Answers(ThreadingHTTPServer):
    """A service that answers what it is told to, in turn; then 200."""

    daemon_threads = True

    def __init__(self, statuses: Sequence[tuple[int, str]]) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.left, self.heard, self.expected = list(statuses), 0, False


class Answering(BaseHTTPRequestHandler):
    server: Answers
    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.heard += 1
        self.server.expected |= "Expect" in self.headers
        status, code = self.server.left.pop(0) if self.server.left else (200, "")
        body = f"<Error><Code>{code}</Code><Message>said so</Message></Error>".encode()
        body = body if code else b""
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def answers() -> Iterator[Callable[[Sequence[tuple[int, str]]], Answers]]:
    started = []

    def start(statuses: Sequence[tuple[int, str]]) -> Answers:
        server = Answers(statuses)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        started.append((server, thread))
        return server

    yield start
    for server, thread in started:
        server.shutdown()
        thread.join(timeout=10)
        server.server_close()


SLOW_DOWN, BROKEN, ROOM = (503, "SlowDown"), (500, "InternalError"), (507, "InsufficientStorage")


@pytest.mark.usefixtures("s3")
@pytest.mark.parametrize(
    ("said", "heard", "waits"),
    [
        ([SLOW_DOWN, BROKEN], 3, False),
        ([(409, "ConditionalRequestConflict")], 2, False),
        ([(400, "RequestTimeout")], 2, False),
        ([(429, "TooManyRequests")], 2, False),
        ([ROOM] * 3, 3, True),
        ([(502, "")] * 3, 3, True),
        ([(400, "ExpiredToken")], 1, True),
        ([(403, "QuotaExceeded")], 1, True),
        ([(403, "AccountProblem")], 1, True),
        ([(404, "NoSuchBucket")], 1, True),
        ([(400, "KMS.DisabledException")], 1, True),
    ],
)
def test_what_may_pass_is_asked_again_a_little_later_and_what_stays_waits(
    answers: Callable[..., Answers],
    tmp_path: Path,
    said: list[tuple[int, str]],
    heard: int,
    waits: bool,
) -> None:
    server, slept = answers(said), []
    store = open_store(
        "s3://bucket/p",
        options={"endpoint_url": f"http://127.0.0.1:{server.server_port}"},
        outbox=tmp_path,
        patience=Patience(sleep=slept.append),
    )
    store._files.create("raw/cell/attempt/x", b"x")
    assert server.heard == heard
    assert not server.expected  # a service that never says "100 Continue" would be waited for
    assert (store.waiting().files == 1) is waits
    assert len(slept) == heard - 1
    for index, seconds in enumerate(slept):
        assert 0.5 * 2**index <= seconds <= 0.5 * 2**index + 0.5


@pytest.mark.usefixtures("s3")
@pytest.mark.parametrize(
    ("status", "code"),
    [(400, "InvalidRequest"), (501, "NotImplemented"), (400, "EntityTooLarge"), (301, "Moved")],
)
def test_a_request_that_can_never_succeed_neither_waits_nor_is_repeated(
    answers: Callable[..., Answers], tmp_path: Path, status: int, code: str
) -> None:
    server = answers([(status, code)] * 3)
    options = {"endpoint_url": f"http://127.0.0.1:{server.server_port}"}
    store = open_store("s3://bucket/p", options=options, outbox=tmp_path)
    with pytest.raises(StoreError) as caught:
        store._files.create("raw/cell/attempt/x", b"x")
    assert not isinstance(caught.value, StoreAway)
    assert caught.value.remedy
    assert server.heard == 1
    assert store.waiting().files == 0


def test_patience_ends_after_its_time_too() -> None:
    instants, asked = itertools.count(step=11.0), []

    def request() -> None:
        asked.append(1)
        raise StoreBusy("hangs")

    patience = Patience(tries=9, sleep=lambda _: None, clock=lambda: next(instants))
    with pytest.raises(StoreBusy, match="hangs"):
        patience.call(request)
    assert len(asked) == 2  # at 11 s of 20 it is asked once more, at 22 s no more
