"""Jobs brought to their end: stopped, seen to have stopped, and cleaned up."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

import typer

from tidemark.cli.alibaba_session import Session
from tidemark.cli.pai_jobs import job_status
from tidemark.cli.printing import console, day, long_table, print_document, say
from tidemark.errors import ConfigError

if TYPE_CHECKING:
    from tidemark.alibaba.account import Account
    from tidemark.alibaba.dlc import Dlc
    from tidemark.alibaba.dlc_answers import Job
    from tidemark.clock import Clock

__all__ = ["Ending", "clean_up_jobs", "exit_status", "stop_all", "stop_jobs"]

FAILED = 1
PARTIAL = 3

# Between looks at jobs that are stopping: soon at first, since many stop at once.
_LOOKS_S = (0.5, 1.0, 2.0)


@dataclass(frozen=True, slots=True)
class Ending:
    """What became of one job: its last seen status, whether it has ended, and what went wrong."""

    job_id: str
    status: str | None
    ended: bool
    deleted: bool = False
    error: str | None = None

    def line(self) -> str:
        """For people."""
        if self.error:
            return f"{self.job_id}  {self.error}"
        word = "deleted" if self.deleted else str(self.status)
        return f"{self.job_id}  {word}{'' if self.ended else ', not stopped yet'}"


def stop_jobs(session: Session, job_ids: Sequence[str], *, wait_s: float, as_json: bool) -> int:
    """Stop jobs and see that they stopped; 1 when none did within `wait_s`, 3 when some did."""
    from tidemark.alibaba.dlc import Dlc

    check_wait(wait_s)
    named = list(dict.fromkeys(job_ids))

    async def ask(account: Account) -> list[Ending]:
        return await stop_all(Dlc(account), named, wait_s=wait_s, clock=account.clock)

    endings = session.run(ask)
    _print_endings(endings, as_json=as_json)
    if any(not ending.ended and ending.error is None for ending in endings):
        say("a job that was asked to stop is billed until it has: tidemark pai job ID", err=True)
    return exit_status(endings, waited=wait_s > 0)


def check_wait(wait_s: float) -> None:
    """Raise ConfigError for what is no time to wait."""
    if not 0 <= wait_s < float("inf"):
        raise ConfigError("is no time to wait", "--wait", "Give seconds, 0 or more")


async def stop_all(
    dlc: Dlc, job_ids: Sequence[str], *, wait_s: float, clock: Clock
) -> list[Ending]:
    """Ask every job to stop, then look until all have, for `wait_s` at most; in the given order.

    What goes wrong with one job is told with it, and does not keep the others running.
    """
    from tidemark.alibaba.errors import NoAnswerError, ServiceError

    endings: dict[str, Ending] = {}
    for job_id in job_ids:
        try:
            endings[job_id] = _ending(await dlc.stop_job(job_id))
        except (ServiceError, NoAnswerError) as error:
            endings[job_id] = Ending(job_id, None, False, error=str(error))
    begun, looks = clock.monotonic(), 0
    while open_ids := [one.job_id for one in endings.values() if not one.ended and not one.error]:
        left_s = wait_s - (clock.monotonic() - begun)
        if left_s <= 0:
            break
        await clock.sleep(min(left_s, _LOOKS_S[min(looks, len(_LOOKS_S) - 1)]))
        looks += 1
        for job_id in open_ids:
            try:
                endings[job_id] = _ending(await dlc.get_job(job_id, need_detail=False))
            except (ServiceError, NoAnswerError) as error:
                if not error.retryable:
                    endings[job_id] = replace(endings[job_id], error=str(error))
    return [endings[job_id] for job_id in job_ids]


def _ending(job: Job) -> Ending:
    return Ending(job.job_id, job.status, job.is_terminal)


def exit_status(endings: Sequence[Ending], *, waited: bool = True) -> int:
    """0 when all is as it was wanted, 1 when nothing is, 3 for some."""
    good = [one for one in endings if not one.error and (one.ended or not waited)]
    if len(good) == len(endings):
        return 0
    return PARTIAL if good else FAILED


def _print_endings(endings: Sequence[Ending], *, as_json: bool) -> None:
    if as_json:
        print_document([asdict(ending) for ending in endings])
    for ending in endings:
        if ending.error is not None:
            say(ending.line(), err=True)
        elif not as_json:
            say(ending.line())


def clean_up_jobs(
    session: Session,
    *,
    status: str,
    delete: bool,
    workspace: str | None,
    everyones: bool,
    dry_run: bool,
    yes: bool,
    wait_s: float,
    as_json: bool,
) -> int:
    """Stop what still holds machines, delete what has ended if asked to: shown before it is done.

    Asks in a terminal; elsewhere nothing is done without `yes`. 1 when nothing could be done, 3
    when something was left.
    """
    from tidemark.alibaba.cleaning import left_over

    wanted = job_status(status)
    check_wait(wait_s)

    async def ask(account: Account) -> list[Job]:
        return await left_over(account, status=wanted, workspace_id=workspace, everyones=everyones)

    jobs = session.run(ask)
    todo = [job for job in jobs if delete or not job.is_terminal]
    if not as_json:
        _show_plan(jobs, wanted, delete=delete, everyones=everyones)
    if dry_run or not todo or not _agreed(len(todo), yes=yes, as_json=as_json):
        if as_json:
            print_document([_planned(job, delete=delete) for job in jobs])
        elif todo and not dry_run:
            say("nothing was done; with --yes it is", err=True)
        return 0

    async def end(account: Account) -> list[Ending]:
        from tidemark.alibaba.dlc import Dlc

        return await _end_all(Dlc(account), todo, delete=delete, wait_s=wait_s, clock=account.clock)

    endings = session.run(end)
    _print_endings(endings, as_json=as_json)
    if delete and any(not one.deleted and not one.error for one in endings):
        say("what had not stopped in time is not deleted: clean up again later", err=True)
    if delete:
        endings = [replace(one, ended=one.deleted) for one in endings]
    return exit_status(endings)


def _action(job: Job, *, delete: bool) -> str:
    if job.is_terminal:
        return "delete" if delete else "leave"
    return "stop and delete" if delete else "stop"


def _planned(job: Job, *, delete: bool) -> dict[str, str]:
    return {
        "job_id": job.job_id,
        "display_name": job.display_name,
        "status": job.status,
        "action": _action(job, delete=delete),
    }


def _show_plan(jobs: Sequence[Job], status: str, *, delete: bool, everyones: bool) -> None:
    whose = "of anyone" if everyones else "of this tool"
    if not jobs:
        say(f"no job {whose} is {status}")
        return
    rows = [
        (
            job.job_id,
            job.display_name,
            job.status,
            day(job.gmt_create_time),
            _action(job, delete=delete),
        )
        for job in jobs
    ]
    console().print(
        long_table(("job", "name", "status", "created", "to do"), rows, folded=("name",))
    )
    if not delete and all(job.is_terminal for job in jobs):
        say("all of them have ended and hold no machine; with --delete they are deleted")


def _agreed(count: int, *, yes: bool, as_json: bool) -> bool:
    if yes:
        return True
    if as_json or not sys.stdin.isatty() or not sys.stdout.isatty():
        return False
    return typer.confirm(f"Do this to {count} job{'s' if count != 1 else ''}?", default=False)


async def _end_all(
    dlc: Dlc, jobs: Sequence[Job], *, delete: bool, wait_s: float, clock: Clock
) -> list[Ending]:
    from tidemark.alibaba.errors import NoAnswerError, ServiceError

    running = [job.job_id for job in jobs if not job.is_terminal]
    stopped = await stop_all(dlc, running, wait_s=wait_s, clock=clock)
    found = {one.job_id: one for one in stopped}
    endings = []
    for job in jobs:
        ending = found.get(job.job_id) or _ending(job)
        if delete and ending.ended and not ending.error:
            try:
                await dlc.delete_job(job.job_id)
                ending = replace(ending, deleted=True)
            except (ServiceError, NoAnswerError) as error:
                ending = replace(ending, error=str(error))
        endings.append(ending)
    return endings
