"""Who is being served and who waits: slots, first come first served."""

from __future__ import annotations

from collections import deque

from tidemark.simulator.answers import Answer
from tidemark.simulator.latency import LatencyModel


class Admission:
    """The requests in flight. Each begins at once, or when a slot falls free.

    in_flight counts running and waiting requests.
    """

    def __init__(self, model: LatencyModel) -> None:
        self._model = model
        self._running: set[Answer] = set()
        self._taken = 0  # slots; a fault that needs none runs without
        self._waiting: deque[Answer] = deque()
        self.peak = 0

    @property
    def in_flight(self) -> int:
        return len(self._running) + len(self._waiting)

    @property
    def running(self) -> int:
        return len(self._running)

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def answers(self) -> tuple[Answer, ...]:
        """All in flight."""
        return (*self._running, *self._waiting)

    def enter(self, answer: Answer) -> None:
        """Take a request that has just arrived. Its truth's `in_flight` is already set."""
        limit = self._model.slot_limit
        if limit is None or not answer.needs_slot or self._taken < limit:
            self._run(answer, answer.truth.arrival_s)
        else:
            self._waiting.append(answer)
        self.peak = max(self.peak, self.in_flight)

    def leave(self, answer: Answer, now: float) -> None:
        """Let a request go that has ended in any way, and begin the next that waits."""
        if answer not in self._running:
            self._waiting.remove(answer)
            return
        self._running.remove(answer)
        self._taken -= answer.needs_slot
        limit = self._model.slot_limit
        while self._waiting and (limit is None or self._taken < limit):
            self._run(self._waiting.popleft(), now)

    def _run(self, answer: Answer, now: float) -> None:
        self._running.add(answer)
        self._taken += answer.needs_slot
        others = answer.truth.in_flight - 1
        answer.begin(now, self._model.latency(answer.truth.number, others))
