"""PAI-DLC: our requests are those of the official SDK."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from alibabacloud_pai_dlc20201203 import models
from alike import AWKWARD, LEAVE, Both, Pair, assert_alike

from tidemark.alibaba import dlc
from tidemark.alibaba.account import Account
from tidemark.alibaba.dlc import Dlc
from tidemark.alibaba.dlc_requests import CreateJob

IMAGE = "registry.example.com/bench:1"
SINCE = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
# The same moment, as somebody in Shanghai writes it.
UNTIL = datetime(2026, 1, 2, 12, 4, 5, tzinfo=timezone(timedelta(hours=8)))
SINCE_TEXT, UNTIL_TEXT = "2026-01-02T03:04:05Z", "2026-01-02T04:04:05Z"
TAGS = {"team": "潮 & co", "empty": "", 'quote"d': "a=b,c"}


def _created(case: str, ours: dict[str, Any], official: dict[str, Any], **lend: str) -> Pair:
    shared = {
        "display_name": "bench-1",
        "user_command": 'echo 潮\n\t"q" && a=$B',
        "workspace_id": "268",
    }
    request = CreateJob.model_validate({**shared, **ours})

    def by_sdk(sdk: Any) -> object:
        return sdk.dlc.create_job(
            models.CreateJobRequest(**{"job_type": "PyTorchJob", **shared, **official})
        )

    async def by_us(account: Account) -> object:
        return await Dlc(account).create_job(request, authorization=LEAVE, lend=lend)

    return Pair(dlc.CREATE_JOB, case, by_sdk, by_us)


def _spec(**more: Any) -> models.JobSpec:
    return models.JobSpec(**{"type": "Worker", "image": IMAGE, "pod_count": 1, **more})


DATA = {"Uri": "oss://bucket/a b/潮/", "MountPath": "/mnt/data", "MountAccess": "RO"}
CREATED = [
    _created(
        "a machine of the public pool",
        {"job_specs": [{"image": IMAGE, "resources": {"ecs_spec": "ecs.g6.large"}}]},
        {"job_specs": [_spec(ecs_spec="ecs.g6.large")]},
    ),
    _created(
        "a spot machine, tags, variables, a limit",
        {
            "job_specs": [
                {
                    "image": IMAGE,
                    "pod_count": 2,
                    "restart_policy": "Never",
                    "resources": {
                        "ecs_spec": "ecs.g6.large",
                        "spot_spec": {"spot_discount_limit": 0.85},
                    },
                }
            ],
            "tags": TAGS,
            "settings": {"EnableRDMA": True, "JobReservedMinutes": 5},
            "envs": {"A": "b", "EMPTY": "", "UNICODE": "潮"},
            "thirdparty_libs": ["x==1", "y>=2,<3"],
            "max_running_time_minutes": 90,
            "accessibility": "PUBLIC",
            "description": "",
        },
        {
            "job_specs": [
                _spec(
                    pod_count=2,
                    restart_policy="Never",
                    ecs_spec="ecs.g6.large",
                    spot_spec=models.SpotSpec(
                        spot_strategy="SpotWithPriceLimit", spot_discount_limit=0.85
                    ),
                )
            ],
            "settings": models.JobSettings(tags=TAGS, enable_rdma=True, job_reserved_minutes=5),
            "envs": {"A": "b", "EMPTY": "", "UNICODE": "潮"},
            "thirdparty_libs": ["x==1", "y>=2,<3"],
            "job_max_running_time_minutes": 90,
            "accessibility": "PUBLIC",
            "description": "",
        },
    ),
    _created(
        "a share of a quota, data and a private registry",
        {
            "job_type": "TFJob",
            "resource_id": "quota1",
            "priority": 3,
            "job_specs": [
                {
                    "type": "Chief",
                    "image": IMAGE,
                    "resources": {"cpu": 8, "gpu": "1", "gpu_type": "T4", "memory": "32Gi"},
                    "image_config": {"username": "me", "password": "env:REGISTRY"},
                    "user_command": "sleep 1",
                }
            ],
            "data_sources": [DATA],
            "user_vpc": {"VpcId": "vpc-1", "ExtendedCIDRs": ["10.0.0.0/8"]},
        },
        {
            "job_type": "TFJob",
            "resource_id": "quota1",
            "priority": 3,
            "job_specs": [
                _spec(
                    type="Chief",
                    resource_config=models.ResourceConfig(
                        cpu="8", gpu="1", gputype="T4", memory="32Gi"
                    ),
                    image_config=models.ImageConfig(username="me", password="example password"),
                    user_command="sleep 1",
                )
            ],
            "data_sources": [
                models.CreateJobRequestDataSources(
                    uri=DATA["Uri"], mount_path=DATA["MountPath"], mount_access="RO"
                )
            ],
            "user_vpc": models.CreateJobRequestUserVpc(
                vpc_id="vpc-1", extended_cidrs=["10.0.0.0/8"]
            ),
        },
        **{"env:REGISTRY": "example password"},
    ),
]


def _of_ids(job_id: str) -> list[Pair]:
    """Every operation on one job, of an id that has to be encoded."""
    span = {"since": SINCE, "until": UNTIL}
    window = {"start_time": SINCE_TEXT, "end_time": UNTIL_TEXT}
    pod = f"{job_id}-worker-0"

    def pair(operation: Any, by_sdk: Callable[[Any], object], by_us: Callable[[Dlc], Any]) -> Pair:
        return Pair(
            operation, job_id, lambda sdk: by_sdk(sdk.dlc), lambda account: by_us(Dlc(account))
        )

    return [
        pair(
            dlc.GET_JOB,
            lambda sdk: sdk.get_job(job_id, models.GetJobRequest(need_detail=False)),
            lambda client: client.get_job(job_id, need_detail=False),
        ),
        pair(dlc.STOP_JOB, lambda sdk: sdk.stop_job(job_id), lambda one: one.stop_job(job_id)),
        pair(
            dlc.DELETE_JOB, lambda sdk: sdk.delete_job(job_id), lambda one: one.delete_job(job_id)
        ),
        pair(
            dlc.GET_POD_LOGS,
            lambda sdk: sdk.get_pod_logs(
                job_id, pod, models.GetPodLogsRequest(max_lines=7, pod_uid=job_id, **window)
            ),
            lambda client: client.get_pod_logs(job_id, pod, max_lines=7, pod_uid=job_id, **span),
        ),
        pair(
            dlc.GET_POD_EVENTS,
            lambda sdk: sdk.get_pod_events(
                job_id, pod, models.GetPodEventsRequest(max_events_num=7, **window)
            ),
            lambda client: client.get_pod_events(job_id, pod, max_events=7, **span),
        ),
        pair(
            dlc.GET_JOB_EVENTS,
            lambda sdk: sdk.get_job_events(
                job_id, models.GetJobEventsRequest(max_events_num=7, **window)
            ),
            lambda client: client.get_job_events(job_id, max_events=7, **span),
        ),
        pair(
            dlc.GET_JOB_METRICS,
            lambda sdk: sdk.get_job_metrics(
                job_id,
                models.GetJobMetricsRequest(metric_type="GpuCoreUsage", time_step="1m", **window),
            ),
            lambda client: client.get_job_metrics(job_id, "GpuCoreUsage", time_step="1m", **span),
        ),
    ]


def _listed(case: str, official: dict[str, Any], ours: dict[str, Any]) -> Pair:
    return Pair(
        dlc.LIST_JOBS,
        case,
        lambda sdk: sdk.dlc.list_jobs(
            models.ListJobsRequest(page_number=1, page_size=10, **official)
        ),
        lambda account: Dlc(account).list_jobs(**ours),
    )


LISTED = [
    _listed("nothing but a page", {}, {}),
    *(
        _listed(
            text,
            {"display_name": text, "workspace_id": ""},
            {"display_name": text, "workspace_id": ""},
        )
        for text in AWKWARD
    ),
    _listed(
        "all filters",
        {
            "workspace_id": "268",
            "status": "Running",
            "job_ids": "dlc1,dlc2",
            "job_type": "TFJob",
            "resource_id": "quota1",
            "payment_type": "Spot",
            "tags": TAGS,
            "show_own": True,
            "sort_by": "GmtCreateTime",
            "order": "asc",
            "start_time": SINCE_TEXT,
            "end_time": UNTIL_TEXT,
        },
        {
            "workspace_id": "268",
            "status": "Running",
            "job_ids": ["dlc1", "dlc2"],
            "job_type": "TFJob",
            "resource_id": "quota1",
            "payment_type": "Spot",
            "tags": TAGS,
            "show_own": True,
            "sort_by": "GmtCreateTime",
            "order": "asc",
            "since": SINCE,
            "until": UNTIL,
        },
    ),
]
SPECS = Pair(
    dlc.LIST_ECS_SPECS,
    "all filters",
    lambda sdk: sdk.dlc.list_ecs_specs(
        models.ListEcsSpecsRequest(
            accelerator_type="GPU",
            resource_type="ECS",
            instance_types="ecs.a,ecs.b",
            page_number=1,
            page_size=100,
        )
    ),
    lambda account: Dlc(account).list_ecs_specs(
        accelerator_type="GPU", resource_type="ECS", instance_types=["ecs.a", "ecs.b"]
    ),
)
PAIRS = [*CREATED, *LISTED, SPECS, *(pair for text in AWKWARD for pair in _of_ids(text))]


@pytest.mark.parametrize("pair", PAIRS, ids=str)
async def test_requests_are_alike(pair: Pair, both: Both) -> None:
    await assert_alike(pair, both)
