"""One account for all threads of a script: opened once, closed by whoever closes it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from cloud import ADDRESS

from tidemark.alibaba import sync
from tidemark.alibaba.account import Account
from tidemark.alibaba.credentials import StaticCredentials
from tidemark.alibaba.dlc import Dlc
from tidemark.alibaba.errors import NoAnswerError
from tidemark.simulator.clock import VirtualClock
from tidemark.simulator.pai.app import PaiSimulator

LIMIT_S = 20.0


def choose() -> None:
    clock = VirtualClock(jump=True)
    sync.use(
        source=StaticCredentials.of("LTAIsimulator", "simulator-secret"),
        region="cn-hangzhou",
        endpoints=ADDRESS,
        transport=PaiSimulator(clock=clock).transport(),
        clock=clock,
    )


@pytest.fixture(autouse=True)
def simulator() -> Iterator[None]:
    choose()
    yield
    sync.use()


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as pool:
        yield pool


async def jobs(account: Account) -> int:
    return len(await Dlc(account).all_jobs())


class Waiting:
    """Work that waits to be told, and notes how it ended."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.ended = ""

    async def __call__(self, _: Account) -> str:
        self.begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.ended = "cancelled"
            raise
        return "told"


def begin(pool: ThreadPoolExecutor, work: Callable[..., object]) -> Future[object]:
    return pool.submit(sync.run, work)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "call", [lambda: sync.run(jobs), sync.close, sync.use], ids=["run", "close", "use"]
)
def test_work_that_would_wait_for_itself_is_refused(
    call: Callable[[], object], threads: ThreadPoolExecutor
) -> None:
    async def nested(_: Account) -> object:
        return call()

    with pytest.raises(RuntimeError, match="await the clients there"):
        begin(threads, nested).result(LIMIT_S)
    assert sync.run(jobs) == 0


def test_work_may_run_other_work_in_a_thread() -> None:
    async def nested(_: Account) -> int:
        return await asyncio.to_thread(sync.run, jobs)

    assert sync.run(nested) == 0


@pytest.mark.parametrize("end", [sync.close, choose], ids=["close", "use"])
def test_who_waits_while_it_is_closed_is_told(
    end: Callable[[], None], threads: ThreadPoolExecutor
) -> None:
    works = [Waiting() for _ in range(3)]
    waiting = [begin(threads, work) for work in works]
    for work in works:
        assert work.begun.wait(LIMIT_S)
    threads.submit(end).result(LIMIT_S)
    for work, future in zip(works, waiting, strict=True):
        with pytest.raises(NoAnswerError, match="closed while this was under way") as caught:
            future.result(LIMIT_S)
        assert caught.value.effect_unknown
        assert work.ended == "cancelled"
    assert sync.run(jobs) == 0


def test_work_that_does_not_end_keeps_nobody_waiting(
    threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync, "_CLOSING_S", 0.05)
    release = threading.Event()
    begun = threading.Event()

    async def stuck(_: Account) -> None:
        begun.set()
        release.wait(LIMIT_S)

    waiting = begin(threads, stuck)
    assert begun.wait(LIMIT_S)
    (thread,) = (each for each in threading.enumerate() if each.name == "tidemark-alibaba")
    try:
        threads.submit(sync.close).result(LIMIT_S)
        with pytest.raises(NoAnswerError):
            waiting.result(LIMIT_S)
        assert sync.run(jobs) == 0
    finally:
        release.set()
    thread.join(LIMIT_S)
    assert not thread.is_alive()


def test_what_work_makes_of_its_end_is_passed_on(threads: ThreadPoolExecutor) -> None:
    begun = threading.Event()

    async def careful(_: Account) -> str:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "put away"
        return "never"

    waiting = begin(threads, careful)
    assert begun.wait(LIMIT_S)
    sync.close()
    assert waiting.result(LIMIT_S) == "put away"


def test_threads_that_ask_while_others_close_end(threads: ThreadPoolExecutor) -> None:
    done = threading.Event()

    def ask() -> int:
        answers = 0
        while not done.is_set():
            try:
                sync.run(jobs)
            except NoAnswerError:
                continue
            answers += 1
        return answers

    asking = [threads.submit(ask) for _ in range(6)]
    begun_s = time.monotonic()
    closing = [threads.submit(sync.close) for _ in range(30)]
    for each in closing:
        each.result(LIMIT_S)
    done.set()
    answers = [each.result(LIMIT_S) for each in asking]
    assert time.monotonic() - begun_s < LIMIT_S
    assert all(answer >= 0 for answer in answers)
    assert sync.run(jobs) == 0
    assert len([each for each in threading.enumerate() if each.name == "tidemark-alibaba"]) == 1
