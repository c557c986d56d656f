"""What the pods of a job print: all of it, or as it comes until the job has ended."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tidemark.cli.alibaba_session import Session
from tidemark.cli.pai_advice import Problem, look_for_problem, may_have_problem, meaning_of
from tidemark.cli.pai_jobs import pod_name, pods_of
from tidemark.cli.printing import print_document, say, span

if TYPE_CHECKING:
    from tidemark.alibaba.account import Account
    from tidemark.alibaba.dlc import Dlc
    from tidemark.alibaba.dlc_answers import Job
    from tidemark.clock import Clock

__all__ = ["LogLine", "NewLines", "follow", "follow_logs", "show_logs"]

_EVERY_S = 2.0
# Between looks at the events of a job that has not begun to run.
_EVENTS_EVERY_S = 10.0
# As many lines as the service gives at once by itself.
_WINDOW = 2000


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line that a pod printed; `pod` is its name within the job, such as `worker-0`."""

    pod_id: str
    pod: str
    text: str


class NewLines:
    """Tells what of a log is new: there is no cursor, each answer is the end of the log so far."""

    def __init__(self) -> None:
        self._seen: list[str] = []

    def of(self, lines: Sequence[str]) -> list[str]:
        """The lines of an answer that the one before it did not have."""
        if not lines:
            return []
        seen, known = self._seen, 0
        for length in range(min(len(seen), len(lines)), 0, -1):
            if lines[length - 1] == seen[-1] and list(lines[:length]) == seen[-length:]:
                known = length
                break
        self._seen = list(lines)
        return list(lines[known:])


def show_logs(
    session: Session, job_id: str, *, pod: str | None, lines: int | None, as_json: bool
) -> None:
    """Print the last lines of every pod, or of one. A pod that has not started has none."""
    from tidemark.alibaba.dlc import Dlc

    async def ask(account: Account) -> tuple[Job, dict[str, list[str]], Problem | None]:
        dlc = Dlc(account)
        job = await dlc.get_job(job_id)
        found = {
            each.pod_id: await _lines_of(dlc, job_id, each.pod_id, most=lines)
            for each in pods_of(job, pod)
        }
        silent = not any(found.values())
        return job, found, await _problem_of(dlc, job) if silent else None

    job, found, problem = session.run(ask)
    if as_json:
        print_document(found)
        return
    printed = [
        LogLine(pod_id, pod_name(job, pod_id), text)
        for pod_id, texts in found.items()
        for text in texts
    ]
    for line in printed:
        _print_line(line, several=len(found) > 1)
    if not printed:
        say(f"nothing was printed yet: the job is {job.status}", err=True)
        _print_problem(problem)


def follow_logs(
    session: Session, job_id: str, *, pod: str | None, lines: int | None, as_json: bool
) -> None:
    """Print lines as they come, until the job has ended; as JSON, one object a line."""
    from tidemark.alibaba.dlc import Dlc

    explained = False

    async def ask(account: Account) -> Job:
        nonlocal explained
        dlc = Dlc(account)
        job: Job | None = None
        async for news in follow(dlc, job_id, pod=pod, first=lines, clock=account.clock):
            if isinstance(news, Problem):
                _print_problem(news)
                explained = True
            elif isinstance(news, LogLine):
                if as_json:
                    print_document({"pod_id": news.pod_id, "line": news.text}, indent=None)
                else:
                    _print_line(news, several=job is not None and len(job.pods) > 1 and not pod)
            elif job is None or news.status != job.status:
                say(f"{job_id} is {news.status}", err=True)
                job = news
            else:
                job = news
        assert job is not None
        return job

    job = session.run(ask)
    ran = f" after {span(job.duration_s)}" if job.duration_s else ""
    reason = f": {job.reason_message}" if job.reason_message else ""
    say(f"{job_id} ended{ran}{reason}", err=True)
    if not explained and not job.status.startswith("Succeeded"):
        for sentence in meaning_of(job)["do"]:
            say(f"do: {sentence}", err=True)
    if not job.is_terminal:
        say("its machines are still held, and billed: tidemark pai stop gives them back", err=True)


async def follow(
    dlc: Dlc,
    job_id: str,
    *,
    clock: Clock,
    pod: str | None = None,
    first: int | None = None,
    every_s: float = _EVERY_S,
) -> AsyncIterator[LogLine | Job | Problem]:
    """The job as it is at each look, then the lines that its pods have printed since the last.

    What keeps it from running, or made it fail, comes once, as soon as its events tell.

    Lines come in order and once, also those of pods that were replaced, and `first` of the
    earlier ones (None: all that the service gives). Ends when the outcome of the job is known. A
    look that fails in passing is left to the next. Raises AlibabaError.
    """
    from tidemark.alibaba.dlc_status import Phase
    from tidemark.alibaba.errors import AlibabaError

    window = max(_WINDOW, first or 0)
    logs: dict[tuple[str, str], NewLines] = {}
    over: set[tuple[str, str]] = set()
    begun = False
    said: set[str] = set()
    events_at_s = clock.monotonic()
    while True:
        try:
            # The job first: what it printed until it ended is then in the logs asked for next.
            job = await dlc.get_job(job_id)
            printed = []
            for each in () if _comes_later(job, pod) else pods_of(job, pod):
                for one in (*each.history_pods, each):
                    key = (each.pod_id, one.pod_uid)
                    if key not in over:
                        lines = await _lines_of(dlc, job_id, *key, most=window)
                        printed.append((key, lines, one is not each))
        except AlibabaError as error:
            if not begun or not error.retryable:
                raise
            say(f"cannot look at the moment: {error.what}", err=True)
            await clock.sleep(every_s)
            continue
        yield job
        for key, lines, replaced in printed:
            if replaced:
                over.add(key)
            new = logs.setdefault(key, NewLines()).of(lines)
            for text in new if begun or first is None else new[-first:]:
                yield LogLine(key[0], pod_name(job, key[0]), text)
        begun = True
        over_now = job.phase in (Phase.TERMINAL, Phase.RESERVING)
        if may_have_problem(job) and (over_now or clock.monotonic() >= events_at_s):
            events_at_s = clock.monotonic() + _EVENTS_EVERY_S
            problem = await _problem_of(dlc, job)
            if problem is not None and problem.name not in said:
                said.add(problem.name)
                yield problem
        if over_now:
            return
        await clock.sleep(every_s)


def _comes_later(job: Job, pod: str | None) -> bool:
    """Whether the pod that is meant may not be there yet."""
    from tidemark.alibaba.dlc_status import Phase

    ids = {each.pod_id for each in job.pods}
    return job.phase is Phase.PENDING and not ids & {pod, f"{job.job_id}-{pod}"} and pod is not None


async def _problem_of(dlc: Dlc, job: Job) -> Problem | None:
    """What the events tell; they are extra, so that nothing ends for want of them."""
    from tidemark.alibaba.errors import NoAnswerError, ServiceError

    try:
        return await look_for_problem(dlc, job)
    except (ServiceError, NoAnswerError):
        return None


def _print_problem(problem: Problem | None) -> None:
    if problem is not None:
        say(f"problem: {problem.text}", err=True)
        say(f"do: {problem.do}", err=True)


async def _lines_of(
    dlc: Dlc, job_id: str, pod_id: str, pod_uid: str = "", *, most: int | None
) -> list[str]:
    from tidemark.alibaba.errors import NotFoundError

    try:
        found = await dlc.get_pod_logs(job_id, pod_id, max_lines=most, pod_uid=pod_uid or None)
    except NotFoundError as error:
        if error.code.startswith("InvalidAction"):
            raise
        return []  # it has not started, or is gone
    return list(found.logs)


def _print_line(line: LogLine, *, several: bool) -> None:
    # A progress bar is one line of many parts, each meant to be printed over the last.
    for part in line.text.rstrip("\r\n").split("\r"):
        say(f"{line.pod} | {part}" if several else part)
