"""The functions for scripts, as scripts use them, against the simulated cloud."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cloud import ADDRESS, LEAVE

from tidemark.alibaba import sync
from tidemark.alibaba.credentials import StaticCredentials
from tidemark.alibaba.ecs import describe_price
from tidemark.alibaba.errors import AlibabaError, CredentialError, NotFoundError
from tidemark.alibaba.pai import (
    build_job_spec,
    cleanup_jobs,
    create_job,
    create_pytorch_job,
    create_training_job,
    delete_job,
    get_job,
    get_job_logs,
    get_pod_events,
    get_pod_logs,
    list_ecs_specs,
    list_images,
    list_jobs,
    resolve_image,
    stop_job,
)
from tidemark.alibaba.workload import get_workload_info, list_workloads
from tidemark.clock import Clock
from tidemark.errors import ConfigError, RefusedError
from tidemark.simulator.clock import NEW_YEAR_2026_S, VirtualClock
from tidemark.simulator.pai.aiworkspace import Workspace
from tidemark.simulator.pai.app import PaiSimulator
from tidemark.simulator.pai.products import services
from tidemark.simulator.pai.scenario import scenario_from_text


@pytest.fixture
def simulator() -> Iterator[PaiSimulator]:
    yield from start(PaiSimulator(clock=VirtualClock(jump=True)))


def start(made: PaiSimulator, clock: Clock | None = None) -> Iterator[PaiSimulator]:
    sync.use(
        source=StaticCredentials.of("LTAIsimulator", "simulator-secret"),
        region="cn-hangzhou",
        endpoints=ADDRESS,
        transport=made.transport(),
        clock=clock or made.clock,
    )
    yield made
    sync.use()


def with_workspaces(given: tuple[Workspace, ...], **more: Any) -> PaiSimulator:
    products = partial(services, workspaces=given, **more)
    return PaiSimulator(clock=VirtualClock(jump=True), products=products)


def advance(simulator: PaiSimulator, seconds: float) -> None:
    assert isinstance(simulator.clock, VirtualClock)
    simulator.clock.advance(seconds)


def create(**more: Any) -> str:
    given = {"display_name": "bench", "user_command": "bash /root/a.sh", "authorization": LEAVE}
    answer = create_training_job(**{**given, "ecs_spec": "ecs.c6.large", **more})
    return str(answer["JobId"])


def calls(simulator: PaiSimulator, action: str) -> list[dict[str, Any]]:
    return [seen for seen in simulator.requests() if seen["action"] == action]


def test_specs_are_of_all_pages_filtered_and_sorted(simulator: PaiSimulator) -> None:
    everything = list_ecs_specs()
    assert len(everything) == len(simulator.world.specs) > 10
    cpu = list_ecs_specs(accelerator_type="CPU")
    assert {spec["AcceleratorType"] for spec in cpu} == {"CPU"}
    gpus = [spec["Gpu"] for spec in list_ecs_specs(accelerator_type="GPU", sort_by="GPU")]
    assert gpus == sorted(gpus)
    memory = [spec["Memory"] for spec in list_ecs_specs(sort_by="Memory", order="desc")]
    assert memory == sorted(memory, reverse=True)
    assert list_ecs_specs(sort_by="GmtCreateTime") == everything
    # The service refuses some of the words that it documents for sorting: none is ever sent.
    assert all("SortBy" not in seen["query"] for seen in calls(simulator, "ListEcsSpecs"))


@pytest.mark.parametrize(
    ("arguments", "pattern"),
    [
        ({"sort_by": "cpu"}, "Did you mean CPU"),
        ({"order": "down"}, "asc nor desc"),
    ],
)
def test_wrong_words_are_refused_before_any_request(
    simulator: PaiSimulator, arguments: dict[str, Any], pattern: str
) -> None:
    with pytest.raises(ConfigError, match=pattern):
        list_ecs_specs(**arguments)
    assert simulator.requests() == []


def test_a_job_from_beginning_to_end(simulator: PaiSimulator) -> None:
    answer = create_pytorch_job("bench", "echo tide", ecs_spec="ecs.c6.large", authorization=LEAVE)
    job_id = answer["JobId"]
    assert set(answer) == {"JobId", "RequestId"}
    assert answer["RequestId"]
    job = get_job(job_id)
    assert job["Status"] in ("Creating", "Queuing", "EnvPreparing")
    assert job["Settings"]["Tags"]["tidemark"] == "script"
    assert [one["JobId"] for one in list_jobs()["Jobs"]] == [job_id]
    advance(simulator, 120)
    pod_id = get_job(job_id)["Pods"][0]["PodId"]
    assert get_pod_events(job_id, pod_id)["Events"]
    assert list(get_job_logs(job_id)) == [pod_id]
    assert get_pod_logs(job_id, pod_id)["PodId"] == pod_id
    assert stop_job(job_id)["Status"] in ("Stopping", "Stopped")
    advance(simulator, 60)
    assert stop_job(job_id)["Status"] == "Stopped"
    assert delete_job(job_id) == {"JobId": job_id}
    assert delete_job(job_id) == {"JobId": job_id}
    with pytest.raises(NotFoundError):
        get_job(job_id)


@pytest.mark.parametrize(
    ("spec", "chip"),
    [("ecs.c6.large", "cpu"), ("ecs.gn6i-c4g1.xlarge", "gpu"), ("ml.gu7i.c32m188.1-gu30", "gpu")],
)
@pytest.mark.usefixtures("simulator")
def test_the_image_follows_from_what_the_spec_has_not_from_its_name(spec: str, chip: str) -> None:
    image = get_job(create(ecs_spec=spec))["JobSpecs"][0]["Image"]
    assert chip in image
    assert "pytorch" in image


def test_the_standard_image_of_a_framework_is_resolved_once(simulator: PaiSimulator) -> None:
    uri = resolve_image("TFJob", chip_type="CPU")
    assert "tensorflow" in uri
    assert not any(word in uri for word in ("accl", "ngc", "deepep"))
    asked = len(simulator.requests())
    assert resolve_image("TFJob", chip_type="CPU") == uri
    assert len(simulator.requests()) == asked
    assert uri.digest is None
    assert uri.digest_reason
    with pytest.raises(ConfigError, match="Did you mean PyTorchJob"):
        resolve_image("PytorchJob")
    with pytest.raises(ConfigError, match="chip_type"):
        resolve_image("PyTorchJob", chip_type="TPU")  # type: ignore[arg-type]


@pytest.mark.usefixtures("simulator")
def test_images_are_listed_by_label_and_name() -> None:
    found = list_images(labels="system.supported.dlc=true,system.chipType=GPU", name="pytorch")
    assert found
    assert all("pytorch" in image["Name"] for image in found)
    assert list_images(labels={"system.chipType": "GPU"}, page_size=5)


@pytest.mark.parametrize(
    ("arguments", "pattern"),
    [
        ({"cpu": 4}, "not both"),
        ({"ecs_spec": None}, "no machine is given"),
        ({"ecs_spec": "ecs.c6.lrge"}, "Did you mean ecs.c6.large"),
        ({"user_command": "  "}, "is empty"),
        ({"worker_count": 0}, "worker_count"),
        ({"display_name": "with space"}, "display_name"),
        ({"job_type": "RayJobs"}, "Did you mean RayJob"),
        ({"prioritty": 3}, "Did you mean priority"),
        ({"resource_id": "quota1"}, "resource_id"),
        ({"workspace_id": " "}, "workspace_id"),
        ({"region": "cn-hangzou"}, "Did you mean cn-hangzhou"),
    ],
)
def test_what_cannot_be_right_creates_nothing(
    simulator: PaiSimulator, arguments: dict[str, Any], pattern: str
) -> None:
    with pytest.raises(ConfigError, match=pattern):
        create(**arguments)
    assert calls(simulator, "CreateJob") == []


def test_nothing_is_created_without_leave(simulator: PaiSimulator) -> None:
    with pytest.raises(RefusedError, match="authorization"):
        create(authorization=None)
    assert simulator.requests() == []
    with pytest.raises(TypeError, match="authorization"):
        create_training_job("bench", "true", ecs_spec="ecs.c6.large")  # type: ignore[call-arg]
    assert calls(simulator, "CreateJob") == []


@pytest.mark.usefixtures("simulator")
def test_a_job_from_its_own_specs() -> None:
    spec = build_job_spec(image="registry.example.com/a:1", pod_count=4, ecs_spec="ecs.c6.xlarge")
    assert spec["EcsSpec"] == "ecs.c6.xlarge"
    answer = create_job("custom", "PyTorchJob", "torchrun train.py", [spec], authorization=LEAVE)
    assert len(get_job(answer["JobId"])["JobSpecs"]) == 1
    share = build_job_spec(image="i", gpu=1, gpu_type="V100", cpu=8, memory="32Gi")
    assert share["ResourceConfig"] == {
        "CPU": "8", "GPU": "1", "GPUType": "V100", "Memory": "32Gi"
    }  # fmt: skip
    with pytest.raises(ConfigError, match="not both"):
        create_job("custom", "PyTorchJob", "true", [{**spec, **share}], authorization=LEAVE)
    with pytest.raises(ConfigError, match="Image"):
        build_job_spec(ecs_spec="ecs.c6.large")


@pytest.mark.usefixtures("simulator")
def test_a_ray_job_has_a_head_among_its_workers() -> None:
    specs = get_job(create(job_type="RayJob", worker_count=3))["JobSpecs"]
    assert [(spec["Type"], spec["PodCount"]) for spec in specs] == [("Head", 1), ("Worker", 2)]


def test_a_lost_answer_makes_one_job(simulator: PaiSimulator) -> None:
    simulator.play(
        scenario_from_text("calls: [{when: {action: CreateJob}, then: {lost: answer}}]", "test")
    )
    job_id = create()
    assert [one["JobId"] for one in list_jobs()["Jobs"]] == [job_id]
    # The next call of the same name is another job.
    simulator.play(scenario_from_text("calls: []", "test"))
    assert create() != job_id


def test_a_lost_answer_makes_one_job_by_a_clock_that_is_days_ahead() -> None:
    ahead = VirtualClock(NEW_YEAR_2026_S + 2 * 86400, jump=True)
    made = PaiSimulator(clock=VirtualClock(), signature_clock=ahead)
    running = start(made, clock=ahead)
    next(running)
    made.play(scenario_from_text("calls: [{when: {action: CreateJob}, then: {lost: answer}}]", "t"))
    job_id = create()
    assert [job.job_id for job in made.dlc.jobs] == [job_id]
    next(running, None)


def test_who_is_interrupted_is_told_what_may_be_left(simulator: PaiSimulator) -> None:
    simulator.play(
        scenario_from_text("calls: [{when: {action: CreateJob}, then: {html: 502}}]", "t")
    )
    with pytest.raises(AlibabaError) as caught:
        create(display_name="left-over")
    assert caught.value.effect_unknown
    assert "left-over" in caught.value.__notes__[0]
    assert "tidemark-call" in caught.value.__notes__[0]
    spec = build_job_spec(image="registry.example.com/a:1", ecs_spec="ecs.c6.large")
    with pytest.raises(RefusedError) as refused:
        create_job("a", "PyTorchJob", "b", [spec], authorization=None)  # type: ignore[arg-type]
    assert not hasattr(refused.value, "__notes__")


def test_cleaning_up_touches_only_what_this_tool_made(simulator: PaiSimulator) -> None:
    simulator.play(scenario_from_text("jobs: [{then: {exit_code: 1, running_s: 5}}]", "test"))
    ours = create()
    theirs = create()
    job = next(job for job in simulator.dlc.jobs if job.job_id == theirs)
    job.document["Settings"]["Tags"] = {"owner": "somebody"}
    advance(simulator, 600)
    assert get_job(ours)["Status"] == get_job(theirs)["Status"] == "Failed"
    assert cleanup_jobs(status="Failed", workspace_id="268") == []
    # Colleagues may use this tool in the same workspace.
    assert all(seen["query"]["ShowOwn"] == "true" for seen in calls(simulator, "ListJobs")[-2:])
    assert cleanup_jobs(status="Failed", delete=True) == [ours]
    assert get_job(theirs)["Status"] == "Failed"
    assert cleanup_jobs(
        status="Failed", delete=True, including_jobs_that_this_tool_did_not_create=True
    ) == [theirs]
    with pytest.raises(ConfigError, match="Did you mean Failed"):
        cleanup_jobs(status="failed")


def test_jobs_that_failed_and_hold_their_machines_are_stopped(simulator: PaiSimulator) -> None:
    simulator.play(
        scenario_from_text(
            "jobs: [{then: {exit_code: 1, running_s: 5, reserving_s: 36000}}]", "test"
        )
    )
    job_id = create(settings={"JobReservedMinutes": 600, "JobReservedPolicy": "Always"})
    advance(simulator, 600)
    assert get_job(job_id)["Status"] == "FailedReserving"
    assert cleanup_jobs(status="Failed") == [job_id]
    assert get_job(job_id)["Status"] in ("Stopping", "Failed", "Stopped")


def test_a_price_as_the_cost_estimate_reads_it(simulator: PaiSimulator) -> None:
    result = describe_price(
        instance_type="ecs.c6.large",
        price_unit="Hour",
        instance_charge_type="PostPaid",
        system_disk_category="cloud_essd",
        system_disk_size=120,
    )
    assert float(result["PriceInfo"]["Price"]["TradePrice"]) > 0
    (seen,) = calls(simulator, "DescribePrice")
    assert "InstanceChargeType" not in seen["query"]


def test_the_account_is_shared_by_threads(simulator: PaiSimulator) -> None:
    answers: list[int] = []
    threads = [
        threading.Thread(target=lambda: answers.append(len(list_ecs_specs()))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [len(simulator.world.specs)] * 8


def test_without_credentials_nothing_is_sent(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    simulator = PaiSimulator()
    for name in ("ACCESS_KEY_ID", "ACCESS_KEY_SECRET", "SECURITY_TOKEN", "CREDENTIALS_URI"):
        monkeypatch.delenv(f"ALIBABA_CLOUD_{name}", raising=False)
    monkeypatch.setenv("ALIBABA_CLOUD_ECS_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    sync.use(endpoints=ADDRESS, transport=simulator.transport())
    try:
        with pytest.raises(CredentialError, match="ALIBABA_CLOUD_ACCESS_KEY_ID"):
            list_ecs_specs()
    finally:
        sync.use()
    assert simulator.requests() == []


@pytest.mark.parametrize(
    ("workspaces", "outcome"),
    [
        ([("1", "a", True), ("2", "b", False)], "1"),
        ([("7", "only", False)], "7"),
        ([("1", "a", False), ("2", "b", False)], r"1 \(a\), 2 \(b\)"),
    ],
)
def test_the_workspace_is_the_default_or_the_only_one(
    workspaces: list[tuple[str, str, bool]], outcome: str
) -> None:
    given = tuple(Workspace(*one, "") for one in workspaces)
    running = start(with_workspaces(given))
    simulator = next(running)
    if len(outcome) == 1:
        assert get_job(create())["WorkspaceId"] == outcome
        asked = len(calls(simulator, "GetDefaultWorkspace"))
        create()
        assert len(calls(simulator, "GetDefaultWorkspace")) == asked
    else:
        with pytest.raises(ConfigError, match=outcome):
            create()
        assert create(workspace_id="2")
    next(running, None)


@pytest.mark.parametrize(
    "lost", ["", "calls: [{when: {action: CreateWorkspace}, then: {lost: answer}}]"]
)
def test_an_account_without_a_workspace_gets_one(lost: str) -> None:
    running = start(with_workspaces(()))
    simulator = next(running)
    simulator.play(scenario_from_text(lost, "test"))
    with pytest.raises(RefusedError):
        create(authorization=None)
    first = get_job(create())
    (made,) = calls(simulator, "CreateWorkspace")
    assert made["body"]["WorkspaceName"] == "tidemark_default"
    assert get_job(create())["WorkspaceId"] == first["WorkspaceId"]
    assert len(calls(simulator, "CreateWorkspace")) == 1
    next(running, None)


def test_a_new_workspace_that_does_not_come_up_is_an_error() -> None:
    running = start(with_workspaces((), workspaces_fail=True))
    next(running)
    with pytest.raises(ConfigError, match="is FAILURE"):
        create()
    next(running, None)


@pytest.mark.parametrize("provider", ["dlc", "document"])
def test_workloads_as_the_workload_document_asks_for_them(
    simulator: PaiSimulator, provider: Any
) -> None:
    job_id = create(display_name="my-training-job")
    advance(simulator, 120)
    by_id = get_workload_info(workload_id=job_id, provider=provider)
    assert (by_id.workload_name, by_id.workload_status) == ("my-training-job", "Running")
    asked = len(simulator.requests())
    assert get_workload_info(workload_id=job_id, provider=provider) == by_id
    assert len(simulator.requests()) == asked
    by_name = get_workload_info(
        workload_name="my-training-job", workspace_id=by_id.workspace_id, provider=provider
    )
    assert by_name.workload_id == job_id
    running = list_workloads(workspace_id=by_id.workspace_id, status="Running", provider=provider)
    assert job_id in {info.workload_id for info in running}
    with pytest.raises(ConfigError, match="workload_id"):
        get_workload_info(provider=provider)


def test_errors_of_the_service_reach_the_script(simulator: PaiSimulator) -> None:
    simulator.play(
        scenario_from_text(
            "calls: [{then: {error: {status: 403, code: Forbidden.RAM, message: No.}}}]", "test"
        )
    )
    with pytest.raises(AlibabaError, match=r"Forbidden\.RAM"):
        list_jobs()
