"""The bill has every second of every node, and no other."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_dlc_life import SCRIPTS

from tidemark.simulator.pai.bill import Bill, BillLine
from tidemark.simulator.pai.job import Job
from tidemark.simulator.pai.job_request import job_request
from tidemark.simulator.pai.job_script import JobScript
from tidemark.simulator.pai.world import World

SPOT = {"SpotSpec": {"SpotStrategy": "SpotWithPriceLimit", "SpotDiscountLimit": 0.9}}
WORLD = World()


async def test_a_job_costs_from_its_nodes_to_its_end(start: Any) -> None:
    pai = start()
    job_id = await pai.create(spec={"PodCount": 2})
    pai.clock.advance(6)
    assert pai.simulator.bill()["total"] == "0"
    pai.clock.advance(3600)
    bill = pai.simulator.bill()
    # Two nodes from 6 s on: 15 s to boot, 40 s to pull, 300 s to run; 11.63 an hour each.
    assert bill["currency"] == "CNY"
    assert Decimal(bill["billable_seconds"]) == 2 * 355
    assert Decimal(bill["total"]) == 2 * (Decimal("11.63") * 355 / 3600).quantize(Decimal("1e-6"))
    (entry,) = bill["resources"]
    assert (entry["resource"], entry["name"], entry["product"]) == (job_id, "bench-1", "dlc")
    assert entry["region"] == "cn-hangzhou"
    assert [line["part"] for line in entry["lines"]] == [f"{job_id}-master-0", f"{job_id}-worker-0"]
    assert bill["still_billed"] == []


async def test_the_bill_grows_while_a_job_runs_and_while_it_stops(start: Any) -> None:
    pai = start("jobs: [{then: {running_s: never, stopping_s: 60}}]")
    job_id = await pai.create()
    pai.clock.advance(106)
    assert Decimal(pai.simulator.bill()["billable_seconds"]) == 100
    assert pai.simulator.bill()["still_billed"] == [job_id]
    await pai.stop(job_id)
    pai.clock.advance(30)
    assert Decimal(pai.simulator.bill()["billable_seconds"]) == 130
    pai.clock.advance(3600)
    assert Decimal(pai.simulator.bill()["billable_seconds"]) == 160


async def test_pulling_in_vain_costs_too(start: Any) -> None:
    pai = start("jobs: [{then: {image_pull: {fails_after_s: 5}}}]")
    await pai.create()
    pai.clock.advance(6 + 3600)
    assert Decimal(pai.simulator.bill()["total"]) == Decimal("11.63")


async def test_spot_machines_cost_their_share(start: Any) -> None:
    pai = start("jobs: [{then: {running_s: never}}]")
    await pai.create(spec=SPOT)
    pai.clock.advance(6 + 3600)
    assert Decimal(pai.simulator.bill()["total"]) == Decimal("11.63") * Decimal("0.3")


async def test_an_evicted_pod_costs_nothing_until_it_has_a_node_again(start: Any) -> None:
    pai = start("""
        jobs:
          - then:
              running_s: 100
              interruptions: [{after_s: 50, new_node_s: 40, start_s: 20}]
    """)
    await pai.create(spec=SPOT)
    pai.clock.advance(1000)
    first, second = pai.simulator.bill()["resources"][0]["lines"]
    assert (Decimal(first["seconds"]), Decimal(second["seconds"])) == (15 + 40 + 50, 20 + 100)
    assert second["start_s"] - first["end_s"] == 40


async def test_what_has_no_price_is_not_free(start: Any) -> None:
    pai = start()
    await pai.create(spec={"EcsSpec": "ecs.ebmgn7i.32xlarge"})
    pai.clock.advance(1000)
    bill = pai.simulator.bill()
    assert bill["total"] == "0"
    assert bill["resources"][0]["amount"] is None
    assert Decimal(bill["unpriced_seconds"]) == 355


async def test_a_quota_is_paid_for_elsewhere(start: Any) -> None:
    pai = start()
    share = {"EcsSpec": None, "ResourceConfig": {"CPU": "4", "Memory": "8Gi"}}
    job_id = await pai.create(ResourceId="quota1abc", spec=share)
    pai.clock.advance(100)
    assert await pai.status(job_id) == "Running"
    assert pai.simulator.bill()["resources"] == []


@pytest.mark.parametrize("seconds", [0.0, 1.0, 3600.0])
def test_lines_that_are_final(seconds: float) -> None:
    bill = Bill("CNY")
    start_s = 1000.0
    bill.charge(
        BillLine(
            "eas", "cn-hangzhou", "s-1", "s", "", "m", start_s, start_s + seconds, Decimal("7.2")
        )
    )
    assert bill.total(5000.0) == Decimal("7.2") * Decimal(str(seconds)) / 3600
    assert bill.as_document(5000.0)["still_billed"] == []


BODY = {
    "DisplayName": "bench-1",
    "JobType": "PyTorchJob",
    "UserCommand": "echo tide",
    "JobSpecs": [
        {"Type": "Worker", "Image": "i", "PodCount": 2, "EcsSpec": "ecs.g6.large", **SPOT}
    ],
}


@settings(max_examples=100, deadline=None)
@given(
    SCRIPTS,
    st.none() | st.floats(0, 3000),
    st.lists(st.floats(0, 2000), min_size=1, max_size=4),
)
def test_the_bill_is_the_seconds_with_a_node(
    script: JobScript, stop_after_s: float | None, jumps: list[float]
) -> None:
    job = Job("dlc1", "cn-hangzhou", "1", job_request(BODY, WORLD), script, created_s=0.0)
    now_s, before = 0.0, 0.0
    for jump_s in jumps:
        now_s += jump_s
        if stop_after_s is not None and now_s >= stop_after_s and job.life.end_s > now_s:
            job.stop(now_s)
            stop_after_s = None
        billed = sum(line.end_s - line.start_s for line in job.bill_lines(now_s))
        # What was billed stays billed, however far the clock jumps.
        assert billed >= before - 1e-6
        before = billed
        life = job.life
        held = max(0.0, min(now_s, life.end_s) - life.nodes_s) if life.nodes_s < math.inf else 0.0
        without = sum(
            max(0.0, min(restart.node_s, now_s, life.end_s) - restart.at_s)
            for restart in life.restarts
            if restart.at_s < now_s
        )
        assert billed == pytest.approx(2 * held - without, abs=1e-6)
