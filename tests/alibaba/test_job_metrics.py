"""What pods used, as rows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cloud import LEAVE, cloud, request

from tidemark.alibaba.errors import AccessError
from tidemark.alibaba.job_metrics import usage

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


async def test_every_metric_of_every_pod_is_a_row_a_minute() -> None:
    here = cloud("jobs: [{then: {running_s: 600}}]")
    many = request(job_specs=[
        {"image": "a:1", "pod_count": 2, "resources": {"ecs_spec": "ecs.gn6i-c4g1.xlarge"}}
    ])  # fmt: skip
    job_id = await here.dlc.create_job(many, authorization=LEAVE)
    await here.clock.sleep(900)
    since, until = BEGIN + timedelta(minutes=3), BEGIN + timedelta(minutes=7)
    rows = await usage(here.dlc, job_id, since, until)
    assert {row.series for row in rows} == {
        "GpuCoreUsage", "GpuMemoryUsage", "CpuCoreUsage", "MemoryUsage",
        "NetworkInputRate", "NetworkOutputRate", "DiskReadRate", "DiskWriteRate",
    }  # fmt: skip
    assert {row.unit for row in rows if row.series.endswith("Usage")} == {"%"}
    assert {row.unit for row in rows if row.series.endswith("Rate")} == {"B/s"}
    assert len({row.pod_id for row in rows}) == 2
    assert len(rows) == 8 * 2 * 5
    assert [row.at for row in rows] == sorted(row.at for row in rows)
    assert (rows[0].at, rows[-1].at) == (since, until)
    assert rows[0].interval_s == 60.0
    assert rows[0].document()["source"] == "GetJobMetrics"


async def test_metrics_that_the_service_refuses_are_left_out() -> None:
    here = cloud("""
        calls: [{when: {action: GetJobMetrics, nth: 1},
                 then: {error: {status: 400, code: InvalidParameter}}}]
    """)
    job_id = await here.dlc.create_job(request(), authorization=LEAVE)
    await here.clock.sleep(200)
    rows = await usage(here.dlc, job_id, BEGIN, BEGIN + timedelta(minutes=5))
    assert {row.series for row in rows} == {
        "CpuCoreUsage", "MemoryUsage", "NetworkInputRate", "NetworkOutputRate", "DiskReadRate",
        "DiskWriteRate",
    }  # fmt: skip


async def test_no_permission_is_raised() -> None:
    here = cloud()
    job_id = await here.dlc.create_job(request(), authorization=LEAVE)
    here.play(
        "calls: [{when: {action: GetJobMetrics}, then: {error: {status: 403, code: NoPermission}}}]"
    )
    with pytest.raises(AccessError):
        await usage(here.dlc, job_id, BEGIN, BEGIN + timedelta(minutes=5))
