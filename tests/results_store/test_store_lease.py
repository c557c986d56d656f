"""One owner of a round at a time, on a clock that the test advances."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tidemark.results.files import Files
from tidemark.results.lease import (
    LIFETIME_S,
    Lease,
    LeaseLost,
    LiveRun,
    Process,
    acquire,
    ask_to_stop,
    lease_key,
    live_runs,
)
from tidemark.results.store import open_store

KEY = lease_key("night", {"model": "m"})
ELSEWHERE = Process("another machine", 1, "0")


@dataclass
class World:
    """A clock that sleeping advances; what happens at each sleep can be given."""

    files: Files
    now_s: float = 0.0
    at_each_sleep: Callable[[], object] = lambda: None
    waited_for: list[str] = field(default_factory=list)

    async def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        self.at_each_sleep()
        await asyncio.sleep(0)

    async def take(self, run_id: str, process: Process | None = None) -> Lease:
        def note(holder: LiveRun) -> None:
            self.waited_for.append(holder.run_id)

        async def here(function: Callable[..., Any], *arguments: Any) -> Any:
            return function(*arguments)

        return await acquire(
            self.files,
            KEY,
            {"run_id": run_id, "round": "night"},
            clock=lambda: self.now_s,
            sleep=self.sleep,
            in_thread=here,
            on_wait=note,
            process=process,
        )


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(open_store(str(tmp_path)).files)


async def test_another_run_waits_until_the_owner_is_done(world: World) -> None:
    first = await world.take("first")
    first.beat({"line": "Running"})
    sleeps = iter(range(100))
    world.at_each_sleep = lambda: first.end() if next(sleeps) == 4 else first.beat({})
    second = await world.take("second")
    assert set(world.waited_for) == {"first"}
    assert second.generation == first.generation + 1
    second.check()


async def test_an_owner_elsewhere_that_lives_is_never_given_up(world: World) -> None:
    first = await world.take("first", ELSEWHERE)
    sleeps = iter(range(10_000))

    def beat() -> None:
        if next(sleeps) > 10 * LIFETIME_S:
            first.end()
        else:
            first.beat({})

    world.at_each_sleep = beat
    await world.take("second")
    assert world.now_s > 10 * LIFETIME_S


async def test_an_owner_elsewhere_that_fell_silent_is_given_up_and_then_fenced_off(
    world: World,
) -> None:
    first = await world.take("first", ELSEWHERE)
    first.beat({})
    second = await world.take("second")
    assert LIFETIME_S <= world.now_s < LIFETIME_S + 5
    with pytest.raises(LeaseLost):
        first.beat({})
    with pytest.raises(LeaseLost):
        first.check()
    second.check()


async def test_an_owner_whose_process_is_gone_is_not_waited_for(world: World) -> None:
    child = subprocess.Popen(  # noqa: ASYNC220 (starts at once)
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE
    )
    process = Process.of(child.pid)
    await world.take("first", process)
    assert not process.gone()
    child.communicate(b"\n")
    assert process.gone()
    await world.take("second")
    assert world.now_s == 0.0


async def test_a_process_that_only_has_the_same_number_is_another() -> None:
    mine = Process.current()
    assert not mine.gone()
    assert Process(mine.machine, mine.pid, "1").gone()


async def test_of_many_at_once_one_owns(world: World) -> None:
    owners = []

    async def take(number: int) -> None:
        lease = await world.take(f"run-{number}")
        owners.append(lease)
        others = [run.run_id for run in live_runs(world.files)]
        assert others == [f"run-{number}"]
        await asyncio.sleep(0)
        lease.check()
        lease.end()

    await asyncio.gather(*(take(number) for number in range(16)))
    assert sorted(lease.generation for lease in owners) == list(range(1, 17))


async def test_what_it_does_is_seen_and_it_hears_that_it_shall_stop(world: World) -> None:
    lease = await world.take("first")
    assert lease.beat({"line": "Running iteration 1/2: concurrency=4", "fraction": 0.5}) is False
    (seen,) = live_runs(world.files)
    assert (seen.run_id, seen.beat["fraction"], seen.asked_to_stop) == ("first", 0.5, False)
    ask_to_stop(world.files, seen, "enough")
    ask_to_stop(world.files, seen, "enough, again")
    assert lease.beat({}) is True
    lease.end()
    assert live_runs(world.files) == []


@pytest.mark.parametrize(
    "planted",
    [
        {"000001.json": "{"},
        {"000001.json": "[]"},
        {"000001.json": "[" * 100_000},
        {"000001.json": '{"process": {"pid": "x"}, "run_id": "r", "round": "n"}'},
        {"000001.beat.json": "[]"},
        {"000001.beat.json": '{"at": "once upon a time", "fraction": "most"}'},
    ],
)
async def test_a_file_that_says_nothing_is_in_nobodys_way(
    world: World, tmp_path: Path, planted: dict[str, str]
) -> None:
    folder = tmp_path / "leases" / KEY
    if "000001.beat.json" in planted:
        await world.take("first", ELSEWHERE)
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in planted.items():
        (folder / name).write_text(text)
    other = await acquire(
        world.files, "0" * 32, {"run_id": "other", "round": "x"},
        clock=lambda: world.now_s, sleep=world.sleep,
        in_thread=lambda function, *given: asyncio.to_thread(function, *given),
    )  # fmt: skip
    assert "other" in [run.run_id for run in live_runs(world.files)]
    other.end()
    assert (await world.take("second")).generation == 2
