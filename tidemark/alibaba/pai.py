"""PAI-DLC for scripts: plain functions that return what the service answered, as dicts.

    from tidemark.alibaba.pai import list_ecs_specs, get_job
    specs = list_ecs_specs(accelerator_type="GPU", sort_by="GPU")

Region and account come from the configuration. What creates something needs an `authorization`:
the approval of a quote, or `SimulatorAuthorization()` against a simulator. Secrets in answers are
masked. Every function raises AlibabaError, and ConfigError for arguments that cannot be right,
before anything is sent.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Literal

from tidemark.alibaba.account import Account
from tidemark.alibaba.adoption import adopt_or_create
from tidemark.alibaba.aiworkspace import AiWorkspace
from tidemark.alibaba.answers import read
from tidemark.alibaba.cleaning import TAG, clean_up
from tidemark.alibaba.dlc import CREATE_JOB, GET_POD_EVENTS, Dlc
from tidemark.alibaba.dlc_requests import CreateJob, JobSpec
from tidemark.alibaba.errors import AlibabaError, NotFoundError
from tidemark.alibaba.images import ChipType, ImageUri
from tidemark.alibaba.images import resolve_image as resolve
from tidemark.alibaba.job_waiting import JobFailedError, wait_for_job
from tidemark.alibaba.sync import run
from tidemark.alibaba.training_jobs import Machine, job_spec, sort_specs, specs_for
from tidemark.alibaba.workspaces import workspace_choice
from tidemark.authorization import Authorization, Creation, check_authorization
from tidemark.errors import ConfigError, TidemarkError
from tidemark.waiting.policy import Patience

__all__ = [
    "build_job_spec",
    "cleanup_jobs",
    "create_job",
    "create_pytorch_job",
    "create_training_job",
    "delete_job",
    "get_job",
    "get_job_logs",
    "get_pod_events",
    "get_pod_logs",
    "list_ecs_specs",
    "list_images",
    "list_jobs",
    "resolve_image",
    "stop_job",
    "wait_job_complete",
]

LOG = logging.getLogger("tidemark.alibaba")
Document = dict[str, Any]


def list_ecs_specs(
    accelerator_type: Literal["CPU", "GPU"] | None = None,
    sort_by: Literal["CPU", "GPU", "Memory", "GmtCreateTime"] | None = None,
    order: Literal["asc", "desc"] = "asc",
    region: str | None = None,
) -> list[Document]:
    """The instance types that DLC offers, of all pages (ListEcsSpecs), sorted here.

    By "GmtCreateTime" they stay in the service's order: no answer has that time.
    """
    if sort_by == "GmtCreateTime":
        LOG.info("ListEcsSpecs tells no GmtCreateTime: the service's own order is kept")
    sort_specs([], sort_by, order)  # refuses wrong words before anything is asked

    async def work(account: Account) -> list[Document]:
        specs = await Dlc(account).list_ecs_specs(accelerator_type=accelerator_type)
        return [spec.wire for spec in sort_specs(specs, sort_by, order)]

    return run(work, region)


def resolve_image(
    job_type: str = "PyTorchJob", chip_type: ChipType = "GPU", region: str | None = None
) -> ImageUri:
    """The official image for a kind of job, as text, with `digest` and `digest_reason`.

    Asked once for each account and region.
    """
    return run(lambda account: resolve(account, job_type, chip_type), region)


def build_job_spec(
    spec_type: str = "Worker",
    image: str = "",
    pod_count: int = 1,
    ecs_spec: str | None = None,
    gpu: str | int | None = None,
    gpu_type: str | None = None,
    cpu: str | int | None = None,
    memory: str | int | None = None,
) -> Document:
    """One JobSpec, checked: an instance type (`ecs_spec`), or a share of a quota."""
    machine = Machine(ecs_spec, cpu, memory, gpu, gpu_type)
    return job_spec(image, machine, spec_type=spec_type, pod_count=pod_count).body()


def create_job(
    display_name: str,
    job_type: str,
    user_command: str,
    job_specs: Sequence[Mapping[str, Any]],
    workspace_id: str | None = None,
    resource_id: str | None = None,
    envs: Mapping[str, str] | None = None,
    thirdparty_libs: Sequence[str] | None = None,
    region: str | None = None,
    *,
    authorization: Authorization,
    max_running_time_minutes: int | None = None,
    tags: Mapping[str, str] | None = None,
    **more: Any,
) -> Document:
    """Create a job from specs as `build_job_spec` makes them; returns `{JobId, RequestId}`, the
    latter of the last call about the job.

    `more` are further fields of CreateJob by this package's names (`priority`, `data_sources`…).
    If the answer is lost the job is looked up, so that one call makes one job.
    """
    given = {
        "display_name": display_name,
        "job_type": job_type,
        "user_command": user_command,
        "job_specs": [_spec_of(spec) for spec in job_specs],
        "workspace_id": "checked-later",
        "resource_id": resource_id,
        "envs": dict(envs) if envs else None,
        "thirdparty_libs": list(thirdparty_libs) if thirdparty_libs else None,
        "max_running_time_minutes": max_running_time_minutes,
        # The second tag is this call's alone, and finds its job if the answer is lost.
        "tags": {**(tags or {}), TAG: "script", f"{TAG}-call": uuid.uuid4().hex},
        **more,
    }
    checked = read(CreateJob, given, "CreateJob")

    async def work(account: Account) -> Document:
        _check_leave(account, authorization)
        chosen = await workspace_choice(account).choose(workspace_id, authorization)
        request = checked.model_copy(update={"workspace_id": chosen})
        dlc = Dlc(account)
        adopted = await adopt_or_create(
            dlc, request, authorization=authorization, clock=account.clock
        )
        # The request of the creation itself may be the one whose answer was lost.
        job = adopted.job
        with suppress(AlibabaError):
            job = await dlc.get_job(job.job_id, need_detail=False)
        return {"JobId": job.job_id, "RequestId": job.wire.get("RequestId")}

    try:
        return run(work, region)
    except BaseException as error:
        # An error of ours says whether it is open; anything else, such as Ctrl-C, leaves it so.
        if getattr(error, "effect_unknown", not isinstance(error, TidemarkError)):
            note = f"A job {display_name} may exist; it would carry the tags {checked.tags}"
            error.add_note(note)
        raise


def create_training_job(
    display_name: str,
    user_command: str,
    job_type: str = "PyTorchJob",
    image: str | None = None,
    worker_count: int = 1,
    ecs_spec: str | None = None,
    gpu: str | int | None = None,
    gpu_type: str | None = None,
    cpu: str | int | None = None,
    memory: str | int | None = None,
    workspace_id: str | None = None,
    resource_id: str | None = None,
    envs: Mapping[str, str] | None = None,
    thirdparty_libs: Sequence[str] | None = None,
    region: str | None = None,
    *,
    authorization: Authorization,
    max_running_time_minutes: int | None = None,
    tags: Mapping[str, str] | None = None,
    **more: Any,
) -> Document:
    """Create a job with `worker_count` pods; returns `{JobId, RequestId}`.

    Without an image, the official one for the job's kind is taken, for GPUs if the instance
    type's AcceleratorType says so.
    """
    machine = Machine(ecs_spec, cpu, memory, gpu, gpu_type)
    machine.resources()

    async def work(account: Account) -> list[JobSpec]:
        _check_leave(account, authorization)  # before a service is asked for anything
        return await specs_for(account, job_type, image, machine, worker_count)

    specs = run(work, region)
    return create_job(
        display_name,
        job_type,
        user_command,
        [spec.body() for spec in specs],
        workspace_id,
        resource_id,
        envs,
        thirdparty_libs,
        region,
        authorization=authorization,
        max_running_time_minutes=max_running_time_minutes,
        tags=tags,
        **more,
    )


def create_pytorch_job(
    display_name: str, user_command: str, *, authorization: Authorization, **given: Any
) -> Document:
    """`create_training_job` for a PyTorchJob."""
    return create_training_job(
        display_name, user_command, "PyTorchJob", authorization=authorization, **given
    )


def get_job(job_id: str, region: str | None = None) -> Document:
    """A job (GetJob)."""

    async def work(account: Account) -> Document:
        return (await Dlc(account).get_job(job_id)).wire

    return run(work, region)


def list_jobs(
    workspace_id: str | None = None,
    display_name: str | None = None,
    status: str | None = None,
    page_number: int = 1,
    page_size: int = 10,
    region: str | None = None,
) -> Document:
    """One page of the jobs of the last seven days: `{Jobs, TotalCount}` (ListJobs)."""

    async def work(account: Account) -> Document:
        page = await Dlc(account).list_jobs(
            page_number=page_number,
            page_size=page_size,
            workspace_id=workspace_id,
            display_name=display_name,
            status=status,
        )
        return page.wire

    return run(work, region)


def stop_job(job_id: str, region: str | None = None) -> Document:
    """Ask a job to stop (StopJob); one that has ended is as it was wanted. `{JobId, Status}`."""

    async def work(account: Account) -> Document:
        job = await Dlc(account).stop_job(job_id)
        return {"JobId": job.job_id, "Status": job.status, "RequestId": job.wire.get("RequestId")}

    return run(work, region)


def wait_job_complete(
    job_id: str,
    timeout: float = 7200,
    interval: float = 30,
    image_pull_timeout: float = 300,
    region: str | None = None,
) -> Document:
    """Wait until a job has succeeded, and return it as GetJob has it. All times are in seconds.

    It is looked at every `interval`. A job that stands still for four intervals has its last events
    and log lines logged. It is stopped, and seen to have stopped, when its image could not be
    pulled for `image_pull_timeout`, or when it is not over after `timeout`.

    Raises JobFailedError for a job that failed, was stopped by somebody, or was stopped here: with
    what it is about, the line that shows it, and what to do; `error.evidence` has all logs and
    events.
    """
    for name, seconds in (
        ("timeout", timeout),
        ("interval", interval),
        ("image_pull_timeout", image_pull_timeout),
    ):
        if not seconds > 0:
            raise ConfigError("is not above 0", f"{name}: {seconds}", "Give a number of seconds")
    patience = Patience(
        queueing_s=timeout,
        preparing_s=timeout,
        image_pull_failing_s=image_pull_timeout,
        total_s=timeout,
    )

    async def work(account: Account) -> Document:
        end = await wait_for_job(
            Dlc(account), job_id, clock=account.clock, patience=patience, interval_s=interval
        )
        if end.failure is not None:
            raise JobFailedError(end.job, end.failure, end.evidence)
        return end.job.wire

    return run(work, region)


def delete_job(job_id: str, region: str | None = None) -> Document:
    """Delete a job that has ended (DeleteJob). `{JobId}`."""

    async def work(account: Account) -> Document:
        await Dlc(account).delete_job(job_id)
        return {"JobId": job_id}

    return run(work, region)


def get_job_logs(
    job_id: str, region: str | None = None, max_lines: int | None = None
) -> dict[str, list[str]]:
    """What every pod of a job printed: `{pod id: [line, …]}`. A pod that is gone has no lines."""

    async def work(account: Account) -> dict[str, list[str]]:
        dlc = Dlc(account)
        logs: dict[str, list[str]] = {}
        for pod in (await dlc.get_job(job_id)).pods:
            try:
                found = await dlc.get_pod_logs(job_id, pod.pod_id, max_lines=max_lines)
                logs[pod.pod_id] = list(found.logs)
            except NotFoundError:
                logs[pod.pod_id] = []
        return logs

    return run(work, region)


def get_pod_logs(
    job_id: str, pod_id: str, region: str | None = None, max_lines: int | None = None
) -> Document:
    """What one pod printed: `{Logs: [line, …], …}` (GetPodLogs)."""

    async def work(account: Account) -> Document:
        return (await Dlc(account).get_pod_logs(job_id, pod_id, max_lines=max_lines)).wire

    return run(work, region)


def get_pod_events(
    job_id: str, pod_id: str, region: str | None = None, max_events: int | None = None
) -> Document:
    """What happened to one pod: `{Events: [text, …], …}` (GetPodEvents)."""
    return run(
        lambda account: account.call(
            GET_POD_EVENTS,
            parts={"JobId": job_id, "PodId": pod_id},
            query={"MaxEventsNum": max_events},
        ),
        region,
    )


def list_images(
    labels: str | Mapping[str, str] | None = None,
    name: str | None = None,
    page_size: int = 100,
    region: str | None = None,
) -> list[Document]:
    """Images (ListImages), of all pages; `labels` as a dict or as `key=value,key=value`."""
    wanted = _labels(labels)

    async def work(account: Account) -> list[Document]:
        found = await AiWorkspace(account).list_images(
            labels=wanted, name=name, page_size=page_size
        )
        return [image.wire for image in found]

    return run(work, region)


def cleanup_jobs(
    status: str = "Failed",
    delete: bool = False,
    workspace_id: str | None = None,
    region: str | None = None,
    *,
    including_jobs_that_this_tool_did_not_create: bool = False,
) -> list[str]:
    """Stop the jobs of a status that still hold machines, and with `delete` delete them.

    Only jobs that carry this tool's tag, unless told otherwise. Returns the ids of the jobs that
    were stopped or deleted. Jobs "Failed" include those that failed and hold their machines.
    """
    return run(
        lambda account: clean_up(
            account,
            status=status,
            delete=delete,
            workspace_id=workspace_id,
            everyones=including_jobs_that_this_tool_did_not_create,
        ),
        region,
    )


def _check_leave(account: Account, authorization: Authorization) -> None:
    place = account.target(CREATE_JOB, {}, {})
    check_authorization(authorization, Creation(place.base_url, CREATE_JOB.action, {}))


def _spec_of(spec: Mapping[str, Any]) -> Document:
    """A JobSpec as it is sent, as this package's model has it."""
    known = {"Type", "Image", "PodCount", "ImageConfig", "RestartPolicy", "UserCommand"}
    given = {name: value for name, value in spec.items() if name in known}
    share = spec.get("ResourceConfig") or {}
    machine = Machine(spec.get("EcsSpec"), share.get("CPU"), share.get("Memory"), share.get("GPU"))
    machine.resources()  # refuses both kinds, and none
    instance = {name: spec[name] for name in ("EcsSpec", "SpotSpec") if spec.get(name)}
    resources = instance or share
    taken = {*known, "EcsSpec", "SpotSpec", "ResourceConfig"}
    more = {name: value for name, value in spec.items() if name not in taken}
    return {**given, "Resources": resources, "More": more}


def _labels(labels: str | Mapping[str, str] | None) -> dict[str, str] | None:
    if labels is None:
        return None
    if isinstance(labels, Mapping):
        return dict(labels)
    pairs = (pair.partition("=") for pair in labels.split(",") if pair)
    return {name.strip(): value.strip() for name, _, value in pairs}
