"""The DLC client: what it asks, and that it survives whatever comes back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cloud import LEAVE, cloud, request
from hypothesis import given
from hypothesis import strategies as st

from tidemark.alibaba.answers import Answer, read, redacted
from tidemark.alibaba.dlc_answers import EcsSpec, Event, Job, JobMetrics
from tidemark.alibaba.dlc_requests import CreateJob
from tidemark.alibaba.dlc_status import JobStatus, Phase, phase_of
from tidemark.alibaba.errors import InvalidRequestError, NoAnswerError, NotFoundError
from tidemark.alibaba.training_jobs import sort_specs
from tidemark.errors import ConfigError, SecretError

TERMINAL = {"Succeeded", "Failed", "Stopped"}


def test_all_thirteen_statuses_have_a_phase() -> None:
    assert len(JobStatus) == 13
    assert Phase.UNKNOWN not in {phase_of(status) for status in JobStatus}
    assert {status for status in JobStatus if phase_of(status) is Phase.TERMINAL} == TERMINAL
    assert phase_of("SucceededReserving") is phase_of("FailedReserving") is Phase.RESERVING
    assert phase_of("Pondering") is phase_of("") is Phase.UNKNOWN


instants = st.one_of(
    st.none(),
    st.just(""),
    st.just("yesterday"),
    st.integers(1_600_000_000, 1_900_000_000).map(
        lambda s: datetime.fromtimestamp(s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    ),
)
numbers = st.one_of(
    st.none(), st.integers(-5, 10**6), st.floats(), st.text(max_size=5), st.just("2.5")
)
statuses = st.one_of(st.sampled_from(list(JobStatus)).map(str), st.text(max_size=20), st.none())
periods = st.fixed_dictionaries(
    {},
    optional={
        "Status": statuses,
        "StartTime": instants,
        "EndTime": instants,
        "ReasonCode": st.one_of(st.none(), st.text(max_size=10)),
        "NewField": st.integers(),
    },
)
pods = st.fixed_dictionaries(
    {},
    optional={
        "PodId": st.one_of(st.none(), st.text(max_size=8)),
        "Status": statuses,
        "SubStatus": st.sampled_from(["Normal", "Evicted", None, "?"]),
        "Duration": numbers,
        "HistoryPods": st.one_of(st.none(), st.lists(st.fixed_dictionaries({"PodId": st.text()}))),
    },
)
histories = st.fixed_dictionaries(
    {"JobId": st.text(min_size=1, max_size=20)},
    optional={
        "Status": statuses,
        "SubStatus": st.one_of(st.none(), st.just("Restarting")),
        "StatusHistory": st.one_of(st.none(), st.lists(periods, max_size=15)),
        "Pods": st.one_of(st.none(), st.lists(pods, max_size=4)),
        "RestartTimes": st.one_of(st.none(), st.integers(), st.sampled_from(["0/10", "", "x"])),
        "RequestGPU": numbers,
        "RequestCPU": numbers,
        "RequestMemory": numbers,
        "Duration": numbers,
        "GmtFinishTime": instants,
        "GmtSuccessedTime": instants,
        "Settings": st.one_of(st.none(), st.fixed_dictionaries({"Tags": st.none()})),
        "Envs": st.one_of(st.none(), st.dictionaries(st.text(max_size=5), st.text(max_size=5))),
    },
)


@given(histories)
def test_any_history_of_a_job_can_be_read(document: dict[str, Any]) -> None:
    job = Job.of(document, "GetJob")
    assert job.status == (document.get("Status") or "")
    assert job.is_terminal == (job.phase is Phase.TERMINAL)
    given_history = document.get("StatusHistory") or []
    assert [one.status for one in job.status_history] == [
        one.get("Status") or "" for one in given_history
    ]
    assert len(job.pods) == len(document.get("Pods") or [])
    assert job.ended_at is None or job.is_terminal
    assert isinstance(job.tags, dict)
    for moment in (job.gmt_finish_time, *(one.start_time for one in job.status_history)):
        assert moment is None or moment.tzinfo is not None
    assert set(document) == set(job.wire)


@pytest.mark.parametrize(
    "document", [{}, {"JobId": None}, {"JobId": "a", "Pods": 3}, {"JobId": "a", "Settings": []}]
)
def test_an_answer_of_another_shape_is_named(document: dict[str, Any]) -> None:
    with pytest.raises(NoAnswerError, match="another shape"):
        Job.of(document, "GetJob")


def test_times_are_utc_whatever_zone_they_came_in() -> None:
    early, late = (
        Job.of({"JobId": job_id, "GmtCreateTime": text}, "GetJob")
        for job_id, text in (("b", "2026-01-01T08:00:00+08:00"), ("a", "2026-01-01T00:30:00Z"))
    )
    assert early.gmt_create_time == datetime(2026, 1, 1, tzinfo=UTC)
    assert sorted([late, early], key=Job.age_key) == [early, late]
    odd = Job.of({"JobId": "c", "GmtCreateTime": "0001-01-01T00:00:00+08:00"}, "GetJob")
    assert odd.gmt_create_time is None


def test_restarts_and_memory_are_read_as_they_are_written() -> None:
    assert Job.of({"JobId": "a", "RestartTimes": "3/10"}, "GetJob").restarts == (3, 10)
    assert Job.of({"JobId": "a"}, "GetJob").restarts is None
    assert EcsSpec.of({"InstanceType": "x", "Memory": 92}, "L").memory_gib == 92
    assert EcsSpec.of({"InstanceType": "x", "Memory": 94208}, "L").memory_gib == 92


def test_specs_without_a_number_stand_last() -> None:
    specs = [EcsSpec.of({"InstanceType": str(gpu), "Gpu": gpu}, "L") for gpu in (4, None, 1)]
    assert [spec.gpu for spec in sort_specs(specs, "GPU", "asc")] == [1, 4, None]
    assert [spec.gpu for spec in sort_specs(specs, "GPU", "desc")] == [4, 1, None]


@pytest.mark.parametrize(
    ("line", "text", "at"),
    [
        (
            "2021-01-28 14:07:45 Successfully pulled image.",
            "Successfully pulled image.",
            datetime(2021, 1, 28, 14, 7, 45, tzinfo=UTC),
        ),
        ("no time at all", "no time at all", None),
        ("2021-99-99 14:07:45 odd", "odd", None),
        ("", "", None),
    ],
)
def test_events_are_text_with_a_time(line: str, text: str, at: datetime | None) -> None:
    event = Event.parse(line)
    assert (event.text, event.at) == (text, at)


async def test_events_metrics_and_logs_of_a_real_life() -> None:
    here = cloud("jobs: [{then: {running_s: 600, logs: [first, second, third]}}]")
    job_id = await here.dlc.create_job(request(), authorization=LEAVE)
    here.clock.advance(400)
    pod_id = (await here.dlc.get_job(job_id)).pods[0].pod_id
    events = await here.dlc.get_pod_events(job_id, pod_id)
    assert any("Successfully pulled image" in event.text for event in events)
    assert all(event.at is not None for event in events)
    assert len(await here.dlc.get_job_events(job_id)) >= len(events)
    logs = await here.dlc.get_pod_logs(job_id, pod_id)
    assert logs.logs
    assert len((await here.dlc.get_pod_logs(job_id, pod_id, max_lines=1)).logs) == 1
    metrics = await here.dlc.get_job_metrics(job_id, "CpuCoreUsage", time_step="1m")
    points = metrics.pod_metrics[0].points
    assert points
    assert all(here.clock.time() - 3600 <= at_s <= here.clock.time() for at_s, _ in points)
    assert JobMetrics.of({"PodMetrics": None}, "GetJobMetrics").pod_metrics == ()


async def test_jobs_are_found_by_exact_name_and_by_tags() -> None:
    here = cloud()
    for name in ("bench", "BENCH", "bench-2", "my-bench"):
        await here.dlc.create_job(request(name), authorization=LEAVE)
    found = await here.dlc.find_jobs(display_name="bench", workspace_id="1")
    assert [job.display_name for job in found] == ["bench"]
    found = await here.dlc.find_jobs(tags={"attempt": "bench-2"}, workspace_id="1")
    assert [job.display_name for job in found] == ["bench-2"]
    page = await here.dlc.list_jobs(workspace_id="1", display_name="bench", page_size=2)
    assert (len(page.jobs), page.total_count) == (2, 4)


async def test_jobs_are_found_by_id_in_any_workspace_with_one_call_for_each_hundred() -> None:
    here = cloud()
    ids = [
        await here.dlc.create_job(request(f"bench-{number}"), authorization=LEAVE)
        for number in range(250)
    ]
    here.clock.advance(timedelta(days=40).total_seconds())
    found = await here.dlc.jobs_by_id([*ids, ids[0], "dlcneverwas"])
    assert sorted(found) == sorted(ids)
    assert found[ids[7]].display_name == "bench-7"
    assert len(here.calls("ListJobs")) == 3
    assert list(await here.dlc.jobs_by_id(ids[:2], workspace_id="1")) == ids[1::-1]
    assert await here.dlc.jobs_by_id(ids[:2], workspace_id="2") == {}
    assert await here.dlc.jobs_by_id([]) == {}
    assert len(here.calls("ListJobs")) == 5


async def test_jobs_of_more_than_a_week_ago_are_found() -> None:
    here = cloud()
    await here.dlc.create_job(request(), authorization=LEAVE)
    here.clock.advance(timedelta(days=40).total_seconds())
    assert (await here.dlc.list_jobs(workspace_id="1")).jobs == ()
    assert len(await here.dlc.all_jobs(workspace_id="1")) == 1
    now = datetime.fromtimestamp(here.clock.time(), UTC)
    assert await here.dlc.all_jobs(workspace_id="1", since=now - timedelta(days=30)) == []


async def test_all_pages_are_read_once() -> None:
    here = cloud()
    for number in range(205):
        await here.dlc.create_job(request(f"bench-{number}"), authorization=LEAVE)
    jobs = await here.dlc.all_jobs(workspace_id="1")
    assert len({job.job_id for job in jobs}) == len(jobs) == 205
    assert len(here.calls("ListJobs")) == 3


async def test_stopping_what_has_ended_is_success_and_other_refusals_are_not() -> None:
    here = cloud("jobs: [{then: {running_s: 10}}]")
    job_id = await here.dlc.create_job(request(), authorization=LEAVE)
    here.clock.advance(600)
    assert (await here.dlc.stop_job(job_id)).status == "Succeeded"
    other = await here.dlc.create_job(request("other"), authorization=LEAVE)
    here.play("calls: [{when: {action: StopJob}, then: {error: {status: 400, code: BadRequest}}}]")
    with pytest.raises(InvalidRequestError):
        await here.dlc.stop_job(other)
    with pytest.raises(NotFoundError):
        await here.dlc.get_job("dlcnever")


@pytest.mark.parametrize(
    ("call", "hint"),
    [
        (lambda dlc: dlc.all_jobs(status="running"), "Did you mean Running"),
        (lambda dlc: dlc.list_jobs(stauts="Running"), "Did you mean status"),
        (lambda dlc: dlc.list_ecs_specs(accelerator_type="gpu"), "Did you mean GPU"),
        (lambda dlc: dlc.get_job_metrics("dlc1", "GpuMemUsage"), "Did you mean GpuMemoryUsage"),
    ],
)
async def test_a_word_that_would_find_nothing_is_refused(call: Any, hint: str) -> None:
    here = cloud()
    with pytest.raises(ConfigError, match=hint):
        await call(here.dlc)
    assert here.simulator.requests() == []
    assert await here.dlc.all_jobs(status="Pondering") == []


async def test_a_share_of_a_quota_is_sent_as_text() -> None:
    here = cloud()
    quota = next(iter(here.simulator.state()["quotas"]))
    spec = {"image": "i", "resources": {"cpu": 8, "memory": "32Gi", "gpu": 1, "gpu_type": "V100"}}
    asked = request(job_specs=[spec], resource_id=quota, priority=5)
    job_id = await here.dlc.create_job(asked, authorization=LEAVE)
    (call,) = here.calls("CreateJob")
    assert call["body"]["JobSpecs"][0]["ResourceConfig"]["CPU"] == "8"
    assert call["body"]["ResourceId"] == quota
    assert (await here.dlc.get_job(job_id)).priority == 5


async def test_a_registry_password_is_lent_and_shown_nowhere() -> None:
    here = cloud()
    spec = {
        "image": "registry.example.com/private:1",
        "resources": {"ecs_spec": "ecs.c6.large"},
        "image_config": {"username": "puller", "password": "env:REGISTRY_PASSWORD"},
    }
    asked = request(job_specs=[spec], envs={"API_KEY": "canary-env", "PLAIN": "shown"})
    assert asked.registry_secrets == ["env:REGISTRY_PASSWORD"]
    with pytest.raises(SecretError, match="REGISTRY_PASSWORD"):
        await here.dlc.create_job(asked, authorization=LEAVE)
    lend = {"env:REGISTRY_PASSWORD": "canary-registry"}
    job_id = await here.dlc.create_job(asked, authorization=LEAVE, lend=lend)
    job = await here.dlc.get_job(job_id)
    assert job.wire["Envs"] == {"API_KEY": "***", "PLAIN": "shown"}
    shown = f"{job!r} {job.wire} {asked!r} {here.simulator.requests()}"
    assert "canary" not in shown
    # That something was sent is in the dump, what it was is not.
    sent = here.calls("CreateJob")[0]["body"]["JobSpecs"][0]["ImageConfig"]
    assert sent == {"Username": "puller", "Password": "***"}


def test_a_literal_password_is_refused_without_being_repeated() -> None:
    spec = {"image": "i", "resources": {"ecs_spec": "e"}, "image_config": {"password": "hunter22"}}
    document = {"display_name": "a", "user_command": "a", "workspace_id": "1", "job_specs": [spec]}
    with pytest.raises(ConfigError, match="a literal value is not accepted") as caught:
        read(CreateJob, document, "CreateJob")
    assert "hunter22" not in str(caught.value)


@pytest.mark.parametrize(
    ("document", "shown"),
    [
        ({"Token": "abc"}, {"Token": "***"}),
        ({"Token": ""}, {"Token": ""}),
        ({"requestToken": "env:T"}, {"requestToken": "env:T"}),
        ({"a": [{"AccessToken": "x"}]}, {"a": [{"AccessToken": "***"}]}),
        (
            {"CustomEnvs": [{"Key": "MY_SECRET", "Value": "x"}, {"Key": "N", "Value": "1"}]},
            {"CustomEnvs": [{"Key": "MY_SECRET", "Value": "***"}, {"Key": "N", "Value": "1"}]},
        ),
        ({"CredentialConfig": {"RoleArn": "acs:ram::1:role/x"}},) * 2,
    ],
)
def test_secrets_in_answers_are_masked(document: Any, shown: Any) -> None:
    assert redacted(document) == shown
    assert Answer.of(document, "X").wire == shown
