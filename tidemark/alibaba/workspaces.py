"""Which workspace a job goes to, where nobody said."""

from __future__ import annotations

from weakref import WeakKeyDictionary

from tidemark.alibaba.aiworkspace import AiWorkspace, Workspace
from tidemark.alibaba.channel import Channel
from tidemark.alibaba.errors import AlibabaError, NotFoundError
from tidemark.authorization import Authorization
from tidemark.clock import Clock
from tidemark.errors import ConfigError

__all__ = ["NEW_WORKSPACE", "WorkspaceChoice", "workspace_choice"]

NEW_WORKSPACE = "tidemark_default"
"""The name of a workspace made for an account that has none: 3 to 23 characters are allowed."""

_ENABLED_WITHIN_S = 120.0
_LOOK_EVERY_S = 2.0


_choices: WeakKeyDictionary[Channel, WorkspaceChoice] = WeakKeyDictionary()


def workspace_choice(channel: Channel) -> WorkspaceChoice:
    """The choice for an account and region, remembered for as long as its channel is kept."""
    return _choices.setdefault(channel, WorkspaceChoice(channel, channel.clock))


class WorkspaceChoice:
    """Chooses a workspace, and remembers it for as long as this object is kept.

    The one given; else the account's default; else the only one; else, in an account without any,
    a new one. Several without a default are an error that lists them.
    """

    def __init__(self, channel: Channel, clock: Clock) -> None:
        self._workspaces = AiWorkspace(channel)
        self._clock = clock
        self._chosen: str | None = None

    async def choose(self, given: str | None, authorization: Authorization) -> str:
        """The id of the workspace to use. Raises ConfigError and AlibabaError.

        Leave is needed because a workspace may have to be created.
        """
        if given is not None:
            if not given.strip():
                raise ConfigError("is empty", "workspace_id", "Give an id, or leave it out")
            return given
        found = await self.existing()
        if found is None:
            found = self._chosen = await self._create(authorization)
        return found

    async def existing(self) -> str | None:
        """The workspace that would be used, None in an account without any."""
        if self._chosen is not None:
            return self._chosen
        try:
            default = (await self._workspaces.get_default_workspace()).workspace_id
        except NotFoundError:
            default = ""
        if not default:
            listed = await self._workspaces.list_workspaces()
            usable = [one for one in listed if one.status in ("", "ENABLED", "INITIALIZING")]
            defaults = [one for one in usable if one.is_default]
            if len(defaults) != 1 and len(usable) > 1:
                names = ", ".join(f"{one.workspace_id} ({one.workspace_name})" for one in usable)
                raise ConfigError(
                    f"there are several workspaces and none is the default: {names}",
                    "workspace_id",
                    "Give one of them",
                )
            default = next((one.workspace_id for one in defaults or usable), "")
            if not default and listed:
                states = ", ".join(f"{one.workspace_id} is {one.status}" for one in listed)
                raise ConfigError(
                    f"no workspace can be used ({states})", "workspace_id", "Enable one"
                )
        self._chosen = default or None
        return self._chosen

    async def _create(self, authorization: Authorization) -> str:
        try:
            workspace_id = await self._workspaces.create_workspace(
                NEW_WORKSPACE,
                description="Benchmarks of inference services, by Tidemark",
                env_types=("prod",),
                authorization=authorization,
            )
        except AlibabaError as error:
            # The answer may have been lost, or somebody else was first: the name tells.
            for one in await self._workspaces.list_workspaces():
                if one.workspace_name == NEW_WORKSPACE:
                    workspace_id = one.workspace_id
                    break
            else:
                raise error
        await self._until_enabled(workspace_id)
        return workspace_id

    async def _until_enabled(self, workspace_id: str) -> None:
        begun = self._clock.monotonic()
        while True:
            workspace: Workspace = await self._workspaces.get_workspace(workspace_id)
            if workspace.status == "ENABLED":
                return
            late = self._clock.monotonic() - begun > _ENABLED_WITHIN_S
            if late or workspace.status in ("FAILURE", "DISABLED", "FROZEN"):
                raise ConfigError(
                    f"the new workspace {workspace_id} is {workspace.status}",
                    "workspace_id",
                    "Look at it in the console, or give another one",
                )
            await self._clock.sleep(_LOOK_EVERY_S)
