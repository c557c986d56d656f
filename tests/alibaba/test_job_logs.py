"""A log that grows is read in order, each line once, through pods that are replaced."""

from __future__ import annotations

import asyncio
import random
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime

import httpx
import pytest
from cloud import ADDRESS, LEAVE, cloud, request
from hypothesis import given, settings
from hypothesis import strategies as st

from tidemark.alibaba.account import Account
from tidemark.alibaba.channel import ChannelSettings
from tidemark.alibaba.credentials import StaticCredentials
from tidemark.alibaba.dlc import Dlc
from tidemark.alibaba.job_evidence import collect
from tidemark.alibaba.job_logs import LogStream
from tidemark.simulator.clock import VirtualClock

JOB_ID = "dlc1example"
POD_ID = f"{JOB_ID}-master-0"
MOST = 2000


@dataclass
class Container:
    """One life of a pod: its uid, and the lines with the moment each was written."""

    uid: str
    lines: list[tuple[float, str]] = field(default_factory=list)


class LogService(httpx.AsyncBaseTransport):
    """GetJob and GetPodLogs as the service has them: the last 2,000 lines since a moment, whatever
    is asked for. Pods come and go as a test says."""

    def __init__(self, clock: VirtualClock, ahead_s: float = 0.0) -> None:
        self.clock = clock
        self.ahead_s = ahead_s
        self.containers = [Container("uid-0")]
        self.asked = 0
        self.fails = 0
        self.status = "Running"

    def write(self, *lines: str) -> None:
        now_s = self.clock.time() - self.ahead_s
        self.containers[-1].lines += [(now_s, line) for line in lines]

    def replace(self) -> None:
        self.containers.append(Container(f"uid-{len(self.containers)}"))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        query = request.url.params
        if not request.url.path.endswith("/logs"):
            return httpx.Response(200, json=self._job())
        self.asked += 1
        if self.fails:
            self.fails -= 1
            return httpx.Response(400, json={"Code": "BadRequest", "Message": "not now"})
        uid = query.get("PodUid") or self.containers[-1].uid
        one = next(each for each in self.containers if each.uid == uid)
        since = query.get("StartTime")
        since_s = datetime.fromisoformat(since).timestamp() if since else 0.0
        lines = [line for at_s, line in one.lines if at_s >= since_s]
        most = min(MOST, int(query.get("MaxLines") or MOST))
        return httpx.Response(200, json={"PodId": POD_ID, "PodUid": uid, "Logs": lines[-most:]})

    def _job(self) -> dict[str, object]:
        views = [
            {"PodId": POD_ID, "PodUid": one.uid, "Type": "Master", "Status": self.status}
            for one in self.containers
        ]
        pod = {**views[-1], "HistoryPods": views[:-1]}
        return {"JobId": JOB_ID, "Status": "Running", "Pods": [pod]}

    @property
    def dlc(self) -> Dlc:
        account = Account(
            StaticCredentials.of("LTAIsimulator", "simulator-secret"),
            "cn-hangzhou",
            endpoints=ADDRESS,
            transport=self,
            clock=self.clock,
            settings=ChannelSettings(calls_per_s=10_000.0),
        )
        return Dlc(account)

    def stream(self) -> LogStream:
        return LogStream(self.dlc, JOB_ID, clock=self.clock)


async def read(stream: LogStream) -> list[str]:
    return [line for _, line in await stream.new_lines()]


async def test_only_what_is_new_is_told_and_equal_lines_are_kept() -> None:
    service = LogService(VirtualClock(jump=True))
    stream = service.stream()
    assert await read(stream) == []
    service.write("a", "a", "b")
    assert await read(stream) == ["a", "a", "b"]
    assert await read(stream) == []
    service.write("b", "b")
    assert await read(stream) == ["b", "b"]
    service.write("b")
    assert await read(stream) == ["b"]


async def test_a_pod_that_is_replaced_is_read_to_its_end_first() -> None:
    service = LogService(VirtualClock(jump=True))
    stream = service.stream()
    service.write("first life", "same")
    assert await read(stream) == ["first life", "same"]
    service.write("last words")
    service.replace()
    service.write("first life", "same")
    service.replace()
    service.write("same")
    assert await read(stream) == ["last words", "first life", "same", "same"]
    assert await read(stream) == []


async def test_a_long_log_is_asked_for_from_a_later_moment_on() -> None:
    clock = VirtualClock(jump=True)
    service = LogService(clock)
    stream = service.stream()
    written, told = 0, []
    for _ in range(40):
        service.write(*(f"line {written + n}" for n in range(400)))
        written += 400
        told += await read(stream)
        clock.advance(30)
    assert told == [f"line {n}" for n in range(written)]
    # One call a look, and a few more where the moment is moved on.
    assert service.asked < 40 * 2.5


async def test_equal_lines_of_a_long_log_are_counted() -> None:
    clock = VirtualClock(jump=True)
    service = LogService(clock)
    stream = service.stream()
    told = []
    for _ in range(60):
        service.write(*["tick"] * 100)
        told += await read(stream)
        clock.advance(30)
    assert told == ["tick"] * 6000


async def test_lines_that_the_service_no_longer_shows_are_told_to_be_missing() -> None:
    clock = VirtualClock(jump=True)
    service = LogService(clock)
    stream = service.stream()
    service.write(*(f"early {n}" for n in range(10)))
    await read(stream)
    clock.advance(30)
    service.write(*(f"many {n}" for n in range(5000)))
    notice, *rest = await read(stream)
    assert "may be missing" in notice
    assert "2000" in notice
    assert rest == [f"many {n}" for n in range(3000, 5000)]
    clock.advance(30)
    service.write("after")
    assert await read(stream) == ["after"]


async def test_two_thousand_lines_between_two_looks_are_not_too_many() -> None:
    clock = VirtualClock(jump=True)
    service = LogService(clock)
    stream = service.stream()
    service.write("before")
    told = await read(stream)
    for number in range(4):
        clock.advance(30)
        service.write(*(f"{number}/{n}" for n in range(1900)))
        told += await read(stream)
    assert told == ["before", *(f"{number}/{n}" for number in range(4) for n in range(1900))]


@pytest.mark.parametrize("ahead_s", [-600.0, -3.0, 3.0, 600.0])
async def test_a_clock_that_differs_from_the_services_loses_and_repeats_nothing(
    ahead_s: float,
) -> None:
    clock = VirtualClock(jump=True)
    service = LogService(clock, ahead_s)
    stream = service.stream()
    written, told = 0, []
    for _ in range(30):
        service.write(*(f"line {written + n}" for n in range(300)))
        written += 300
        told += await read(stream)
        clock.advance(30)
    assert told == [f"line {n}" for n in range(written)]


async def test_the_lines_of_a_new_pod_wait_for_those_of_the_one_it_replaced() -> None:
    service = LogService(VirtualClock(jump=True))
    stream = service.stream()
    service.write("old")
    service.replace()
    service.write("new")
    service.fails = 1
    assert await read(stream) == []
    assert await read(stream) == ["old", "new"]


async def test_an_answer_that_fails_or_is_short_is_made_up_for_by_the_next() -> None:
    service = LogService(VirtualClock(jump=True))
    stream = service.stream()
    service.write("a", "b", "c")
    service.fails = 1
    assert await read(stream) == []
    assert await read(stream) == ["a", "b", "c"]
    kept = service.containers[-1].lines
    service.containers[-1].lines = kept[:2]
    assert await read(stream) == []
    service.containers[-1].lines = kept
    service.write("d")
    assert await read(stream) == ["d"]


async def test_what_is_remembered_is_bounded() -> None:
    clock = VirtualClock(jump=True)
    service = LogService(clock)
    stream = service.stream()
    sizes = []
    for round_ in range(30):
        service.write(*(f"{round_} {n} {'x' * 200}" for n in range(900)))
        await read(stream)
        clock.advance(30)
        sizes.append(sum(sys.getsizeof(pod.tail) for pod in stream._pods.values()))
        if round_ % 10 == 9:
            service.replace()
    assert max(sizes) < 64_000


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("write"), st.integers(0, 60)),
            st.tuples(st.just("much"), st.integers(200, 900)),
            st.tuples(st.just("replace"), st.just(0)),
            st.tuples(st.just("look"), st.integers(0, 300)),
            st.tuples(st.just("fail"), st.just(0)),
        ),
        max_size=25,
    ),
    st.integers(1, 4),
    st.randoms(use_true_random=False),
)
def test_any_history_is_told_line_by_line(
    steps: list[tuple[str, int]], different: int, chance: random.Random
) -> None:
    """Up to 2,000 lines between two looks; where there are few, of few different texts."""

    async def play() -> None:
        clock = VirtualClock(jump=True)
        service = LogService(clock)
        stream = service.stream()
        told: list[str] = []
        unread = 0
        for what, number in steps:
            if what in ("write", "much"):
                number = min(number, 1900 - unread)
                unread += number
                texts = different if what == "write" else 10**9
                service.write(*(f"{chance.randrange(texts)}" for _ in range(number)))
            elif what == "replace":
                service.replace()
            elif what == "fail":
                service.fails = 1
                told += await read(stream)
                service.fails = 0
            else:
                told += await read(stream)
                unread = 0
            clock.advance(chance.choice([0.5, 5, 30, number]))
        told += await read(stream)
        assert told == [line for one in service.containers for _, line in one.lines]

    asyncio.run(play())


async def test_the_stream_reads_the_simulated_cloud() -> None:
    here = cloud("jobs: [{then: {running_s: 60, logs: [one, one, two]}}]")
    job_id = await here.dlc.create_job(request(), authorization=LEAVE)
    stream = LogStream(here.dlc, job_id, clock=here.clock)
    told = []
    for _ in range(10):
        told += await stream.new_lines()
        await here.clock.sleep(20)
    pod_id = f"{job_id}-master-0"
    assert told == [(pod_id, each) for each in ("one", "one", "two", "command finished")]


async def test_evidence_of_a_service_that_refuses_says_what_is_missing() -> None:
    here = cloud("jobs: [{then: {running_s: never, logs: [one]}}]")
    job_id = await here.dlc.create_job(request(), authorization=LEAVE)
    await here.clock.sleep(120)
    job = await here.dlc.get_job(job_id)
    here.play("calls: [{when: {action: 'Get*'}, then: {error: {status: 403, code: NoPermission}}}]")
    evidence = await collect(here.dlc, job_id, job=job, clock=here.clock)
    assert evidence.job.job_id == job_id
    assert (dict(evidence.events), dict(evidence.logs)) == ({}, {})
    assert len(evidence.missing) == 4
    assert all("NoPermission" in each for each in evidence.missing)
    assert "could not be read:" in evidence.text()


async def test_evidence_is_not_read_for_longer_than_allowed() -> None:
    here = cloud("jobs: [{then: {running_s: never}}]")
    many = request(job_specs=[
        {"image": "a:1", "pod_count": 50, "resources": {"ecs_spec": "ecs.c6.large"}}
    ])  # fmt: skip
    job_id = await here.dlc.create_job(many, authorization=LEAVE)
    await here.clock.sleep(120)
    here.play("calls: [{when: {action: 'Get*'}, then: {slow_s: 5}}]")
    begun_s = here.clock.monotonic()
    evidence = await collect(here.dlc, job_id, clock=here.clock, within_s=60.0)
    assert here.clock.monotonic() - begun_s < 70
    assert len(evidence.job.pods) == 50
    assert any("not asked for" in each for each in evidence.missing)


async def test_evidence_has_times_in_utc_and_goes_into_json() -> None:
    here = cloud("jobs: [{then: {running_s: 10, logs: [one]}}]")
    job_id = await here.dlc.create_job(request(), authorization=LEAVE)
    await here.clock.sleep(300)
    evidence = await collect(here.dlc, job_id, clock=here.clock)
    first = evidence.events[""][0]
    assert first.at == datetime(2026, 1, 1, tzinfo=UTC)
    assert f"2026-01-01 00:00:00 Job {job_id} is created." in evidence.text()
    assert evidence.document()["events"][""][0]["at"] == "2026-01-01T00:00:00+00:00"
    assert evidence.missing == ()
