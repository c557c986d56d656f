"""`tidemark eas`: services, stress tests and their reports, for people and for programs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pai_served import Served, jumping, serving

from tidemark.alibaba.account import Account
from tidemark.alibaba.eas import Eas
from tidemark.alibaba.eas_answers import BenchmarkTask
from tidemark.cli.eas_views import until_ended
from tidemark.cli.printing import span

Command = Callable[..., Any]


@pytest.fixture
def cloud(command: Command, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:  # noqa: ARG001
    with serving() as served:
        served.lead(monkeypatch)
        monkeypatch.setenv("COLUMNS", "80")
        yield served


@pytest.mark.usefixtures("cloud")
def test_services_are_listed(command: Command) -> None:
    said = command("eas", "services")
    assert (said.status, said.err) == (0, "")
    rows = {line.split()[0]: line.split()[1:] for line in said.out.splitlines()}
    assert rows["test_service"][:4] == ["Running", "2/2", "4", "-"]
    assert rows["qwen3_8b_chat"][:4] == ["Running", "1/1", "8", "1"]
    documents = json.loads(command("eas", "services", "--json").out)
    assert {one["ServiceName"] for one in documents} == {"test_service", "qwen3_8b_chat"}
    assert {one["AccessToken"] for one in documents} == {"***"}


@pytest.mark.usefixtures("cloud")
def test_a_service_is_told_with_whole_addresses(command: Command) -> None:
    said = command("eas", "services", "qwen3_8b_chat")
    assert (said.status, said.err) == (0, "")
    assert said.out.startswith("qwen3_8b_chat  Running\n")
    assert "each has   8 vCPU, 29.3 GiB, 1 GPU\n" in said.out
    assert ".pai-eas.aliyuncs.com/api/predict/qwen3_8b_chat\n" in said.out
    assert "means      The service answers requests" in said.out
    document = json.loads(command("eas", "services", "qwen3_8b_chat", "--json").out)
    assert document["service"]["Status"] == "Running"
    assert document["billed"]


@pytest.mark.usefixtures("cloud")
def test_what_is_not_there_fails(command: Command) -> None:
    for arguments in (
        ("services", "nothere"),
        ("benchmark", "show", "nothere"),
        ("benchmark", "report", "nothere"),
        ("benchmark", "stop", "nothere"),
    ):
        said = command("eas", *arguments)
        assert (said.status, said.out) == (1, "")
        assert "NotFound" in said.err
        assert len(said.err.splitlines()) == 1
    assert "kept for 48 hours" in command("eas", "benchmark", "show", "nothere").err


def test_help_names_the_key_of_a_simulator(command: Command) -> None:
    assert "sk-simulator" in command("eas", "benchmark", "show", "--help").out


def test_stress_tests_are_listed(command: Command, cloud: Served) -> None:
    said = command("eas", "benchmark", "list", "--region", "cn-shanghai")
    assert said.err.startswith("there is no stress test in cn-shanghai; ")
    first = cloud.stress("night-1")
    cloud.clock.advance(600)
    second = cloud.stress("night-2")
    said = command("eas", "benchmark", "list")
    assert (said.status, said.err) == (0, "")
    rows = [line.split() for line in said.out.splitlines()]
    assert [row[0] for row in rows[1:]] == [first, second]
    assert [row[2] for row in rows[1:]] == ["Stopped", "Creating"]
    found = json.loads(command("eas", "benchmark", "list", "--json").out)
    assert [task["TaskName"] for task in found] == [first, second]
    assert json.loads(
        command("eas", "benchmark", "list", "--service", "qwen3_8b_chat", "--json").out
    ) == []  # fmt: skip


def test_a_stress_test_is_explained(command: Command, cloud: Served) -> None:
    name = cloud.stress()
    cloud.clock.advance(30)
    said = command("eas", "benchmark", "show", name)
    assert said.status == 0
    assert said.out.startswith(f"{name}  Running\n")
    assert "agents    1 of 1\n" in said.out
    assert said.out.endswith(f"tidemark eas benchmark report {name}\n")
    document = json.loads(command("eas", "benchmark", "show", name, "--json").out)
    assert document["task"]["Token"] == "***"
    assert document["means"]


def test_a_report_is_told_in_five_lines(command: Command, cloud: Served) -> None:
    name = cloud.stress(concurrency=700, qps=3000)
    cloud.clock.advance(600)
    said = command("eas", "benchmark", "report", name)
    assert (said.status, said.err) == (0, "")
    raw = json.loads(command("eas", "benchmark", "report", name, "--raw").out)
    assert raw["StatusCode"].keys() == {"200", "450"}
    labels = [line[2:12].strip() for line in said.out.splitlines()[1:]]
    assert [label for label in labels if label] == [
        "requests",
        "rate",
        "latency ms",
        "traffic",
        "status",
        "page",
    ]
    count, refused = raw["Count"], raw["StatusCode"]["450"]
    assert f"requests    {count:,}, {refused:,} failed ({refused / count:.2%})\n" in said.out
    under_way = raw["QPS"] * raw["AvgRT"] / 1000
    words = " ".join(said.out.split())
    assert f"requests per second over {span(len(raw['TimestampList']))}, " in words
    assert f", {round(under_way, 1):g} at a time on average" in words
    assert "450: " in said.out
    assert "The service's queue is full" in " ".join(said.out.split())
    for percentage in (50, 90, 99):
        (point,) = [one for one in raw["RTDistribution"] if one["Percentage"] == percentage]
        assert f"p{percentage} {round(point['Latency'], 1):g} " in said.out
    assert said.out.splitlines()[-1].startswith("  page        http://eas-benchmark.oss-cn-")
    document = json.loads(command("eas", "benchmark", "report", name, "--json").out)
    assert (document["requests"], document["failed_requests"]) == (count, refused)
    assert document["qps"] == raw["QPS"]
    assert document["mean_concurrency"] == pytest.approx(under_way)
    assert document["latency_ms"]["max"] == raw["MaxRT"]
    assert document["status_codes"]["450"]["requests"] == refused
    assert document["report_url"].startswith("http://eas-benchmark")


def test_a_report_of_a_test_that_runs_says_so(command: Command, cloud: Served) -> None:
    name = cloud.stress()
    said = command("eas", "benchmark", "report", name)
    assert (said.status, said.out) == (1, "")
    assert "BenchmarkTaskReport.NotFound" in said.err
    cloud.clock.advance(40)
    said = command("eas", "benchmark", "report", name)
    assert said.out.startswith(f"{name}  Running, so far\n")
    assert "none failed" in said.out


def test_figures_are_kept_without_the_page(command: Command, cloud: Served) -> None:
    name = cloud.stress()
    cloud.clock.advance(600)
    cloud.play(
        "calls: [{when: {action: DescribeBenchmarkTaskReport, nth: 2}, then: {error: "
        "{status: 403, code: NoPermission}}}]"
    )
    said = command("eas", "benchmark", "report", name)
    assert said.status == 0
    assert "latency ms" in said.out
    assert "page" not in said.out
    assert said.err.startswith("its page is not known: DescribeBenchmarkTaskReport was answered")


def test_figures_are_saved_whole(command: Command, cloud: Served, tmp_path: Path) -> None:
    name = cloud.stress()
    cloud.clock.advance(600)
    file = tmp_path / "night.json"
    file.write_text("before")
    assert command("eas", "benchmark", "report", name, "--save", str(file)).status == 0
    raw = command("eas", "benchmark", "report", name, "--raw").out
    assert json.loads(file.read_text()) == json.loads(raw)
    assert [one.name for one in tmp_path.iterdir() if one.name.startswith(".")] == []
    before = len(cloud.simulator.requests())
    said = command("eas", "benchmark", "report", name, "--save", str(tmp_path / "no/night.json"))
    assert said.status == 2
    assert "is in no folder that there is" in said.err
    assert len(cloud.simulator.requests()) == before


def test_a_stress_test_is_stopped(command: Command, cloud: Served) -> None:
    name = cloud.stress(duration=600)
    cloud.clock.advance(30)
    said = command("eas", "benchmark", "stop", name, "--wait", "0")
    assert (said.status, said.out) == (0, f"{name}  Stopping, not stopped yet\n")
    assert f"tidemark eas benchmark show {name}" in said.err
    said = command("eas", "benchmark", "stop", name, "--wait", "0.05", "--json")
    assert said.status == 1
    assert json.loads(said.out) == {"task_name": name, "status": "Stopping", "ended": False}
    cloud.clock.advance(30)
    said = command("eas", "benchmark", "stop", name)
    assert (said.status, said.out, said.err) == (0, f"{name}  Stopped\n", "")
    assert command("eas", "benchmark", "stop", name, "--wait", "-1").status == 2


def test_the_end_of_a_stress_test_is_waited_for_by_the_clock() -> None:
    served = jumping("{}")
    name = served.stress(duration=600)
    served.clock.advance(60)
    begun = served.clock.time()

    async def stop(account: Account) -> BenchmarkTask:
        eas = Eas(account)
        task = await eas.stop_benchmark_task(name)
        return await until_ended(eas, task, wait_s=60, clock=served.clock)

    assert served.do(stop).status == "Stopped"
    assert served.clock.time() - begun == pytest.approx(5, abs=2)


def test_the_gateway_is_asked_with_its_own_key(
    command: Command, cloud: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = cloud.stress()
    cloud.clock.advance(600)
    said = command("eas", "benchmark", "report", name, "--gateway")
    assert said.status == 2
    assert said.err == "error: DASHSCOPE_API_KEY: is not set. Run: export DASHSCOPE_API_KEY=KEY\n"
    for variable in ("ALIBABA_CLOUD_ACCESS_KEY_ID", "ALIBABA_CLOUD_ACCESS_KEY_SECRET"):
        monkeypatch.delenv(variable)
    monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-simulator")
    for arguments in (("list",), ("show", name), ("report", name), ("stop", name)):
        assert command("eas", "benchmark", *arguments, "--gateway").status == 0
    assert all(
        call["path"].startswith("/api/eas/2021-07-01/") for call in cloud.simulator.requests()[-6:]
    )
    monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-c4nary-of-nobody")
    said = command("eas", "benchmark", "show", name, "--gateway")
    assert said.status == 1
    assert "See that the key is valid" in said.err
    assert "c4nary" not in said.err + said.out
