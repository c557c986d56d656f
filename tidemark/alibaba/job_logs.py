"""The log of a running job, line by line as it grows, through one pod after the other."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from tidemark.alibaba.dlc import Dlc
from tidemark.alibaba.dlc_answers import Job, Pod
from tidemark.alibaba.errors import AlibabaError, NotFoundError
from tidemark.alibaba.job_evidence import MAX_LINES, incarnations
from tidemark.clock import Clock, SystemClock

__all__ = ["LogStream"]

LOG = logging.getLogger("tidemark.alibaba")

# An answer this long is a reason to ask from a later moment on next time.
_LONG_ANSWER: Final = MAX_LINES // 2
_OVER: Final = ("Succeeded", "Failed", "Stopped")
_SPANS_S: Final = (2.0, 10.0, 60.0, 600.0, 7200.0, 86400.0)
_NOTICE: Final = (
    f"[tidemark] lines may be missing here: of more than {MAX_LINES} since the last look the "
    f"service shows the last {MAX_LINES}, and not how many there were"
)


@dataclass(slots=True)
class _Pod:
    """How far one incarnation of a pod has been read.

    `since` is the moment from which on its lines are asked for, None from its beginning; `taken` of
    those are known. `tail` are the hashes of the last lines that were taken.
    """

    since: datetime | None = None
    taken: int = 0
    tail: list[int] = field(default_factory=list)

    def take(self, lines: Sequence[str]) -> None:
        self.taken += len(lines)
        self.tail = [*self.tail, *map(hash, lines)][-MAX_LINES:]


class LogStream:
    """New lines of a job's pods at each call: in order, each once, also lines that are equal.

    The service has no position to go on from: it shows the last 2,000 lines since a moment. So
    lines are counted from a moment, and that moment is moved on as the log grows. Of pods that are
    replaced the old one is read to its end first. What is remembered is bounded: 2,000 hashes for
    each pod that lives.

    Where more than 2,000 lines were written between two calls the older of them cannot be had: a
    line of its own says so. How many they are the service does not tell. Of lines that only repeat
    each other, more than 1,000 within two seconds may be counted short.
    """

    def __init__(
        self,
        dlc: Dlc,
        job_id: str,
        *,
        clock: Clock | None = None,
        clean: Callable[[str], str] = str,
    ) -> None:
        self._dlc = dlc
        self._job_id = job_id
        self._clock = clock or SystemClock()
        self._pods: dict[str, _Pod] = {}
        self._closed: set[str] = set()
        self._clean = clean

    async def new_lines(self, job: Job | None = None) -> list[tuple[str, str]]:
        """Pairs of pod id and line, of one pod after the other.

        `job` saves asking for it. What cannot be read just now is left to the next call. Raises
        AlibabaError if the job itself cannot be read.
        """
        seen = job or await self._dlc.get_job(self._job_id)
        found: list[tuple[str, str]] = []
        unread: set[str] = set()
        for key, pod in incarnations(seen.pods):
            # By its uid: a pod keeps its id when it is replaced.
            name = pod.pod_uid or key
            if name in self._closed or pod.pod_id in unread:
                continue
            try:
                lines = await self._new_of(pod, self._pods.setdefault(name, _Pod()))
            except NotFoundError:
                continue
            except AlibabaError as error:
                text = self._clean(str(error))
                LOG.warning("the log of %s could not be read: %s", pod.pod_id, text)
                unread.add(pod.pod_id)  # its successor's lines come after its own
                continue
            found += [(pod.pod_id, line) for line in lines]
            if key != pod.pod_id:
                self._closed.add(name)
                self._pods.pop(name, None)
        return found

    async def _new_of(self, pod: Pod, read: _Pod) -> list[str]:
        lines = await self._ask(pod, read.since)
        if read.taken <= len(lines) < MAX_LINES:
            new = lines[read.taken :]
            notice: list[str] = []
        else:
            new, notice = _after(read.tail, lines)
        read.take(new)
        if len(lines) >= _LONG_ANSWER and pod.status not in _OVER:
            new += await self._move_on(pod, read)
        return [*notice, *new]

    async def _move_on(self, pod: Pod, read: _Pod) -> list[str]:
        """Have the next call ask from a later moment on. Returns lines that came meanwhile."""
        for span_s in _SPANS_S:
            since = datetime.fromtimestamp(self._clock.time() - span_s, UTC)
            if read.since is not None and since <= read.since:
                break
            lines = await self._ask(pod, since)
            if len(lines) >= _LONG_ANSWER:
                break
            known = _known(read.tail, lines)
            # Only after a line that is known does every later line follow: the clock here may be
            # ahead of the service's.
            if known:
                new = lines[known:]
                read.take(new)
                read.since, read.taken = since, len(lines)
                return new
        return []

    async def _ask(self, pod: Pod, since: datetime | None) -> list[str]:
        answer = await self._dlc.get_pod_logs(
            self._job_id,
            pod.pod_id,
            pod_uid=pod.pod_uid or None,
            since=since,
            max_lines=MAX_LINES,
        )
        return list(answer.logs)


def _after(tail: Sequence[int], lines: list[str]) -> tuple[list[str], list[str]]:
    """The lines after those that are known, and a notice where the two do not meet."""
    known = _known(tail, lines)
    if known:
        return lines[known:], []
    if lines and _within(tail, [hash(line) for line in lines]):
        return [], []  # the end of the log has not come yet
    return lines, [_NOTICE] if tail or len(lines) >= MAX_LINES else []


def _known(tail: Sequence[int], lines: Sequence[str]) -> int:
    """How many of `lines` are the last of those that were taken: as many as can be."""
    hashes = [hash(line) for line in lines]
    for count in range(min(len(tail), len(hashes)), 0, -1):
        if tail[-count] == hashes[0] and list(tail[-count:]) == hashes[:count]:
            return count
    return 0


def _within(tail: Sequence[int], hashes: list[int]) -> bool:
    return any(
        tail[place] == hashes[0] and list(tail[place : place + len(hashes)]) == hashes
        for place in range(len(tail) - len(hashes) + 1)
    )
