"""PAI-DLC 2020-12-03: what the official SDK gets from the simulated service."""

from __future__ import annotations

import pytest
from alibabacloud_pai_dlc20201203 import models
from alibabacloud_tea_openapi.exceptions import ClientException
from contract_cloud import Cloud
from official import Official
from understood import understood

from tidemark.alibaba import dlc

IMAGE = "registry.example.com/bench:1"


def job(name: str = "bench-1", **more: object) -> models.CreateJobRequest:
    """A small job."""
    spec = models.JobSpec(type="Worker", image=IMAGE, pod_count=1, ecs_spec="ecs.g6.large")
    given = {
        "display_name": name,
        "job_type": "PyTorchJob",
        "user_command": "echo 潮 && sleep 1",
        "workspace_id": "268",
        "job_specs": [spec],
    }
    return models.CreateJobRequest(**{**given, **more})


def created(sdk: Official, name: str = "bench-1", **more: object) -> str:
    job_id: str = sdk.dlc.create_job(job(name, **more)).body.job_id
    return job_id


@pytest.mark.drives(dlc.CREATE_JOB, dlc.GET_JOB)
def test_a_job_is_created_and_lives_before_the_sdk(cloud: Cloud, sdk: Official) -> None:
    settings = models.JobSettings(tags={"team": "潮", "empty": ""}, enable_rdma=True)
    body = understood(
        cloud,
        sdk.dlc.create_job(
            job(
                settings=settings,
                envs={"A": "b", "EMPTY": ""},
                thirdparty_libs=["x==1"],
                job_max_running_time_minutes=30,
            )
        ),
    )
    assert body.job_id.startswith("dlc")
    statuses: list[str] = []
    for _ in range(8):
        seen = understood(
            cloud, sdk.dlc.get_job(body.job_id, models.GetJobRequest(need_detail=True))
        )
        statuses += [seen.status] if seen.status not in statuses[-1:] else []
        cloud.clock.advance(60)
    assert statuses == ["Creating", "EnvPreparing", "Running", "Succeeded"]
    assert (seen.job_id, seen.display_name) == (body.job_id, "bench-1")
    assert seen.user_command == "echo 潮 && sleep 1"
    assert seen.settings.tags == {"team": "潮", "empty": ""}
    assert seen.envs == {"A": "b", "EMPTY": ""}
    assert seen.job_specs[0].ecs_spec == "ecs.g6.large"
    assert [one.status for one in seen.status_history][-2:] == ["Running", "Succeeded"]
    assert seen.gmt_create_time == "2026-01-01T00:00:00Z"
    assert seen.gmt_finish_time > seen.gmt_running_time > seen.gmt_create_time
    assert seen.duration > 0
    assert [(pod.pod_id, pod.status) for pod in seen.pods] == [
        (f"{body.job_id}-master-0", "Succeeded")
    ]


def test_without_detail_the_pods_are_left_out(cloud: Cloud, sdk: Official) -> None:
    job_id = created(sdk)
    cloud.clock.advance(120)
    brief = understood(cloud, sdk.dlc.get_job(job_id, models.GetJobRequest(need_detail=False)))
    assert brief.status == "Running"
    assert not brief.pods
    assert sdk.dlc.get_job(job_id, models.GetJobRequest()).body.pods


@pytest.mark.drives(dlc.LIST_JOBS)
def test_jobs_are_listed_in_pages_and_by_filters(cloud: Cloud, sdk: Official) -> None:
    for number in range(3):
        tags = models.JobSettings(tags={"round": f"{number} 潮"})
        variable = models.CreateJobRequestCustomEnvs(key="A", value="b", visible="public")
        created(sdk, f"Night-{number}", settings=tags, description="One", custom_envs=[variable])
    request = models.ListJobsRequest(
        display_name="night", page_size=2, page_number=2, show_own=True, sort_by="GmtCreateTime"
    )
    page = understood(cloud, sdk.dlc.list_jobs(request))
    assert (page.total_count, len(page.jobs)) == (3, 1)
    assert page.jobs[0].display_name.startswith("Night-")
    found = understood(cloud, sdk.dlc.list_jobs(models.ListJobsRequest(tags={"round": "1 潮"})))
    assert [one.display_name for one in found.jobs] == ["Night-1"]
    assert isinstance(found.jobs[0].request_gpu, str)
    nothing = models.ListJobsRequest(display_name="", status="Running", workspace_id="268")
    assert sdk.dlc.list_jobs(nothing).body.total_count == 0


@pytest.mark.drives(dlc.STOP_JOB, dlc.DELETE_JOB)
def test_a_job_is_stopped_and_deleted(cloud: Cloud, sdk: Official) -> None:
    job_id = created(sdk)
    with pytest.raises(ClientException) as early:
        sdk.dlc.delete_job(job_id)
    assert early.value.code == "BadRequest"
    assert understood(cloud, sdk.dlc.stop_job(job_id)).job_id == job_id
    stopping = cloud.requests[-1]
    assert (stopping.body, stopping.headers.get("content-type")) == (b"", None)
    assert sdk.dlc.get_job(job_id, models.GetJobRequest()).body.status == "Stopping"
    cloud.clock.advance(60)
    stopped = sdk.dlc.get_job(job_id, models.GetJobRequest()).body
    assert (stopped.status, stopped.reason_code) == ("Stopped", "JobStoppedByUser")
    with pytest.raises(ClientException) as late:
        sdk.dlc.stop_job(job_id)
    assert (late.value.status_code, late.value.code) == (400, "BadRequest")
    assert understood(cloud, sdk.dlc.delete_job(job_id)).job_id == job_id
    with pytest.raises(ClientException) as gone:
        sdk.dlc.get_job(job_id, models.GetJobRequest())
    assert gone.value.status_code == 404
    assert "NotFound" in gone.value.code


@pytest.mark.drives(dlc.GET_POD_LOGS, dlc.GET_POD_EVENTS, dlc.GET_JOB_EVENTS)
def test_what_pods_say_is_read(cloud: Cloud, sdk: Official) -> None:
    cloud.play(
        """
        jobs:
          - when: {name: "*"}
            then:
              image_pull: {fails_after_s: 5, recovers_after_s: 60}
              logs: ["loss 0.5", "über 潮"]
        """
    )
    job_id = created(sdk)
    pod_id = f"{job_id}-master-0"
    cloud.clock.advance(200)
    logs = understood(
        cloud, sdk.dlc.get_pod_logs(job_id, pod_id, models.GetPodLogsRequest(max_lines=1))
    )
    assert (logs.job_id, logs.pod_id, len(logs.logs)) == (job_id, pod_id, 1)
    every = sdk.dlc.get_pod_logs(job_id, pod_id, models.GetPodLogsRequest()).body
    assert any("über 潮" in line for line in every.logs)
    events = understood(
        cloud,
        sdk.dlc.get_pod_events(
            job_id,
            pod_id,
            models.GetPodEventsRequest(max_events_num=100, start_time="2026-01-01T00:00:00Z"),
        ),
    )
    assert any("Failed to pull image" in line for line in events.events)
    of_job = understood(cloud, sdk.dlc.get_job_events(job_id, models.GetJobEventsRequest()))
    assert set(events.events) <= set(of_job.events)


@pytest.mark.drives(dlc.GET_JOB_METRICS)
@pytest.mark.parametrize("metric", dlc.METRIC_TYPES)
def test_metrics_are_numbers(cloud: Cloud, sdk: Official, metric: str) -> None:
    gpu = models.JobSpec(type="Worker", image=IMAGE, pod_count=1, ecs_spec="ecs.gn7i-c8g1.2xlarge")
    job_id = created(sdk, job_specs=[gpu])
    cloud.clock.advance(300)
    request = models.GetJobMetricsRequest(metric_type=metric, time_step="1m")
    body = understood(cloud, sdk.dlc.get_job_metrics(job_id, request))
    assert body.pod_metrics[0].pod_id == f"{job_id}-master-0"
    point = body.pod_metrics[0].metrics[-1]
    assert point.time > 1_767_225_600_000
    assert point.value >= 0


@pytest.mark.drives(dlc.LIST_ECS_SPECS)
def test_machines_are_listed(cloud: Cloud, sdk: Official) -> None:
    first = understood(cloud, sdk.dlc.list_ecs_specs(models.ListEcsSpecsRequest()))
    assert len(first.ecs_specs) == 10 < first.total_count
    request = models.ListEcsSpecsRequest(
        accelerator_type="GPU", resource_type="ECS", page_size=100, sort_by="Memory", order="asc"
    )
    gpus = understood(cloud, sdk.dlc.list_ecs_specs(request)).ecs_specs
    assert [one.memory for one in gpus] == sorted(one.memory for one in gpus)
    machine = next(one for one in gpus if one.instance_type == "ecs.gn7i-c32g1.8xlarge")
    assert (machine.gpu, machine.gpu_type, machine.gpu_memory) == (1, "NVIDIA A10", 24)
    assert machine.non_protect_spot_discount == 0.35
    for by in ("CPU", "GPU"):
        with pytest.raises(ClientException):
            sdk.dlc.list_ecs_specs(models.ListEcsSpecsRequest(sort_by=by))


def test_a_spot_machine_is_taken_away(cloud: Cloud, sdk: Official) -> None:
    cloud.play(
        """
        jobs:
          - when: {name: "*"}
            then: {running_s: 100, interruptions: [{after_s: 50}]}
        """
    )
    spot = models.SpotSpec(spot_strategy="SpotWithPriceLimit", spot_discount_limit=0.9)
    spec = models.JobSpec(
        type="Worker", image=IMAGE, pod_count=2, ecs_spec="ecs.g6.large", spot_spec=spot
    )
    job_id = created(sdk, job_specs=[spec])
    seen = None
    for _ in range(60):
        cloud.clock.advance(5)
        seen = understood(cloud, sdk.dlc.get_job(job_id, models.GetJobRequest()))
        if seen.status == "Restarting":
            break
    assert seen is not None
    assert (seen.status, seen.sub_status) == ("Restarting", "Restarting")
    assert seen.restart_times.startswith("1/")
    shown = [one for pod in seen.pods for one in (pod, *(pod.history_pods or ()))]
    assert "Evicted" in {one.sub_status for one in shown}
    assert {pod.pod_id for pod in seen.pods} == {f"{job_id}-master-0", f"{job_id}-worker-0"}


def test_a_quota_job_is_shown_with_what_it_asked_for(cloud: Cloud, sdk: Official) -> None:
    share = models.ResourceConfig(cpu="8", gpu="1", memory="32Gi", shared_memory="8Gi")
    spec = models.JobSpec(type="Worker", image=IMAGE, pod_count=1, resource_config=share)
    job_id = created(sdk, job_specs=[spec], resource_id="quota1h2x3a4m5p6l", priority=5)
    seen = understood(cloud, sdk.dlc.get_job(job_id, models.GetJobRequest()))
    assert (seen.resource_id, seen.priority) == ("quota1h2x3a4m5p6l", 5)
    assert seen.job_specs[0].resource_config.memory == "32Gi"
    assert (seen.request_cpu, seen.request_gpu) == (8, 1.0)
