"""Answers on their way out: what all of them have, and the errors asked for."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from dataclasses import replace
from typing import TYPE_CHECKING

from tidemark.simulator import chunks
from tidemark.simulator.asks import Ask
from tidemark.simulator.counting import PromptCount
from tidemark.simulator.faults import FaultRule
from tidemark.simulator.http_messages import Request, error_body, response
from tidemark.simulator.latency import Latency
from tidemark.simulator.record import RequestTruth

if TYPE_CHECKING:
    from tidemark.simulator.connection import Connection
    from tidemark.simulator.service import Service

# How long to wait before looking again for a prompt count that is not there yet.
COUNT_RETRY_S = 0.001
_NEVER = 1 << 62


class Answer(ABC):
    """One request being answered, from admission to its last byte.

    `begin` is called once, when the request gets its slot; from then on the
    schedule calls `fire` at each deadline.
    """

    def __init__(
        self,
        service: Service,
        connection: Connection,
        request: Request,
        truth: RequestTruth,
        fault: FaultRule | None = None,
    ) -> None:
        self.service = service
        self.connection = connection
        self.request = request
        self.truth = truth
        self.fault = fault
        self.over = False
        self.needs_slot = True

    @abstractmethod
    def begin(self, now: float, latency: Latency) -> None:
        """Put the first deadline on the schedule, or answer at once."""

    @abstractmethod
    def fire(self, now: float) -> float | None:
        """Write what is due at `now`; answer the next deadline, None at the end.

        Times of writes are those just before them, because a client may see the
        bytes before the write returns.
        """

    def finish(
        self, outcome: str, status: int | None, wrote: float | None, *, close: bool = False
    ) -> None:
        """End, with the time of the last write (None: now), and free the connection."""
        self.service.finish(self, outcome, status, wrote)
        self.connection.answered(self.request.keep_alive and not close)


class StatusAnswer(Answer):
    """An HTTP error that was asked for, after its delay."""

    def __init__(
        self,
        service: Service,
        connection: Connection,
        request: Request,
        truth: RequestTruth,
        fault: FaultRule,
    ) -> None:
        super().__init__(service, connection, request, truth, fault)
        self.needs_slot = False
        self._rule = fault

    def begin(self, now: float, latency: Latency) -> None:
        del latency
        self.truth.begin_s = now
        if self._rule.delay_s:
            self.service.schedule.add(now + self._rule.delay_s, self)
        else:
            # At once, so that the next request does not find this one in flight.
            self.fire(now)

    def fire(self, now: float) -> None:
        del now
        status = self._rule.status
        headers: tuple[tuple[str, str], ...] = (("x-request-id", self.truth.id),)
        if status == 429:
            headers += (("retry-after", str(self._rule.retry_after_s)),)
        message, kind, code = _ERRORS[status]
        body = error_body(message, kind=kind, code=code)
        keep_alive = self.request.keep_alive
        data = response(status, body, headers=headers, keep_alive=keep_alive)
        wrote = time.monotonic()
        if self.connection.send(data):
            self.finish("error", status, wrote)


_ERRORS = {
    400: ("The request was refused, as a fault rule asked.", "invalid_request_error", None),
    401: ("Incorrect API key provided.", "invalid_request_error", "invalid_api_key"),
    404: ("The model does not exist.", "invalid_request_error", "model_not_found"),
    429: ("Rate limit reached.", "rate_limit_error", "rate_limit_exceeded"),
    500: ("The server had an error.", "server_error", None),
    503: ("The server is overloaded.", "server_error", None),
}


class TokenAnswer(Answer):
    """An answer whose length is counted in tokens."""

    def __init__(
        self,
        service: Service,
        connection: Connection,
        request: Request,
        truth: RequestTruth,
        fault: FaultRule | None,
        ask: Ask,
        prompt: PromptCount,
    ) -> None:
        super().__init__(service, connection, request, truth, fault)
        self._ask = ask
        self._prompt = prompt
        truth.prompt_tokens = prompt.tokens
        kind = fault.kind if fault else None
        planned = truth.planned_tokens
        breaking = kind in ("error_in_stream", "cut", "hang", "garbage")
        # A fault that comes after more tokens than there are comes before the last.
        after = min(fault.after_tokens, max(planned - 1, 0)) if fault else 0
        self._fault_at = after if breaking else _NEVER
        self._has_usage = kind != "no_usage"
        reasons = ask.kind == "chat"
        self._reasoning = min(service.config.reasoning_tokens, planned) if reasons else 0

    def begin(self, now: float, latency: Latency) -> None:
        """Note the latencies and put the first deadline on the schedule."""
        if self.fault is not None and self.fault.kind == "slow_first":
            latency = replace(latency, ttft_s=latency.ttft_s * self.fault.factor)
        self.truth.begin_s = now
        self.truth.due_ttft_s = latency.ttft_s
        self.truth.due_tpot_s = latency.tpot_s
        self.service.schedule.add(self._prepare(now, latency), self)

    @abstractmethod
    def _prepare(self, now: float, latency: Latency) -> float:
        """Make what can be made before the first deadline; answer that deadline."""

    def _usage(self, tokens: int) -> dict[str, object]:
        return chunks.usage(
            prompt_tokens=self._prompt.tokens or 0,
            counted_by=self.service.counter.name,
            output_tokens=tokens,
            reasoning_tokens=min(self._reasoning, tokens),
        )

    def _counted(self) -> bool:
        """Whether the prompt's count is there; if so, note it."""
        self.truth.prompt_tokens = self._prompt.tokens
        return self._prompt.tokens is not None
