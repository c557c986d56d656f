"""Latency models, and the schedule that keeps to them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from tidemark.errors import ConfigError
from tidemark.simulator.config import EndpointConfig, config_from_arguments
from tidemark.simulator.latency import Latency, LatencyModel
from tidemark.simulator.schedule import Alarm, LoopAlarm, Schedule, kernel_or_loop_alarm


def test_fixed_latencies_do_not_depend_on_load() -> None:
    model = LatencyModel(ttft_s=0.1, tpot_s=0.01)
    assert model.latency(1, 0) == model.latency(2, 500) == Latency(0.1, 0.01)
    assert model.slot_limit is None


def test_degrading_latencies_double_at_the_knee() -> None:
    model = LatencyModel("degrading", ttft_s=0.1, tpot_s=0.01, knee=16)
    assert model.latency(1, 0) == Latency(0.1, 0.01)
    assert model.latency(1, 16) == Latency(0.2, 0.02)
    assert model.latency(1, 48) == Latency(0.4, 0.04)


def test_jitter_is_drawn_per_request_and_repeats() -> None:
    model = LatencyModel(ttft_s=0.1, tpot_s=0.01, ttft_jitter=0.2, tpot_jitter=0.1, seed=3)
    drawn = [model.latency(number, 0) for number in range(200)]
    assert drawn == [model.latency(number, 0) for number in range(200)]
    assert len({one.ttft_s for one in drawn}) == 200
    assert all(0.08 <= one.ttft_s <= 0.12 and 0.009 <= one.tpot_s <= 0.011 for one in drawn)
    assert min(one.ttft_s for one in drawn) < 0.085
    assert max(one.ttft_s for one in drawn) > 0.115


async def test_queueing_lets_in_one_after_the_other_in_order(start: Any) -> None:
    endpoint = await start(latency=LatencyModel("queueing", ttft_s=0.004, tpot_s=0.001, slots=2))
    await asyncio.gather(*(endpoint.stream() for _ in range(6)))
    lines = sorted(await endpoint.lines(), key=lambda line: line["number"])
    begins = [line["begin_s"] for line in lines]
    assert begins == sorted(begins)
    # The first two begin as they arrive; each other when one before it has ended.
    assert [line["begin_s"] == line["arrival_s"] for line in lines] == [True] * 2 + [False] * 4
    ends = sorted(line["end_s"] for line in lines)
    for begin, end in zip(begins[2:], ends, strict=False):
        assert begin >= end
    for line in lines:
        running = sum(other["begin_s"] <= line["begin_s"] < other["end_s"] for other in lines)
        assert running <= 2
        # The wait is part of the true TTFT.
        assert line["first_token_s"] - line["begin_s"] >= 0.004
    # Two rounds of two pass before the last two begin.
    assert lines[-1]["first_token_s"] - lines[0]["arrival_s"] >= 2 * (0.004 + 4 * 0.001) + 0.004


async def test_a_waiting_client_that_leaves_frees_its_place(start: Any) -> None:
    endpoint = await start("hang when first=1,last=1", latency=LatencyModel("queueing", slots=1))
    hanging = asyncio.create_task(endpoint.stream())
    await endpoint.until(lambda truth: truth["counts"]["in_flight"] == 1)
    waiting = asyncio.create_task(endpoint.stream())
    await endpoint.until(lambda truth: truth["waiting"] == 1)
    last = asyncio.create_task(endpoint.stream())
    await endpoint.until(lambda truth: truth["waiting"] == 2)
    metrics = (await endpoint.client.get("/metrics")).text
    assert 'num_requests_waiting{model_name="simulated"} 2' in metrics
    assert 'num_requests_running{model_name="simulated"} 1' in metrics
    waiting.cancel()
    await endpoint.until(lambda truth: truth["waiting"] == 1)
    hanging.cancel()
    assert len((await last).content) == 5
    truth = await endpoint.truth()
    assert (truth["counts"]["aborted"], truth["counts"]["ok"]) == (2, 1)


async def test_degrading_latencies_follow_the_others_in_flight(start: Any) -> None:
    endpoint = await start(latency=LatencyModel("degrading", ttft_s=0.02, tpot_s=0.001, knee=2))
    await asyncio.gather(*(endpoint.stream() for _ in range(4)))
    for line in await endpoint.lines():
        others = line["in_flight"] - 1
        assert line["due_ttft_s"] == pytest.approx(0.02 * (1 + others / 2))
        assert line["due_tpot_s"] == pytest.approx(0.001 * (1 + others / 2))


class Bell:
    """Something due at given times, that notes when it was fired."""

    def __init__(self, name: str, deadlines: list[float], log: list[tuple[str, float, float]]):
        self.over = False
        self.done = asyncio.Event()
        self._name = name
        self._deadlines = deadlines
        self._log = log

    def fire(self, now: float) -> float | None:
        self._log.append((self._name, self._deadlines.pop(0), now))
        if not self._deadlines:
            self.over = True
            self.done.set()
        return self._deadlines[0] if self._deadlines else None


@pytest.mark.parametrize("make_alarm", [kernel_or_loop_alarm, LoopAlarm])
async def test_nothing_is_early_and_the_earliest_is_first(
    make_alarm: Callable[[asyncio.AbstractEventLoop, Callable[[], None]], Alarm],
) -> None:
    schedule = Schedule(asyncio.get_running_loop(), make_alarm)
    log: list[tuple[str, float, float]] = []
    begin = time.monotonic()
    a = Bell("a", [begin + 0.002, begin + 0.004, begin + 0.009], log)
    b = Bell("b", [begin + 0.001, begin + 0.006], log)
    late = Bell("late", [begin - 1], log)
    schedule.add(begin + 0.002, a)
    schedule.add(begin + 0.001, b)
    schedule.add(begin - 1, late)
    await asyncio.gather(*(bell.done.wait() for bell in (a, b, late)))
    schedule.close()
    assert [name for name, _, _ in log] == ["late", "b", "a", "a", "b", "a"]
    assert all(now >= deadline for _, deadline, now in log)


async def test_what_is_over_is_not_fired() -> None:
    schedule = Schedule(asyncio.get_running_loop())
    log: list[tuple[str, float, float]] = []
    begin = time.monotonic()
    gone, last = Bell("gone", [begin + 0.001], log), Bell("last", [begin + 0.002], log)
    gone.over = True
    schedule.add(begin + 0.001, gone)
    schedule.add(begin + 0.002, last)
    await last.done.wait()
    schedule.close()
    assert [name for name, _, _ in log] == ["last"]


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (["--ttft-s", "-1"], "--ttft-s"),
        (["--tpot-s", "nan"], "--tpot-s"),
        (["--slots", "0"], "--slots"),
        (["--knee", "0"], "--knee"),
        (["--ttft-jitter", "1"], "--ttft-jitter"),
        (["--tokens-per-chunk", "0"], "--tokens-per-chunk"),
        (["--max-seconds", "0"], "--max-seconds"),
        (["--parent-pid", "0"], "--parent-pid"),
        (["--record-header", "Authorization"], "--record-header"),
        (["--fault", "explode"], "explode"),
    ],
)
def test_options_that_make_no_sense_are_refused_by_name(arguments: list[str], option: str) -> None:
    with pytest.raises(ConfigError) as refused:
        config_from_arguments(arguments)
    assert option in str(refused.value)


def test_the_command_line_without_options_is_the_default_endpoint() -> None:
    made, default = config_from_arguments([]), EndpointConfig()
    names = [name for name in EndpointConfig.__dataclass_fields__ if name != "created"]
    assert {name: getattr(made, name) for name in names} == {
        name: getattr(default, name) for name in names
    }
