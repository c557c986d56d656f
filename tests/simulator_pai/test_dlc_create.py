"""CreateJob takes what the service takes, and refuses what it refuses."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest

QUOTA = {"ResourceId": "quota1abc"}
SHARE = {"EcsSpec": None, "ResourceConfig": {"CPU": "4", "GPU": "2", "Memory": "512Mi"}}


async def test_a_job_is_what_was_asked_for(start: Any) -> None:
    pai = start()
    given = {
        "Envs": {"LEVEL": "5"},
        "Settings": {"Tags": {"round": "night"}},
        "ThirdpartyLibs": ["x==1"],
        "Description": "tides",
        "UnknownField": {"let": "through"},
    }
    job_id = await pai.create(**given, spec={"PodCount": 2, "ElasticSpotSpecs": []})
    assert re.fullmatch(r"dlc[0-9a-z]+", job_id)
    job = await pai.get(job_id)
    assert job["JobId"] == job_id
    assert (job["DisplayName"], job["JobType"]) == ("bench-1", "PyTorchJob")
    assert {name: job[name] for name in ("Envs", "Settings", "Description")} == {
        name: given[name] for name in ("Envs", "Settings", "Description")
    }
    assert job["JobSpecs"][0]["EcsSpec"] == "ecs.gn6i-c4g1.xlarge"
    assert (job["RequestCPU"], job["RequestGPU"], job["RequestMemory"]) == (8, 2.0, 30.0)
    assert isinstance(job["RequestGPU"], float)
    assert job["RestartTimes"] == "0/10"
    assert job["Accessibility"] == "PRIVATE"


async def test_names_may_repeat(start: Any) -> None:
    pai = start()
    assert await pai.create() != await pai.create()
    assert await pai.names() == ["bench-1", "bench-1"]


@pytest.mark.parametrize("name", ["DisplayName", "JobType", "UserCommand", "JobSpecs"])
async def test_what_is_required(start: Any, name: str) -> None:
    pai = start()
    for value in (None, "", []):
        answer = await pai.call("POST", "/api/v1/jobs", "CreateJob", body=pai.job(**{name: value}))
        assert (answer.status_code, answer.json()["Code"]) == (400, "MissingParameter")
        assert name in answer.json()["Message"]


@pytest.mark.parametrize("name", ["Type", "Image", "PodCount", "EcsSpec"])
async def test_what_each_spec_requires(start: Any, name: str) -> None:
    pai = start()
    body = pai.job(spec={name: None})
    answer = await pai.call("POST", "/api/v1/jobs", "CreateJob", body=body)
    assert (answer.status_code, answer.json()["Code"]) == (400, "MissingParameter")
    assert f"JobSpecs[0].{name}" in answer.json()["Message"]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"DisplayName": "two words"}, "DisplayName"),
        ({"DisplayName": "x" * 257}, "DisplayName"),
        ({"DisplayName": 7}, "DisplayName"),
        ({"JobType": "pytorchjob"}, "JobType"),
        ({"JobType": ["PyTorchJob"]}, "JobType"),
        ({"UserCommand": ["echo"]}, "UserCommand"),
        ({"JobSpecs": {"Type": "Worker"}}, "JobSpecs"),
        ({"JobSpecs": ["Worker"]}, "JobSpecs[0]"),
        ({"Priority": 10}, "Priority"),
        ({"Accessibility": "public"}, "Accessibility"),
        ({"SuccessPolicy": "All"}, "SuccessPolicy"),
        ({"Envs": {"LEVEL": 5}}, "Envs"),
        ({"CustomEnvs": [{"Value": "x"}]}, "CustomEnvs"),
        ({"JobMaxRunningTimeMinutes": "60"}, "JobMaxRunningTimeMinutes"),
        ({"JobMaxRunningTimeMinutes": -1}, "JobMaxRunningTimeMinutes"),
        ({"JobMaxRunningTimeMinutes": True}, "JobMaxRunningTimeMinutes"),
        ({"Settings": []}, "Settings"),
        ({"Settings": {"Tags": {"a": 1}}}, "Settings.Tags"),
        ({"Settings": {"EnableSanityCheck": "yes"}}, "EnableSanityCheck"),
        ({"Settings": {"JobReservedMinutes": 1.5}}, "JobReservedMinutes"),
        ({"DataSources": [{"Uri": "oss://b/p/", "DataSourceId": "d-1"}]}, "DataSources[0]"),
        ({"DataSources": [{"MountPath": "/mnt"}]}, "DataSources[0]"),
        ({"DataSources": [{"Uri": "oss://b/p/", "MountAccess": "R"}]}, "MountAccess"),
        ({"spec": {"Type": "Chief"}}, "Type"),
        ({"spec": {"PodCount": 0}}, "PodCount"),
        ({"spec": {"PodCount": "1"}}, "PodCount"),
        ({"spec": {"PodCount": True}}, "PodCount"),
        ({"spec": {"EcsSpec": "ecs.none.large"}}, "ecs.none.large"),
        ({"spec": {"RestartPolicy": "Sometimes"}}, "RestartPolicy"),
        ({"spec": {"ResourceConfig": {"CPU": "1"}}}, "ResourceConfig"),
        ({"spec": SHARE}, "ResourceId"),
        (QUOTA, "ResourceConfig"),
        ({**QUOTA, "spec": {"ResourceConfig": {"CPU": "1"}}}, "JobSpecs[0].EcsSpec and"),
        ({**QUOTA, "spec": {**SHARE, "ResourceConfig": {"CPU": 4}}}, "ResourceConfig.CPU"),
        ({**QUOTA, "spec": {**SHARE, "ResourceConfig": {"Memory": "4GB"}}}, "Memory"),
        ({"spec": {"SpotSpec": {"SpotStrategy": "SpotWithPriceLimit"}}}, "SpotSpec"),
        ({"spec": {"SpotSpec": {"SpotDiscountLimit": 0.5}}}, "SpotStrategy"),
        ({"spec": {"ElasticSpotSpecs": [{"InstanceType": "ecs.none"}]}, }, "ElasticSpotSpecs"),
    ],
)  # fmt: skip
async def test_what_is_refused_names_the_field(
    start: Any, changes: dict[str, Any], named: str
) -> None:
    pai = start()
    if "ElasticSpotSpecs" in changes.get("spec", {}):
        changes = {"spec": {**changes["spec"], "EcsSpec": None}}
    answer = await pai.call("POST", "/api/v1/jobs", "CreateJob", body=pai.job(**changes))
    assert (answer.status_code, answer.json()["Code"]) == (400, "InvalidParameter")
    assert named in answer.json()["Message"]
    assert await pai.names() == []


@pytest.mark.parametrize(
    ("limits", "spec"),
    [
        ({"SpotDiscountLimit": 0.5, "SpotPriceLimit": 1.0}, "ecs.gn6i-c4g1.xlarge"),
        ({"SpotDiscountLimit": 0}, "ecs.gn6i-c4g1.xlarge"),
        ({"SpotDiscountLimit": 0.5}, "ecs.c7.2xlarge"),
    ],
)
async def test_spot_limits_that_are_none(start: Any, limits: dict[str, float], spec: str) -> None:
    pai = start()
    spot = {"SpotStrategy": "SpotWithPriceLimit", **limits}
    body = pai.job(spec={"EcsSpec": spec, "SpotSpec": spot})
    answer = await pai.call("POST", "/api/v1/jobs", "CreateJob", body=body)
    assert (answer.status_code, answer.json()["Code"]) == (400, "InvalidParameter")


@pytest.mark.parametrize("body", [b"{", b"[]", b'"x"'])
async def test_a_body_that_is_no_object(start: Any, body: bytes) -> None:
    answer = await start().call("POST", "/api/v1/jobs", "CreateJob", body=body)
    assert (answer.status_code, answer.json()["Code"]) == (400, "InvalidParameter")


async def test_a_lingjun_spot_job_needs_a_network_and_bids(start: Any) -> None:
    pai = start()
    spec = {
        "EcsSpec": "ml.gu7xf.c96m1600.8-gu108",
        "SpotSpec": {"SpotStrategy": "SpotWithPriceLimit", "SpotDiscountLimit": 0.9},
    }
    answer = await pai.call("POST", "/api/v1/jobs", "CreateJob", body=pai.job(spec=spec))
    assert answer.json()["Code"] == "MissingParameter"
    job_id = await pai.create(spec=spec, UserVpc={"VpcId": "vpc-1"})
    pai.clock.advance(8)
    job = await pai.get(job_id)
    assert (job["Status"], job["ResourceType"]) == ("Bidding", "Lingjun")


async def test_a_job_without_a_workspace_goes_to_the_default_one(start: Any) -> None:
    pai = start()
    job_id = await pai.create(WorkspaceId=None)
    assert (await pai.get(job_id))["WorkspaceId"] == "268"


async def test_a_share_of_a_quota(start: Any) -> None:
    pai = start()
    job = await pai.get(await pai.create(**QUOTA, spec=SHARE))
    assert job["ResourceId"] == "quota1abc"
    assert (job["RequestCPU"], job["RequestGPU"], job["RequestMemory"]) == (4, 2.0, 0.5)


@pytest.mark.parametrize(
    ("job_type", "specs", "ids"),
    [
        ("PyTorchJob", [("Worker", 3)], ["master-0", "worker-0", "worker-1"]),
        ("PyTorchJob", [("Master", 1), ("Worker", 2)], ["master-0", "worker-0", "worker-1"]),
        ("TFJob", [("Chief", 1), ("PS", 1), ("Worker", 1)], ["chief-0", "ps-0", "worker-0"]),
        ("MPIJob", [("Worker", 2)], ["worker-0", "worker-1"]),
        ("RayJob", [("Head", 1), ("Worker-gpu", 1)], ["head-0", "worker-gpu-0"]),
    ],
)
async def test_pods_are_named_by_their_roles(
    start: Any, job_type: str, specs: list[tuple[str, int]], ids: list[str]
) -> None:
    pai = start()
    image = {"Image": "registry.example.com/bench:1", "EcsSpec": "ecs.g6.large"}
    job_id = await pai.create(
        JobType=job_type,
        JobSpecs=[{"Type": kind, "PodCount": count, **image} for kind, count in specs],
    )
    pai.clock.advance(10)
    pods = (await pai.get(job_id))["Pods"]
    assert [pod["PodId"] for pod in pods] == [f"{job_id}-{one}" for one in ids]


async def test_no_limit_is_no_limit(start: Any) -> None:
    pai = start("jobs: [{then: {running_s: never}}]")
    job_id = await pai.create(JobMaxRunningTimeMinutes=0)
    pai.clock.advance(86400 * 300)
    assert await pai.status(job_id) == "Running"
    item = (await pai.list(JobId=job_id, StartTime="2025-01-01T00:00:00Z"))["Jobs"][0]
    assert item["JobMaxRunningTimeMinutes"] == 0
    assert math.isclose(item["Duration"], 86400 * 300, rel_tol=0.01)
