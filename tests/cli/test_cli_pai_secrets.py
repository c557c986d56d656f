"""No command tells a secret or steers a terminal, whatever it asks and whatever goes wrong."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pai_served import LEAVE, Served, serving

from tidemark.alibaba.dlc import CREATE_JOB
from tidemark.cli.printing import plain, print_document
from tidemark.simulator.pai.accounts import Account

Command = Callable[..., Any]

TOKEN = "STS.c4nary/security+token=="
KEY = "sk-c4nary0123456789abcdef"
# Whatever holds this is a secret that was planted, or what is left of one.
CANARY = "c4nary"

SCENARIO = f"""
jobs:
  - when: {{name: "*"}}
    then:
      running_s: 60
      stopping_s: 0
      logs: ["export API_KEY={KEY}", "sent {TOKEN}", "\\e[2J\\e]0;title\\a"]
"""


@pytest.fixture
def cloud(command: Command, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:  # noqa: ARG001
    accounts = [
        Account("LTAIsimulator", "simulator-secret"),
        Account("LTAIc4nary12345", "c4nary-access-key-secret", security_token=TOKEN),
    ]
    with serving(SCENARIO, accounts=accounts, bearer_keys=(KEY,)) as served:
        served.lead(
            monkeypatch,
            ALIBABA_CLOUD_ACCESS_KEY_ID="LTAIc4nary12345",
            ALIBABA_CLOUD_ACCESS_KEY_SECRET="c4nary-access-key-secret",
            ALIBABA_CLOUD_SECURITY_TOKEN=TOKEN,
            DASHSCOPE_API_KEY=KEY,
        )
        yield served


def job_with_secrets(cloud: Served) -> str:
    """A job whose every field for secrets holds one, as others create them."""
    body = {
        "DisplayName": "night",
        "JobType": "PyTorchJob",
        "WorkspaceId": "268",
        "UserCommand": f"serve --api-key {KEY}",
        "Envs": {"HF_TOKEN": "c4nary-of-envs", "MODEL_API_KEY": KEY, "PATH_TO": "/model"},
        "CustomEnvs": [{"Key": "DB_PASSWORD", "Value": "c4nary-of-custom-envs", "Visible": "1"}],
        "JobSpecs": [
            {
                "Type": "Worker",
                "Image": "registry.example.com/bench:1",
                "PodCount": 1,
                "EcsSpec": "ecs.c6.large",
                "ImageConfig": {"Username": "me", "Password": "c4nary-of-the-registry"},
            }
        ],
        "Settings": {"Tags": {"tidemark": "test", "note": "a\x07b"}},
    }
    created = cloud.do(lambda account: account.call(CREATE_JOB, body=body, authorization=LEAVE))
    return str(created["JobId"])


COMMANDS = [
    ("pai", "specs"),
    ("pai", "images"),
    ("pai", "images", "--resolve", "PyTorchJob"),
    ("pai", "price", "ecs.c6.large"),
    ("pai", "workspaces"),
    ("pai", "jobs"),
    ("pai", "job", "JOB"),
    ("pai", "logs", "JOB"),
    ("pai", "logs", "JOB", "--follow"),
    ("pai", "events", "JOB"),
    ("pai", "workload", "JOB"),
    ("pai", "workload", "JOB", "--provider", "paistudio"),
    ("pai", "workload", "JOB", "--provider", "document"),
    ("pai", "cleanup", "--status", "Succeeded"),
    ("pai", "stop", "JOB"),
    ("pai", "cleanup", "--status", "Succeeded", "--delete", "--yes"),
    ("eas", "services"),
    ("eas", "services", "test_service"),
    ("eas", "benchmark", "list"),
    ("eas", "benchmark", "show", "night-1"),
    ("eas", "benchmark", "show", "night-1", "--gateway"),
    ("eas", "benchmark", "report", "night-1", "--save", "night.json"),
    ("eas", "benchmark", "stop", "night-1"),
]


def everything(command: Command, job_id: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command, for people and for programs."""
    for words in COMMANDS:
        named = tuple(job_id if word == "JOB" else word for word in words)
        for arguments in (named, (*named, "--json")):
            yield arguments, command(*arguments)


def test_what_is_answered_is_told_without_its_secrets(
    command: Command, cloud: Served, tmp_path: Path
) -> None:
    job_id = job_with_secrets(cloud)
    cloud.stress("night-1", token="c4nary-of-the-service")
    cloud.clock.advance(3600)
    fine = 0
    for arguments, said in everything(command, job_id):
        assert CANARY not in said.out + said.err, arguments
        assert "fake-token-of" not in said.out + said.err, arguments
        assert "\x1b" not in said.out + said.err, arguments
        assert "\x07" not in said.out + said.err, arguments
        fine += said.status == 0
    # All but the workload, which is in no queue.
    assert fine == 2 * len(COMMANDS) - 2
    assert CANARY not in (tmp_path / "night.json").read_text()


def test_what_is_masked_leaves_the_rest(command: Command, cloud: Served) -> None:
    job_id = job_with_secrets(cloud)
    cloud.clock.advance(3600)
    job = json.loads(command("pai", "job", job_id, "--json").out)["job"]
    assert job["Envs"]["PATH_TO"] == "/model"
    assert job["CustomEnvs"][0]["Key"] == "DB_PASSWORD"
    assert job["JobSpecs"][0]["ImageConfig"]["Username"] == "me"
    assert job["UserCommand"] == "serve --api-key [REDACTED]"
    assert command("pai", "logs", job_id).out.splitlines()[1] == "sent [REDACTED]"


def test_an_error_that_repeats_secrets_is_told_without_them(
    command: Command, cloud: Served
) -> None:
    message = f"no \\e[2J {TOKEN} of LTAIc4nary12345, {KEY}"
    cloud.play(
        f'calls: [{{then: {{error: {{status: 403, code: NoPermission, message: "{message}"}}}}}}]'
    )
    for arguments, said in everything(command, "dlc1example"):
        assert said.status == 1, arguments
        assert "answered with NoPermission: no" in said.err
        assert "request " in said.err
        assert CANARY not in said.out + said.err, arguments
        assert "\x1b" not in said.out + said.err, arguments


@pytest.mark.parametrize(
    ("secret", "text", "shown"),
    [
        # A stand-in for a key is a word like others, but for where a value stands.
        ("simulator", "ask pai.simulator of the simulators", "ask pai.simulator of the simulators"),
        ("simulator", "status Running, simulator ready", "status Running, simulator ready"),
        ("simulator", "key=simulator, 'simulator'", "key=[REDACTED], '[REDACTED]'"),
        ("simulator", "key: simulator.", "key: [REDACTED]."),
        ("abc123", "abc1234 abc123x pod-abc123-0 x=abc123", None),
        # One of several words is told by them all.
        ("simulator-secret", "a simulator keeps no secret", "a simulator keeps no secret"),
        ("simulator-secret", "sent simulator-secret.", "sent [REDACTED]."),
        # Real keys are long and mixed: they go wherever they stand.
        ("c4naryKeyOfSomebody1", "xxc4naryKeyOfSomebody1xx", "xx[REDACTED]xx"),
        ("abcdEFGHijklMNOPqrst", "xabcdEFGHijklMNOPqrstx", "x[REDACTED]x"),
        ("correcthorsebatterystaple", "acorrecthorsebatterystaples", "a[REDACTED]s"),
    ],
)
def test_a_key_that_is_an_ordinary_word_leaves_that_word(
    monkeypatch: pytest.MonkeyPatch, secret: str, text: str, shown: str | None
) -> None:
    monkeypatch.setenv("ALIBABA_CLOUD_ACCESS_KEY_SECRET", secret)
    assert plain(text) == (shown or "abc1234 abc123x pod-abc123-0 x=[REDACTED]")


def test_a_program_gets_no_key_as_a_value(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "simulator")
    print_document({"a": "simulator", "b": ["the simulator", "key=simulator"]})
    told = json.loads(capsys.readouterr().out)
    assert told == {"a": "[REDACTED]", "b": ["the simulator", "key=[REDACTED]"]}
