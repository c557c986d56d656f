"""A saved workspace: an account in its region, and a role for its jobs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from blocks import PaiWorkspace
from tidemark.alibaba.dlc import LIST_JOBS, Dlc
from tidemark.config import Config, load_config
from tidemark.plan.job import JobPlan, plan_hash
from tidemark.simulator.clock import VirtualClock
from tidemark.simulator.pai.accounts import Account
from tidemark.simulator.pai.app import PaiSimulator

ROLE = "acs:ram::1234567890123456:role/jobs"
KEY = {"access_key_id": "LTAIexampleBlock", "access_key_secret": "canary-of-the-block"}
FULL: dict[str, Any] = {
    "region": "cn-beijing",
    "workspace_id": "268",
    "credentials": KEY,
    "role_arn": ROLE,
    "network": "vpc",
    "endpoint": "http://pai.simulator",
}


def configured(directory: Path, **variables: str) -> Config:
    return load_config({f"TIDEMARK_{name}": value for name, value in variables.items()}, directory)


async def address(workspace: PaiWorkspace, config: Config) -> str:
    async with workspace.account(config, clock=VirtualClock(), environ={}) as account:
        return f"{account.region} {account.target(LIST_JOBS, {}, {}).base_url}"


async def test_its_account_is_where_the_block_says(tmp_path: Path) -> None:
    config = configured(tmp_path, REGION="cn-shanghai", NETWORK="public")
    beijing = PaiWorkspace(region="cn-beijing", network="vpc")
    assert await address(beijing, config) == (
        "cn-beijing https://pai-dlc-vpc.cn-beijing.aliyuncs.com"
    )
    config = configured(tmp_path, PAI_ENDPOINT="http://other.simulator")
    assert await address(PaiWorkspace(**FULL), config) == "cn-beijing http://pai.simulator"


async def test_what_is_left_out_is_as_configured_when_it_is_used(tmp_path: Path) -> None:
    workspace = PaiWorkspace()
    shanghai = configured(tmp_path, REGION="cn-shanghai", NETWORK="vpc")
    assert await address(workspace, shanghai) == (
        "cn-shanghai https://pai-dlc-vpc.cn-shanghai.aliyuncs.com"
    )
    simulated = configured(tmp_path, REGION="us-east-1", PAI_ENDPOINT="http://other.simulator")
    assert await address(workspace, simulated) == "us-east-1 http://other.simulator"


async def test_calls_are_signed_with_its_credentials(tmp_path: Path) -> None:
    clock = VirtualClock(jump=True)
    simulator = PaiSimulator(clock=clock, accounts=[Account(*KEY.values())])
    workspace = PaiWorkspace(**FULL)
    async with workspace.account(
        configured(tmp_path), clock=clock, transport=simulator.transport(), environ={}
    ) as account:
        await Dlc(account).list_jobs()
    assert [seen["action"] for seen in simulator.requests()] == ["ListJobs"]


def test_its_role_is_for_plans_without_one() -> None:
    plan = JobPlan(command="nvidia-smi", name="look")
    given = PaiWorkspace(role_arn=ROLE).plan_for(plan)
    assert (given.role_arn, given.command, given.name) == (ROLE, "nvidia-smi", "look")
    # What is approved is what is run.
    assert plan_hash(given) != plan_hash(plan)
    own = JobPlan(command="nvidia-smi", role_arn="acs:ram::1234567890123456:role/own")
    assert PaiWorkspace(role_arn=ROLE).plan_for(own) == own
    assert PaiWorkspace().plan_for(plan) == plan


def test_the_secrets_of_its_credentials_are_its_own() -> None:
    workspace = PaiWorkspace(**FULL)
    assert workspace.secrets == ("canary-of-the-block",)
    assert PaiWorkspace().secrets == ()
    assert "canary" not in repr(workspace) + workspace.model_dump_json()
    assert "credentials.access_key_secret" in PaiWorkspace.model_json_schema()["secret_fields"]


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"region": "cn-hangzou"}, "Did you mean cn-hangzhou?"),
        ({"region": "canary region"}, "is not the name of a region"),
        ({"endpoint": "http://pai.example.com"}, "plain http to pai.example.com"),
        ({"endpoint": "https://me:canary@pai.example.com"}, "holds a user name or password"),
        ({"workspace_id": "default"}, "workspace_id"),
        ({"role_arn": "canary"}, "role_arn"),
        ({"network": "private"}, "network"),
        ({"regoin": "cn-hangzhou"}, "no such field. Did you mean region?"),
        ({"credentials": {"access_key": "canary"}}, "credentials.access_key\n  no such field"),
        ({"credentials": {"access_key_id": "x"}}, "credentials.access_key_secret\n  is missing"),
    ],
)
def test_what_cannot_work_is_refused_without_being_repeated(
    fields: dict[str, Any], says: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        PaiWorkspace.model_validate(fields)
    assert says in str(caught.value)
    assert "canary" not in str(caught.value)
