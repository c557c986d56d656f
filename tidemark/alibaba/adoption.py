"""Creating a job exactly once, though an answer may be lost: look, create, look again.

CreateJob takes no token that would make a second call harmless. So a job is known by its display
name and tags, both decided before the call; after any answer that leaves open whether there is a
job, it is looked for until it would have shown up, and adopted.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from tidemark.alibaba.dlc import Dlc
from tidemark.alibaba.dlc_answers import Job
from tidemark.alibaba.dlc_requests import CreateJob
from tidemark.alibaba.errors import AlibabaError
from tidemark.alibaba.operations import JsonObject
from tidemark.authorization import Authorization
from tidemark.clock import Clock
from tidemark.errors import ConfigError

__all__ = ["Adopted", "AdoptionPolicy", "adopt_or_create"]

LOG = logging.getLogger("tidemark.alibaba")


@dataclass(frozen=True, slots=True)
class AdoptionPolicy:
    """How long a job may take to show up in lists, and how often creating is tried.

    After an answer that leaves it open, the list is read at once and then after waits that double
    from `first_look_s`, for `visible_within_s` seconds in all, before anything is created again.
    After creating, the list is read after `settle_s`, longer than the second that the service's
    times are exact to, and until the new job is in it, so that two who create at once see the same.
    """

    visible_within_s: float = 60.0
    first_look_s: float = 1.0
    creations: int = 3
    settle_s: float = 2.0


@dataclass(frozen=True, slots=True)
class Adopted:
    """The one job of a name. `created` is False for a job that was there already. Of further jobs
    of the same name and tags, `stopped` are the ids of those that were asked to stop, and
    `left_running` of those that could not be asked: they are billed on."""

    job: Job
    created: bool
    stopped: tuple[str, ...] = ()
    left_running: tuple[str, ...] = ()


async def adopt_or_create(
    dlc: Dlc,
    request: CreateJob,
    *,
    authorization: Authorization,
    clock: Clock,
    policy: AdoptionPolicy | None = None,
    lend: Mapping[str, str] | None = None,
    since: datetime | None = None,
    may_exist: bool = False,
) -> Adopted:
    """The job with this request's display name and tags: the one that is there, else a new one.

    A job that has ended is adopted too: one name is one attempt. Of several, the oldest is kept
    and the others are asked to stop. `since` is how far back to look (a year); a clock that is
    wrong must not move it past the job. Lists may lag: whoever noted down an attempt before it was
    made, and comes again after a crash, sets `may_exist`, and the job is looked for as long as it
    may take to show up.

    Raises ConfigError for a request without tags, by which a stranger's job of the same name could
    be adopted, and AlibabaError. Once creating was tried, every error has `effect_unknown` set
    unless the service refused it.
    """
    if not request.tags:
        raise ConfigError(
            "has no tags to be found again by", f"CreateJob {request.display_name}: tags",
            "Give it a tag of its own",
        )  # fmt: skip
    policy = policy or AdoptionPolicy()
    search = _Search(dlc, request, clock, policy, since)
    found = await (search.look_until_visible() if may_exist else search.look())
    if found:
        return await _keep_oldest(dlc, found, created=None)
    LOG.info("creating job %s, tags %s", request.display_name, dict(request.tags))
    for attempt in range(1, policy.creations + 1):
        try:
            job_id = await dlc.create_job(request, authorization=authorization, lend=lend)
        except AlibabaError as error:
            if not error.effect_unknown:
                error.effect_unknown = attempt > 1  # an earlier creation is still open
                raise
            LOG.warning("%s: looking for the job before creating again", error)
            found = await search.look_again(error)
            if found:
                return await _keep_oldest(dlc, found, created=None)
            if attempt == policy.creations:
                raise
        else:
            return await _settled(search, job_id)
    raise AssertionError("the last attempt returns or raises")


class _AnotherJob(AlibabaError):
    """A creation was answered with the id of a job that is somebody else's."""


def _another(request: CreateJob, job_id: str) -> _AnotherJob:
    error = _AnotherJob(
        f"was answered with {job_id}, which has another name",
        f"CreateJob {request.display_name}",
        "Look in PAI's console for a job of this name: whether there is one is not known",
    )
    error.effect_unknown = True
    return error


async def _settled(search: _Search, job_id: str) -> Adopted:
    """The job to keep, after one was created: an earlier call, or somebody else's at the same
    time, may have made another.

    When the new job shows up in lists, and those that were created in the same second with it,
    everybody who created one sees the same. What cannot be looked at is left: the job is there.
    """
    try:
        await search.clock.sleep(search.policy.settle_s)
        found = await search.look_until_visible(job_id)
        if all(job.job_id != job_id for job in found):
            new = await search.dlc.get_job(job_id)
            if new.display_name != search.request.display_name:
                LOG.error("CreateJob was answered with %s, which is another job", job_id)
                if not found:
                    raise _another(search.request, job_id)
            else:
                found.append(new)
        return await _keep_oldest(search.dlc, found, created=job_id)
    except _AnotherJob:
        raise
    except AlibabaError as error:
        LOG.warning("%s was created, and could not be compared with others: %s", job_id, error)
        wire: JsonObject = {"JobId": job_id, "DisplayName": search.request.display_name}
        return Adopted(Job.of(wire, "CreateJob"), created=True)


@dataclass(frozen=True, slots=True)
class _Search:
    dlc: Dlc
    request: CreateJob
    clock: Clock
    policy: AdoptionPolicy
    since: datetime | None

    async def look(self) -> list[Job]:
        return await self.dlc.find_jobs(
            display_name=self.request.display_name,
            tags=self.request.tags,
            workspace_id=self.request.workspace_id,
            since=self.since,
        )

    async def look_until_visible(self, job_id: str | None = None) -> list[Job]:
        """The jobs, as soon as there is one, or the one of an id; what there is in the end."""
        begun = self.clock.monotonic()
        wait_s = self.policy.first_look_s
        while True:
            found = await self.look()
            seen = any(job_id in (None, job.job_id) for job in found)
            left_s = begun + self.policy.visible_within_s - self.clock.monotonic()
            if seen or left_s <= 0:
                return found
            await self.clock.sleep(min(wait_s, left_s))
            wait_s *= 2

    async def look_again(self, created: AlibabaError) -> list[Job]:
        """The jobs after a creation that may have worked. A look that fails leaves it as open."""
        try:
            return await self.look_until_visible()
        except AlibabaError as error:
            error.effect_unknown = True
            raise error from created


async def _keep_oldest(dlc: Dlc, jobs: list[Job], *, created: str | None) -> Adopted:
    # Whoever looks chooses the same one: the order is by time of creation, then by id.
    kept, *others = sorted(jobs, key=Job.age_key)
    stopped, left_running = [], []
    for job in others:
        if job.is_terminal:
            continue
        LOG.warning("%s has the name of %s: stopping it", job.job_id, kept.job_id)
        try:
            await dlc.stop_job(job.job_id)
        except AlibabaError as error:
            LOG.error("%s could not be stopped, and is billed on: %s", job.job_id, error)
            left_running.append(job.job_id)
        else:
            stopped.append(job.job_id)
    return Adopted(kept, kept.job_id == created, tuple(stopped), tuple(left_running))
