"""AIWorkSpace: images that can be found, workspaces that can be created."""

from __future__ import annotations

import json
from typing import Any

import pytest
from products_cloud import REGION, Cloud

from tidemark.simulator.pai.aiworkspace import Workspace
from tidemark.simulator.pai.world import World

IMAGES = "/api/v1/images"
WORKSPACES = "/api/v1/workspaces"
NEW = {"WorkspaceName": "tidemark_default", "Description": "Benchmarks", "EnvTypes": ["prod"]}


@pytest.fixture
def cloud() -> Cloud:
    return Cloud()


def images(cloud: Cloud, **query: object) -> list[dict[str, Any]]:
    answer = cloud.ask("ListImages", "GET", IMAGES, **{"PageSize": 100, **query})
    found: list[dict[str, Any]] = answer["Images"]
    assert answer["TotalCount"] == len(found)
    return found


def names(cloud: Cloud, **query: object) -> list[str]:
    return [one["Name"] for one in images(cloud, **query)]


def labels(image: dict[str, Any]) -> dict[str, str]:
    return {one["Key"]: one["Value"] for one in image["Labels"]}


class TestImages:
    def test_there_are_some_of_each_kind(self, cloud: Cloud) -> None:
        found = images(cloud, Verbose="True")
        assert len(found) == 25
        frameworks = {labels(one)["system.framework"].split()[0] for one in found}
        assert {"PyTorch", "TensorFlow", "XGBoost", "Ray"} <= frameworks
        assert {labels(one)["system.chipType"] for one in found} == {"CPU", "GPU"}
        assert all(labels(one)["system.official"] == "true" for one in found)
        for variant in ("accl", "ngc", "deepEp"):
            assert any(variant in one["Name"] for one in found)

    def test_pages_of_twenty_are_the_default(self, cloud: Cloud) -> None:
        first = cloud.ask("ListImages", "GET", IMAGES)
        second = cloud.ask("ListImages", "GET", IMAGES, PageNumber=2)
        assert [len(first["Images"]), len(second["Images"]), first["TotalCount"]] == [20, 5, 25]
        ids = {one["ImageId"] for one in first["Images"] + second["Images"]}
        assert len(ids) == 25

    def test_all_labels_asked_for_must_hold(self, cloud: Cloud) -> None:
        found = images(
            cloud, Labels="system.supported.dlc=true,system.chipType=GPU", Verbose="true"
        )
        assert 0 < len(found) < 25
        for one in found:
            assert labels(one)["system.supported.dlc"] == "true"
            assert labels(one)["system.chipType"] == "GPU"
        assert images(cloud, Labels="system.chipType=GPU,system.chipType=CPU") == []

    def test_labels_are_told_only_when_asked_for(self, cloud: Cloud) -> None:
        assert all(one["Labels"] == [] for one in images(cloud))
        assert len(images(cloud, Labels="system.chipType=GPU")) > 0

    def test_names_are_matched_in_part_or_exactly(self, cloud: Cloud) -> None:
        part = names(cloud, Name="PYTORCH-training")
        assert len(part) > 1
        assert all(one.startswith("pytorch-training:") for one in part)
        exact = {"Name": part[0], "Options": "ExactMatchName"}
        assert names(cloud, **exact) == [part[0]]
        assert names(cloud, Name="pytorch", Options="ExactMatchName") == []
        assert names(cloud, Query="Triton") == ["tritonserver:25.03-gpu-py312-cu128-ubuntu24.04"]

    def test_they_are_sorted_by_age(self, cloud: Cloud) -> None:
        ages = [one["GmtCreateTime"] for one in images(cloud)]
        assert ages == sorted(ages)
        newest = images(cloud, SortBy="GmtCreateTime", Order="DESC")
        assert [one["GmtCreateTime"] for one in newest] == sorted(ages, reverse=True)
        refused = cloud.refusal("ListImages", "GET", IMAGES, SortBy="Size")
        assert refused == (400, "InvalidParameter")

    def test_each_region_has_its_own_registry(self, cloud: Cloud) -> None:
        here, there = images(cloud), images(cloud, region="cn-shanghai")
        assert all(REGION in one["ImageUri"] for one in here)
        assert all("cn-shanghai" in one["ImageUri"] for one in there)
        assert {one["ImageId"] for one in here}.isdisjoint(one["ImageId"] for one in there)

    def test_a_workspace_has_only_what_was_added_to_it(self, cloud: Cloud) -> None:
        assert names(cloud, WorkspaceId="268") == ["genai-bench:0.0.5-cpu-py311-ubuntu22.04"]
        assert names(cloud, WorkspaceId="268", Accessibility="PUBLIC") == []
        assert names(cloud, WorkspaceId="1") == []
        assert len(names(cloud, WorkspaceId="0", Accessibility="PRIVATE")) == 25

    def test_one_image(self, cloud: Cloud) -> None:
        listed = images(cloud, Verbose="true")[0]
        path = f"{IMAGES}/{listed['ImageId']}"
        answer = cloud.ask("GetImage", "GET", path, Verbose="true")
        assert {"ImageId": listed["ImageId"], **answer} == listed
        assert "ImageId" not in answer
        assert cloud.ask("GetImage", "GET", path)["Labels"] == []
        assert names(cloud, ImageUri=listed["ImageUri"]) == [listed["Name"]]
        refused = cloud.refusal("GetImage", "GET", f"{IMAGES}/image-none")
        assert refused == (404, "Image.NotFound")

    def test_labels_of_all_images(self, cloud: Cloud) -> None:
        path = "/api/v1/image/labels"
        answer = cloud.ask("ListImageLabels", "GET", path, LabelKeys="system.chipType")
        assert [one["Value"] for one in answer["Labels"]] == ["CPU", "GPU"]
        one = cloud.ask("ListImageLabels", "GET", path, LabelFilter="system.origin=Community")
        assert one["TotalCount"] == 1
        image = images(cloud, Verbose="true")[0]
        own = cloud.ask("ListImageLabels", "GET", path, ImageId=image["ImageId"])
        assert {one["Key"]: one["Value"] for one in own["Labels"]} == labels(image)

    @pytest.mark.parametrize(
        "query", [{"Labels": "GPU"}, {"Accessibility": "ALL"}, {"Verbose": "maybe"}]
    )
    def test_queries_that_make_no_sense(self, cloud: Cloud, query: dict[str, str]) -> None:
        assert cloud.refusal("ListImages", "GET", IMAGES, **query) == (400, "InvalidParameter")


class TestWorkspaces:
    def test_there_is_a_default_one(self, cloud: Cloud) -> None:
        default = cloud.ask("GetDefaultWorkspace", "GET", "/api/v1/defaultWorkspaces")
        assert (default["WorkspaceId"], default["Status"]) == ("268", "ENABLED")
        listed = cloud.ask("ListWorkspaces", "GET", WORKSPACES)["Workspaces"]
        assert [(one["WorkspaceId"], one["IsDefault"]) for one in listed] == [("268", True)]

    def test_its_id_is_the_world_s(self) -> None:
        cloud = Cloud(World(default_workspace_id="7"))
        answer = cloud.ask("GetDefaultWorkspace", "GET", "/api/v1/defaultWorkspaces")
        assert answer["WorkspaceId"] == "7"

    def test_there_may_be_none(self) -> None:
        cloud = Cloud(workspaces=())
        assert cloud.ask("ListWorkspaces", "GET", WORKSPACES)["TotalCount"] == 0
        refused = cloud.refusal("GetDefaultWorkspace", "GET", "/api/v1/defaultWorkspaces")
        assert refused == (404, "DefaultWorkspace.NotFound")

    def test_there_may_be_several_and_no_default_one(self) -> None:
        cloud = Cloud(workspaces=(Workspace("1", "vision"), Workspace("2", "language")))
        listed = cloud.ask("ListWorkspaces", "GET", WORKSPACES)["Workspaces"]
        assert [one["WorkspaceName"] for one in listed] == ["vision", "language"]
        refused = cloud.refusal("GetDefaultWorkspace", "GET", "/api/v1/defaultWorkspaces")
        assert refused[0] == 404

    def test_a_new_one_is_initialized_and_then_enabled(self, cloud: Cloud) -> None:
        workspace_id = cloud.ask("CreateWorkspace", "POST", WORKSPACES, NEW)["WorkspaceId"]
        path = f"{WORKSPACES}/{workspace_id}"
        assert workspace_id.isdecimal()
        assert cloud.ask("GetWorkspace", "GET", path)["Status"] == "INITIALIZING"
        cloud.clock.advance(6)
        known = cloud.ask("GetWorkspace", "GET", path, Verbose="true")
        assert (known["Status"], known["WorkspaceName"]) == ("ENABLED", "tidemark_default")
        assert not known["IsDefault"]
        assert known["AdminNames"]
        assert "AdminNames" not in cloud.ask("GetWorkspace", "GET", path)

    def test_it_can_fail(self) -> None:
        cloud = Cloud(workspaces_fail=True)
        workspace_id = cloud.ask("CreateWorkspace", "POST", WORKSPACES, NEW)["WorkspaceId"]
        cloud.clock.advance(6)
        path = f"{WORKSPACES}/{workspace_id}"
        assert cloud.ask("GetWorkspace", "GET", path)["Status"] == "FAILURE"

    def test_it_is_created_in_one_region(self, cloud: Cloud) -> None:
        made = cloud.ask("CreateWorkspace", "POST", WORKSPACES, NEW, region="cn-shanghai")
        path = f"{WORKSPACES}/{made['WorkspaceId']}"
        assert cloud.refusal("GetWorkspace", "GET", path) == (404, "Workspace.NotFound")
        assert cloud.ask("GetWorkspace", "GET", path, region="cn-shanghai")
        assert cloud.ask("CreateWorkspace", "POST", WORKSPACES, NEW)

    @pytest.mark.parametrize(
        ("changes", "code"),
        [
            ({"WorkspaceName": None}, "MissingParameter"),
            ({"Description": ""}, "MissingParameter"),
            ({"EnvTypes": []}, "MissingParameter"),
            ({"WorkspaceName": "ab"}, "InvalidParameter"),
            ({"WorkspaceName": "a" * 24}, "InvalidParameter"),
            ({"WorkspaceName": "alibabacloud_compute_default"}, "InvalidParameter"),
            ({"WorkspaceName": "1abc"}, "InvalidParameter"),
            ({"WorkspaceName": "a-bc"}, "InvalidParameter"),
            ({"WorkspaceName": 12345}, "InvalidParameter"),
            ({"Description": "d" * 81}, "InvalidParameter"),
            ({"EnvTypes": ["dev"]}, "InvalidParameter"),
            ({"EnvTypes": "prod"}, "InvalidParameter"),
            ({"WorkspaceName": "Default_Workspace"}, "WorkspaceNameAlreadyExists"),
        ],
    )
    def test_what_cannot_be_created(self, cloud: Cloud, changes: dict[str, Any], code: str) -> None:
        refused = cloud.refusal("CreateWorkspace", "POST", WORKSPACES, {**NEW, **changes})
        assert refused == (400, code)

    def test_the_longest_names_and_descriptions_are_taken(self, cloud: Cloud) -> None:
        for name in ("abc", "A" * 23):
            body = {**NEW, "WorkspaceName": name, "Description": "d" * 80}
            assert cloud.ask("CreateWorkspace", "POST", WORKSPACES, body)
        two = {**NEW, "EnvTypes": ["dev", "prod"]}
        assert cloud.ask("CreateWorkspace", "POST", WORKSPACES, two)

    @pytest.mark.parametrize(
        ("query", "count"),
        [
            ({"WorkspaceName": "tidemark"}, 1),
            ({"WorkspaceName": "default"}, 2),
            ({"WorkspaceIds": "268,999"}, 1),
            ({"Status": "INITIALIZING"}, 1),
            ({"Status": "FROZEN"}, 0),
            ({"ResourceGroupId": "rg-none"}, 0),
            ({"Option": "GetResourceLimits"}, 0),
        ],
    )
    def test_filters(self, cloud: Cloud, query: dict[str, str], count: int) -> None:
        cloud.ask("CreateWorkspace", "POST", WORKSPACES, NEW)
        answer = cloud.ask("ListWorkspaces", "GET", WORKSPACES, **query)
        assert (len(answer["Workspaces"]), answer["TotalCount"]) == (count, count)

    def test_pages_fields_and_order(self, cloud: Cloud) -> None:
        cloud.ask("CreateWorkspace", "POST", WORKSPACES, NEW)
        query = {"PageSize": 1, "Fields": "WorkspaceName", "Order": "DESC"}
        answer = cloud.ask("ListWorkspaces", "GET", WORKSPACES, **query)
        assert answer["TotalCount"] == 2
        assert list(answer["Workspaces"][0]) == ["WorkspaceId", "WorkspaceName"]
        assert answer["Workspaces"][0]["WorkspaceName"] == "tidemark_default"

    @pytest.mark.parametrize("query", [{"Status": "READY"}, {"Option": "All"}, {"SortBy": "Name"}])
    def test_queries_that_make_no_sense(self, cloud: Cloud, query: dict[str, str]) -> None:
        refused = cloud.refusal("ListWorkspaces", "GET", WORKSPACES, **query)
        assert refused == (400, "InvalidParameter")

    def test_the_state_names_them(self, cloud: Cloud) -> None:
        cloud.ask("ListWorkspaces", "GET", WORKSPACES)
        told = json.dumps([service.state() for service in cloud.services])
        assert "default_workspace" in told
