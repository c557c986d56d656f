"""AIWorkSpace (2021-02-04): images and workspaces of a region."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tidemark.simulator.pai.images import IMAGES, OfficialImage
from tidemark.simulator.pai.phases import Phase, at
from tidemark.simulator.pai.wire import Call, Route, Service, refuse
from tidemark.simulator.pai.world import World

__all__ = ["AiWorkSpace", "Workspace"]

_VERSION = "2021-02-04"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{2,22}\Z")
_ENVIRONMENTS = (["prod"], ["dev", "prod"])
_STATUSES = ("ENABLED", "INITIALIZING", "FAILURE", "DISABLED", "FROZEN", "UPDATING")
_MONTH_S = 30 * 86_400.0
_GROUP = "rg-acfmexamplegroup"


@dataclass(frozen=True, slots=True)
class Workspace:
    """A workspace that is there from the start, in every region."""

    workspace_id: str
    name: str
    is_default: bool = False
    description: str = ""
    environments: tuple[str, ...] = ("prod",)


@dataclass(frozen=True, slots=True)
class _Known:
    workspace: Workspace
    created_s: float
    display_name: str
    resource_group: str
    phases: tuple[Phase, ...]


class AiWorkSpace(Service):
    """Images, which never change, and workspaces, which can be created.

    `workspaces` are there from the start: none, one, or several, at most one of them the default
    one; if they are not given, a default one alone. A new one is INITIALIZING for
    `initializing_s`, then ENABLED, or with `failing` FAILURE.
    """

    def __init__(
        self,
        world: World,
        now_s: float,
        workspaces: tuple[Workspace, ...] | None = None,
        images: tuple[OfficialImage, ...] = IMAGES,
        *,
        initializing_s: float = 5.0,
        failing: bool = False,
    ) -> None:
        self._world = world
        self._began_s = now_s
        only = Workspace(world.default_workspace_id, "default_workspace", True, "Of this account.")
        self._given = (only,) if workspaces is None else workspaces
        self._images = images
        self._initializing_s = initializing_s
        self._outcome = "FAILURE" if failing else "ENABLED"
        self._workspaces: dict[str, dict[str, _Known]] = {}
        self._created = 0

    def routes(self) -> list[Route]:
        """The operations on images and workspaces."""

        def route(action: str, method: str, path: str, handler: Any) -> Route:
            return Route("AIWorkSpace", _VERSION, action, method, path, handler)

        workspaces = "/api/v1/workspaces"
        return [
            route("ListImages", "GET", "/api/v1/images", self.list_images),
            route("GetImage", "GET", "/api/v1/images/{ImageId}", self.get_image),
            route("ListImageLabels", "GET", "/api/v1/image/labels", self.list_image_labels),
            route("ListWorkspaces", "GET", workspaces, self.list_workspaces),
            route("CreateWorkspace", "POST", workspaces, self.create_workspace),
            route("GetWorkspace", "GET", f"{workspaces}/{{WorkspaceId}}", self.get_workspace),
            route("GetDefaultWorkspace", "GET", "/api/v1/defaultWorkspaces", self.default),
        ]

    def state(self) -> dict[str, Any]:
        """The workspaces by region: id and name."""
        return {
            "workspaces": {
                region: {known.workspace.workspace_id: known.workspace.name for known in all_}
                for region in self._workspaces
                if (all_ := self._in(region).values())
            }
        }

    def list_images(self, call: Call) -> dict[str, Any]:
        """ListImages: official ones, or those of a workspace; labels only with Verbose."""
        found = self._documents(call)
        for key, value in _pairs(call.query.get("Labels", ""), "Labels"):
            label = {"Key": key, "Value": value}
            found = [one for one in found if label in one["Labels"]]
        name = call.query.get("Name", "").lower()
        if "ExactMatchName" in call.query.get("Options", ""):
            found = [one for one in found if name in ("", one["Name"].lower())]
        else:
            found = [one for one in found if name in one["Name"].lower()]
        text = call.query.get("Query", "").lower()
        found = [one for one in found if text in f"{one['Name']} {one['Description']}".lower()]
        uri = call.query.get("ImageUri", "")
        found = [one for one in found if uri in ("", one["ImageUri"])]
        _sort(found, call, ("GmtCreateTime",))
        _, _, page = call.page(found, size=20)
        if not call.flag("Verbose", False):
            page = [{**one, "Labels": []} for one in page]
        return {"Images": page, "TotalCount": len(found)}

    def get_image(self, call: Call) -> dict[str, Any]:
        """GetImage: labels only with Verbose, and no ImageId, which whoever asks has."""
        image_id = call.path["ImageId"]
        everything = [image.document(call.region, self._world) for image in self._images]
        one = next((image for image in everything if image["ImageId"] == image_id), None)
        if one is None:
            refuse(404, "Image.NotFound", f"Image {image_id} is not found.")
        shown = {name: value for name, value in one.items() if name != "ImageId"}
        return shown if call.flag("Verbose", False) else {**shown, "Labels": []}

    def list_image_labels(self, call: Call) -> dict[str, Any]:
        """ListImageLabels: each pair once, of all images or of one."""
        image_id = call.query.get("ImageId", "")
        keys = [key for key in call.query.get("LabelKeys", "").split(",") if key]
        wanted = _pairs(call.query.get("LabelFilter", ""), "LabelFilter")
        pairs = sorted(
            {
                (label["Key"], label["Value"])
                for image in self._documents(call)
                if image_id in ("", image["ImageId"])
                for label in image["Labels"]
            }
        )
        pairs = [pair for pair in pairs if not keys or pair[0] in keys]
        pairs = [pair for pair in pairs if not wanted or pair in wanted]
        labels = [{"Key": key, "Value": value} for key, value in pairs]
        return {"Labels": labels, "TotalCount": len(labels)}

    def list_workspaces(self, call: Call) -> dict[str, Any]:
        """ListWorkspaces: by id, part of the name, status; the oldest first."""
        option = call.query.get("Option", "") or "GetWorkspaces"
        if option == "GetResourceLimits":
            return {"ResourceLimits": {}, "Workspaces": [], "TotalCount": 0}
        if option != "GetWorkspaces":
            refuse(400, "InvalidParameter", "The specified parameter Option is not valid.")
        verbose = call.flag("Verbose", False)
        known = self._in(call.region).values()
        found = [self._document(one, call.now_s, verbose=verbose) for one in known]
        for one in found:
            one.pop("Owner", None)  # only GetWorkspace tells
        ids = [one for one in call.query.get("WorkspaceIds", "").split(",") if one]
        name = call.query.get("WorkspaceName", "").lower()
        status = call.query.get("Status", "")
        if status and status not in _STATUSES:
            refuse(400, "InvalidParameter", "The specified parameter Status is not valid.")
        group = call.query.get("ResourceGroupId", "")
        found = [
            one
            for one in found
            if (not ids or one["WorkspaceId"] in ids)
            and name in one["WorkspaceName"].lower()
            and status in ("", one["Status"])
            and group in ("", one["resourceGroupId"])
        ]
        _sort(found, call, ("GmtCreateTime", "GmtModifiedTime"))
        _, _, page = call.page(found, size=20)
        fields = [one for one in call.query.get("Fields", "").split(",") if one]
        if fields:
            page = [
                {key: one[key] for key in one if key in (*fields, "WorkspaceId")} for one in page
            ]
        return {"Workspaces": page, "TotalCount": len(found)}

    def create_workspace(self, call: Call) -> dict[str, Any]:
        """CreateWorkspace: INITIALIZING, then ENABLED. Refuses a name in use."""
        body = call.document()
        for name in ("WorkspaceName", "Description", "EnvTypes"):
            if not body.get(name):
                refuse(400, "MissingParameter", f"The parameter {name} is mandatory.")
        name, description = body["WorkspaceName"], body["Description"]
        if not isinstance(name, str) or not _NAME.match(name):
            refuse(
                400,
                "InvalidParameter",
                "WorkspaceName must have 3 to 23 letters, digits or underscores and begin with "
                "a letter.",
            )
        if not isinstance(description, str) or len(description) > 80:
            refuse(400, "InvalidParameter", "Description must not exceed 80 characters.")
        if body["EnvTypes"] not in _ENVIRONMENTS:
            refuse(400, "InvalidParameter", 'EnvTypes must be ["prod"] or ["dev","prod"].')
        there = self._in(call.region)
        if any(one.workspace.name.lower() == name.lower() for one in there.values()):
            refuse(400, "WorkspaceNameAlreadyExists", f"Workspace {name} already exists.")
        self._created += 1
        workspace_id = str(10_000 + self._created)
        there[workspace_id] = _Known(
            Workspace(workspace_id, name, False, description, tuple(body["EnvTypes"])),
            call.now_s,
            str(body.get("DisplayName") or name),
            str(body.get("ResourceGroupId") or _GROUP),
            (
                Phase("INITIALIZING", call.now_s),
                Phase(self._outcome, call.now_s + self._initializing_s),
            ),
        )
        return {"WorkspaceId": workspace_id}

    def get_workspace(self, call: Call) -> dict[str, Any]:
        """GetWorkspace."""
        known = self._in(call.region).get(call.path["WorkspaceId"])
        if known is None:
            workspace_id = call.path["WorkspaceId"]
            refuse(404, "Workspace.NotFound", f"Workspace {workspace_id} is not found.")
        document = self._document(known, call.now_s, verbose=call.flag("Verbose", False))
        # Here the same field is spelled otherwise than in ListWorkspaces.
        document["ResourceGroupId"] = document.pop("resourceGroupId")
        return document

    def default(self, call: Call) -> dict[str, Any]:
        """GetDefaultWorkspace: refuses with 404 where there is none."""
        found = [one for one in self._in(call.region).values() if one.workspace.is_default]
        if not found:
            refuse(404, "DefaultWorkspace.NotFound", "There is no default workspace.")
        document = self._document(found[0], call.now_s, verbose=True)
        conditions = [{"Type": "ENABLED", "Code": 200, "Message": ""}]
        left_out = ("IsDefault", "ExtraInfos", "AdminNames", "resourceGroupId")
        kept = {name: value for name, value in document.items() if name not in left_out}
        return {**kept, "Conditions": conditions}

    def _documents(self, call: Call) -> list[dict[str, Any]]:
        """Official images; with a WorkspaceId those that were added to that workspace."""
        workspace_id = call.query.get("WorkspaceId", "")
        official = workspace_id in ("", "0")
        found = [
            image.document(call.region, self._world)
            for image in self._images
            if (official and not image.workspace_id) or (image.workspace_id == workspace_id != "")
        ]
        access = call.query.get("Accessibility", "")
        if access not in ("", "PUBLIC", "PRIVATE"):
            refuse(400, "InvalidParameter", "The specified parameter Accessibility is not valid.")
        # It is heeded for images that were added, not for official ones.
        return [one for one in found if official or access in ("", one["Accessibility"])]

    def _in(self, region: str) -> dict[str, _Known]:
        if region not in self._workspaces:
            self._workspaces[region] = {
                one.workspace_id: _Known(
                    one,
                    self._began_s - _MONTH_S * (len(self._given) - number),
                    one.name,
                    _GROUP,
                    (Phase("ENABLED", self._began_s - _MONTH_S * (len(self._given) - number)),),
                )
                for number, one in enumerate(self._given)
            }
        return self._workspaces[region]

    def _document(self, known: _Known, now_s: float, *, verbose: bool) -> dict[str, Any]:
        workspace, phase, account = known.workspace, at(known.phases, now_s), self._world.account_id
        document = {
            "WorkspaceId": workspace.workspace_id,
            "WorkspaceName": workspace.name,
            "DisplayName": known.display_name,
            "Description": workspace.description,
            "EnvTypes": list(workspace.environments),
            "Creator": account,
            "GmtCreateTime": _stamp(known.created_s),
            "GmtModifiedTime": _stamp(phase.since_s),
            "IsDefault": workspace.is_default,
            "Status": phase.status,
            "ExtraInfos": {"TenantId": hashlib.sha256(account.encode()).hexdigest()[:16]},
            "resourceGroupId": known.resource_group,
        }
        if verbose:
            owner = {"UserId": account, "UserKp": account, "UserName": "simulator"}
            document |= {"AdminNames": ["simulator"], "Owner": owner}
        return document


def _pairs(text: str, name: str) -> list[tuple[str, str]]:
    """`Key=Value,Key=Value` as pairs; all of them must hold."""
    pairs = []
    for part in text.split(",") if text else ():
        key, equals, value = part.partition("=")
        if not key or not equals:
            refuse(400, "InvalidParameter", f"The specified parameter {name} is not Key=Value.")
        pairs.append((key, value))
    return pairs


def _sort(found: list[dict[str, Any]], call: Call, fields: tuple[str, ...]) -> None:
    by = call.query.get("SortBy", "") or fields[0]
    order = (call.query.get("Order", "") or "ASC").upper()
    if by not in fields or order not in ("ASC", "DESC"):
        refuse(400, "InvalidParameter", "The specified parameter SortBy or Order is not valid.")
    found.sort(key=lambda one: str(one[by]), reverse=order == "DESC")


def _stamp(seconds: float) -> str:
    moment = datetime.fromtimestamp(seconds, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"
