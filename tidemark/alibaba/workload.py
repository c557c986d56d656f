"""Workloads: what runs or waits in a workspace, whoever knows of it.

    workloads = Workloads(DlcWorkloads(account), account.clock)
    info = await workloads.get_workload_info(workload_id="dlc1example")

Answers are kept for a short while, since every question may be billed. Scripts that do not use
asyncio call the functions at the end:

    info = get_workload_info(workload_name="my-training-job", workspace_id="268")
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar
from weakref import WeakKeyDictionary, WeakValueDictionary

from tidemark.alibaba.account import Account
from tidemark.alibaba.answers import read
from tidemark.alibaba.errors import AlibabaError
from tidemark.alibaba.sync import run
from tidemark.alibaba.workload_cache import Kept
from tidemark.alibaba.workload_info import WorkloadInfo, WorkloadQuery
from tidemark.alibaba.workload_providers import ProviderName, WorkloadProvider, provider_named
from tidemark.clock import Clock
from tidemark.errors import ConfigError

__all__ = ["WorkloadNotFoundError", "Workloads", "get_workload_info", "list_workloads"]

_T = TypeVar("_T")


class WorkloadNotFoundError(AlibabaError):
    """There is no workload as it was asked about."""


class Workloads:
    """Answers questions about workloads, of one provider.

    An answer is kept for `keep_s` seconds of `clock`, that of a workload which has ended for
    `keep_ended_s`, at most `most` of them. `fresh=True` asks anew. The same question asked twice
    at once is asked once.
    """

    def __init__(
        self,
        provider: WorkloadProvider,
        clock: Clock,
        *,
        keep_s: float = 30.0,
        keep_ended_s: float = 600.0,
        most: int = 1000,
    ) -> None:
        self._provider = provider
        self._keep_s = keep_s
        self._keep_ended_s = keep_ended_s
        self._one: Kept[WorkloadInfo] = Kept(clock, most)
        self._lists: Kept[tuple[WorkloadInfo, ...]] = Kept(clock, most)
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def get_workload_info(self, *, fresh: bool = False, **filters: Any) -> WorkloadInfo:
        """The workload that is asked about; `filters` are the fields of `WorkloadQuery`.

        By `workload_id`, or by `workload_name` with `workspace_id` or `tenant_id`: names are not
        unique, and the newest is meant. Raises ConfigError for too little, for unknown filters and
        for those that this provider cannot tell, WorkloadNotFoundError where there is none, and
        AlibabaError.
        """
        query = self._query(filters, "get_workload_info")
        if query.workload_id is None:
            _check_identified(query)

        async def ask() -> WorkloadInfo:
            if query.workload_id is not None:
                return await self._by_id(query, query.workload_id)
            found = [one for one in await self._provider.find(query) if query.fits(one)]
            if not found:
                raise self._missing("no workload fits", query)
            return max(found, key=_age)

        def keep_s(info: WorkloadInfo) -> float:
            # Of a name, a newer workload may come at any time.
            ended = info.has_ended and query.workload_id is not None
            return self._keep_ended_s if ended else self._keep_s

        return await self._asked("one", query, self._one, ask, keep_s, fresh=fresh)

    async def list_workloads(self, *, fresh: bool = False, **filters: Any) -> list[WorkloadInfo]:
        """All workloads that are asked about, newest first; `filters` as above, or none.

        `status` stands for `workload_status`. What the provider cannot look for is looked for
        here. Raises ConfigError and AlibabaError.
        """
        if "status" in filters:
            filters.setdefault("workload_status", filters.pop("status"))
        query = self._query(filters, "list_workloads")

        async def ask() -> tuple[WorkloadInfo, ...]:
            found = [one for one in await self._provider.find(query) if query.fits(one)]
            return tuple(sorted(found, key=_age, reverse=True))

        def keep_s(_: tuple[WorkloadInfo, ...]) -> float:
            return self._keep_s

        found = await self._asked("list", query, self._lists, ask, keep_s, fresh=fresh)
        return list(found)

    def _query(self, filters: Mapping[str, Any], where: str) -> WorkloadQuery:
        query = read(WorkloadQuery, filters, where)
        untold = sorted(query.given & self._provider.untold)
        if untold:
            raise ConfigError(
                f"{self._provider.name} does not tell {', '.join(untold)} of workloads",
                where,
                "Leave that filter out, or ask another provider",
            )
        return query

    async def _by_id(self, query: WorkloadQuery, workload_id: str) -> WorkloadInfo:
        info = await self._provider.get(workload_id)
        if info is None:
            raise self._missing(f"there is no workload {workload_id}", query)
        other = query.differences(info)
        if other:
            what = f"workload {workload_id} is another one in {', '.join(other)}"
            raise self._missing(what, query)
        return info

    def _missing(self, what: str, query: WorkloadQuery) -> WorkloadNotFoundError:
        asked = ", ".join(sorted(query.given))
        return WorkloadNotFoundError(
            what, f"{self._provider.name}, by {asked}", "Compare the id, the region and the filters"
        )

    async def _asked(
        self,
        kind: str,
        query: WorkloadQuery,
        kept: Kept[_T],
        ask: Callable[[], Awaitable[_T]],
        keep_s: Callable[[_T], float],
        *,
        fresh: bool,
    ) -> _T:
        key = f"{kind} {query.model_dump_json(exclude_none=True)}"
        lock = self._locks.setdefault(key, asyncio.Lock())
        async with lock:
            known = None if fresh else kept.get(key)
            if known is None:
                known = await ask()
                kept.put(key, known, keep_s(known))
            return known


def _check_identified(query: WorkloadQuery) -> None:
    by = "Give workload_id, or workload_name with workspace_id or tenant_id"
    if query.workload_name is None:
        raise ConfigError("no workload is named", "get_workload_info", by)
    if query.workspace_id is None and query.tenant_id is None:
        raise ConfigError(
            "workload_name alone names workloads of every workspace", "get_workload_info", by
        )


def _age(info: WorkloadInfo) -> tuple[float, str]:
    created = info.workload_created_time
    return (created.timestamp() if created else 0.0), info.workload_id


_kept: WeakKeyDictionary[Account, dict[str, Workloads]] = WeakKeyDictionary()


def _workloads(account: Account, provider: ProviderName) -> Workloads:
    """The workloads of an account, with what is known of them."""
    by_provider = _kept.setdefault(account, {})
    if provider not in by_provider:
        by_provider[provider] = Workloads(provider_named(provider, account), account.clock)
    return by_provider[provider]


def get_workload_info(
    *,
    provider: ProviderName = "dlc",
    region: str | None = None,
    fresh: bool = False,
    **filters: Any,
) -> WorkloadInfo:
    """The workload that is asked about, for scripts: as `Workloads.get_workload_info`."""

    async def work(account: Account) -> WorkloadInfo:
        return await _workloads(account, provider).get_workload_info(fresh=fresh, **filters)

    return run(work, region)


def list_workloads(
    *,
    provider: ProviderName = "dlc",
    region: str | None = None,
    fresh: bool = False,
    **filters: Any,
) -> list[WorkloadInfo]:
    """All workloads that are asked about, for scripts: as `Workloads.list_workloads`."""

    async def work(account: Account) -> list[WorkloadInfo]:
        return await _workloads(account, provider).list_workloads(fresh=fresh, **filters)

    return run(work, region)
