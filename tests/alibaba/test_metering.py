"""What a job costs by the service's times, beside the bill that somebody would have to pay."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from cloud import LEAVE, Cloud, cloud, request
from leasing import MACHINE, machine_price

from tidemark.alibaba.dlc_answers import Job
from tidemark.alibaba.errors import AlibabaError
from tidemark.alibaba.metering import Metered, metered, workers_of

SCRIPTS = 150
BEGUN = datetime(2026, 1, 1, tzinfo=UTC)


def asked(workers: int = 1, **more: Any) -> Any:
    spec = {
        "image": "registry.example.com/bench:1",
        "resources": {"ecs_spec": MACHINE},
        "pod_count": workers,
    }
    return request(job_specs=[spec], **more)


async def meter(here: Cloud, job_id: str) -> Metered:
    job = await here.dlc.get_job(job_id)
    now = datetime.fromtimestamp(here.clock.time(), UTC)
    return metered(job, price_per_hour=machine_price(), workers=workers_of(job), now=now)


def billed_s(here: Cloud) -> Decimal:
    return Decimal(here.simulator.bill()["billable_seconds"])


async def run(script: dict[str, Any], workers: int = 1, **more: Any) -> tuple[Cloud, str]:
    here = cloud(json.dumps({"jobs": [{"then": script}]}))
    return here, await here.dlc.create_job(asked(workers, **more), authorization=LEAVE)


async def test_a_job_that_ran_costs_what_the_bill_says() -> None:
    here, job_id = await run({"running_s": 1800}, workers=2)
    here.clock.advance(7200)
    found = await meter(here, job_id)
    assert found.over
    # The image is pulled on machines that are paid for: 15 s for a machine, 40 s for the image.
    assert billed_s(here) == 2 * (15 + 40 + 1800)
    assert float(billed_s(here)) <= found.billable_s <= float(billed_s(here)) + found.margin_s
    assert found.margin_s <= 2 * 2
    assert found.since == BEGUN + timedelta(seconds=6)
    assert found.amount is not None
    assert here.simulator.total() <= found.amount


async def test_a_queue_costs_nothing() -> None:
    here, job_id = await run({"stock_out": {}})
    here.clock.advance(3600)
    found = await meter(here, job_id)
    assert (found.billable_s, found.amount, found.since) == (0, 0, None)
    await here.dlc.stop_job(job_id)
    here.clock.advance(60)
    assert (await meter(here, job_id)).billable_s == 0


async def test_a_status_that_nobody_knows_is_no_machine_where_the_job_queues_after_it() -> None:
    here, job_id = await run(
        {"stock_out": {}, "detours": [{"status": "Admitting", "before": "Queuing", "for_s": 60}]}
    )
    here.clock.advance(3600)
    assert (await here.dlc.get_job(job_id)).status == "Queuing"
    assert (await meter(here, job_id)).billable_s == 0


async def test_an_image_that_cannot_be_pulled_is_paid_for() -> None:
    here, job_id = await run({"image_pull": {"fails_after_s": 5, "gives_up_after_s": 900}})
    here.clock.advance(3600)
    assert (await meter(here, job_id)).billable_s >= float(billed_s(here)) == 915


@pytest.mark.parametrize("exit_code", [0, 1])
async def test_machines_that_are_kept_after_the_end_are_paid_for(exit_code: int) -> None:
    script = {"running_s": 60, "exit_code": exit_code}
    here, job_id = await run(script, settings={"JobReservedMinutes": 30})
    here.clock.advance(1000)
    status = (await here.dlc.get_job(job_id)).status
    assert status == ("FailedReserving" if exit_code else "SucceededReserving")
    early = await meter(here, job_id)
    assert early.billable_s >= float(billed_s(here)) > 900
    here.clock.advance(3600)
    assert (await meter(here, job_id)).billable_s >= float(billed_s(here)) > 1800


async def test_a_machine_that_was_taken_back_and_its_replacement_are_paid_for() -> None:
    evicted = {"after_s": 100, "new_node_s": 50, "start_s": 30}
    here, job_id = await run({"running_s": 200, "interruptions": [evicted]}, workers=2)
    here.clock.advance(3600)
    found = await meter(here, job_id)
    assert float(billed_s(here)) <= found.billable_s <= float(billed_s(here)) + found.margin_s
    # Nothing says when the new machine was there: up to its start it may not be billed.
    assert found.margin_s <= 80 + 3 * 2


async def test_a_clock_that_is_behind_or_ahead_changes_nothing_of_a_job_that_ended() -> None:
    here, job_id = await run({"running_s": 100})
    here.clock.advance(3600)
    job = await here.dlc.get_job(job_id)
    found = {
        metered(job, price_per_hour=None, workers=1, now=BEGUN + timedelta(days=days))
        for days in (-1, 0, 1, 400)
    }
    assert len(found) == 1
    assert found.pop().amount is None


async def test_a_clock_that_is_behind_does_not_forget_what_the_service_has_seen() -> None:
    interrupted = {"after_s": 500, "kind": "failure"}
    here, job_id = await run({"running_s": 900, "interruptions": [interrupted]})
    here.clock.advance(800)
    job = await here.dlc.get_job(job_id)
    found = metered(job, price_per_hour=None, workers=1, now=BEGUN)
    assert found.billable_s > 550


@pytest.mark.parametrize("finished", ["9999-12-31T23:59:59Z", "2025-12-31T00:00:00Z"])
async def test_an_end_that_cannot_be_is_taken_for_now(finished: str) -> None:
    here, job_id = await run({"running_s": 100})
    here.clock.advance(3600)
    seen = await here.dlc.get_job(job_id)
    wire = {**seen.wire, "GmtFinishTime": finished}
    for name in ("GmtSuccessedTime", "GmtFailedTime", "GmtStoppedTime"):
        wire.pop(name, None)
    wire["Pods"] = [{**pod, "GmtFinishTime": finished} for pod in wire["Pods"]]
    now = datetime.fromtimestamp(here.clock.time(), UTC)
    job = Job.of(wire, "GetJob")
    found = metered(job, price_per_hour=machine_price(), workers=1, now=now)
    assert found.over
    assert found.until == now
    assert 3500 < found.billable_s <= 3600
    assert found.amount is not None
    assert found.amount >= here.simulator.total()


def test_a_job_whose_pods_are_not_shown_counts_all_its_machines() -> None:
    job = Job.of(
        {
            "JobId": "dlc1",
            "Status": "Succeeded",
            "GmtCreateTime": "2026-01-01T00:00:00Z",
            "GmtFinishTime": "2026-01-01T01:00:00Z",
            "JobSpecs": [{"PodCount": 3}],
            "StatusHistory": [
                {"Status": "Creating", "StartTime": "2026-01-01T00:00:00Z"},
                {"Status": "EnvPreparing", "StartTime": "2026-01-01T00:10:00Z"},
                {"Status": "Succeeded", "StartTime": "2026-01-01T01:00:00Z"},
            ],
        },
        "GetJob",
    )
    found = metered(job, price_per_hour=Decimal(1), workers=workers_of(job), now=BEGUN)
    assert found.billable_s == 3 * (3000 + 1)
    bare = Job.of({**job.wire, "StatusHistory": []}, "GetJob")
    assert metered(bare, price_per_hour=None, workers=3, now=BEGUN).billable_s == 3 * 3601


@pytest.mark.parametrize(
    "told",
    [
        {"Status": "Running"},
        {"Status": "Stopped"},
        {"Status": "EnvPreparing", "Pods": [{"PodId": "pod-1"}]},
        {"Status": "Running", "StatusHistory": [{"Status": "Queuing"}, {"Status": "Running"}]},
        {"Status": "Stopped", "StatusHistory": [{"Status": "Running"}, {"Status": "Stopped"}]},
        {"Status": "Stopped", "GmtFinishTime": "2025-12-01T00:00:00Z"},
    ],
    ids=str,
)
def test_a_job_of_which_no_time_is_told_counts_from_when_it_was_about_to_be_created(
    told: dict[str, Any],
) -> None:
    job = Job.of({"JobId": "dlc1", **told}, "GetJob")
    found = metered(
        job,
        price_per_hour=Decimal(1),
        workers=1,
        now=BEGUN + timedelta(hours=1),
        intended_at=BEGUN,
    )
    # Our clock may be a minute ahead of the service's.
    assert 3600 <= found.billable_s <= 3660
    assert found.margin_s == found.billable_s
    assert found.amount is not None
    assert found.amount >= 1


def test_a_job_that_only_queued_costs_nothing_also_where_no_time_is_told() -> None:
    for told in ({"Status": "Queuing"}, {"Status": "Stopped", "StatusHistory": [
        {"Status": "Queuing"}, {"Status": "Stopped"}]}):  # fmt: skip
        job = Job.of({"JobId": "dlc1", **told}, "GetJob")
        now = BEGUN + timedelta(hours=1)
        found = metered(job, price_per_hour=None, workers=1, now=now, intended_at=BEGUN)
        assert found.billable_s == 0


def script(chance: random.Random) -> dict[str, Any]:
    """A job's life at random."""
    made: dict[str, Any] = {
        "creating_s": chance.choice([0, 0.4, 3]),
        "queuing_s": chance.choice([0, 2.5, 900.3]),
        "node_s": chance.choice([0, 0.2, 15]),
        "running_s": chance.choice([0, 0.7, 35.1, 1800, "never"]),
        "exit_code": chance.choice([0, 0, 1, 137]),
        "stopping_s": chance.choice([0, 0.3, 40]),
        "image_pull": chance.choice(
            [
                {"pull_s": 0},
                {"pull_s": 0.5},
                {"pull_s": 1200.4},
                {"fails_after_s": 1, "gives_up_after_s": 70.7},
                {"fails_after_s": 1, "recovers_after_s": 31},
                {"fails_after_s": 1},
            ]
        ),
        "interruptions": [
            {
                "after_s": chance.choice([0.1, 5, 33.3, 400]),
                "kind": chance.choice(["eviction", "failure"]),
                "pod": chance.randrange(3),
                "new_node_s": chance.choice([0, 0.6, 30, 300]),
                "start_s": chance.choice([0, 0.9, 30]),
            }
            for _ in range(chance.choice([0, 0, 1, 2, 4]))
        ],
    }
    if chance.random() < 0.3:
        made["sanity_check_s"] = chance.choice([0.5, 60])
    if chance.random() < 0.3:
        made["reserving_s"] = chance.choice([0.5, 600])
    if chance.random() < 0.2:
        made["stock_out"] = chance.choice([{}, {"fails_after_s": 9}, {"recovers_after_s": 77.7}])
    if chance.random() < 0.3:
        made["detours"] = [
            {
                "status": chance.choice(["Scheduling", "Migrating", "Waiting", "Queuing"]),
                "before": chance.choice(["Queuing", "EnvPreparing", "Running", "Succeeded"]),
                "for_s": chance.choice([0.4, 20]),
            }
        ]
    return made


@pytest.mark.timeout(300)
async def test_random_lives_are_never_metered_below_the_bill_nor_far_above() -> None:
    replaced = unwatched = 0
    for seed in range(SCRIPTS):
        chance = random.Random(seed)
        more: dict[str, Any] = {}
        if chance.random() < 0.3:
            more["max_running_time_minutes"] = chance.choice([1, 10])
        here, job_id = await run(script(chance), workers=chance.randint(1, 3), **more)
        before = 0.0
        for _ in range(6):
            here.clock.advance(chance.choice([0.3, 4.2, 31.7, 600.5, 3000]))
            if chance.random() < 0.15:
                try:
                    await here.dlc.stop_job(job_id)
                except AlibabaError as error:
                    assert "cannot be stopped" in str(error)  # noqa: PT017
            found = await meter(here, job_id)
            bill_s, bill = float(billed_s(here)), here.simulator.total()
            assert bill_s - 0.01 <= found.billable_s, seed
            assert found.billable_s <= bill_s + found.margin_s + 0.01, seed
            assert found.amount is not None
            assert bill <= found.amount, seed
            if found.over:
                # What is certain on the way is never more than what is metered in the end.
                assert before <= found.billable_s + 0.01, seed
            before = max(before, found.billable_s - found.margin_s)
            job = await here.dlc.get_job(job_id)
            lives = sum(1 + len(pod.history_pods) for pod in job.pods)
            replaced += lives > len(job.pods)
            unwatched += found.margin_s > 2 * lives
            if not any(life.evicted for pod in job.pods for life in pod.history_pods) and job.pods:
                assert found.margin_s <= 2 * lives, seed
    assert replaced > SCRIPTS / 10
    assert unwatched > SCRIPTS / 50
