"""`tidemark pai`: offers and jobs, for people and for programs, and what goes wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from pai_served import Served, serving

from tidemark.alibaba.dlc import Dlc

Command = Callable[..., Any]

SCENARIO = """
jobs:
  - when: {name: "dies*"}
    then: {running_s: 60, exit_code: 137}
  - when: {name: "evicted"}
    then: {running_s: 120, interruptions: [{after_s: 30}]}
  - when: {name: "pull"}
    then: {image_pull: {fails_after_s: 5}}
  - when: {name: "reserves"}
    then: {running_s: 10, exit_code: 1, reserving_s: 3600}
"""


@pytest.fixture
def cloud(command: Command, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:  # noqa: ARG001
    with serving(SCENARIO) as served:
        served.lead(monkeypatch)
        monkeypatch.setenv("COLUMNS", "80")
        yield served


@contextmanager
def answering(document: object) -> Iterator[str]:
    """A service that answers whatever it is asked in one way; its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(document).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def table(text: str) -> list[list[str]]:
    """The cells of a table, by its runs of spaces."""
    lines = [line for line in text.splitlines() if line.strip()]
    return [[cell for cell in line.split("  ") if cell.strip()] for line in lines]


@pytest.mark.usefixtures("cloud")
def test_specs_are_told_sorted_and_filtered(command: Command) -> None:
    said = command(
        "pai", "specs", "--accelerator", "GPU", "--available", "--name", "GN7",
        "--sort", "gpu", "--order", "desc",
    )  # fmt: skip
    assert (said.status, said.err) == (0, "")
    lines = said.out.splitlines()
    assert max(map(len, lines)) <= 80
    assert [line.split()[0] for line in lines] == [
        "type",
        "ecs.ebmgn7i.32xlarge",
        "ecs.gn7i-c32g1.16xlarge",
        "ecs.gn7i-c8g1.2xlarge",
        "ecs.gn7i-c32g1.8xlarge",
        "ecs.gn7e-c16g1.4xlarge",
    ]
    assert lines[1].split()[-2:] == ["yes", "-"]
    assert "4 × NVIDIA A10, 24 GB" in lines[1]
    assert "50%" in lines[-1]


@pytest.mark.usefixtures("cloud")
def test_every_spec_fits_into_a_line_of_80_columns(command: Command) -> None:
    lines = command("pai", "specs").out.splitlines()
    assert len(lines) == 1 + len(json.loads(command("pai", "specs", "--json").out))
    assert max(map(len, lines)) <= 80


def test_a_program_gets_specs_as_the_service_has_them(command: Command, cloud: Served) -> None:
    said = command("pai", "specs", "--name", "c6.large", "--json")
    (spec,) = json.loads(said.out)
    assert (spec["InstanceType"], spec["Cpu"], spec["Memory"]) == ("ecs.c6.large", 2, 4)
    # The service refuses to sort by what it documents.
    assert command("pai", "specs", "--sort", "cpu").status == 0
    assert all("SortBy" not in call["query"] for call in cloud.calls("ListEcsSpecs"))


@pytest.mark.usefixtures("cloud")
def test_no_spec_that_fits_is_said(command: Command) -> None:
    said = command("pai", "specs", "--name", "h100")
    assert (said.status, said.out) == (0, "")
    assert said.err == "no instance type of 24 in cn-hangzhou fits\n"
    assert json.loads(command("pai", "specs", "--name", "h100", "--json").out) == []


@pytest.mark.usefixtures("cloud")
def test_images_are_listed_under_their_registry(command: Command) -> None:
    said = command("pai", "images", "--framework", "PyTorch", "--chip", "CPU", "--name", "2.6")
    assert said.status == 0
    assert said.out.splitlines()[0] == "dsw-registry-vpc.cn-hangzhou.cr.aliyuncs.com/pai/"
    assert table(said.out)[2][0].strip() == "pytorch:2.6-cpu-py312-ubuntu24.04"
    assert len(said.out.splitlines()) == 3
    (image,) = json.loads(
        command("pai", "images", "--name", "2.6-cpu", "--chip", "CPU", "--json").out
    )
    assert image["ImageUri"].endswith("/pai/pytorch:2.6-cpu-py312-ubuntu24.04")
    assert {"Key": "system.chipType", "Value": "CPU"} in image["Labels"]


@pytest.mark.usefixtures("cloud")
def test_kinds_of_chips_are_taken_in_any_case(command: Command) -> None:
    for arguments in (("specs", "--accelerator"), ("images", "--chip")):
        lower, upper = (command("pai", *arguments, chip) for chip in ("gpu", "GPU"))
        assert (lower.status, lower.out) == (0, upper.out)
        assert lower.out != command("pai", arguments[0]).out


@pytest.mark.usefixtures("cloud")
def test_a_framework_that_no_image_has_is_answered_with_those_there_are(command: Command) -> None:
    said = command("pai", "images", "--framework", "nosuch")
    assert (said.status, said.out) == (0, "")
    first, second = said.err.splitlines()
    assert first.endswith(" in cn-hangzhou fits")
    assert second == "frameworks: PyTorch, Ray, TensorFlow, vLLM, XGBoost"


@pytest.mark.usefixtures("cloud")
def test_the_image_that_would_be_chosen_is_told_for_each_chip(command: Command) -> None:
    said = command("pai", "images", "--resolve", "PyTorchJob")
    assert said.status == 0
    assert "CPU  dsw-registry-vpc.cn-hangzhou.cr.aliyuncs.com/pai/pytorch:2.6-cpu" in said.out
    assert "GPU  dsw-registry-vpc.cn-hangzhou.cr.aliyuncs.com/pai/pytorch:2.6-gpu" in said.out
    assert "digest not known: dsw-registry-vpc" in said.out
    said = command("pai", "images", "--resolve", "XGBoostJob", "--chip", "GPU", "--json")
    assert said.status == 1
    (choice,) = json.loads(said.out)
    assert choice["image"] is None
    assert choice["reason"] == "there is no official image for XGBoostJob on GPU"


def test_a_kind_of_job_that_does_not_exist_is_wrong_use(command: Command, cloud: Served) -> None:
    said = command("pai", "images", "--resolve", "PyTorch")
    assert said.status == 2
    assert "Did you mean PyTorchJob?" in said.err
    assert cloud.calls("ListImages") == []
    said = command("pai", "images", "--resolve", "PyTorchJob", "--name", "x")
    assert said.status == 2


@pytest.mark.usefixtures("cloud")
def test_a_sum_keeps_all_its_digits(command: Command) -> None:
    said = command("pai", "price", "ecs.gn7i-c8g1.2xlarge", "--spot", "--hours", "0.01")
    assert "  machine     4.132 CNY an hour\n" in said.out
    assert "  for 0.01 h  0.04132 CNY\n" in said.out


@pytest.mark.usefixtures("cloud")
def test_a_price_is_told_apart_from_the_disk(command: Command) -> None:
    said = command("pai", "price", "ecs.gn7i-c8g1.2xlarge", "--workers", "3", "--hours", "1.5")
    assert (said.status, said.err) == (0, "")
    lines = [line.split(maxsplit=1) for line in said.out.splitlines()]
    assert said.out.startswith("ecs.gn7i-c8g1.2xlarge in cn-hangzhou, pay-as-you-go\n")
    told = dict(line for line in lines if len(line) == 2)
    assert told["machine"] == "10.33 CNY an hour"
    assert told["disk"].startswith("0.252 CNY an hour for 120 GiB of cloud_essd")
    assert "  3 machines  30.99 CNY an hour\n" in said.out
    assert "  for 1.5 h   46.485 CNY\n" in said.out
    document = json.loads(
        command("pai", "price", "ecs.gn7i-c8g1.2xlarge", "--workers", "3", "--hours", "1.5",
                "--disk-gib", "40", "--spot", "--json").out
    )  # fmt: skip
    each = Decimal(document["price_per_hour"])
    assert each == Decimal("10.33") * Decimal("0.4")
    assert Decimal(document["total_price"]) == each * 3 * Decimal("1.5")
    assert (document["currency"], document["disk_size_gib"]) == ("CNY", 40)
    assert document["reason"] is None
    assert document["read_at"].endswith("+00:00")


@pytest.mark.usefixtures("cloud")
def test_no_price_is_no_zero_but_a_reason_and_a_failure(command: Command) -> None:
    for arguments in (("--json",), ()):
        said = command("pai", "price", "ml.gu7i.c32m188.1-gu30", *arguments)
        assert said.status == 1
        assert "has no price in cn-hangzhou: only PAI rents this type out" in said.err
        if arguments:
            document = json.loads(said.out)
            assert (document["price_per_hour"], document["total_price"]) == (None, None)
        else:
            assert said.out == ""


@pytest.mark.usefixtures("cloud")
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("pai", "price", "ecs.c6.large", "--hours", "0"), "--hours: is no time"),
        (("pai", "price", "ecs.c6.large", "--workers", "0"), "--workers"),
        (("pai", "price", ""), "instance_type: is empty"),
        (("pai", "specs", "--accelerator", "TPU"), "--accelerator"),
        (("pai", "jobs", "--status", "runing"), "Did you mean Running?"),
        (("pai", "jobs", "--tag", "nightly"), "--tag: is no tag"),
        (("pai", "jobs", "--tag", "a=1", "--tag", "a=2"), "two values for a"),
        (("pai", "jobs", "--days", "0"), "--days: is no time"),
        (("pai", "jobs", "--days", "nan"), "--days: is no time"),
        (("pai", "jobs", "--exact"), "--exact: needs a name"),
        (("pai", "job", ""), "names nothing"),
        (("pai", "jobs", "--endpoint", "127.0.0.1:80"), "has no scheme"),
        (("pai", "jobs", "--endpoint", "http://pai.example.com"), "is plain http"),
        (("pai", "jobs", "--region", "cn hangzhou"), "is not the name of a region"),
        (("pai", "workload",), "no workload is named"),
        (("pai", "workload", "--name", "bench-1"), "--workspace: is missing"),
        (("pai", "workload", "dlc1", "--name", "bench-1"), "together with an id"),
    ],
)  # fmt: skip
def test_wrong_use_is_refused_before_anything_is_asked(
    command: Command, cloud: Served, arguments: tuple[str, ...], words: str
) -> None:
    said = command(*arguments)
    assert said.status == 2
    assert words in " ".join(said.err.split())
    assert cloud.simulator.requests() == []


def test_a_region_without_the_service_is_named_without_an_address(
    command: Command, cloud: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TIDEMARK_PAI_ENDPOINT")
    said = command("pai", "jobs", "--region", "cn-hangzou")
    assert said.status == 2
    assert "Did you mean cn-hangzhou?" in said.err
    assert cloud.simulator.requests() == []


def test_without_credentials_it_says_where_was_looked(
    command: Command, cloud: Served, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    for name in ("ALIBABA_CLOUD_ACCESS_KEY_ID", "ALIBABA_CLOUD_ACCESS_KEY_SECRET"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("ALIBABA_CLOUD_ECS_METADATA_DISABLED", "true")
    said = command("pai", "jobs")
    assert said.status == 2
    assert said.err.startswith("error: credentials: no credentials of Alibaba Cloud were found")
    assert len(said.err.splitlines()) == 1
    assert cloud.simulator.requests() == []


def test_a_refusal_is_one_line_with_code_request_and_what_to_do(
    command: Command, cloud: Served
) -> None:
    cloud.play(
        "calls: [{when: {action: GetJob}, then: {error: "
        '{status: 403, code: NoPermission, message: "no \\e[2Jpai:GetJob"}}}]'
    )
    said = command("pai", "job", "dlc1example", "--json")
    assert (said.status, said.out) == (1, "")
    (line,) = said.err.splitlines()
    assert "GetJob was answered with NoPermission: no" in line
    assert "(HTTP 403, request " in line
    assert line.rpartition("). ")[2]  # what to do
    assert "\x1b" not in said.err


@pytest.mark.usefixtures("cloud")
def test_the_options_go_over_the_configuration(
    command: Command, cloud: Served, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.delenv("TIDEMARK_PAI_ENDPOINT")
    (tmp_path / "tidemark.toml").write_text(
        f'region = "cn-shanghai"\npai_endpoint = "{cloud.url}"\n'
    )
    job_id = cloud.create()
    assert command("pai", "job", job_id).status == 0
    said = command("pai", "job", job_id, "--endpoint", "http://127.0.0.1:9/x")
    assert (said.status, "has a path" in said.err) == (2, True)


def test_jobs_are_listed_the_latest_last(command: Command, cloud: Served) -> None:
    first = cloud.create("dies-1", tags={"suite": "night", "tidemark": "1"})
    cloud.clock.advance(300)
    second = cloud.create("bench-2")
    said = command("pai", "jobs")
    assert (said.status, said.err) == (0, "")
    rows = table(said.out)
    assert [row[0] for row in rows] == ["job", first, second]
    assert [cell.strip() for cell in rows[1][1:3]] == ["dies-1", "Failed"]
    assert [cell.strip() for cell in rows[1][4:]] == ["1 min 00 s"]
    for arguments, ids in (
        (("--status", "failed"), [first]),
        (("--tag", "suite=night"), [first]),
        (("--tag", "suite=day"), []),
        (("--name", "BENCH"), [second]),
        (("--name", "bench", "--exact"), []),
        (("--name", "bench-2", "--exact"), [second]),
        (("--name", "bench-2", "--exact", "--status", "Failed"), []),
        (("--workspace", "269"), []),
    ):
        found = json.loads(command("pai", "jobs", *arguments, "--json").out)
        assert [job["JobId"] for job in found] == ids, arguments
    said = command("pai", "jobs", "--status", "Stopped")
    assert (said.status, said.out) == (0, "")
    assert said.err == "no job of the last 7 days in cn-hangzhou fits\n"


def test_jobs_are_looked_for_as_far_back_as_asked(command: Command, cloud: Served) -> None:
    command("pai", "jobs", "--days", "0.5")
    command("pai", "jobs")
    short, week = (call["query"]["StartTime"] for call in cloud.calls("ListJobs"))
    assert short > week


def test_a_failed_job_is_explained(command: Command, cloud: Served) -> None:
    job_id = cloud.create("dies-1", job_specs=[
        {"image": "registry.example.com/a:1", "resources": {"ecs_spec": "ecs.c6.large"},
         "pod_count": 2}
    ])  # fmt: skip
    cloud.clock.advance(3600)
    said = command("pai", "job", job_id)
    assert (said.status, said.err) == (0, "")
    assert max(map(len, said.out.splitlines())) <= 80
    words = " ".join(said.out.split())
    assert words.startswith(f"{job_id} dies-1 Failed problem 20")
    assert "Container main terminated: OOMKilled, exit code 137 reason JobFailed: The" in words
    assert "means OOMKilled: " in words
    assert "JobFailed: A pod ended without success Failed: The job ended" in words
    assert "do Ask for more memory (Memory in ResourceConfig, or a larger instance type)" in words
    assert "billed No more: its nodes are given back" in words
    assert "restarts 0 of at most 10" in words
    assert "phases Creating 1 s Queuing 5 s EnvPreparing 55 s Running 1 min 00 s" in words
    assert "tags tidemark=test" in words
    assert [row[0] for row in table(said.out)][-2:] == ["master-0", "worker-0"]
    assert "--follow" not in said.out
    document = json.loads(command("pai", "job", job_id, "--json").out)
    assert document["job"]["JobId"] == job_id
    assert [phase["seconds"] for phase in document["phases"]] == [1, 5, 55, 60, None]
    assert document["means"][0].startswith("OOMKilled: ")
    assert document["problem"]["text"].startswith("Container main terminated: OOMKilled")
    assert document["do"]


def test_a_reason_is_explained_where_no_event_can_be_read(command: Command, cloud: Served) -> None:
    job_id = cloud.create("dies-1")
    cloud.clock.advance(3600)
    cloud.play(
        "calls: [{when: {action: GetJobEvents}, then: {error: {status: 403, code: NoPermission}}}]"
    )
    said = command("pai", "job", job_id)
    assert said.status == 0
    assert said.err.startswith("its events are not known: GetJobEvents was answered with NoPerm")
    assert "means      OOMKilled: " in said.out or "means      exit code 137: " in said.out
    assert "Ask for more memory" in " ".join(said.out.split())


@pytest.mark.parametrize("arguments", [("job",), ("logs",)])
def test_an_image_that_cannot_be_pulled_is_said_with_the_job(
    command: Command, cloud: Served, arguments: tuple[str, ...]
) -> None:
    job_id = cloud.create("pull")
    said = command("pai", *arguments, job_id)
    assert "problem" not in said.out + said.err
    cloud.clock.advance(300)
    said = command("pai", *arguments, job_id)
    assert said.status == 0
    words = " ".join((said.out + said.err).split())
    assert "Failed to pull image" in words.partition("problem")[2]
    assert "tidemark pai images" in words


def test_an_image_that_could_be_pulled_in_the_end_is_no_problem(
    command: Command, cloud: Served
) -> None:
    cloud.play(
        "jobs: [{then: {running_s: 60, exit_code: 1, "
        "image_pull: {fails_after_s: 5, recovers_after_s: 40}}}]"
    )
    job_id = cloud.create("late")
    cloud.clock.advance(3600)
    words = " ".join(command("pai", "job", job_id).out.split())
    assert "pull image" not in words
    assert "Container main terminated: Error, exit code 1" in words
    assert f"tidemark pai logs {job_id}" in words


def test_a_phase_that_begins_later_than_this_machines_time_is_told_by_its_beginning(
    command: Command, cloud: Served
) -> None:
    job_id = cloud.create()
    cloud.clock.advance(86400)
    later = cloud.create("reserves")
    cloud.clock.advance(3)
    phases = command("pai", "job", later).out.partition("phases")[2]
    assert "Queuing              since 20" in phases
    # How long the pods ran tells of the present, too.
    cloud.clock.advance(61)
    words = " ".join(command("pai", "job", later).out.split())
    assert "Running 3 s" in words
    # How long an end lasts says nothing.
    assert "Succeeded since 20" in " ".join(command("pai", "job", job_id).out.split())


def test_a_duration_that_no_calendar_has_ends_nothing(command: Command, cloud: Served) -> None:
    job_id = cloud.create()
    cloud.clock.advance(100)
    job = cloud.do(lambda account: Dlc(account).get_job(job_id)).wire
    with answering({**job, "Duration": 1e15}) as url:
        said = command("pai", "job", job_id, "--endpoint", url)
    assert (said.status, said.err) == (0, "")
    assert "Running" in said.out


def test_a_running_job_tells_how_long_it_has_run_so_far(command: Command, cloud: Served) -> None:
    job_id = cloud.create()
    cloud.clock.advance(61 + 120)
    said = command("pai", "job", job_id)
    assert "Running                2 min 00 s\n" in said.out
    assert said.out.endswith(f"watch it: tidemark pai logs {job_id} --follow\n")


def test_replaced_pods_and_restarts_are_told(command: Command, cloud: Served) -> None:
    job_id = cloud.create("evicted")
    cloud.clock.advance(3600)
    said = command("pai", "job", job_id)
    assert "Failed (Evicted)" in said.out
    assert "restarts   1 of at most 10" in said.out
    assert [row[0] for row in table(said.out)].count("master-0") == 2


def test_machines_that_are_still_held_are_told(command: Command, cloud: Served) -> None:
    job_id = cloud.create("reserves")
    cloud.clock.advance(600)
    said = command("pai", "job", job_id)
    assert said.out.endswith(f"give its machines back: tidemark pai stop {job_id}\n")


def test_a_job_that_is_not_there_fails(command: Command, cloud: Served) -> None:
    for arguments in (("job",), ("job", "--json"), ("logs",), ("logs", "--follow"), ("events",)):
        said = command("pai", arguments[0], "dlcnothere", *arguments[1:])
        assert (said.status, said.out) == (1, "")
        assert "answered with NotFound: The specified job dlcnothere is not found" in said.err
    # Whatever is given is asked for as a job's id, and as nothing else.
    assert command("pai", "job", "../workspaces").status == 1
    assert {call["action"] for call in cloud.simulator.requests()} == {"GetJob", "GetJobEvents"}


def test_events_tell_of_an_image_that_cannot_be_pulled(command: Command, cloud: Served) -> None:
    job_id = cloud.create("pull")
    cloud.clock.advance(300)
    said = command("pai", "events", job_id)
    assert (said.status, said.err) == (0, "")
    lines = said.out.splitlines()
    assert lines == sorted(lines, key=lambda line: line[:20])
    assert any(line[20:].startswith("  Failed to pull image") for line in lines)
    of_pod = command("pai", "events", job_id, "--pod", "master-0")
    assert 0 < len(of_pod.out.splitlines()) < len(lines)
    events = json.loads(command("pai", "events", job_id, "--json").out)
    assert len(events) == len(lines)
    assert set(events[0]) == {"at", "text"}
    said = command("pai", "events", job_id, "--pod", "worker-7")
    assert said.status == 1
    assert "worker-7: there is no such pod. There are: master-0" in said.err


@pytest.mark.usefixtures("cloud")
def test_the_workspace_that_would_be_used_is_told_with_the_reason(command: Command) -> None:
    said = command("pai", "workspaces")
    assert said.status == 0
    assert said.out.endswith(
        "a job that names no workspace goes to 268: it is the account's default\n"
    )
    assert "<- used" in said.out
    document = json.loads(command("pai", "workspaces", "--json").out)
    assert document["chosen"] == "268"
    assert [one["would_be_used"] for one in document["workspaces"]] == [True]


def test_a_workload_is_told_by_each_who_knows_it(command: Command, cloud: Served) -> None:
    job_id = cloud.create("bench-1")
    cloud.clock.advance(100)
    said = command("pai", "workload", job_id)
    assert said.status == 0
    assert said.out.startswith(f"{job_id}  bench-1  Running\n")
    assert "has machines  yes\n" in said.out
    by_name = command("pai", "workload", "--name", "bench-1", "--workspace", "268", "--json")
    document = json.loads(by_name.out)
    assert (document["WorkloadId"], document["WorkloadStatus"]) == (job_id, "Running")
    assert len(document) == 13
    said = command("pai", "workload", "wl-1234567890abcdef", "--provider", "document")
    assert said.status == 0
    assert "queues        gpu-queue (q-xyz789)\n" in said.out
    for provider in ("dlc", "paistudio", "document"):
        said = command("pai", "workload", "nothere", "--provider", provider)
        assert (said.status, said.out) == (1, "")
    assert command("pai", "workload", "x", "--provider", "k8s").status == 2


def test_a_workload_that_has_ended_has_no_machines(command: Command, cloud: Served) -> None:
    job_id = cloud.create("bench-1")
    cloud.clock.advance(7200)
    assert "has machines  no, it has ended\n" in command("pai", "workload", job_id).out
    document = json.loads(command("pai", "workload", job_id, "--json").out)
    assert document["IsScheduled"] == "true"


def test_help_loads_no_client() -> None:
    """Who asks for help, or for another command, does not wait for what talks to services."""
    code = (
        "import sys, tidemark.cli.main as m\n"
        "print([n for n in ('asyncio', 'httpx', 'pydantic', 'rich.table', 'tidemark.alibaba') "
        "if n in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout == "[]\n"


def test_the_simulator_is_started_and_the_commands_find_it(tmp_path: Path) -> None:
    tidemark = [sys.executable, "-m", "tidemark.cli"]
    environ = {
        **os.environ,
        "ALIBABA_CLOUD_ACCESS_KEY_ID": "LTAIsimulator",
        "ALIBABA_CLOUD_ACCESS_KEY_SECRET": "simulator-secret",
    }
    with subprocess.Popen(
        [*tidemark, "simulate", "pai", "--port", "0", "--max-seconds", "60"],
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    ) as simulator:
        try:
            assert simulator.stdout is not None
            url = json.loads(simulator.stdout.readline())["url"]
            said = subprocess.run(
                [*tidemark, "pai", "specs", "--endpoint", url, "--name", "c6.large", "--json"],
                capture_output=True,
                text=True,
                cwd=tmp_path,
                env=environ,
                timeout=60,
                check=False,
            )
        finally:
            simulator.terminate()
    assert (said.returncode, said.stderr) == (0, "")
    assert json.loads(said.stdout)[0]["InstanceType"] == "ecs.c6.large"
