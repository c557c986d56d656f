"""Which jobs there are of an installation: the account's own word, whatever a ledger says."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from tidemark.alibaba.dlc import Dlc
from tidemark.alibaba.dlc_answers import Job
from tidemark.alibaba.errors import AlibabaError, NotFoundError
from tidemark.alibaba.job_names import (
    JobIdentity,
    identity_of,
    installation_tags,
    name_beginning,
    run_tags,
)
from tidemark.money.ledger import Lease

__all__ = ["FoundJobs", "find_leased_jobs", "is_copied_since"]

# So long after the service itself must have ended a job, one that is not found was deleted.
_SURELY_OVER = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class FoundJobs:
    """Jobs that are surely of one installation, oldest first, also those that have ended.

    `unseen` says of what could not be looked at why: there may be more jobs. `may_pass` says
    whether another look may see them. `missing` says by lease whose noted job is not found: it may
    be in another account, and run on.
    """

    jobs: tuple[tuple[JobIdentity, Job], ...]
    unseen: tuple[str, ...] = ()
    may_pass: bool = False
    missing: Mapping[str, str] = field(default_factory=dict)

    def by_lease(self) -> dict[str, list[Job]]:
        """The jobs by the id of their lease."""
        found: dict[str, list[Job]] = {}
        for identity, job in self.jobs:
            found.setdefault(identity.name, []).append(job)
        return found


async def find_leased_jobs(
    dlc: Dlc,
    installation: str,
    leases: Iterable[Lease] = (),
    *,
    now: datetime,
    run_id: str | None = None,
    ended: Collection[str] = (),
) -> FoundJobs:
    """The jobs of an installation, or of one of its runs, in this account and region.

    They are looked for by their tags in all workspaces, in those of `leases` also among the jobs
    of other users, and by the ids that `leases` know, since lists lag. Only what tags and name
    together show to be a leased job of the installation is taken. `ended` are ids of jobs that were
    seen ended before, which may have been deleted since. Never raises AlibabaError.
    """
    tags = run_tags(installation, run_id) if run_id else installation_tags(installation)
    known = list(leases)
    found: dict[str, Job] = {}
    unseen: dict[str, AlibabaError] = {}
    missing: dict[str, str] = {}
    for workspace_id in (None, *sorted({one.workspace_id for one in known if one.workspace_id})):
        try:
            listed = await dlc.all_jobs(tags=dict(tags), workspace_id=workspace_id)
        except AlibabaError as error:
            unseen[f"the jobs of {workspace_id or 'all workspaces'}"] = error
        else:
            found |= {job.job_id: job for job in listed}
    for lease in known:
        job_id = lease.resource_id
        if not job_id or job_id in found or lease.state == "released":
            continue
        await _add(dlc, job_id, found, unseen)
        over_at = lease.not_after + _SURELY_OVER
        if {job_id} & {*found, *ended} or f"job {job_id}" in unseen or now > over_at:
            continue
        # Credentials of another account see nothing either, while the job runs on.
        missing[lease.lease_id] = (
            f"the job {job_id} of {lease.lease_id} is not found with these credentials: it may run "
            f"on in another account; if it was deleted, its lease can be closed from "
            f"{over_at:%Y-%m-%d %H:%M} UTC on"
        )
    beginning = name_beginning(installation)
    for job in list(found.values()):
        # A list may come without settings, where the tags are.
        if job.settings is None and job.display_name.startswith(beginning):
            del found[job.job_id]
            await _add(dlc, job.job_id, found, unseen)
    ours = []
    for job in sorted(found.values(), key=Job.age_key):
        identity = identity_of(job, installation)
        if identity is not None and run_id in (None, identity.run_id):
            ours.append((identity, job))
    return FoundJobs(
        jobs=tuple(ours),
        unseen=tuple(f"{what} could not be looked at: {why}" for what, why in unseen.items()),
        may_pass=any(error.retryable for error in unseen.values()),
        missing=missing,
    )


def is_copied_since(job: Job, lease: Lease, visible_within_s: float) -> bool:
    """Whether a job has the name and tags of a lease, and is not the work of who had it: the lease
    was given back, and a person copied its job since.

    `visible_within_s` is how long a creation that was under way may take to show up.
    """
    if lease.released_at is None or lease.state != "released" or job.job_id == lease.resource_id:
        return False
    last = lease.released_at + timedelta(seconds=visible_within_s)
    return job.gmt_create_time is None or job.gmt_create_time > last


async def _add(
    dlc: Dlc, job_id: str, found: dict[str, Job], unseen: dict[str, AlibabaError]
) -> None:
    try:
        found[job_id] = await dlc.get_job(job_id)
    except NotFoundError as error:
        # Nothing is known of it; an operation that is not there says nothing of jobs at all.
        if error.code.startswith("InvalidAction"):
            unseen[f"job {job_id}"] = error
    except AlibabaError as error:
        unseen[f"job {job_id}"] = error
