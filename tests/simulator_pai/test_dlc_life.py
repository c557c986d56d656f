"""A job goes through its statuses in order, by the clock, however the clock moves."""

from __future__ import annotations

import math
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidemark.simulator.pai.accounts import Account
from tidemark.simulator.pai.job_life import STATUSES, TERMINAL, Conditions, Exit, job_life
from tidemark.simulator.pai.job_script import Detour, ImagePull, Interruption, JobScript, StockOut

ORDINARY = ["Creating", "Queuing", "EnvPreparing", "Running"]


def names(job: dict[str, Any]) -> list[str]:
    return [one["Status"] for one in job["StatusHistory"]]


async def lived(pai: Any, job_id: str, seconds: float) -> dict[str, Any]:
    """The job after so many seconds more."""
    pai.clock.advance(seconds)
    job: dict[str, Any] = await pai.get(job_id)
    return job


async def test_an_ordinary_job(start: Any) -> None:
    pai = start()
    job_id = await pai.create()
    seen = []
    for _ in range(100):
        seen.append(await pai.status(job_id))
        pai.clock.advance(4)
    assert list(dict.fromkeys(seen)) == [*ORDINARY, "Succeeded"]
    job = await pai.get(job_id)
    assert names(job) == [*ORDINARY, "Succeeded"]
    assert job["ReasonCode"] == "JobSucceeded"
    assert job["GmtCreateTime"] == "2026-01-01T00:00:00Z"
    assert job["GmtRunningTime"] == "2026-01-01T00:01:01Z"
    assert job["GmtSuccessedTime"] == job["GmtFinishTime"] == "2026-01-01T00:06:01Z"
    assert job["GmtFailedTime"] == job["GmtStoppedTime"] == ""
    assert job["Duration"] == 300
    assert [pod["Status"] for pod in job["Pods"]] == ["Succeeded"]


async def test_a_clock_that_jumps_shows_the_same_history(start: Any) -> None:
    slow, fast = start(), start()
    one, other = await slow.create(), await fast.create()
    for _ in range(500):
        slow.clock.advance(1)
        await slow.status(one)
    fast.clock.advance(500)
    assert (await slow.get(one))["StatusHistory"] == (await fast.get(other))["StatusHistory"]


async def test_pods_come_with_their_nodes(start: Any) -> None:
    pai = start()
    job_id = await pai.create(spec={"PodCount": 2})
    assert (await lived(pai, job_id, 3))["Pods"] == []
    job = await lived(pai, job_id, 5)
    assert [(pod["Status"], pod["NodeName"]) for pod in job["Pods"]] == [("Pending", "")] * 2
    job = await lived(pai, job_id, 20)
    assert all(pod["Status"] == "Pending" and pod["NodeName"] for pod in job["Pods"])
    job = await lived(pai, job_id, 60)
    assert all(pod["Status"] == "Running" and pod["Ip"] for pod in job["Pods"])


async def test_without_detail_there_are_no_pods(start: Any) -> None:
    pai = start()
    job_id = await pai.create()
    job = await pai.get(job_id, query={"NeedDetail": "False"})
    assert "Pods" not in job
    assert "StatusHistory" not in job


async def test_a_stop_takes_a_while(start: Any) -> None:
    pai = start()
    job_id = await pai.create()
    await lived(pai, job_id, 100)
    assert (await pai.stop(job_id)).json()["JobId"] == job_id
    assert await pai.status(job_id) == "Stopping"
    pai.clock.advance(3)
    assert (await pai.stop(job_id)).status_code == 200
    job = await lived(pai, job_id, 2)
    assert names(job) == [*ORDINARY, "Stopping", "Stopped"]
    assert (job["ReasonCode"], job["ReasonMessage"]) == (
        "JobStoppedByUser",
        "Job is stopped by user.",
    )
    assert job["GmtStoppedTime"] == job["GmtFinishTime"] == "2026-01-01T00:01:45Z"
    assert [pod["Status"] for pod in job["Pods"]] == ["Stopped"]
    answer = await pai.stop(job_id)
    assert (answer.status_code, answer.json()["Code"]) == (400, "BadRequest")


async def test_a_job_that_has_ended_cannot_be_stopped(start: Any) -> None:
    pai = start()
    job_id = await pai.create()
    pai.clock.advance(1000)
    answer = await pai.stop(job_id)
    assert (answer.status_code, answer.json()["Code"]) == (400, "BadRequest")
    assert await pai.status(job_id) == "Succeeded"


async def test_a_job_that_never_gets_to_stop(start: Any) -> None:
    pai = start("jobs: [{then: {stopping_s: never}}]")
    job_id = await pai.create()
    await pai.stop(job_id)
    assert (await lived(pai, job_id, 86400))["Status"] == "Stopping"


async def test_a_limit_stops_a_job(start: Any) -> None:
    pai = start("jobs: [{then: {running_s: never}}]")
    job_id = await pai.create(JobMaxRunningTimeMinutes=2)
    assert (await lived(pai, job_id, 61 + 119))["Status"] == "Running"
    assert (await lived(pai, job_id, 1))["Status"] == "Stopping"
    job = await lived(pai, job_id, 5)
    assert (job["Status"], job["ReasonCode"]) == ("Stopped", "JobMaxRunningTimeExceeded")
    assert "2 minutes" in job["ReasonMessage"]
    assert job["Duration"] == 125


async def test_a_job_stopped_before_it_has_nodes_gets_none(start: Any) -> None:
    pai = start("jobs: [{then: {stopping_s: 60}}]")
    job_id = await pai.create()
    await lived(pai, job_id, 5)
    await pai.stop(job_id)
    job = await lived(pai, job_id, 40)
    assert (job["Status"], job["Pods"]) == ("Stopping", [])
    job = await lived(pai, job_id, 60)
    assert (job["Status"], job["Pods"]) == ("Stopped", [])
    assert pai.simulator.bill()["resources"] == []


async def test_what_would_have_come_after_a_limit_does_not(start: Any) -> None:
    pai = start("jobs: [{then: {interruptions: [{after_s: 100}]}}]")
    job_id = await pai.create(JobMaxRunningTimeMinutes=1)
    job = await lived(pai, job_id, 1000)
    assert (job["Status"], job["RestartTimes"]) == ("Stopped", "0/10")
    assert [pod["HistoryPods"] for pod in job["Pods"]] == [[]]
    assert Decimal(pai.simulator.bill()["billable_seconds"]) == 15 + 40 + 60 + 5


async def test_a_stop_while_a_new_node_is_waited_for(start: Any) -> None:
    pai = start("""
        jobs: [{then: {stopping_s: 60, interruptions: [{after_s: 100, new_node_s: 40}]}}]
    """)
    job_id = await pai.create()
    assert (await lived(pai, job_id, 165))["Status"] == "Restarting"
    billed = pai.simulator.bill()["billable_seconds"]
    await pai.stop(job_id)
    job = await lived(pai, job_id, 1000)
    assert job["Status"] == "Stopped"
    assert job["RestartRecord"][0]["RestartStatus"] == "Failed"
    assert job["RestartRecord"][0]["RestartDurationInSec"] == 64
    assert pai.simulator.bill()["billable_seconds"] == billed
    events = [line[20:] for line in await pai.events(job_id)]
    assert events.count("Started container main") == 1


async def test_deleting_needs_an_end(start: Any) -> None:
    pai = start()
    job_id = await pai.create()
    path = f"/api/v1/jobs/{job_id}"
    answer = await pai.call("DELETE", path, "DeleteJob")
    assert (answer.status_code, answer.json()["Code"]) == (400, "BadRequest")
    pai.clock.advance(1000)
    before = pai.simulator.bill()["total"]
    assert (await pai.ok("DELETE", path, "DeleteJob"))["JobId"] == job_id
    assert (await pai.call("GET", path, "GetJob")).status_code == 404
    assert (await pai.call("DELETE", path, "DeleteJob")).status_code == 404
    assert await pai.names() == []
    assert pai.simulator.bill()["total"] == before != "0"


async def test_other_accounts_see_no_job(start: Any) -> None:
    pai = start()
    job_id = await pai.create()
    pai.simulator.accounts.add(Account("LTAIother", "other-secret", account_id="99"))
    pai.key_id, pai.secret = "LTAIother", "other-secret"
    assert (await pai.call("GET", f"/api/v1/jobs/{job_id}", "GetJob")).status_code == 404
    assert await pai.names() == []


async def test_no_stock_waits_or_fails_or_recovers(start: Any) -> None:
    pai = start("""
        jobs:
          - when: {name: waits}
            then: {stock_out: {}}
          - when: {name: fails}
            then: {stock_out: {fails_after_s: 120}}
          - when: {name: recovers}
            then: {stock_out: {recovers_after_s: 120}}
    """)
    ids = {name: await pai.create(DisplayName=name) for name in ("waits", "fails", "recovers")}
    pai.clock.advance(119)
    assert {await pai.status(job_id) for job_id in ids.values()} == {"Queuing"}
    pai.clock.advance(10)
    failed = await pai.get(ids["fails"])
    assert (failed["Status"], failed["ReasonCode"]) == ("Failed", "ResourceAllocateFailed")
    assert failed["Pods"] == []
    assert await pai.status(ids["recovers"]) == "EnvPreparing"
    pai.clock.advance(86400)
    assert await pai.status(ids["waits"]) == "Queuing"
    assert [one["resource"] for one in pai.simulator.bill()["resources"]] == [ids["recovers"]]


@pytest.mark.parametrize(
    "spec",
    [
        {"EcsSpec": "ecs.gn6i-c8g1.2xlarge"},
        {"SpotSpec": {"SpotStrategy": "SpotWithPriceLimit", "SpotDiscountLimit": 0.1}},
        {"SpotSpec": {"SpotStrategy": "SpotWithPriceLimit", "SpotPriceLimit": 0.01}},
        {
            "EcsSpec": "ml.gu7i.c32m188.1-gu30",
            "SpotSpec": {"SpotStrategy": "SpotWithPriceLimit", "SpotDiscountLimit": 0.9},
        },
    ],
)
async def test_a_machine_that_is_not_to_be_had_is_waited_for(
    start: Any, spec: dict[str, Any]
) -> None:
    pai = start()
    job_id = await pai.create(spec=spec)
    assert (await lived(pai, job_id, 86400))["Status"] == "Queuing"


async def test_several_spot_machines_offered_take_the_cheapest_in_stock(start: Any) -> None:
    pai = start()
    offered = ["ml.gu7i.c32m188.1-gu30", "ecs.gn7i-c32g1.8xlarge", "ecs.gn6i-c4g1.xlarge"]
    spots = [{"InstanceType": name, "SpotStrategy": "LowestPrice"} for name in offered]
    job_id = await pai.create(spec={"EcsSpec": None, "ElasticSpotSpecs": spots})
    assert (await lived(pai, job_id, 100))["Status"] == "Running"
    (line,) = pai.simulator.bill()["resources"][0]["lines"]
    assert (line["machine"], line["spot"]) == ("ecs.gn6i-c4g1.xlarge", True)


async def test_a_failing_command(start: Any) -> None:
    pai = start("jobs: [{then: {exit_code: 137, running_s: 10}}]")
    job_id = await pai.create()
    job = await lived(pai, job_id, 100)
    assert (job["Status"], job["ReasonCode"]) == ("Failed", "JobFailed")
    assert "137" in job["ReasonMessage"]
    assert "OOMKilled" in job["ReasonMessage"]
    assert [pod["Status"] for pod in job["Pods"]] == ["Failed"]
    assert job["GmtFailedTime"] == job["GmtFinishTime"]
    assert any(line.endswith("OOMKilled, exit code 137") for line in await pai.events(job_id))


@pytest.mark.parametrize(("exit_code", "outcome"), [(0, "Succeeded"), (1, "Failed")])
async def test_a_reserved_job_keeps_its_nodes(start: Any, exit_code: int, outcome: str) -> None:
    pai = start(f"jobs: [{{then: {{exit_code: {exit_code}}}}}]")
    job_id = await pai.create(Settings={"JobReservedMinutes": 10})
    job = await lived(pai, job_id, 400)
    assert job["Status"] == f"{outcome}Reserving"
    assert job["GmtFinishTime"] == ""
    assert [pod["Status"] for pod in job["Pods"]] == ["Running"]
    before = Decimal(pai.simulator.bill()["billable_seconds"])
    job = await lived(pai, job_id, 1000)
    assert job["Status"] == outcome
    assert Decimal(pai.simulator.bill()["billable_seconds"]) == before + 561


async def test_a_reservation_can_be_stopped(start: Any) -> None:
    pai = start("jobs: [{then: {reserving_s: never}}]")
    job_id = await pai.create()
    assert (await lived(pai, job_id, 86400))["Status"] == "SucceededReserving"
    await pai.stop(job_id)
    assert (await lived(pai, job_id, 10))["Status"] == "Stopped"


async def test_a_sanity_check_comes_before_running(start: Any) -> None:
    pai = start("jobs: [{when: {name: scripted}, then: {sanity_check_s: 100}}]")
    asked = await pai.create(Settings={"EnableSanityCheck": True})
    scripted = await pai.create(DisplayName="scripted")
    pai.clock.advance(100)
    assert [await pai.status(one) for one in (asked, scripted)] == ["SanityChecking"] * 2
    pai.clock.advance(30)
    assert [await pai.status(one) for one in (asked, scripted)] == ["Running", "SanityChecking"]


async def test_statuses_that_nobody_knows(start: Any) -> None:
    pai = start("""
        jobs:
          - then:
              detours:
                - {status: Waiting, before: Queuing, for_s: 10}
                - {status: Migrating, before: Running, for_s: 20}
    """)
    job_id = await pai.create()
    assert (await lived(pai, job_id, 5))["Status"] == "Waiting"
    assert (await lived(pai, job_id, 70))["Status"] == "Migrating"
    job = await lived(pai, job_id, 1000)
    expected = ["Creating", "Waiting", "Queuing", "EnvPreparing", "Migrating", "Running"]
    assert names(job) == [*expected, "Succeeded"]


SPOT = {"SpotSpec": {"SpotStrategy": "SpotWithPriceLimit", "SpotDiscountLimit": 0.9}}


async def test_an_eviction_restarts_the_job_on_another_node(start: Any) -> None:
    pai = start("""
        jobs:
          - then:
              interruptions: [{after_s: 100, pod: 1, new_node_s: 40, start_s: 20}]
    """)
    job_id = await pai.create(spec={"PodCount": 2, **SPOT})
    before = (await lived(pai, job_id, 100))["Pods"][1]
    job = await lived(pai, job_id, 70)
    assert (job["Status"], job["SubStatus"], job["RestartTimes"]) == (
        "Restarting",
        "Restarting",
        "1/10",
    )
    master, worker = job["Pods"]
    assert (master["Status"], master["HistoryPods"]) == ("Running", [])
    assert worker["Status"] == "Pending"
    assert worker["PodId"] == before["PodId"]
    assert worker["PodUid"] != before["PodUid"]
    (lost,) = worker["HistoryPods"]
    assert lost["PodUid"] == before["PodUid"]
    assert (lost["Status"], lost["SubStatus"]) == ("Failed", "Evicted")
    (record,) = job["RestartRecord"]
    assert (record["JobRestartCount"], record["RestartStatus"]) == (1, "Restarting")
    job = await lived(pai, job_id, 60)
    assert (job["Status"], job["SubStatus"]) == ("Running", "")
    assert job["Pods"][1]["NodeName"] != lost["NodeName"]
    assert any("was evicted" in line for line in await pai.events(job_id))
    job = await lived(pai, job_id, 1000)
    assert names(job) == [*ORDINARY, "Restarting", "Running", "Succeeded"]
    assert job["RestartTimes"] == "1/10"


async def test_a_node_that_fails_is_no_eviction(start: Any) -> None:
    pai = start("jobs: [{then: {interruptions: [{after_s: 100, kind: failure}]}}]")
    job_id = await pai.create()
    job = await lived(pai, job_id, 170)
    assert job["Status"] == "Restarting"
    assert job["Pods"][0]["HistoryPods"][0]["SubStatus"] == "Normal"


async def test_restarts_run_out(start: Any) -> None:
    pai = start("jobs: [{then: {interruptions: [{after_s: 10}, {after_s: 10}, {after_s: 10}]}}]")
    job_id = await pai.create(Settings={"ElasticSpotJobMaxRestartTimes": 2}, spec=SPOT)
    never = await pai.create(DisplayName="never", spec={**SPOT, "RestartPolicy": "Never"})
    pai.clock.advance(1000)
    job = await pai.get(job_id)
    assert (job["Status"], job["RestartTimes"]) == ("Failed", "2/2")
    assert "No restart is left" in job["ReasonMessage"]
    job = await pai.get(never)
    assert (job["Status"], job["RestartTimes"]) == ("Failed", "0/10")


async def test_scripts_are_for_the_jobs_they_name(start: Any) -> None:
    pai = start("""
        jobs:
          - when: {name: "slow-*", nth: 2}
            then: {queuing_s: never}
          - when: {name: "slow-*"}
            then: {creating_s: 1000}
    """)
    names = ("slow-a", "slow-b", "quick", "slow-c")
    ids = [await pai.create(DisplayName=name) for name in names]
    pai.clock.advance(100)
    statuses = [await pai.status(job_id) for job_id in ids]
    assert statuses == ["Creating", "Queuing", "Running", "Creating"]


# In milliseconds: shorter ones than a clock can tell apart are left out.
DURATIONS = st.one_of(
    st.integers(0, 500_000).map(lambda milliseconds: milliseconds / 1000), st.just(math.inf)
)
MOMENTS = st.integers(0, 3000).map(float)
FINITE = st.integers(0, 200).map(float)
INTERRUPTIONS = st.builds(
    Interruption,
    after_s=FINITE,
    kind=st.sampled_from(["eviction", "failure"]),
    pod=st.integers(0, 5),
    new_node_s=FINITE,
    start_s=FINITE,
)
PULLS = st.one_of(
    st.builds(ImagePull, pull_s=DURATIONS, layers=st.integers(0, 5)),
    st.builds(ImagePull, pull_s=DURATIONS, fails_after_s=FINITE),
    st.builds(
        lambda fails_s, more_s, how: ImagePull(fails_after_s=fails_s, **{how: fails_s + more_s}),
        FINITE,
        FINITE,
        st.sampled_from(["recovers_after_s", "gives_up_after_s"]),
    ),
)
STOCKS = st.one_of(
    st.none(),
    st.builds(StockOut, recovers_after_s=FINITE),
    st.builds(StockOut, fails_after_s=FINITE),
    st.just(StockOut()),
)
PLAIN = [name for name in STATUSES if name not in ("Creating", "Restarting", "Stopping", "Stopped")]
SCRIPTS = st.builds(
    JobScript,
    creating_s=DURATIONS,
    queuing_s=DURATIONS,
    stock_out=STOCKS,
    bidding_s=st.one_of(st.none(), DURATIONS),
    node_s=DURATIONS,
    image_pull=PULLS,
    sanity_check_s=st.one_of(st.none(), DURATIONS),
    running_s=DURATIONS,
    exit_code=st.sampled_from([0, 1, 137]),
    interruptions=st.lists(INTERRUPTIONS, max_size=3).map(tuple),
    reserving_s=st.one_of(st.none(), DURATIONS),
    stopping_s=DURATIONS,
    detours=st.lists(
        st.builds(
            Detour, status=st.just("Elsewhere"), before=st.sampled_from(PLAIN), for_s=DURATIONS
        ),
        max_size=2,
    ).map(tuple),
)
CONDITIONS = st.builds(
    Conditions,
    created_s=st.just(1000.0),
    out_of_stock=st.booleans(),
    bids=st.booleans(),
    checks_sanity=st.booleans(),
    reserved_s=st.sampled_from([0.0, 60.0]),
    limit_s=st.one_of(st.just(math.inf), st.integers(1, 10).map(lambda minutes: 60.0 * minutes)),
    may_restart=st.booleans(),
    most_restarts=st.integers(0, 3),
    pods=st.integers(1, 3),
)
# What may come after what, beside a status that nobody knows, which may come anywhere.
LEGAL = {
    name: set(STATUSES[STATUSES.index(name) + 1 :]) - {"Restarting", "Stopped"} for name in STATUSES
}
LEGAL["Running"] |= {"Restarting"}
LEGAL["Restarting"] |= {"Running", "Restarting"}
LEGAL["Stopping"] = {"Stopped"}


@settings(max_examples=150, deadline=None)
@given(SCRIPTS, CONDITIONS, st.none() | MOMENTS, st.none() | MOMENTS)
def test_every_life_is_in_order_without_gaps(
    script: JobScript,
    conditions: Conditions,
    stop_after_s: float | None,
    exit_after_s: float | None,
) -> None:
    created_s = conditions.created_s
    life = job_life(
        script,
        conditions,
        stop_s=None if stop_after_s is None else created_s + stop_after_s,
        waits_for_exit=exit_after_s is not None,
        exited=None,
    )
    if exit_after_s is not None and life.running_s < math.inf:
        exited = Exit(life.running_s + exit_after_s, script.exit_code)
        life = job_life(
            script,
            conditions,
            stop_s=None if stop_after_s is None else created_s + stop_after_s,
            waits_for_exit=True,
            exited=exited,
        )
    segments = life.segments
    assert segments[0].start_s == created_s
    assert math.isinf(segments[-1].end_s)
    for one, next_one in pairwise(segments):
        assert one.end_s == next_one.start_s
        assert one.end_s > one.start_s
        assert one.status not in TERMINAL
    known = [one.status for one in segments if one.status != "Elsewhere"]
    stopped_or_skipped = {"Stopped"} if script.stopping_s == 0 else set()
    for name, next_name in pairwise(known):
        # A pod may be lost at the very moment that its successor runs.
        assert next_name in LEGAL[name] | stopped_or_skipped or (
            name == next_name == "Running" and script.interruptions
        )
    if life.end_s < math.inf:
        assert segments[-1].status in TERMINAL
        assert life.end_s == segments[-1].start_s
    for restart in life.restarts:
        assert life.running_s <= restart.at_s <= restart.node_s <= restart.running_s


@settings(max_examples=100, deadline=None)
@given(SCRIPTS, CONDITIONS, MOMENTS, MOMENTS)
def test_a_stop_changes_nothing_that_has_happened(
    script: JobScript, conditions: Conditions, stop_after_s: float, look_after_s: float
) -> None:
    stop_s = conditions.created_s + stop_after_s
    before = job_life(script, conditions)
    after = job_life(script, conditions, stop_s=stop_s)
    if before.at(stop_s).status in TERMINAL:
        assert after == before
    else:
        assert after.at(stop_s).status in ("Stopping", "Stopped")
    look_s = conditions.created_s + min(look_after_s, stop_after_s)
    if look_s < stop_s:
        assert after.at(look_s).status == before.at(look_s).status
        assert after.at(look_s).start_s == before.at(look_s).start_s
