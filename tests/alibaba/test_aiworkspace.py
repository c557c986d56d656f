"""Images and workspaces: all of them, by label and name, and new ones within the limits."""

from __future__ import annotations

from typing import Any

import pytest
from cloud import LEAVE, cloud

from tidemark.alibaba.aiworkspace import AiWorkspace
from tidemark.alibaba.errors import InvalidRequestError, NoAnswerError, NotFoundError
from tidemark.errors import ConfigError, RefusedError

GPU = {"system.supported.dlc": "true", "system.chipType": "GPU"}


async def test_images_of_all_pages_come_with_their_labels() -> None:
    here = cloud()
    service = AiWorkspace(here.account)
    images = await service.list_images()
    assert len(images) > 20
    assert len({image.image_id for image in images}) == len(images)
    assert all(image.labels and image.image_uri and image.gmt_create_time for image in images)
    assert [image.image_id for image in await service.list_images(page_size=7)] == [
        image.image_id for image in images
    ]


async def test_all_labels_that_are_asked_for_fit() -> None:
    here = cloud()
    images = await AiWorkspace(here.account).list_images(labels=GPU)
    assert images
    assert all(GPU.items() <= image.labels.items() for image in images)
    (call,) = here.calls("ListImages")
    assert call["query"]["Labels"] == "system.supported.dlc=true,system.chipType=GPU"
    assert call["query"]["Verbose"] == "true"


async def test_labels_are_optional_in_the_answer_and_then_the_service_is_believed() -> None:
    images = await AiWorkspace(cloud().account).list_images(labels=GPU, verbose=False)
    assert images
    assert not any(image.labels for image in images)


async def test_names_are_looked_for_or_meant_exactly() -> None:
    service = AiWorkspace(cloud().account)
    some = await service.list_images(name="PYTORCH")
    assert len(some) > 1
    (one,) = await service.list_images(name=some[0].name, exact=True)
    assert one == some[0]
    assert await service.list_images(name="pytorch", exact=True) == []


@pytest.mark.parametrize("labels", [{"a": "b,c"}, {"a=b": "c"}, {"a,b": "c"}, {"": "c"}])
async def test_a_label_that_cannot_be_written_is_refused(labels: dict[str, str]) -> None:
    here = cloud()
    with pytest.raises(ConfigError, match="cannot be asked for"):
        await AiWorkspace(here.account).list_images(labels=labels)
    assert here.simulator.requests() == []


async def test_an_image_is_found_by_id() -> None:
    service = AiWorkspace(cloud().account)
    first = (await service.list_images())[0]
    found = await service.get_image(first.image_id)
    assert found.image_uri == first.image_uri
    assert found.labels == first.labels
    with pytest.raises(NotFoundError):
        await service.get_image("image-no-such")


async def test_a_workspace_is_created_and_can_be_used_when_it_is_enabled() -> None:
    here = cloud()
    service = AiWorkspace(here.account)
    workspace_id = await service.create_workspace(
        "tidemark_default",
        description="Benchmarks",
        env_types=["dev", "prod"],
        display_name="Tidemark",
        authorization=LEAVE,
    )
    made = await service.get_workspace(workspace_id)
    assert (made.workspace_name, made.status) == ("tidemark_default", "INITIALIZING")
    assert made.env_types == ("dev", "prod")
    assert made.display_name == "Tidemark"
    await here.clock.sleep(60)
    assert (await service.get_workspace(workspace_id)).status == "ENABLED"
    assert {each.workspace_id for each in await service.list_workspaces()} == {"268", workspace_id}
    assert [each.workspace_id for each in await service.list_workspaces(name="tidemark")] == [
        workspace_id
    ]
    assert await service.list_workspaces(status="DISABLED") == []


async def test_one_field_is_read_in_both_of_its_spellings() -> None:
    service = AiWorkspace(cloud().account)
    (listed,) = await service.list_workspaces()
    assert listed.resource_group_id
    assert (await service.get_workspace("268")).resource_group_id == listed.resource_group_id


async def test_the_default_workspace_is_found_or_missing() -> None:
    found = await AiWorkspace(cloud().account).get_default_workspace()
    assert (found.workspace_id, found.status) == ("268", "ENABLED")
    without = cloud("calls: [{then: {error: {status: 404, code: DefaultWorkspace.NotFound}}}]")
    with pytest.raises(NotFoundError):
        await AiWorkspace(without.account).get_default_workspace()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"workspace_name": "alibabacloud_compute_default"}, "3 to 23 letters"),
        ({"workspace_name": "ab"}, "3 to 23 letters"),
        ({"workspace_name": "1abc"}, "a letter first"),
        ({"workspace_name": "a-bc"}, "workspace_name: does not have the right form"),
        ({"workspace_name": "abc\n"}, "workspace_name: does not have the right form"),
        ({"description": "x" * 81}, "description: is longer than 80"),
        ({"description": ""}, "description: is shorter than 1"),
        ({"env_types": ["dev"]}, "env_types: is no choice of environments"),
        ({"env_types": ["prod", "dev"]}, "env_types: is no choice of environments"),
        ({"env_types": []}, "env_types: is no choice of environments"),
    ],
)
async def test_what_the_limits_do_not_allow_is_refused_here(
    given: dict[str, Any], said: str
) -> None:
    here = cloud()
    wanted = {"workspace_name": "abc", "description": "d", **given}
    with pytest.raises(ConfigError, match=said):
        await AiWorkspace(here.account).create_workspace(**wanted, authorization=LEAVE)
    assert here.simulator.requests() == []


async def test_a_workspace_needs_leave_and_a_free_name() -> None:
    here = cloud()
    service = AiWorkspace(here.account)
    with pytest.raises(RefusedError):
        await service.create_workspace("abc", description="d", authorization=None)  # type: ignore[arg-type]
    assert here.simulator.requests() == []
    await service.create_workspace("abc", description="d", authorization=LEAVE)
    with pytest.raises(InvalidRequestError, match="already exists"):
        await service.create_workspace("abc", description="d", authorization=LEAVE)


async def test_a_lost_answer_leaves_it_open_whether_there_is_a_workspace() -> None:
    here = cloud("calls: [{when: {action: CreateWorkspace}, then: {lost: answer}}]")
    service = AiWorkspace(here.account)
    with pytest.raises(NoAnswerError) as caught:
        await service.create_workspace("abc", description="d", authorization=LEAVE)
    assert caught.value.effect_unknown
    assert len(here.calls("CreateWorkspace")) == 1
