"""AIWorkSpace: official images and workspaces of a region (AIWorkSpace 2021-02-04)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import AliasChoices, Field, field_validator

from tidemark.alibaba.answers import Answer, Instant, Listed, Number, Request, Text, read
from tidemark.alibaba.channel import Channel
from tidemark.alibaba.endpoints import Product
from tidemark.alibaba.errors import NoAnswerError
from tidemark.alibaba.operations import JsonObject, Operation
from tidemark.alibaba.paging import all_items
from tidemark.authorization import Authorization
from tidemark.errors import ConfigError
from tidemark.plan.problems import refusal

__all__ = ["AiWorkspace", "CreateWorkspace", "Image", "Workspace"]

_IMAGES = "/api/v1/images"
_WORKSPACES = "/api/v1/workspaces"
LIST_IMAGES = Operation(Product.AIWORKSPACE, "ListImages", "GET", _IMAGES)
GET_IMAGE = Operation(Product.AIWORKSPACE, "GetImage", "GET", f"{_IMAGES}/{{ImageId}}")
LIST_WORKSPACES = Operation(Product.AIWORKSPACE, "ListWorkspaces", "GET", _WORKSPACES)
GET_WORKSPACE = Operation(
    Product.AIWORKSPACE, "GetWorkspace", "GET", f"{_WORKSPACES}/{{WorkspaceId}}"
)
GET_DEFAULT_WORKSPACE = Operation(
    Product.AIWORKSPACE, "GetDefaultWorkspace", "GET", "/api/v1/defaultWorkspaces"
)
CREATE_WORKSPACE = Operation(Product.AIWORKSPACE, "CreateWorkspace", "POST", _WORKSPACES, "creates")


class Image(Answer):
    """An image (ListImages, GetImage). Its registry is mostly reachable in its region only."""

    image_id: Text = ""
    name: Text = ""
    image_uri: Text = ""
    accessibility: Text = ""
    description: Text = ""
    labels_listed: Listed[JsonObject] = Field((), alias="Labels")
    size_gb: Number = Field(None, alias="Size")
    workspace_id: Text = ""
    gmt_create_time: Instant = None
    gmt_modified_time: Instant = None

    @property
    def labels(self) -> dict[str, str]:
        """Its labels, such as `system.chipType`; empty where they were not asked for."""
        return {str(each.get("Key")): str(each.get("Value", "")) for each in self.labels_listed}


class Workspace(Answer):
    """A workspace. `status` is ENABLED when it can be used, INITIALIZING before that."""

    workspace_id: Text = ""
    workspace_name: Text = ""
    display_name: Text = ""
    description: Text = ""
    status: Text = ""
    is_default: bool | None = None
    creator: Text = ""
    env_types: Listed[str] = ()
    admin_names: Listed[str] = ()
    gmt_create_time: Instant = None
    gmt_modified_time: Instant = None
    # Spelled in two ways by operations of the same version.
    resource_group_id: Text = Field(
        "", validation_alias=AliasChoices("ResourceGroupId", "resourceGroupId")
    )


class CreateWorkspace(Request):
    """A workspace to create, within the documented limits of names and descriptions."""

    workspace_name: str = Field(
        pattern=r"^[A-Za-z][A-Za-z0-9_]{2,22}$",
        description="3 to 23 letters, digits or underscores, a letter first",
        examples=["tidemark_default"],
    )
    description: str = Field(min_length=1, max_length=80, description="Up to 80 characters")
    env_types: tuple[str, ...] = Field(
        ("prod",), description='["prod"] for simple mode, or ["dev", "prod"]', examples=[["prod"]]
    )
    display_name: str | None = Field(None, min_length=1)
    resource_group_id: str | None = Field(None, min_length=1)

    @field_validator("env_types")
    @classmethod
    def _known_environments(cls, env_types: tuple[str, ...]) -> tuple[str, ...]:
        if env_types not in (("prod",), ("dev", "prod")):
            remedy = 'Give ["prod"] for simple mode, or ["dev", "prod"]'
            raise refusal("is no choice of environments that there is", remedy)
        return env_types


class AiWorkspace:
    """Images and workspaces of one account in one region. Every method raises AlibabaError."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    async def list_images(
        self,
        *,
        labels: Mapping[str, str] | None = None,
        name: str | None = None,
        exact: bool = False,
        verbose: bool = True,
        workspace_id: str | None = None,
        accessibility: Literal["PUBLIC", "PRIVATE"] | None = None,
        page_size: int = 100,
    ) -> list[Image]:
        """Images of all pages (ListImages); without `workspace_id`, the official ones.

        All `labels` have to fit. `name` is looked for in names, or with `exact` is the name;
        `verbose` images come with their labels. Raises ConfigError for a label that the service's
        own way of writing several cannot carry.
        """
        found = await all_items(
            self._channel,
            LIST_IMAGES,
            items="Images",
            key="ImageId",
            query={
                "Labels": _label_filter(labels or {}),
                "Name": name,
                "Options": "ExactMatchName" if exact and name is not None else None,
                "Verbose": verbose,
                "WorkspaceId": workspace_id,
                "Accessibility": accessibility,
            },
            page_size=page_size,
        )
        images = [Image.of(each, "ListImages") for each in found]
        # An image without labels in the answer has been judged by the service alone.
        return [
            image
            for image in images
            if (not exact or name in (None, image.name))
            and (not labels or not image.labels or labels.items() <= image.labels.items())
        ]

    async def get_image(self, image_id: str, *, verbose: bool = True) -> Image:
        """An image (GetImage). Raises NotFoundError for one that is not there."""
        document = await self._channel.call(
            GET_IMAGE, parts={"ImageId": image_id}, query={"Verbose": verbose}
        )
        # The service does not repeat the id that it was asked for.
        return Image.of({"ImageId": image_id, **document}, "GetImage")

    async def list_workspaces(
        self, *, name: str | None = None, status: str | None = None
    ) -> list[Workspace]:
        """Workspaces of all pages (ListWorkspaces); `name` is looked for in their names."""
        found = await all_items(
            self._channel,
            LIST_WORKSPACES,
            items="Workspaces",
            key="WorkspaceId",
            query={"WorkspaceName": name, "Status": status, "Verbose": True},
        )
        return [Workspace.of(each, "ListWorkspaces") for each in found]

    async def get_workspace(self, workspace_id: str) -> Workspace:
        """A workspace (GetWorkspace). Raises NotFoundError for one that is not there."""
        document = await self._channel.call(
            GET_WORKSPACE, parts={"WorkspaceId": workspace_id}, query={"Verbose": True}
        )
        return Workspace.of(document, "GetWorkspace")

    async def get_default_workspace(self) -> Workspace:
        """The account's default workspace (GetDefaultWorkspace). Raises NotFoundError where there
        is none."""
        document = await self._channel.call(GET_DEFAULT_WORKSPACE, query={"Verbose": True})
        return Workspace.of(document, "GetDefaultWorkspace")

    async def create_workspace(
        self,
        workspace_name: str,
        *,
        description: str,
        env_types: Sequence[str] = ("prod",),
        display_name: str | None = None,
        resource_group_id: str | None = None,
        authorization: Authorization,
    ) -> str:
        """Create a workspace and return its id (CreateWorkspace); it is usable when ENABLED.

        Raises ConfigError for what the documented limits do not allow, before anything is sent.
        """
        request = read(
            CreateWorkspace,
            {
                "workspace_name": workspace_name,
                "description": description,
                "env_types": tuple(env_types),
                "display_name": display_name,
                "resource_group_id": resource_group_id,
            },
            "CreateWorkspace",
        )
        document = await self._channel.call(
            CREATE_WORKSPACE, body=request.body(), authorization=authorization
        )
        workspace_id = document.get("WorkspaceId")
        if not workspace_id:
            what = "CreateWorkspace was answered without a WorkspaceId"
            raise NoAnswerError(what, "CreateWorkspace", sent=True)
        return str(workspace_id)


def _label_filter(labels: Mapping[str, str]) -> str | None:
    """`k=v,k=v`, as ListImages takes it: there is no way to write a comma inside."""
    for key, value in labels.items():
        if "," in f"{key}{value}" or "=" in key or not key:
            raise ConfigError(
                "cannot be asked for: labels are joined by commas",
                f"labels: {key}",
                "Leave this label out, and choose among the images that come",
            )
    return ",".join(f"{key}={value}" for key, value in labels.items()) or None
