"""What is wrong with a job's plan is told at its field, with what to do, and without secrets."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from job_builders import FULL, QUOTA, SMALL, SWEEP, make_sweep_job
from plan_builders import GONE, changed
from test_plan_properties import CANARY, places, planted, values

from tidemark.errors import PlanError
from tidemark.plan.job import JobPlan
from tidemark.plan.job_load import dump_job_plan, job_plan_from_mapping, load_job_plan
from tidemark.plan.sweep import plan_hash

ROLE = "acs:ram::1234567890123456:role/bench-job"
MOUNT = {"uri": "oss://bench-keys/", "mount_path": "/mnt/keys"}


def refused(base: dict[str, Any], changes: dict[str, Any]) -> PlanError:
    with pytest.raises(PlanError) as caught:
        job_plan_from_mapping(changed(base, changes), "job.yaml")
    return caught.value


@pytest.mark.parametrize(
    ("changes", "where", "what", "remedy"),
    [
        ({"workers": 0}, "workers", "at least 1", "Give 1 or more"),
        ({"workers": 1.5}, "workers", "not a whole number", "whole number"),
        ({"command": GONE}, "command", "missing, and so is a sweep", "Give the command"),
        ({"command": "  "}, "command", "is empty", "Write what the shell is to run"),
        ({"command": "a\x00b"}, "command", "control character", "Remove it"),
        ({"command": "echo \u202etfel"}, "command", "not seen", "Remove it"),
        ({"command": "echo \x9b"}, "command", "control character", "Remove it"),
        ({"command": "run --key sk-0123456789abcdef"}, "command", "a secret", "mounts"),
        ({"sweep": SWEEP}, "command", "beside a sweep", "Keep one"),
        ({"limits": {"total_s": -5}}, "limits.total_s", "at least 60", "Give 60 or more"),
        ({"limits": {"running_s": -1}}, "limits.running_s", "at least 60", "Give 60"),
        ({"limits": {"poll_interval_s": 0}}, "limits.poll_interval_s", "at least 1", "Give 1"),
        ({"limits": {"running_s": 9000}}, "limits.running_s", "longer than total_s", "Raise"),
        ({"limits": {"total": 60}}, "limits.total", "no such field", "Did you mean total_s"),
        ({"expected_s": -3}, "expected_s", "at least 1", "Give 1 or more"),
        ({"expected_s": 7201}, "expected_s", "longer than the job may run", "Raise"),
        ({"priority": 3}, "priority", "queue of a quota only", "Leave it out"),
        ({"registry": {"password": "env:P"}}, "registry", "none is given", "Give image"),
        ({"cap": {"amount": 20, "currency": "yuan"}}, "cap.currency", "form", "CNY"),
        ({"cap": {"amount": "20"}}, "cap.amount", "not a number", "without quotes"),
        ({"cap": {"amount": 0.00001}}, "cap.amount", "digits after", "Round it up"),
        ({"job_type": "PytorchJob"}, "job_type", "none of", "Did you mean PyTorchJob"),
        ({"machine.work": "scripts"}, "machine.work", "no known kind", "Did you mean script"),
        ({"machine.work": "inference"}, "machine.work", "no known", "mean small-model"),
        ({"machine.gpu_typ": "A10"}, "machine.gpu_typ", "no such field", "mean gpu_type"),
        ({"machine.spec": "ecs.c6.large"}, "machine.work", "spec names one", "Keep spec"),
        (
            {"machine": {"gpu": False, "gpu_count": 2}},
            "machine.gpu_count",
            "says that none is needed",
            "Keep one",
        ),
        ({"ecs_spec": "ecs.c6.large"}, "ecs_spec", "no such field", "mean machine.spec"),
        ({"scenarios": ["D(1,1)"]}, "scenarios", "no such field", "mean sweep.scenarios"),
        ({"user_command": "ls"}, "user_command", "no such field", "mean command"),
        ({"timeout": 7200}, "timeout", "no such field", "mean limits.total_s"),
        ({"image": "http://r/x"}, "image", "not the name of an image", "registry.example"),
        ({"image": "u:p@r.test/x:1"}, "image", "user or password", "registry"),
        ({"libraries": ["torch"]}, "libraries[0]", "not pinned", "name==version"),
        ({"libraries": ["torch>=2"]}, "libraries[0]", "not pinned", "name==version"),
        ({"libraries": ["torch==2.*"]}, "libraries[0]", "not pinned", "name==version"),
        ({"libraries": ["--index-url=http://h"]}, "libraries[0]", "option of pip", "Pin"),
        ({"libraries": ["https://u:p@h/x.whl"]}, "libraries[0]", "password", "needs none"),
        ({"libraries": ["git+https://h/x.git"]}, "libraries[0]", "no commit", "@commit"),
        ({"libraries": ["a-b==1", "A_b==2"]}, "libraries", "a-b is listed twice", "Keep one"),
        ({"environment": {"9A": "x"}}, "environment.9A", "name of a variable", "no digit"),
        ({"environment": {"HF_TOKEN": "x"}}, "environment.HF_TOKEN", "names a secret", "Mount"),
        ({"environment": {"A": "hf_abcdefgh12345"}}, "environment.A", "a secret", "Mount"),
        ({"environment": {"A": "env:B"}}, "environment.A", "a reference", "Mount a file"),
        ({"environment": {"TIDEMARK_STORE": "x"}}, "environment.TIDEMARK_STORE", "itself", "Say"),
        ({"environment": {"A": "a\x00"}}, "environment.A", "no variable can", "Remove"),
        ({"mounts": [{"uri": "s3://b/", "mount_path": "/m"}]}, "mounts[0].uri", "none of", "oss"),
        (
            {"mounts": [{"uri": "oss://k:s@b/", "mount_path": "/m"}]},
            "mounts[0].uri",
            "holds a user",
            "oss://bucket/path/",
        ),
        ({"mounts": [{**MOUNT, "mount_path": "/"}]}, "mounts[0].mount_path", "hide", "/mnt"),
        ({"mounts": [{**MOUNT, "mount_path": "/usr/x"}]}, "mounts[0].mount_path", "hide", "/mnt"),
        ({"mounts": [{**MOUNT, "mount_path": "a"}]}, "mounts[0].mount_path", "absolute", "/mnt"),
        (
            {"mounts": [MOUNT, {**MOUNT, "mount_path": "/mnt/keys/more"}]},
            "mounts[1].mount_path",
            "lies in the folder of another",
            "Name another",
        ),
        ({"role_arn": "bench-job"}, "role_arn", "right form", "acs:ram::"),
        ({"vpc": {"vpc_id": "vpc-1"}}, "vpc.switch_id", "is missing", "Add it"),
    ],
)
def test_what_is_wrong_is_told_at_its_field_with_what_to_do(
    changes: dict[str, Any], where: str, what: str, remedy: str
) -> None:
    text = str(refused(SMALL, changes))
    assert f"{where}: " in text
    assert what in text
    assert remedy in text


@pytest.mark.parametrize("beside", ["work", "spec", "gpu_count", "max_price_per_hour", "spot"])
def test_a_share_of_a_quota_is_no_machine_of_the_public_pool_too(beside: str) -> None:
    given = {
        "work": "script",
        "spec": "ecs.c6.large",
        "gpu_count": 1,
        "max_price_per_hour": {"amount": 3},
        "spot": {},
    }
    error = refused(QUOTA, {f"machine.{beside}": given[beside]})
    assert error.where == f"job.yaml: machine.{beside}"
    assert "Keep one of the two" in (error.remedy or "")


def test_a_cap_holds_nothing_for_a_quota() -> None:
    error = refused(QUOTA, {"cap": {"amount": 5}})
    assert error.where == "job.yaml: cap"
    assert "costs the same" in error.what


def test_the_line_of_what_is_wrong_is_told() -> None:
    with pytest.raises(PlanError, match=r"job.yaml: machine.gpu_count \(line 4\): must be at l"):
        load_job_plan("command: x\nmachine:\n  gpu: true\n  gpu_count: 0\n", "job.yaml")


def test_the_plan_of_a_sweep_alone_is_told_where_it_belongs() -> None:
    with pytest.raises(PlanError, match="below sweep:"):
        load_job_plan("apiVersion: ome.io/v1beta1\nkind: BenchmarkJob\nspec: {}\n")
    with pytest.raises(PlanError, match="beginning with command"):
        load_job_plan("- a\n")


@pytest.mark.parametrize("name", ["TOKENIZERS_PARALLELISM", "MAX_TOKENS", "MAX_BATCHED_TOKENS"])
def test_tokens_that_are_counted_are_no_secrets(name: str) -> None:
    assert make_sweep_job(environment={name: "8192"}).environment == {name: "8192"}


def test_pinned_libraries_are_taken_in_all_their_forms() -> None:
    libraries = (
        "torch==2.9.1+cu128",
        "vllm[audio]==0.12.0",
        "a @ https://files.example.com/a-1-py3-none-any.whl",
        "git+https://git.example.com/team/b.git@5f0b02c",
    )
    assert make_sweep_job(libraries=list(libraries)).libraries == libraries


@pytest.mark.parametrize(
    ("field", "value", "what"),
    [
        ("api_key", "env:SERVICE_KEY", "everyone who sees the job can read"),
        ("api_key", "prefect:service-key", "not to be reached from the job"),
        ("api_key", "file:/run/secrets/key", "no folder that the job mounts"),
        ("headers", {"X-Api-Key": "env:K"}, "everyone who sees the job can read"),
    ],
)
def test_a_secret_has_to_be_a_mounted_file(field: str, value: Any, what: str) -> None:
    base = {"sweep": SWEEP, "mounts": [MOUNT], "role_arn": ROLE}
    error = refused(base, {f"sweep.endpoint.{field}": value})
    assert f"sweep.endpoint.{field}" in str(error.where)
    assert what in error.what
    for word in ("object of OSS", "mounts", "read-only", "role_arn", "file:/mount_path/name"):
        assert word in (error.remedy or "")


def test_a_mounted_secret_is_taken_unless_the_job_may_write_it() -> None:
    base = {"sweep": SWEEP, "mounts": [MOUNT], "role_arn": ROLE}
    key = {"sweep.endpoint.api_key": "file:/mnt/keys/service"}
    assert job_plan_from_mapping(changed(base, key)).sweep is not None
    error = refused(base, {**key, "mounts": [{**MOUNT, "read_only": False}]})
    assert "may write" in error.what
    near = {"sweep.endpoint.api_key": "file:/mnt/keys-of-others/service"}
    assert "no folder that the job mounts" in refused(base, near).what


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("tokenizer", "/models/llama"),
        ("endpoint.ca_file", "/etc/ca.pem"),
        ("dataset", {"path": "/data/prompts.txt"}),
        ("dataset", {"path": "prompts.txt"}),
        ("dataset", {"config": "/data/set.json"}),
    ],
)
def test_files_that_the_official_image_cannot_have_are_refused(field: str, value: Any) -> None:
    changes = {
        f"sweep.{field}": value,
        "sweep.scenarios": GONE if field == "dataset" else ["D(9,9)"],
    }
    error = refused({"sweep": SWEEP}, changes)
    assert str(error.where).startswith(f"job.yaml: sweep.{field}")
    assert "official image does not have it" in error.what
    own = changed({"sweep": SWEEP}, {**changes, "image": "registry.example.com/bench:1"})
    assert job_plan_from_mapping(own).sweep is not None


def test_a_sweep_in_a_job_has_to_be_complete_and_alone() -> None:
    error = refused({"sweep": SWEEP}, {"sweep.endpoint.url": GONE})
    assert error.where == "job.yaml: sweep.endpoint.url"
    error = refused({"sweep": SWEEP}, {"sweep.tokenizer": GONE})
    assert error.where == "job.yaml: sweep.tokenizer"
    error = refused({"sweep": SWEEP}, {"workers": 2})
    assert error.where == "job.yaml: workers"
    assert "each send the load" in error.what


DOCUMENTS = {"full": FULL, "small": SMALL, "quota": QUOTA}
PLACES = [(name, place) for name, document in DOCUMENTS.items() for place in places(document)]


@settings(deadline=None)
@given(st.sampled_from(PLACES), values | st.just(GONE))
def test_any_value_anywhere_gives_a_plan_or_says_what_to_do(
    target: tuple[str, tuple[Any, ...]], value: Any
) -> None:
    name, place = target
    refused: PlanError | None = None
    try:
        plan = load_job_plan(planted(DOCUMENTS[name], place, value), "job.yaml")
    except PlanError as error:
        refused = error
    if refused is not None:
        assert (refused.where or "").startswith("job.yaml")
        assert refused.remedy or "problems\n" in refused.what
    else:
        assert plan_hash(load_job_plan(dump_job_plan(plan))) == plan_hash(plan)


@pytest.mark.parametrize(("name", "place"), PLACES, ids=str)
def test_a_secret_in_the_wrong_place_is_in_no_message(name: str, place: tuple[Any, ...]) -> None:
    for value in (CANARY, [CANARY], {"a": CANARY}, {CANARY: 1}):
        told = ""
        try:
            load_job_plan(planted(DOCUMENTS[name], place, value), "job.yaml")
        except PlanError as error:
            told = str(error)
        # The name of a field that there is not is told: it is what was misspelled.
        assert CANARY not in told or (CANARY in json.dumps(value) and isinstance(value, dict))


def test_a_plan_from_a_form_is_the_same_as_from_a_file() -> None:
    of_form = JobPlan.model_validate(json.loads(json.dumps(FULL)))
    assert of_form == load_job_plan(json.dumps(FULL))


@pytest.mark.parametrize(
    "command",
    [
        "HF_TOKEN=my-own-word python run.py",
        "export DB_PASSWORD='tide-high'; run",
        "run --password=tide-high",
        "run --hub-token tide-high",
        "run --api-key tide",
        "curl -s -u alice:tide-high http://service",
        "curl --user alice:tide http://service",
        "git clone https://alice:tide-high@example.com/repo",
    ],
)
def test_a_command_that_gives_a_secret_by_name_is_refused(command: str) -> None:
    error = refused(SMALL, {"command": command})
    assert "looks as if it held a secret" in str(error)
    assert "tide" not in str(error)


@pytest.mark.parametrize(
    "command",
    [
        "HF_TOKEN=$(cat /mnt/keys/hf) python run.py --max-tokens 128 --tokenizer org/model",
        "run --password-file /mnt/keys/p --token $TOKEN --api-key=/mnt/keys/k",
        'MAX_TOKENS=512 NUM_TOKEN_IDS=3 run --token "$HF_TOKEN" --secret-name tide',
        "curl -s http://service:8000/v1/models -u alice:$WORD",
        "git clone https://example.com:8443/a@b",
    ],
)
def test_a_command_that_reads_its_secrets_is_taken(command: str) -> None:
    plan = job_plan_from_mapping(changed(SMALL, {"command": command}), "job.yaml")
    assert plan.command == command
