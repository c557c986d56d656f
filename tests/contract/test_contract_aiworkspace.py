"""AIWorkSpace 2021-02-04: what the official SDK gets from the simulated service."""

from __future__ import annotations

import pytest
from alibabacloud_aiworkspace20210204 import models
from alibabacloud_tea_openapi.exceptions import ClientException
from contract_cloud import Cloud
from official import Official
from understood import understood

from tidemark.alibaba import aiworkspace


@pytest.mark.drives(aiworkspace.LIST_IMAGES, aiworkspace.GET_IMAGE)
def test_images_are_found_by_labels(cloud: Cloud, sdk: Official) -> None:
    request = models.ListImagesRequest(
        labels="system.supported.dlc=true,system.chipType=GPU", verbose=True, page_size=100
    )
    page = understood(cloud, sdk.aiworkspace.list_images(request))
    assert page.total_count == len(page.images) > 0
    for image in page.images:
        labels = {label.key: label.value for label in image.labels}
        assert (labels["system.supported.dlc"], labels["system.chipType"]) == ("true", "GPU")
        assert image.image_uri
        assert image.gmt_create_time.endswith("Z")
    first = page.images[0]
    one = understood(
        cloud,
        sdk.aiworkspace.get_image(first.image_id, models.GetImageRequest(verbose=True)),
    )
    assert (one.image_uri, len(one.labels)) == (first.image_uri, len(first.labels))
    brief = sdk.aiworkspace.list_images(models.ListImagesRequest(name="PYTORCH")).body
    assert brief.total_count > 0
    assert not brief.images[0].labels
    with pytest.raises(ClientException) as missing:
        sdk.aiworkspace.get_image("image-none", models.GetImageRequest())
    assert missing.value.status_code == 404


@pytest.mark.drives(
    aiworkspace.CREATE_WORKSPACE,
    aiworkspace.GET_WORKSPACE,
    aiworkspace.LIST_WORKSPACES,
    aiworkspace.GET_DEFAULT_WORKSPACE,
)
def test_a_workspace_is_created_and_found(cloud: Cloud, sdk: Official) -> None:
    request = models.CreateWorkspaceRequest(
        workspace_name="bench_1", description="潮", env_types=["prod"], display_name="Bench"
    )
    made = understood(cloud, sdk.aiworkspace.create_workspace(request))
    statuses: list[str] = []
    for _ in range(2):
        seen = understood(
            cloud,
            sdk.aiworkspace.get_workspace(
                made.workspace_id, models.GetWorkspaceRequest(verbose=True)
            ),
        )
        statuses.append(seen.status)
        cloud.clock.advance(30)
    assert statuses == ["INITIALIZING", "ENABLED"]
    assert (seen.workspace_name, seen.description) == ("bench_1", "潮")
    assert (seen.display_name, seen.env_types) == ("Bench", ["prod"])
    listed = understood(
        cloud,
        sdk.aiworkspace.list_workspaces(
            models.ListWorkspacesRequest(workspace_name="bench", status="ENABLED", verbose=True)
        ),
    )
    assert [one.workspace_id for one in listed.workspaces] == [made.workspace_id]
    assert listed.workspaces[0].resource_group_id
    default = understood(
        cloud,
        sdk.aiworkspace.get_default_workspace(models.GetDefaultWorkspaceRequest(verbose=True)),
    )
    assert (default.workspace_id, default.status) == ("268", "ENABLED")


def test_a_name_that_is_too_long_is_refused(sdk: Official) -> None:
    request = models.CreateWorkspaceRequest(
        workspace_name="a_name_of_24_characters_", description="d", env_types=["prod"]
    )
    with pytest.raises(ClientException) as refused:
        sdk.aiworkspace.create_workspace(request)
    assert refused.value.code == "InvalidParameter"
    listed = sdk.aiworkspace.list_workspaces(models.ListWorkspacesRequest()).body
    assert [one.workspace_id for one in listed.workspaces] == ["268"]
