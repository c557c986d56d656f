"""DLC jobs seen from outside: which there are, what one does or came to, and what happened."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from tidemark.cli.alibaba_session import Session
from tidemark.cli.pai_advice import Problem, may_have_problem, meaning_of, problem_in
from tidemark.cli.printing import (
    console,
    long_table,
    moment,
    print_document,
    print_facts,
    say,
    span,
)
from tidemark.errors import ConfigError

if TYPE_CHECKING:
    from tidemark.alibaba.account import Account
    from tidemark.alibaba.dlc_answers import Event, Job, Pod, StatusPeriod

__all__ = ["job_status", "pod_name", "pods_of", "show_events", "show_job", "show_jobs", "tags_of"]


def show_jobs(
    session: Session,
    *,
    workspace: str | None,
    name: str | None,
    exact: bool,
    status: str | None,
    days: float,
    tags: Sequence[str],
    as_json: bool,
) -> None:
    """List the jobs of the last `days`, the latest last."""
    from tidemark.alibaba.dlc import Dlc

    wanted_status = None if status is None else job_status(status)
    wanted_tags = tags_of(tags)
    if exact and name is None:
        raise ConfigError("needs a name", "--exact", "Give --name NAME")
    if not 0 < days <= 3650:
        raise ConfigError("is no time to look back", "--days", "Give days from now, such as 7")

    async def ask(account: Account) -> list[Job]:
        since = datetime.fromtimestamp(account.time_s(), UTC) - timedelta(days=days)
        dlc = Dlc(account)
        if exact:
            found = await dlc.find_jobs(
                display_name=name, tags=wanted_tags, workspace_id=workspace, since=since
            )
        else:
            found = await dlc.all_jobs(
                since=since,
                display_name=name,
                status=wanted_status,
                tags=wanted_tags or None,
                workspace_id=workspace,
            )
        return [job for job in found if wanted_status in (None, job.status)]

    jobs = session.run(ask)
    jobs.sort(key=lambda job: job.age_key())
    if as_json:
        print_document([job.wire for job in jobs])
    elif jobs:
        rows = (
            (job.job_id, job.display_name, job.status, moment(job.gmt_create_time), _ran(job))
            for job in jobs
        )
        console().print(
            long_table(("job", "name", "status", "created", "ran"), rows, folded=("name",))
        )
    else:
        say(f"no job of the last {days:g} days in {session.region_name()} fits", err=True)


def _ran(job: Job) -> str:
    return span(job.duration_s or None)


def job_status(text: str) -> str:
    """A status as the service writes it. Raises ConfigError for one that does not exist."""
    from tidemark.alibaba.dlc_status import JobStatus
    from tidemark.plan.problems import did_you_mean

    known = {status.casefold(): status.value for status in JobStatus}
    if text.casefold() not in known:
        raise ConfigError("is no status of a job", "--status", did_you_mean(text, JobStatus))
    return known[text.casefold()]


def tags_of(texts: Sequence[str]) -> dict[str, str]:
    """Tags written as `name=value`. Raises ConfigError."""
    tags: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise ConfigError("is no tag", "--tag", "Write --tag name=value")
        if tags.setdefault(name, value) != value:
            raise ConfigError(f"gives two values for {name}", "--tag", "Give one of them")
    return tags


def show_job(session: Session, job_id: str, *, as_json: bool) -> None:
    """Say what a job does or came to, what that means, and how long each phase took."""
    from tidemark.alibaba.dlc import Dlc
    from tidemark.alibaba.dlc_status import Phase
    from tidemark.alibaba.errors import NoAnswerError, ServiceError

    async def ask(account: Account) -> tuple[Job, datetime, list[Event], str]:
        dlc = Dlc(account)
        job, events, missing = await dlc.get_job(job_id), [], ""
        if may_have_problem(job):
            try:
                events = await dlc.get_job_events(job_id)
            except (ServiceError, NoAnswerError) as error:
                missing = error.what  # the job is worth telling without them
        # The service's clock may be ahead of this one.
        here = datetime.fromtimestamp(account.time_s(), UTC)
        return job, max([here, *_moments(job, events)]), events, missing

    job, now, events, missing = session.run(ask)
    problem = problem_in(events, job.job_id)
    meaning = meaning_of(job, problem)
    if missing:
        say(f"its events are not known: {missing}", err=True)
    if as_json:
        phases = [
            {
                "status": period.status,
                "since": period.start_time,
                "seconds": seconds,
                "reason": reason,
            }
            for period, seconds, reason in _phases(job, now)
        ]
        failing = None if problem is None else {"at": problem.at, "text": problem.text}
        print_document({"job": job.wire, "phases": phases, "problem": failing, **meaning})
        return
    say(f"{job.job_id}  {job.display_name}  {job.status}")
    print_facts({"problem": _told(problem), **_job_facts(job, now, meaning)})
    if job.pods:
        headings = ("pod", "status", "node", "started", "ran")
        console().print("", long_table(headings, _pod_rows(job), folded=("node",)))
    if job.phase is Phase.RESERVING:
        say(f"give its machines back: tidemark pai stop {job.job_id}")
    elif not job.is_terminal:
        say(f"watch it: tidemark pai logs {job.job_id} --follow")


def _told(problem: Problem | None) -> str:
    if problem is None:
        return ""
    return f"{moment(problem.at)}  {problem.text}" if problem.at else problem.text


def _moments(job: Job, events: Sequence[Event]) -> Iterator[datetime]:
    """All that the service says has come to pass, and so is not after its own present."""
    pods = [one for pod in job.pods for one in (*pod.history_pods, pod)]
    known = (
        job.gmt_create_time,
        job.gmt_submitted_time,
        job.gmt_running_time,
        job.ended_at,
        *(at for period in job.status_history for at in (period.start_time, period.end_time)),
        *(at for pod in pods for at in (pod.gmt_create_time, pod.gmt_start_time)),
        *(event.at for event in events),
        _later(job.gmt_running_time, job.duration_s),
        *(_later(pod.gmt_start_time, pod.duration_s) for pod in pods),
    )
    yield from (at for at in known if at is not None)


def _later(begun: datetime | None, seconds: float | None) -> datetime | None:
    """A moment after another; None where one of both is not known, or no calendar has it."""
    if begun is None or seconds is None:
        return None
    try:
        return begun + timedelta(seconds=seconds)
    except OverflowError:
        return None


def _job_facts(job: Job, now: datetime, meaning: Mapping[str, Any]) -> dict[str, object]:
    reason = ": ".join(part for part in (job.reason_code, job.reason_message) if part)
    restarts = job.restarts
    created = moment(job.gmt_create_time)
    by = job.username or job.user_id
    return {
        "reason": reason,
        "means": meaning["means"],
        "do": meaning["do"],
        "billed": meaning["billed"],
        "created": f"{created} by {by}" if by else created,
        "workspace": " ".join(part for part in (job.workspace_id, job.workspace_name) if part),
        "quota": job.resource_id,
        "ended": "" if job.ended_at is None else moment(job.ended_at),
        "ran": "" if not job.duration_s else span(job.duration_s),
        "restarts": "" if restarts is None else f"{restarts[0]} of at most {restarts[1]}",
        "phases": [
            f"{period.status:<20} {_length(period, seconds):>12}  {reason}".rstrip()
            for period, seconds, reason in _phases(job, now)
        ],
        "tags": ", ".join(f"{name}={value}" for name, value in sorted(job.tags.items())),
    }


def _phases(job: Job, now: datetime) -> Iterator[tuple[StatusPeriod, float | None, str]]:
    """Each status in its order, for how many seconds (so far, for the present one), and why.

    The length of the present one is None where nothing tells of a moment after its beginning: by
    a clock that runs ahead of this machine's it has not begun yet.
    """
    for period in job.status_history:
        end = period.end_time
        last = period is job.status_history[-1]
        if end is None and last and not job.is_terminal and now != period.start_time:
            end = now
        seconds = (
            (end - period.start_time).total_seconds()
            if end is not None and period.start_time is not None and end >= period.start_time
            else None
        )
        yield period, seconds, period.reason_code if last else ""


def _length(period: StatusPeriod, seconds: float | None) -> str:
    """How long a status lasted, or since when it stands."""
    if seconds is not None:
        return span(seconds)
    if period.start_time is not None:
        return f"since {moment(period.start_time)}"
    return "not told"


def _pod_rows(job: Job) -> Iterator[tuple[str, ...]]:
    for pod in job.pods:
        for one in (*pod.history_pods, pod):
            odd = one.sub_status and one.sub_status != "Normal"
            yield (
                pod_name(job, pod.pod_id),
                f"{one.status} ({one.sub_status})" if odd else one.status,
                one.node_name or "-",
                moment(one.gmt_start_time),
                span(one.duration_s or None),
            )


def pod_name(job: Job, pod_id: str) -> str:
    """A pod's name within its job: `worker-0` of `dlc1example-worker-0`."""
    return pod_id.removeprefix(f"{job.job_id}-")


def pods_of(job: Job, wanted: str | None) -> list[Pod]:
    """The pods that are meant: all, or one by its id or the end of it (`worker-0`).

    Raises AlibabaError, which lists the pods, for one that is not there.
    """
    from tidemark.alibaba.errors import AlibabaError

    if wanted is None:
        return list(job.pods)
    found = [pod for pod in job.pods if pod.pod_id in (wanted, f"{job.job_id}-{wanted}")]
    if not found:
        there = ", ".join(pod_name(job, pod.pod_id) for pod in job.pods)
        remedy = f"There are: {there}" if there else "It has no pods yet; ask again later"
        raise AlibabaError("there is no such pod", f"{job.job_id}: {wanted}", remedy)
    return found


def show_events(session: Session, job_id: str, *, pod: str | None, as_json: bool) -> None:
    """What happened to a job and its pods, or to one pod, in order."""
    from tidemark.alibaba.dlc import Dlc

    async def ask(account: Account) -> list[Event]:
        dlc = Dlc(account)
        if pod is None:
            return await dlc.get_job_events(job_id)
        (meant,) = pods_of(await dlc.get_job(job_id), pod)
        return await dlc.get_pod_events(job_id, meant.pod_id)

    events = session.run(ask)
    if as_json:
        print_document([{"at": event.at, "text": event.text} for event in events])
    elif not events:
        say("nothing has been told of it in the last seven days", err=True)
    for event in () if as_json else events:
        say(f"{moment(event.at)}  {event.text}" if event.at else event.text)
