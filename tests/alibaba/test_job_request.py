"""The job that is created for a plan, and the command of a sweep inside it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cloud import LEAVE, cloud
from hypothesis import given, settings
from hypothesis import strategies as st

from tidemark import __version__
from tidemark.alibaba.dlc_requests import CreateJob
from tidemark.alibaba.dlc_requests import JobType as RequestJobType
from tidemark.alibaba.job_quote import LookUp, look_up, quote_job
from tidemark.alibaba.job_request import CREDENTIALS_URI, ENDED, create_request, sweep_command
from tidemark.authorization import Creation
from tidemark.errors import ConfigError, PlanError, RefusedError
from tidemark.money.approval import Approval, approve
from tidemark.plan.job import JobPlan, JobType, plan_hash
from tidemark.plan.load import dump_plan, load_plan
from tidemark.plan.sweep import SweepPlan

ROLE = "acs:ram::1234567890123456:role/bench-job"
KEYS_ROLE = "acs:ram::1234567890123456:role/key-reader"
TAGS = {"tidemark": "inst1", "tidemark-run": "r1", "tidemark-attempt": "1"}
NOW = datetime(2026, 1, 1, tzinfo=UTC)
SWEEP: dict[str, Any] = {
    "endpoint": {"url": "http://my-service:8080", "model": "llama"},
    "tokenizer": "org/llama@main",
    "scenarios": ["D(100,100)"],
    "concurrency": [1, 4],
}
MOUNT = {"uri": "oss://bench-keys/of/bench", "mount_path": "/mnt/keys"}
SHELLS = [shell for shell in ("sh", "dash", "bash") if shutil.which(shell)]


def job(**given: Any) -> JobPlan:
    usual = {} if "sweep" in given else {"command": "nvidia-smi"}
    return JobPlan.model_validate({**usual, **given})


async def found_for(plan: JobPlan) -> LookUp:
    here = cloud()
    return await look_up(here.account, plan, clock=here.clock)


async def asked(plan: JobPlan, **more: Any) -> CreateJob:
    store = {"store_uri": "s3://results/nightly"} if plan.sweep is not None else {}
    given = {"workspace_id": "268", "name": "tidemark-inst1-r1-a1", "tags": TAGS, "run_id": "r1"}
    return create_request(plan, await found_for(plan), **{**given, **store, **more})


async def test_a_command_on_a_named_machine_is_asked_for_in_full() -> None:
    plan = job(
        machine={"spec": "ecs.c6.large"},
        workers=3,
        image="registry.example.com/team/bench:1.2",
        libraries=["torch==2.9.1"],
        environment={"A": "1"},
        limits={"total_s": 3600, "running_s": 61},
    )
    request = await asked(plan)
    assert request.body() == {
        "DisplayName": "tidemark-inst1-r1-a1",
        "JobType": "PyTorchJob",
        "UserCommand": "nvidia-smi",
        "WorkspaceId": "268",
        "JobSpecs": [
            {
                "Type": "Worker",
                "Image": "registry.example.com/team/bench:1.2",
                "PodCount": 3,
                "EcsSpec": "ecs.c6.large",
            }
        ],
        "JobMaxRunningTimeMinutes": 2,
        "Envs": {"A": "1"},
        "ThirdpartyLibs": ["torch==2.9.1"],
        "Settings": {"Tags": TAGS},
    }


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"machine": {"work": "small-model"}},
        {"machine": {"spec": "ecs.gn7i-c8g1.2xlarge", "spot": {"discount_limit": 0.6}}},
        {
            "machine": {
                "quota": {"resource_id": "quota1h2x3a4m5p6l", "cpu": 8, "memory_gib": 32, "gpu": 1}
            },
            "priority": 5,
        },
        {"sweep": SWEEP, "mounts": [MOUNT], "role_arn": ROLE},
        {"job_type": "RayJob", "workers": 3, "image": "registry.example.com/ray:2"},
    ],
)
async def test_the_service_takes_every_request_and_its_approval_covers_it(
    given: dict[str, Any],
) -> None:
    plan = job(**given)
    here = cloud()
    found = await look_up(here.account, plan, clock=here.clock)
    store = {"store_uri": "oss://results/nightly"} if plan.sweep is not None else {}
    hashed = plan_hash(plan)
    tags = {**TAGS, "tidemark-plan": hashed}
    request = create_request(
        plan, found, workspace_id="268", name="tidemark-a", tags=tags, run_id="r1", **store
    )
    job_id = await here.dlc.create_job(request, authorization=LEAVE)
    echoed = await here.dlc.get_job(job_id)
    assert echoed.tags == tags
    quote = quote_job(plan, found, run_id="r1", number=1, plan_hash=hashed, now=NOW)
    approval = Approval(
        approval_id="a1",
        run_id="r1",
        quote_id=quote.quote_id,
        plan_hash=hashed,
        decision="approve",
        up_to=quote.bound,
        currency=quote.currency,
        by="someone",
        channel="terminal",
        decided_at=NOW,
    )
    approved = approve(quote, approval, plan_hash=hashed, now=lambda: NOW)
    approved.permit(Creation("https://pai-dlc.test", "CreateJob", request.body()))
    if quote.mode == "quota":
        return
    other = create_request(
        job(**{**given, "machine": {"spec": "ecs.g7.8xlarge"}}),
        await found_for(job(**{**given, "machine": {"spec": "ecs.g7.8xlarge"}})),
        workspace_id="268",
        name="tidemark-a",
        tags=tags,
        run_id="r1",
        **store,
    )
    with pytest.raises(RefusedError):
        approved.permit(Creation("https://pai-dlc.test", "CreateJob", other.body()))


async def test_the_service_always_ends_a_job_by_itself() -> None:
    assert (await asked(job())).max_running_time_minutes == 120
    short = job(limits={"total_s": 100})
    assert (await asked(short)).max_running_time_minutes == 2


async def test_a_share_of_a_quota_is_text_with_units() -> None:
    quota = {"resource_id": "quota1", "cpu": 8, "memory_gib": 30.5, "gpu": 2, "gpu_type": "A10"}
    body = (await asked(job(machine={"quota": quota}, priority=5))).body()
    assert body["ResourceId"] == "quota1"
    assert body["Priority"] == 5
    share = body["JobSpecs"][0]["ResourceConfig"]
    assert share == {"CPU": "8", "GPU": "2", "GPUType": "A10", "Memory": "30.5Gi"}
    assert "EcsSpec" not in body["JobSpecs"][0]
    none = {"resource_id": "quota1", "cpu": 8, "memory_gib": 32}
    body = (await asked(job(machine={"quota": none}))).body()
    assert "GPU" not in body["JobSpecs"][0]["ResourceConfig"]


async def test_a_spot_machine_is_limited_as_the_plan_says() -> None:
    machine = {"spec": "ecs.gn7i-c8g1.2xlarge", "spot": {"discount_limit": 0.6}}
    (spec,) = (await asked(job(machine=machine))).body()["JobSpecs"]
    assert spec["SpotSpec"] == {"SpotStrategy": "SpotWithPriceLimit", "SpotDiscountLimit": 0.6}


async def test_the_job_s_role_is_lent_by_the_service_and_no_key_is_sent() -> None:
    body = (await asked(job(role_arn=ROLE))).body()
    assert body["CredentialConfig"] == {
        "EnableCredentialInject": True,
        "CredentialConfigItems": [{"Key": "0", "Type": "Role", "Roles": [{"RoleArn": ROLE}]}],
    }
    assert body["Envs"] == {"ALIBABA_CLOUD_CREDENTIALS_URI": CREDENTIALS_URI}
    assert CREDENTIALS_URI == "http://localhost:7002/api/v1/credentials/0"
    assert "CredentialConfig" not in (await asked(job())).body()


async def test_mounts_are_data_sources_opened_by_a_role() -> None:
    mounts = [
        MOUNT,
        {"uri": "oss://data/", "mount_path": "/mnt/out", "read_only": False},
        {"uri": "oss://b.oss-cn-beijing.aliyuncs.com/x/", "mount_path": "/mnt/far"},
        {"uri": "nas://0a1b2c.cn-hangzhou.nas.aliyuncs.com/", "mount_path": "/mnt/nas"},
        {"uri": "oss://whole", "mount_path": "/mnt/own", "role_arn": KEYS_ROLE},
    ]
    sources = (await asked(job(mounts=mounts, role_arn=ROLE))).body()["DataSources"]
    assert sources[0] == {
        "Uri": "oss://bench-keys.oss-cn-hangzhou-internal.aliyuncs.com/of/bench",
        "MountPath": "/mnt/keys",
        "MountAccess": "RO",
        "RoleArn": ROLE,
    }
    assert sources[1]["MountAccess"] == "RW"
    assert sources[2]["Uri"] == "oss://b.oss-cn-beijing.aliyuncs.com/x/"
    assert sources[3]["Uri"] == "nas://0a1b2c.cn-hangzhou.nas.aliyuncs.com/"
    assert sources[4]["Uri"] == "oss://whole.oss-cn-hangzhou-internal.aliyuncs.com/"
    assert sources[4]["RoleArn"] == KEYS_ROLE
    (without,) = (await asked(job(mounts=[MOUNT]))).body()["DataSources"]
    assert "RoleArn" not in without


async def test_a_registry_s_password_stays_a_reference() -> None:
    registry = {"username": "robot", "password": "env:REGISTRY_PASSWORD"}
    request = await asked(job(image="registry.example.com/team/bench:1.2", registry=registry))
    (spec,) = request.body()["JobSpecs"]
    assert spec["ImageConfig"] == {
        "DockerRegistry": "registry.example.com",
        "Username": "robot",
        "Password": "env:REGISTRY_PASSWORD",
    }
    assert request.registry_secrets == ["env:REGISTRY_PASSWORD"]


async def test_a_network_of_the_account_is_joined() -> None:
    vpc = {"vpc_id": "vpc-1", "switch_id": "vsw-1", "security_group_id": "sg-1"}
    assert (await asked(job(vpc=vpc))).body()["UserVpc"] == {
        "VpcId": "vpc-1", "SwitchId": "vsw-1", "SecurityGroupId": "sg-1", "DefaultRoute": "eth0",
    }  # fmt: skip


async def test_a_plan_names_the_kinds_of_jobs_that_there_are() -> None:
    assert JobType == RequestJobType
    ray = await asked(job(job_type="RayJob", workers=3, image="registry.example.com/ray:2"))
    assert [(one["Type"], one["PodCount"]) for one in ray.body()["JobSpecs"]] == [
        ("Head", 1), ("Worker", 2),
    ]  # fmt: skip
    with pytest.raises(ConfigError, match="has no official image"):
        await asked(job(job_type="SlurmJob"))


async def test_a_sweep_goes_on_in_its_round_when_the_job_is_started_again() -> None:
    request = await asked(job(sweep=SWEEP))
    assert "tidemark sweep - --store s3://results/nightly --round r1" in request.user_command
    named = await asked(job(sweep=SWEEP), round="2026-11-22")
    assert "--round 2026-11-22" in named.user_command


@pytest.mark.parametrize(
    ("given", "store", "libraries"),
    [
        ({}, "s3://b/p", [f"tidemark[simulator]=={__version__}"]),
        ({"role_arn": ROLE}, "oss://b/p", [f"tidemark[simulator,oss]=={__version__}"]),
        (
            {"libraries": ["torch==2.9.1"]},
            "gs://b-b/p",
            [f"tidemark[simulator,gcs]=={__version__}", "torch==2.9.1"],
        ),
        ({"libraries": ["Tidemark[oss]==0.0.9"]}, "s3://b/p", ["Tidemark[oss]==0.0.9"]),
        (
            {"libraries": ["tidemark @ https://files.example.com/tidemark-1.whl"]},
            "s3://b/p",
            ["tidemark @ https://files.example.com/tidemark-1.whl"],
        ),
        ({"image": "registry.example.com/bench:1"}, "s3://b/p", None),
    ],
)
async def test_the_official_image_gets_tidemark_unless_the_plan_brings_it(
    given: dict[str, Any], store: str, libraries: list[str] | None
) -> None:
    request = await asked(job(sweep=SWEEP, **given), store_uri=store)
    assert request.thirdparty_libs == libraries
    assert (await asked(job(libraries=["torch==2.9.1"]))).thirdparty_libs == ["torch==2.9.1"]


async def test_a_store_is_opened_in_the_job_as_it_is_here() -> None:
    plan = job(sweep=SWEEP, role_arn=ROLE, mounts=[MOUNT])
    usual = {"TIDEMARK_REGION": "cn-hangzhou", "ALIBABA_CLOUD_CREDENTIALS_URI": CREDENTIALS_URI}
    near = await asked(plan, store_uri="oss://results/nightly")
    assert near.envs == {**usual, "TIDEMARK_STORE_OPTIONS": "oss.network=vpc"}
    far = await asked(plan, store_uri="oss://results@cn-beijing/nightly")
    assert far.envs == usual
    told = {"network": "public", "sse": "AES256"}
    same = await asked(plan, store_uri="oss://results/nightly", store_options=told)
    assert same.envs is not None
    assert same.envs["TIDEMARK_STORE_OPTIONS"] == "oss.network=public,oss.sse=AES256"
    own = job(sweep=SWEEP, environment={"TIDEMARK_REGION": "cn-beijing"})
    assert (await asked(own)).envs == {"TIDEMARK_REGION": "cn-beijing"}


@pytest.mark.parametrize(
    ("store", "options", "where", "what"),
    [
        (None, {}, "store", "no place is named"),
        ("results", {}, "store", "is a folder"),
        ("file:///data/results", {}, "store", "is a folder"),
        ("file:///mnt/keys/results", {}, "store", "is a folder"),
        ("pvc://claim/x", {}, "store", "claim of Kubernetes"),
        ("oss://results/nightly", {}, "role_arn", "nothing else lets the job write"),
        ("s3://b/p", {"regio": "x"}, "store_options.regio", "no option of a store at s3"),
        ("s3://b/p", {"region": "a,b"}, "store_options.region", "holds a comma"),
        (
            "s3://b/p",
            {"secret_access_key": "env:KEY"},
            "store_options.secret_access_key",
            "everyone who sees the job can read",
        ),
        (
            "s3://b/p",
            {"secret_access_key": "canary-a-pasted-key"},
            "store_options.secret_access_key",
            "is a secret, and not a reference",
        ),
    ],
)
async def test_a_store_that_the_job_cannot_use_is_refused(
    store: str | None, options: dict[str, str], where: str, what: str
) -> None:
    plan = job(sweep=SWEEP, mounts=[MOUNT])
    with pytest.raises(PlanError, match=what) as caught:
        await asked(plan, store_uri=store, store_options=options)
    assert caught.value.where == where
    assert caught.value.remedy
    assert "canary" not in str(caught.value)


async def test_a_folder_that_the_job_mounts_and_may_write_is_a_store() -> None:
    mounts = [{"uri": "oss://results/", "mount_path": "/mnt/results", "read_only": False}]
    request = await asked(job(sweep=SWEEP, mounts=mounts), store_uri="file:///mnt/results/a")
    assert "--store file:///mnt/results/a" in request.user_command
    secret = {"secret_access_key": "file:/mnt/keys/s3", "access_key_id": "EXAMPLEKEYID"}
    by_key = await asked(
        job(sweep=SWEEP, mounts=[MOUNT]), store_uri="s3://b/p", store_options=secret
    )
    assert by_key.envs is not None
    assert "s3.secret_access_key=file:/mnt/keys/s3" in by_key.envs["TIDEMARK_STORE_OPTIONS"]


# What stands in for the tidemark command: it notes what it was asked and given, and ends as told.
STAND_IN = """\
#!/bin/sh
printf '%s\\n' "$*" >> "$NOTES/asked"
case "$1" in
  engines) exit "${INSTALL_STATUS:-0}" ;;
esac
cat > "$NOTES/plan"
if [ -n "$WAITS" ]; then
  trap 'echo heard >> "$NOTES/asked"; exit 3' TERM
  echo waiting > "$NOTES/waiting"
  while :; do sleep 0.05; done
fi
exit "${SWEEP_STATUS:-0}"
"""


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the stand-in, and where it takes its notes."""
    folder = tmp_path_factory.mktemp("bench")
    command = folder / "tidemark"
    command.write_text(STAND_IN)
    command.chmod(0o755)
    return folder


def environment(bench: Path, **more: str) -> dict[str, str]:
    for name in ("asked", "plan", "waiting"):
        (bench / name).unlink(missing_ok=True)
    return {"PATH": f"{bench}:{os.environ['PATH']}", "NOTES": str(bench), **more}


def ran(command: str, bench: Path, shell: str = "sh", **more: str) -> tuple[int, list[str]]:
    """The exit status of a command, and the lines it printed."""
    done = subprocess.run(
        [shell, "-c", command],
        env=environment(bench, **more),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    return done.returncode, done.stdout.splitlines()


def plan_of(**changes: Any) -> SweepPlan:
    return SweepPlan.model_validate({**SWEEP, **changes})


@pytest.mark.parametrize("shell", SHELLS)
def test_a_sweep_installs_its_engine_and_gets_its_plan(bench: Path, shell: str) -> None:
    plan = plan_of(name='it\'s $HOME `id` \\ "x"')
    store = "oss://b/it's a $(place)"
    status, lines = ran(sweep_command(plan, store_uri=store, round="n 1"), bench, shell)
    assert status == 0
    assert lines == [f"{ENDED} 0"]
    assert (bench / "asked").read_text().splitlines() == [
        "engines install genai-bench",
        f"sweep - --store {store} --round n 1",
    ]
    assert load_plan((bench / "plan").read_text()) == plan


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("ended", "status"), [(0, 0), (1, 1), (2, 2), (3, 0), (4, 0), (130, 130), (137, 137)]
)
def test_only_a_failed_sweep_fails_the_job(
    bench: Path, shell: str, ended: int, status: int
) -> None:
    command = sweep_command(plan_of(), store_uri="s3://b/p", round="r1")
    found, lines = ran(command, bench, shell, SWEEP_STATUS=str(ended))
    assert found == status
    assert lines[-1] == f"tidemark: the sweep ended with status {ended}"


@pytest.mark.parametrize("shell", SHELLS)
def test_without_its_engine_a_sweep_is_not_begun(bench: Path, shell: str) -> None:
    command = sweep_command(plan_of(), store_uri="s3://b/p", round="r1")
    found, lines = ran(command, bench, shell, INSTALL_STATUS="1")
    assert found == 1
    assert lines[-1] == f"{ENDED} 1"
    assert (bench / "asked").read_text() == "engines install genai-bench\n"


@pytest.mark.parametrize("shell", SHELLS)
def test_a_job_that_is_stopped_lets_the_sweep_end_with_what_it_has(bench: Path, shell: str) -> None:
    command = sweep_command(plan_of(), store_uri="s3://b/p", round="r1")
    given = environment(bench, WAITS="1")
    os.mkfifo(bench / "waiting")
    running = subprocess.Popen(
        [shell, "-c", command],
        env=given,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        (bench / "waiting").read_text()  # until it is written
        running.send_signal(signal.SIGTERM)
        printed, _ = running.communicate(timeout=30)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGKILL)
    assert running.returncode == 0
    assert printed.splitlines()[-1] == f"{ENDED} 3"
    assert (bench / "asked").read_text().endswith("heard\n")


_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30) | st.sampled_from(
    ["EOF", "'", '"', "$(exit 7)", "`exit 7`", "\\", "TIDEMARK_PLAN_", "\n\nexit 7\n", "\r\n", "%s"]
)


@settings(deadline=None, max_examples=60)
@given(
    st.dictionaries(_texts.map(lambda text: f"x{text}"), _texts, max_size=3), st.text("ab $'\"\\")
)
def test_any_plan_survives_the_shell(bench: Path, request: dict[str, str], place: str) -> None:
    plan = plan_of(request={"metadata": request})
    command = sweep_command(plan, store_uri=f"s3://b/{place}", round="r1")
    status, lines = ran(command, bench)
    assert status == 0
    assert lines == [f"{ENDED} 0"]
    assert load_plan((bench / "plan").read_text("utf-8")) == plan
    told = (bench / "asked").read_text().splitlines()[-1]
    assert told == f"sweep - --store s3://b/{place} --round r1"


@pytest.mark.parametrize(
    ("character", "count"),
    [
        ("x", 20),  # too many characters for whoever reads a plan
        ("\u6f6e", 7),  # fewer characters, with too many bytes for a command
    ],
)
def test_a_plan_that_no_command_can_carry_is_refused(character: str, count: int) -> None:
    texts = {f"label{number}": character * 256 for number in range(64)}
    headers = {f"X-{number}": "x" * 4000 for number in range(count)}
    system = {"labels": {f"{name}{character * 230}": text for name, text in texts.items()}}
    plan = plan_of(endpoint={**SWEEP["endpoint"], "headers": headers}, system=system)
    assert (len(dump_plan(plan)) > 65_536) == (character == "x")
    with pytest.raises(PlanError, match="too long to be handed to a job") as caught:
        sweep_command(plan, store_uri="s3://b/p", round="r1")
    assert caught.value.where == "sweep"
