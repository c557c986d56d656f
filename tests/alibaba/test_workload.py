"""Workloads from three sides: found, put into four words, filtered, and asked for once."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from cloud import ADDRESS, LEAVE, Cloud, cloud, request

from tidemark.alibaba.account import Account
from tidemark.alibaba.credentials import StaticCredentials
from tidemark.alibaba.errors import NotFoundError, ServerError
from tidemark.alibaba.workload import WorkloadNotFoundError, Workloads
from tidemark.alibaba.workload_info import WorkloadQuery
from tidemark.alibaba.workload_providers import PaiStudioWorkloads, provider_named
from tidemark.errors import ConfigError
from tidemark.simulator.clock import VirtualClock

QUOTA = "quota1h2x3a4m5p6l"
SEEDED = "wl-1234567890abcdef"
PROVIDERS = ("dlc", "paistudio", "document")


def workloads(here: Cloud, provider: Any = "dlc", **more: Any) -> Workloads:
    return Workloads(provider_named(provider, here.account), here.clock, **more)


async def job(here: Cloud, name: str = "night", **more: Any) -> str:
    return await here.dlc.create_job(
        request(name, **{"workspace_id": "268", **more}), authorization=LEAVE
    )


async def quota_job(here: Cloud, name: str = "night") -> str:
    share = {"image": "registry.example.com/bench:1", "resources": {"cpu": "2", "memory": "4Gi"}}
    return await job(here, name, resource_id=QUOTA, job_specs=[share], priority=9)


async def test_a_job_is_the_same_workload_from_every_side() -> None:
    here = cloud()
    job_id = await quota_job(here)
    await here.clock.sleep(1)
    infos = [
        await workloads(here, provider).get_workload_info(workload_id=job_id)
        for provider in PROVIDERS
    ]
    for info in infos:
        assert info.workload_id == job_id
        assert info.workload_name == "night"
        assert info.workload_status == "Pending"
        assert info.workspace_id == "268"
        assert info.user_id == "1234567890123456"
        assert info.priority == 9
        assert info.is_scheduled is False
        assert [queue.queue_id for queue in info.queue_metas] == [QUOTA]
        assert info.workload_created_time == datetime(2026, 1, 1, tzinfo=UTC)
    assert infos[0].workload_type == "PyTorchJob"
    assert infos[1].queue_metas[0].queue_name == "team-quota"
    assert infos[2].tenant_id


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_the_newest_workload_of_a_name_is_meant(provider: str) -> None:
    here = cloud()
    for _ in range(3):
        newest = await quota_job(here)
        await here.clock.sleep(5)
    await quota_job(here, "nightly")
    info = await workloads(here, provider).get_workload_info(
        workload_name="night", workspace_id="268"
    )
    assert info.workload_id == newest


async def test_a_name_is_found_by_tenant_in_every_workspace() -> None:
    here = cloud()
    job_id = await job(here, workspace_id="7")
    asked = workloads(here)
    tenant = (await asked.get_workload_info(workload_id=job_id)).tenant_id
    found = await asked.get_workload_info(workload_name="night", tenant_id=tenant)
    assert found.workload_id == job_id
    with pytest.raises(WorkloadNotFoundError):
        await asked.get_workload_info(workload_name="night", tenant_id="t-other")


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_what_is_not_there_is_said_with_how_it_was_asked_for(provider: str) -> None:
    here = cloud()
    asked = workloads(here, provider)
    with pytest.raises(WorkloadNotFoundError, match=f"{provider}, by workload_id.*no workload dlc"):
        await asked.get_workload_info(workload_id="dlcother")
    with pytest.raises(WorkloadNotFoundError, match="by workload_name, workspace_id"):
        await asked.get_workload_info(workload_name="other", workspace_id="268")


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_missing_operation_is_not_taken_for_a_missing_workload(provider: str) -> None:
    here = cloud("calls: [{then: {error: {status: 404, code: InvalidAction.NotFound}}}]")
    with pytest.raises(NotFoundError):
        await workloads(here, provider).get_workload_info(workload_id="dlcother")


async def test_another_workload_of_the_id_is_no_answer() -> None:
    here = cloud()
    job_id = await job(here)
    with pytest.raises(WorkloadNotFoundError, match="another one in workload_status, workspace_id"):
        await workloads(here).get_workload_info(
            workload_id=job_id, workspace_id="7", workload_status="Failed"
        )


@pytest.mark.parametrize("provider", ["paistudio", "document"])
async def test_lists_are_filtered_whoever_tells_of_them(provider: str) -> None:
    here = cloud()
    asked = workloads(here, provider)
    everything = await asked.list_workloads()
    created = [each.workload_created_time for each in everything]
    assert created == sorted(created, reverse=True)  # type: ignore[type-var]
    assert len(everything) >= 4
    for filters in (
        {"status": "Running"},
        {"workload_status": "Pending"},
        {"is_scheduled": True},
        {"is_scheduled": "false"},
        {"priority": 5},
        {"user_name": everything[0].user_name},
        {"queue_metas": [QUOTA]},
        {"queue_metas": [{"QueueId": "q-xyz789", "QueueName": "gpu-queue"}]},
        {"workload_created_time": everything[0].workload_created_time},
        {"workspace_id": everything[0].workspace_id, "workload_type": everything[0].workload_type},
        {"workload_name": "no-such"},
    ):
        names = {"status": "workload_status"}
        query = WorkloadQuery.model_validate({names.get(k, k): v for k, v in filters.items()})
        found = await asked.list_workloads(**filters)
        assert found == [each for each in everything if query.fits(each)]
    running = await asked.list_workloads(status="Running")
    assert running
    assert all(each.workload_status == "Running" for each in running)


async def test_what_a_provider_ignores_is_filtered_here() -> None:
    documents = [
        {"WorkloadId": "wl-1", "WorkloadStatus": "Running", "WorkspaceId": "ws-1"},
        {"WorkloadId": "wl-2", "WorkloadStatus": "Failed", "WorkspaceId": "ws-1"},
    ]
    here = asking(httpx.Response(200, json={"Workloads": documents}))
    asked = Workloads(provider_named("document", here), here.clock)
    found = await asked.list_workloads(workspace_id="ws-1", status="Running")
    assert [each.workload_id for each in found] == ["wl-1"]
    single = asking(httpx.Response(200, json=documents[0]))
    asked = Workloads(provider_named("document", single), single.clock)
    assert len(await asked.list_workloads()) == 1
    empty = asking(httpx.Response(200, json={"Workloads": None}))
    assert await Workloads(provider_named("document", empty), empty.clock).list_workloads() == []


async def test_only_the_quotas_that_are_named_are_looked_in() -> None:
    here = cloud()
    provider = PaiStudioWorkloads(here.account, [QUOTA])
    found = await Workloads(provider, here.clock).list_workloads()
    assert len(found) == 5
    assert here.calls("ListQuotas") == []
    assert found[0].queue_metas[0].queue_name == QUOTA


async def test_the_document_form_is_signed_by_the_older_signature() -> None:
    seen: list[httpx.Request] = []

    def answer(sent: httpx.Request) -> httpx.Response:
        seen.append(sent)
        return httpx.Response(200, json={"WorkloadId": "wl-1", "WorkloadStatus": "Running"})

    account = asking(answer)
    await provider_named("document", account).get("wl-1")
    (sent,) = seen
    assert sent.headers["authorization"].startswith("acs LTAIexample:")
    assert sent.headers["x-acs-signature-method"] == "HMAC-SHA1"
    assert sent.headers["date"].endswith("GMT")
    assert sent.url.raw_path == b"/workloads/wl-1"


def asking(answer: Any) -> Account:
    """An account whose service always answers the same, or by a function."""
    handler = answer if callable(answer) else lambda _: answer
    return Account(
        StaticCredentials.of("LTAIexample", "canary-secret-9f2c77d1"),
        "cn-hangzhou",
        endpoints=ADDRESS,
        transport=httpx.MockTransport(handler),
        clock=VirtualClock(jump=True),
    )


# Questions that are refused


@pytest.mark.parametrize(
    ("filters", "said"),
    [
        ({}, "no workload is named. Give workload_id, or workload_name with workspace_id"),
        ({"workspace_id": "268"}, "no workload is named"),
        ({"workload_name": "night"}, "workload_name alone names workloads of every workspace"),
        ({"workload_name": "night", "user_id": "1"}, "workload_name alone"),
        ({"workload_ids": "dlc1"}, r"workload_ids: no such field. Did you mean workload_id\?"),
        ({"workload_id": ""}, "workload_id: is shorter than 1"),
        ({"workload_id": "d", "workload_status": "running"}, r"Did you mean Running\?"),
        ({"workload_id": "d", "priority": "high"}, "priority"),
        ({"workload_id": "d", "queue_metas": "q"}, "queue_metas: is not a list"),
        ({"workload_id": "d", "workload_created_time": "yesterday"}, "workload_created_time"),
    ],
)
async def test_too_little_and_unknown_filters_are_refused(
    filters: dict[str, Any], said: str
) -> None:
    here = cloud()
    with pytest.raises(ConfigError, match=said):
        await workloads(here).get_workload_info(**filters)
    assert here.simulator.requests() == []


async def test_a_filter_that_a_provider_never_tells_is_refused() -> None:
    here = cloud()
    with pytest.raises(ConfigError, match="paistudio does not tell tenant_id of workloads"):
        await workloads(here, "paistudio").list_workloads(tenant_id="t-1")
    with pytest.raises(ConfigError, match=r"Did you mean paistudio\?"):
        provider_named("paistudo", here.account)  # type: ignore[arg-type]


# Asked for once


async def test_an_answer_is_kept_for_half_a_minute() -> None:
    here = cloud("jobs: [{then: {running_s: never}}]")
    job_id = await job(here)
    asked = workloads(here)
    for _ in range(3):
        await asked.get_workload_info(workload_id=job_id)
    assert len(here.calls("GetJob")) == 1
    here.clock.advance(29)
    await asked.get_workload_info(workload_id=job_id)
    assert len(here.calls("GetJob")) == 1
    here.clock.advance(2)
    await asked.get_workload_info(workload_id=job_id)
    assert len(here.calls("GetJob")) == 2
    await asked.get_workload_info(workload_id=job_id, fresh=True)
    assert len(here.calls("GetJob")) == 3
    await asked.get_workload_info(workload_id=job_id)
    assert len(here.calls("GetJob")) == 3


async def test_lists_are_kept_by_what_was_asked() -> None:
    here = cloud()
    await job(here)
    asked = workloads(here)
    await asked.list_workloads(workspace_id="268", status="Pending")
    await asked.list_workloads(status="Pending", workspace_id="268")
    await asked.list_workloads(workspace_id="268", workload_status="Pending")
    assert len(here.calls("ListJobs")) == 1
    await asked.list_workloads(workspace_id="268")
    assert len(here.calls("ListJobs")) == 2
    await asked.list_workloads(workspace_id="268", fresh=True)
    assert len(here.calls("ListJobs")) == 3


async def test_a_kept_list_cannot_be_changed_by_who_got_it() -> None:
    here = cloud()
    await job(here)
    asked = workloads(here)
    (await asked.list_workloads(workspace_id="268")).clear()
    assert len(await asked.list_workloads(workspace_id="268")) == 1


async def test_what_has_ended_is_kept_longer_by_id_but_not_by_name() -> None:
    here = cloud("jobs: [{then: {running_s: 10}}]")
    job_id = await job(here)
    here.clock.advance(3600)
    asked = workloads(here)
    assert (await asked.get_workload_info(workload_id=job_id)).has_ended
    await asked.get_workload_info(workload_name="night", workspace_id="268")
    here.clock.advance(60)
    await asked.get_workload_info(workload_id=job_id)
    await asked.get_workload_info(workload_name="night", workspace_id="268")
    assert len(here.calls("GetJob")) == 1
    assert len(here.calls("ListJobs")) == 2
    here.clock.advance(600)
    await asked.get_workload_info(workload_id=job_id)
    assert len(here.calls("GetJob")) == 2


async def test_the_same_question_at_the_same_time_is_asked_once() -> None:
    here = cloud("calls: [{when: {action: GetJob}, then: {slow_s: 5}}]")
    job_id = await job(here)
    asked = workloads(here)
    infos = await asyncio.gather(*(asked.get_workload_info(workload_id=job_id) for _ in range(20)))
    assert len({id(info) for info in infos}) == 1
    assert len(here.calls("GetJob")) == 1


async def test_only_so_many_answers_are_kept() -> None:
    here = cloud()
    ids = [await job(here, f"night-{number}") for number in range(4)]
    asked = workloads(here, most=3)
    for job_id in (*ids[:3], ids[0], ids[3]):
        await asked.get_workload_info(workload_id=job_id)
    assert len(here.calls("GetJob")) == 4
    # The first was used since, the second was not.
    await asked.get_workload_info(workload_id=ids[0])
    assert len(here.calls("GetJob")) == 4
    await asked.get_workload_info(workload_id=ids[1])
    assert len(here.calls("GetJob")) == 5


async def test_errors_are_not_kept() -> None:
    here = cloud(
        "calls: [{when: {action: GetJob, count: 4}, "
        "then: {error: {status: 500, code: InternalError}}}]"
    )
    job_id = await job(here)
    asked = workloads(here)
    with pytest.raises(ServerError):
        await asked.get_workload_info(workload_id=job_id)
    assert (await asked.get_workload_info(workload_id=job_id)).workload_id == job_id


async def test_no_secret_is_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    def echo(sent: httpx.Request) -> httpx.Response:
        message = sent.headers["authorization"]
        return httpx.Response(403, json={"Code": "Forbidden", "Message": message})

    account = asking(echo)
    with pytest.raises(Exception, match="Forbidden") as caught:
        await provider_named("document", account).get("wl-1")
    signature = "acs LTAIexample:"
    for text in (str(caught.value), repr(caught.value), caplog.text):
        assert "canary-secret-9f2c77d1" not in text
        assert signature not in text
