"""What pods say: events in the service's own form, logs, metrics; and the machines there are."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest

LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \S.*")
IMAGE = "registry.example.com/bench:1"
BAD_PULL = re.compile(
    r"ErrImagePull|ImagePullBackOff|InvalidImageName|Failed to pull image|Back-off pulling image"
)


async def pod_events(pai: Any, job_id: str, pod_id: str, **query: Any) -> list[str]:
    path = f"/api/v1/jobs/{job_id}/pods/{pod_id}/events"
    answer = await pai.ok("GET", path, "GetPodEvents", query=query)
    assert (answer["JobId"], answer["PodId"]) == (job_id, pod_id)
    lines: list[str] = answer["Events"]
    return lines


async def logs(pai: Any, job_id: str, pod_id: str, **query: Any) -> list[str]:
    path = f"/api/v1/jobs/{job_id}/pods/{pod_id}/logs"
    lines: list[str] = (await pai.ok("GET", path, "GetPodLogs", query=query))["Logs"]
    return lines


async def test_an_ordinary_job_s_events(start: Any) -> None:
    pai = start()
    job_id = await pai.create()
    assert len(await pai.events(job_id)) == 1
    pai.clock.advance(100)
    lines = await pai.events(job_id)
    assert all(LINE.fullmatch(line) for line in lines)
    assert lines == sorted(lines, key=lambda line: line[:19])
    assert f"2026-01-01 00:00:06 Created pod: {job_id}-master-0" in lines
    assert f'2026-01-01 00:00:21 Pulling image "{IMAGE}"' in lines
    assert "2026-01-01 00:01:01 Successfully pulled image." in lines
    pod = await pod_events(pai, job_id, f"{job_id}-master-0")
    assert set(pod) < set(lines)
    assert not any(BAD_PULL.search(line) for line in lines)


async def test_events_of_a_time_and_the_last_of_many(start: Any) -> None:
    pai = start()
    job_id = await pai.create()
    pai.clock.advance(1000)
    every = await pai.events(job_id)
    assert await pai.events(job_id, MaxEventsNum=2) == every[-2:]
    window = {"StartTime": "2026-01-01T00:00:21Z", "EndTime": "2026-01-01T00:01:01Z"}
    assert await pai.events(job_id, **window) == [
        line for line in every if "00:00:21" <= line[11:19] <= "00:01:01"
    ]
    assert await pai.events(job_id, StartTime="2026-01-01T00:17:00Z") == []


@pytest.mark.parametrize(
    ("error", "says"),
    [
        ("not_found", "not found"),
        ("access_denied", "pull access denied"),
        ("manifest_unknown", "manifest unknown"),
        ("unauthorized", "unauthorized"),
        ("invalid_name", "InvalidImageName"),
        ("timeout", "i/o timeout"),
    ],
)
async def test_an_image_that_cannot_be_pulled_shows_in_events_alone(
    start: Any, error: str, says: str
) -> None:
    pai = start(f"jobs: [{{then: {{image_pull: {{fails_after_s: 5, error: {error}}}}}}}]")
    job_id = await pai.create()
    pai.clock.advance(25)
    assert not any(BAD_PULL.search(line) for line in await pai.events(job_id))
    pai.clock.advance(3600)
    job = await pai.get(job_id)
    assert (job["Status"], job["SubStatus"], job["ReasonMessage"]) == ("EnvPreparing", "", "")
    assert [(pod["Status"], pod["SubStatus"]) for pod in job["Pods"]] == [("Pending", "Normal")]
    lines = await pod_events(pai, job_id, f"{job_id}-master-0")
    failed = [line for line in lines if f'Failed to pull image "{IMAGE}"' in line]
    assert failed[0].startswith("2026-01-01 00:00:26 ")
    assert says in failed[0]
    assert any(line.endswith("Error: ImagePullBackOff") for line in lines)
    assert any(f'Back-off pulling image "{IMAGE}"' in line for line in lines)
    # Ever more slowly, and never more slowly than every five minutes.
    assert 12 <= len(failed) <= 18


async def test_a_pull_that_recovers(start: Any) -> None:
    pai = start("""
        jobs: [{then: {image_pull: {fails_after_s: 5, recovers_after_s: 60, pull_s: 30}}}]
    """)
    job_id = await pai.create()
    pai.clock.advance(6 + 15 + 60 + 29)
    assert await pai.status(job_id) == "EnvPreparing"
    pai.clock.advance(1)
    assert await pai.status(job_id) == "Running"
    lines = await pai.events(job_id)
    last_bad = max(number for number, line in enumerate(lines) if BAD_PULL.search(line))
    good = next(number for number, line in enumerate(lines) if "Successfully pulled" in line)
    assert last_bad < good
    assert lines[last_bad][:19] < "2026-01-01 00:01:21"
    assert f'2026-01-01 00:01:21 Pulling image "{IMAGE}"' in lines


async def test_a_pull_that_is_given_up(start: Any) -> None:
    pai = start("jobs: [{then: {image_pull: {fails_after_s: 5, gives_up_after_s: 600}}}]")
    job_id = await pai.create()
    pai.clock.advance(3600)
    job = await pai.get(job_id)
    assert job["Status"] == "Failed"
    assert f'Failed to pull image "{IMAGE}"' in job["ReasonMessage"]
    assert not any("Started container" in line for line in await pai.events(job_id))


async def test_a_pull_s_failure_in_the_pod_s_sub_status(start: Any) -> None:
    pai = start("jobs: [{then: {image_pull: {fails_after_s: 5, in_sub_status: true}}}]")
    job_id = await pai.create()
    pai.clock.advance(25)
    assert (await pai.get(job_id))["Pods"][0]["SubStatus"] == "Normal"
    pai.clock.advance(1)
    assert (await pai.get(job_id))["Pods"][0]["SubStatus"] == "ImagePullBackOff"


async def test_a_slow_pull_tells_of_its_layers(start: Any) -> None:
    pai = start("jobs: [{then: {image_pull: {pull_s: 1100, layers: 10}}}]")
    job_id = await pai.create()
    counts = []
    for _ in range(5):
        pai.clock.advance(200)
        lines = await pai.events(job_id)
        counts.append(sum(1 for line in lines if "layers are complete" in line))
    assert counts == [1, 3, 5, 7, 9]
    assert "9 of 10 layers" in (await pai.events(job_id))[-1]
    assert await pai.status(job_id) == "EnvPreparing"


async def test_a_stopped_job_says_nothing_more(start: Any) -> None:
    pai = start("jobs: [{then: {image_pull: {fails_after_s: 5}}}]")
    job_id = await pai.create()
    pai.clock.advance(100)
    await pai.stop(job_id)
    pai.clock.advance(10)
    lines = await pai.events(job_id)
    pai.clock.advance(3600)
    assert await pai.events(job_id) == lines
    assert "Job status changed to Stopped" in lines[-1]


async def test_a_pull_that_was_stopped_tells_of_no_more_layers(start: Any) -> None:
    pai = start("jobs: [{then: {image_pull: {pull_s: 1100, layers: 10}}}]")
    job_id = await pai.create()
    pai.clock.advance(21 + 350)
    await pai.stop(job_id)
    pai.clock.advance(3600)
    layers = [line for line in await pai.events(job_id) if "layers are complete" in line]
    assert len(layers) == 3


async def test_logs(start: Any) -> None:
    pai = start("jobs: [{then: {logs: [one, two, three], exit_code: 3}}]")
    job_id = await pai.create(spec={"PodCount": 2})
    pai.clock.advance(20)
    master, worker = f"{job_id}-master-0", f"{job_id}-worker-0"
    assert await logs(pai, job_id, master) == []
    pai.clock.advance(100)
    assert await logs(pai, job_id, master) == ["one", "two", "three"]
    assert await logs(pai, job_id, master, MaxLines=2) == ["two", "three"]
    assert await logs(pai, job_id, worker) == [f"waiting for {master}"]
    pai.clock.advance(1000)
    assert (await logs(pai, job_id, master))[-1] == "command exited with code 3"
    assert await logs(pai, job_id, master, EndTime="2026-01-01T00:00:30Z") == []


async def test_what_a_lost_pod_said_is_had_by_its_uid(start: Any) -> None:
    pai = start("jobs: [{then: {logs: [tide], interruptions: [{after_s: 50}]}}]")
    job_id = await pai.create()
    pai.clock.advance(115)
    pod_id = f"{job_id}-master-0"
    assert await logs(pai, job_id, pod_id) == []
    lost = (await pai.get(job_id))["Pods"][0]["HistoryPods"][0]["PodUid"]
    assert await logs(pai, job_id, pod_id, PodUid=lost) == ["tide"]
    of_lost = await pod_events(pai, job_id, pod_id, PodUid=lost)
    of_both = await pod_events(pai, job_id, pod_id)
    assert set(of_lost) < set(of_both)
    assert any("was evicted" in line for line in of_lost)


async def test_pods_that_are_not_there(start: Any) -> None:
    pai = start()
    job_id = await pai.create()
    pai.clock.advance(100)
    for pod_id, query in ((f"{job_id}-worker-7", {}), (f"{job_id}-master-0", {"PodUid": "x"})):
        path = f"/api/v1/jobs/{job_id}/pods/{pod_id}/logs"
        answer = await pai.call("GET", path, "GetPodLogs", query=query)
        assert (answer.status_code, answer.json()["Code"]) == (404, "NotFound")


async def metrics(pai: Any, job_id: str, **query: Any) -> httpx.Response:
    path = f"/api/v1/jobs/{job_id}/metrics"
    answer: httpx.Response = await pai.call("GET", path, "GetJobMetrics", query=query)
    return answer


async def test_metrics_while_the_pods_run(start: Any) -> None:
    pai = start()
    job_id = await pai.create(spec={"PodCount": 2})
    cpu = await pai.create(spec={"EcsSpec": "ecs.g6.large"})
    assert (await metrics(pai, job_id, MetricType="CpuCoreUsage")).json()["PodMetrics"] == []
    pai.clock.advance(1000)
    answer = (await metrics(pai, job_id, MetricType="GpuCoreUsage", TimeStep="1m")).json()
    assert [one["PodId"][-8:] for one in answer["PodMetrics"]] == ["master-0", "worker-0"]
    points = answer["PodMetrics"][0]["Metrics"]
    # It ran from 61 s to 361 s: at the second minute, and so on to the sixth.
    assert [point["Time"] for point in points] == [
        1_767_225_600_000 + 60_000 * minute for minute in (2, 3, 4, 5, 6)
    ]
    assert all(0 < point["Value"] <= 100 for point in points)
    again = (await metrics(pai, job_id, MetricType="GpuCoreUsage", TimeStep="1m")).json()
    assert again["PodMetrics"] == answer["PodMetrics"]
    assert (await metrics(pai, cpu, MetricType="GpuCoreUsage")).json()["PodMetrics"] == []


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({}, "MissingParameter"),
        ({"MetricType": "Mood"}, "InvalidParameter"),
        ({"MetricType": "CpuCoreUsage", "TimeStep": "5 minutes"}, "InvalidParameter"),
        (
            {"MetricType": "CpuCoreUsage", "TimeStep": "1s", "StartTime": "2020-01-01T00:00:00Z"},
            "InvalidParameter",
        ),
    ],
)
async def test_metrics_that_are_refused(start: Any, query: dict[str, str], code: str) -> None:
    pai = start()
    answer = await metrics(pai, await pai.create(), **query)
    assert (answer.status_code, answer.json()["Code"]) == (400, code)


async def specs(pai: Any, **query: Any) -> dict[str, Any]:
    document: dict[str, Any] = await pai.ok("GET", "/api/v1/ecsspecs", "ListEcsSpecs", query=query)
    return document


async def test_machines_come_ten_a_page(start: Any) -> None:
    pai = start()
    first = await specs(pai)
    assert len(first["EcsSpecs"]) == 10 < first["TotalCount"]
    names = []
    for page in range(1, 5):
        names += [one["InstanceType"] for one in (await specs(pai, PageNumber=page))["EcsSpecs"]]
    assert len(names) == len(set(names)) == first["TotalCount"]


async def test_machines_of_a_kind(start: Any) -> None:
    pai = start()
    gpus = (await specs(pai, AcceleratorType="GPU", PageSize=100))["EcsSpecs"]
    assert {one["AcceleratorType"] for one in gpus} == {"GPU"}
    assert all(one["Gpu"] > 0 and one["GpuType"] and one["GpuMemory"] for one in gpus)
    lingjun = (await specs(pai, ResourceType="Lingjun"))["EcsSpecs"]
    assert [one["ResourceType"] for one in lingjun] == ["Lingjun"]
    named = await specs(pai, InstanceTypes="ecs.gn7i-c32g1.8xlarge,ecs.c6.large")
    assert [one["InstanceType"] for one in named["EcsSpecs"]] == [
        "ecs.c6.large",
        "ecs.gn7i-c32g1.8xlarge",
    ]
    a10 = named["EcsSpecs"][1]
    assert (a10["Gpu"], a10["GpuType"], a10["GpuMemory"]) == (1, "NVIDIA A10", 24)
    assert (a10["Cpu"], a10["Memory"], a10["IsAvailable"]) == (32, 188, True)
    assert (a10["SpotStockStatus"], a10["NonProtectSpotDiscount"]) == ("WithStock", 0.35)


async def test_sorting_machines_works_as_badly_as_at_the_service(start: Any) -> None:
    pai = start()
    for by in ("CPU", "GPU", "Cpu"):
        answer = await pai.call("GET", "/api/v1/ecsspecs", "ListEcsSpecs", query={"SortBy": by})
        assert (answer.status_code, answer.json()["Code"]) == (400, "InvalidParameter")
    memory = [one["Memory"] for one in (await specs(pai, SortBy="Memory"))["EcsSpecs"]]
    assert memory == sorted(memory, reverse=True)
    willing = start(sorts_specs=True)
    cpus = [one["Cpu"] for one in (await specs(willing, SortBy="CPU", Order="asc"))["EcsSpecs"]]
    assert cpus == sorted(cpus)
