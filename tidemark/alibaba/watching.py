"""Watching many jobs with few calls: one list for a hundred jobs in place of a call for each.

async with JobWatcher(dlc, clock=clock) as watcher:
    async for job in watcher.changes("dlc1example"):
        ...  # at first, then at each change, until the job has ended
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from tidemark.alibaba.dlc import Dlc
from tidemark.alibaba.dlc_answers import Job
from tidemark.alibaba.dlc_status import Phase
from tidemark.alibaba.errors import AlibabaError, InvalidRequestError, NotFoundError
from tidemark.clock import Clock
from tidemark.errors import ConfigError, TidemarkError

__all__ = ["JobWatcher"]

LOG = logging.getLogger("tidemark.alibaba")

BATCH = 100
# A job that has stood in one status so long is settled: it is likely to stand there a while yet.
_SETTLED_AFTER_S = 600.0
_MOST_BATCHES = 5
# Ids are asked for in lists with commas between them.
_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")


@dataclass(slots=True)
class _Watched:
    """A job somebody waits for: what was seen last, and what was not yet taken."""

    seen: tuple[str, ...] = ()
    workspace_id: str = ""
    phase: Phase = Phase.UNKNOWN
    changed_s: float = 0.0
    looked_s: float = float("-inf")
    unread: list[Job | TidemarkError] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    watchers: int = 0

    def tell(self, news: Job | TidemarkError) -> None:
        self.unread.append(news)
        self.changed.set()


class JobWatcher:
    """Looks at watched jobs every `interval_s` seconds, up to a hundred with one call.

    While there are more than five hundred, those that have run unchanged for ten minutes take
    turns: at most five calls a look go to them, so that each is looked at less often, and what is
    starting or stopping as often as ever.

    A call that fails in passing is left to the next look; what will not pass (no permission, a
    job that is not there) is raised where the job is watched, and the others go on. A status that
    is not known is passed on like any other. Jobs can be added and left at any time.
    """

    def __init__(self, dlc: Dlc, *, clock: Clock, interval_s: float = 30.0) -> None:
        self._dlc = dlc
        self._clock = clock
        self._interval_s = interval_s
        self._watched: dict[str, _Watched] = {}
        self._new = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._look_again_and_again())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            # What it failed of was raised where jobs are watched: here it would hide `error`.
            await asyncio.wait((self._task,))
            if not self._task.cancelled():
                self._task.exception()

    async def changes(self, job_id: str) -> AsyncIterator[Job]:
        """The job as it is, then at each change of status, sub-status, reason or restarts.

        Ends with the job. Raises ConfigError for an id that no job can have, AlibabaError for
        what will not pass, and RuntimeError outside of the watcher's block. One reader per job.
        """
        if self._task is None:
            raise RuntimeError("enter the watcher first: async with JobWatcher(...)")
        if not _ID.fullmatch(job_id):
            raise ConfigError(
                "is no id of a job", f"job {job_id[:64]!a}", "Give it as CreateJob returned it"
            )
        watched = self._watched.setdefault(job_id, _Watched())
        watched.watchers += 1
        self._new.set()
        try:
            while True:
                await self._news(watched)
                for news in self._taken(watched):
                    if isinstance(news, TidemarkError):
                        raise news
                    yield news
                    if news.is_terminal:
                        return
        finally:
            watched.watchers -= 1
            if not watched.watchers:
                self._watched.pop(job_id, None)

    async def _news(self, watched: _Watched) -> None:
        assert self._task is not None
        changed = asyncio.ensure_future(watched.changed.wait())
        try:
            await asyncio.wait((changed, self._task), return_when=asyncio.FIRST_COMPLETED)
            if not changed.done() and self._task.cancelled():
                raise RuntimeError("the watcher was left while a job was being watched")
            if not changed.done():
                self._task.result()  # the look-out ended: say why
        finally:
            changed.cancel()

    def _taken(self, watched: _Watched) -> list[Job | TidemarkError]:
        news, watched.unread = watched.unread, []
        watched.changed.clear()
        return news

    async def _look_again_and_again(self) -> None:
        while True:
            if not self._watched:
                self._new.clear()
                await self._new.wait()
            # A list shows one workspace, or one's own jobs: those of others are found by theirs.
            places: dict[str, list[str]] = {}
            for job_id in self._due():
                places.setdefault(self._watched[job_id].workspace_id, []).append(job_id)
            for workspace_id, ids in places.items():
                for start in range(0, len(ids), BATCH):
                    await self._look(ids[start : start + BATCH], workspace_id)
            await self._clock.sleep(self._interval_s)

    def _due(self) -> list[str]:
        """The jobs to look at now: all that may change soon, and of the settled ones those that
        were not looked at for longest."""
        now_s = self._clock.monotonic()
        moving: list[str] = []
        settled: list[str] = []
        for job_id, watched in self._watched.items():
            still = now_s - watched.changed_s >= _SETTLED_AFTER_S
            (settled if still and watched.phase is Phase.ACTIVE else moving).append(job_id)
        settled.sort(key=lambda job_id: self._watched[job_id].looked_s)
        room = max(BATCH, _MOST_BATCHES * BATCH - len(moving))
        return moving + settled[:room]

    async def _look(self, ids: list[str], workspace_id: str) -> None:
        try:
            found = await self._dlc.jobs_by_id(ids, workspace_id=workspace_id)
        except InvalidRequestError as error:
            if len(ids) == 1:
                self._tell(ids[0], error)
                return
            # One id that the service does not take must not be the end of the others.
            half = len(ids) // 2
            await self._look(ids[:half], workspace_id)
            await self._look(ids[half:], workspace_id)
            return
        except TidemarkError as error:
            self._failed(ids, error)
            return
        for job_id in ids:
            try:
                # What was created a moment ago may be missing in lists.
                job = found.get(job_id) or await self._dlc.get_job(job_id, need_detail=False)
            except NotFoundError:
                self._tell(job_id, _gone(job_id))
            except TidemarkError as error:
                self._failed([job_id], error)
            else:
                self._tell(job_id, job)

    def _failed(self, ids: list[str], error: TidemarkError) -> None:
        if isinstance(error, AlibabaError) and error.retryable:
            LOG.warning("%d jobs could not be looked at: %s", len(ids), error)
            return
        for job_id in ids:
            self._tell(job_id, error)

    def _tell(self, job_id: str, news: Job | TidemarkError) -> None:
        watched = self._watched.get(job_id)
        if watched is None:
            return  # left while the call was under way
        if isinstance(news, TidemarkError):
            watched.tell(news)
            return
        shown = (
            news.status,
            news.sub_status,
            news.reason_code,
            news.reason_message,
            news.restart_times,
        )
        watched.workspace_id = news.workspace_id
        watched.looked_s = self._clock.monotonic()
        if shown != watched.seen:
            watched.seen = shown
            watched.phase = news.phase
            watched.changed_s = watched.looked_s
            watched.tell(news)


def _gone(job_id: str) -> AlibabaError:
    return AlibabaError(
        "there is no such job", job_id, "Compare the id, the region, and whether it was deleted"
    )
