"""A clock whose speed may change, and whose time goes on from where it was."""

from __future__ import annotations

import asyncio
import time

import pytest

from tidemark.simulator.clock import ScaledClock


def test_a_change_of_speed_moves_no_time() -> None:
    clock = ScaledClock(1000.0, start_s=5.0)
    while clock.monotonic() < 1:
        pass
    before = clock.time()
    clock.speed = 1.0
    assert clock.speed == 1.0
    assert 0 <= clock.time() - before < 10
    began = time.monotonic()
    first = clock.monotonic()
    while time.monotonic() - began < 0.02:
        pass
    assert 0.02 <= clock.monotonic() - first < 1


def test_time_that_has_passed_is_not_counted_again() -> None:
    clock = ScaledClock(1_000_000.0)
    while clock.monotonic() < 100_000:
        pass
    clock.speed = 1.0
    before = clock.monotonic()
    clock.speed = 1_000_000.0
    assert clock.monotonic() - before < 50_000


def test_skipping_ahead() -> None:
    clock = ScaledClock(1.0)
    before, passed = clock.time(), clock.monotonic()
    clock.advance(3600)
    assert 3600 <= clock.time() - before < 3601
    assert 3600 <= clock.monotonic() - passed < 3601
    with pytest.raises(ValueError, match="not set back"):
        clock.advance(-1)


@pytest.mark.parametrize("speed", [0.0, -1.0, float("nan")])
def test_a_speed_that_is_none(speed: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        ScaledClock(speed)
    clock = ScaledClock(1.0)
    with pytest.raises(ValueError, match="above 0"):
        clock.speed = speed
    assert clock.speed == 1.0


async def asleep(clock: ScaledClock, seconds: float) -> asyncio.Task[None]:
    task = asyncio.create_task(clock.sleep(seconds))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not task.done()
    return task


async def test_whoever_sleeps_wakes_by_the_new_speed() -> None:
    clock = ScaledClock(1.0)
    task = await asleep(clock, 3600)
    clock.speed = 1_000_000.0
    await asyncio.wait_for(task, 5)
    assert clock.monotonic() >= 3600


async def test_whoever_sleeps_wakes_when_the_moment_is_skipped() -> None:
    clock = ScaledClock(1.0)
    task = await asleep(clock, 3600)
    clock.advance(1800)
    for _ in range(5):
        await asyncio.sleep(0)
    assert not task.done()
    clock.advance(1801)
    await asyncio.wait_for(task, 5)


async def test_a_sleep_that_is_given_up_leaves_nothing_behind() -> None:
    clock = ScaledClock(1.0)
    task = await asleep(clock, 3600)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    clock.speed = 2.0
    await clock.sleep(0)
