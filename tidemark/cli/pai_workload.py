"""A workload as PAI's workload API describes it, whoever tells of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from tidemark.cli.alibaba_session import Session
from tidemark.cli.printing import moment, print_document, print_facts, say
from tidemark.errors import ConfigError

if TYPE_CHECKING:
    from tidemark.alibaba.account import Account
    from tidemark.alibaba.workload_info import WorkloadInfo

__all__ = ["show_workload"]


def show_workload(
    session: Session,
    workload_id: str | None,
    *,
    name: str | None,
    workspace: str | None,
    provider: Literal["dlc", "paistudio", "document"],
    as_json: bool,
) -> None:
    """Say what a workload is doing: by its id, or the newest of a name in a workspace."""
    if (workload_id is None) == (name is None):
        what = "no workload is named" if name is None else "is given together with an id"
        raise ConfigError(what, "--name" if name else "ID", "Give an id, or --name and --workspace")
    if name is not None and workspace is None:
        raise ConfigError("is missing", "--workspace", "Names are not unique: say in which one")

    async def ask(account: Account) -> WorkloadInfo:
        from tidemark.alibaba.workload import Workloads
        from tidemark.alibaba.workload_providers import provider_named

        filters: dict[str, Any] = {
            "workload_id": workload_id,
            "workload_name": name,
            "workspace_id": workspace,
        }
        given = {key: value for key, value in filters.items() if value is not None}
        workloads = Workloads(provider_named(provider, account), account.clock)
        return await workloads.get_workload_info(**given)

    # The workload API by itself knows the older signature only.
    info = session.run(ask, signature="roa-sha1" if provider == "document" else "acs3")
    if as_json:
        print_document(info.document())
        return
    say(f"{info.workload_id}  {info.workload_name}  {info.workload_status}")
    print_facts(_told(info))


def _told(info: WorkloadInfo) -> dict[str, object]:
    queues = (
        queue.queue_name
        if queue.queue_name in ("", queue.queue_id)
        else f"{queue.queue_name} ({queue.queue_id})"
        for queue in info.queue_metas
    )
    told_as = "" if info.source_status == info.workload_status else info.source_status
    scheduled = {True: "yes", False: "no, it waits", None: ""}[info.is_scheduled]
    if info.has_ended:
        # The field says that it had them, at some time.
        scheduled = "no, it has ended"
    return {
        "type": info.workload_type,
        "status there": told_as,
        "reason": info.reason,
        "has machines": scheduled,
        "priority": info.priority,
        "queues": list(queues),
        "created": moment(info.workload_created_time),
        "workspace": " ".join(part for part in (info.workspace_id, info.workspace_name) if part),
        "user": " ".join(part for part in (info.user_id, info.user_name) if part),
        "tenant": info.tenant_id,
    }
