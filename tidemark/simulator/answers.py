"""Answers on their way out: what is due when, and what goes wrong on request."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tidemark.simulator import chunks
from tidemark.simulator.asks import Ask
from tidemark.simulator.chunks import ChunkMaker
from tidemark.simulator.counting import PromptCount
from tidemark.simulator.faults import FaultRule
from tidemark.simulator.http_messages import (
    LAST_CHUNK,
    Request,
    error_body,
    response,
    stream_head,
)
from tidemark.simulator.latency import Latency
from tidemark.simulator.record import RequestTruth

if TYPE_CHECKING:
    from tidemark.simulator.connection import Connection
    from tidemark.simulator.service import Service

# How long to wait before looking again for a prompt count that is not there yet.
COUNT_RETRY_S = 0.001
_NEVER = 1 << 62


class Answer:
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

    def begin(self, now: float, latency: Latency) -> None:
        """Note the latencies and put the first deadline on the schedule."""
        kind = self.fault.kind if self.fault else None
        factor = self.fault.factor if self.fault and kind == "slow_first" else 1.0
        self.truth.begin_s = now
        self.truth.due_ttft_s = latency.ttft_s * factor
        self.truth.due_tpot_s = latency.tpot_s
        self.service.schedule.add(self._prepare(now), self)

    def _prepare(self, now: float) -> float:
        """Make what can be made before the first deadline; answer that deadline."""
        raise NotImplementedError

    def fire(self, now: float) -> float | None:
        """Write what is due at `now`; answer the next deadline, None at the end."""
        raise NotImplementedError

    def _send(self, data: bytes) -> float | None:
        """Write; answer the moment just before, or None when the client has gone.

        The moment before, because a client may see the bytes before the write returns.
        """
        now = time.monotonic()
        if not self.connection.send(data):
            return None
        self.truth.end_s = now
        return now

    def _finish(self, outcome: str, status: int, *, close: bool = False) -> None:
        keep_alive = self.request.keep_alive and not close
        self.service.finish(self, outcome, status)
        self.connection.answered(keep_alive)

    def _note_lateness(self, late_s: float) -> None:
        if self.truth.late_worst_s is None or late_s > self.truth.late_worst_s:
            self.truth.late_worst_s = late_s


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

    def _prepare(self, now: float) -> float:
        return now + self._rule.delay_s

    def fire(self, now: float) -> None:
        del now
        status = self._rule.status
        headers: tuple[tuple[str, str], ...] = (("x-request-id", self.truth.id),)
        if status == 429:
            headers += (("retry-after", str(self._rule.retry_after_s)),)
        message, kind, code = _ERRORS[status]
        body = error_body(message, kind=kind, code=code)
        keep_alive = self.request.keep_alive
        if self._send(response(status, body, headers=headers, keep_alive=keep_alive)) is not None:
            self._finish("error", status)


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
        kind = fault.kind if fault else None
        planned = truth.planned_tokens
        breaking = kind in ("error_in_stream", "cut", "hang", "garbage")
        # A fault that comes after more tokens than there are comes before the last.
        after = min(fault.after_tokens, max(planned - 1, 0)) if fault else 0
        self._fault_at = after if breaking else _NEVER
        self._has_usage = kind != "no_usage"
        reasons = ask.kind == "chat"
        self._reasoning = min(service.config.reasoning_tokens, planned) if reasons else 0

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


class StreamAnswer(TokenAnswer):
    """An answer streamed as server-sent events.

    The head and the role go out with the first token; the finish reason, the
    usage and [DONE] with the last, as vLLM does. With `tokens_per_chunk` N the
    first event carries one token and each other up to N, sent when the last of
    them is due, so that true TTFT and TPOT do not depend on N.
    """

    def _prepare(self, now: float) -> float:
        truth, config = self.truth, self.service.config
        self._maker = ChunkMaker(
            kind="chat" if self._ask.kind == "chat" else "completion",
            request_id=truth.id,
            created=int(time.time()),
            model=self._ask.model,
            chunked=self.request.chunked_allowed,
        )
        self._opening = (
            stream_head(
                request_id=truth.id,
                chunked=self.request.chunked_allowed,
                keep_alive=self.request.keep_alive and self.request.chunked_allowed,
            )
            + self._maker.role()
        )
        self._step = config.tokens_per_chunk
        self._token = 0  # the next to be written
        self._first_due = now + (truth.due_ttft_s or 0.0)
        self._tpot_s = truth.due_tpot_s or 0.0
        return self._first_due

    def _last_of_next(self) -> int:
        """Which token ends the next event; events do not cross the end of reasoning or a fault."""
        token = self._token
        if token == 0:
            return 0
        last = min(token + self._step, self.truth.planned_tokens) - 1
        for border in (self._reasoning, self._fault_at):
            if token < border <= last:
                last = border - 1
        return last

    def fire(self, now: float) -> float | None:
        truth = self.truth
        planned = truth.planned_tokens
        oldest_due = due = self._first_due + self._last_of_next() * self._tpot_s
        parts: list[bytes] = []
        began = self._token
        # More than one event only when this is late: each has its own deadline.
        while self._token < planned and due <= now:
            if self._token >= self._fault_at and not self._survives_fault(parts):
                return None
            last = self._last_of_next()
            tokens = last - self._token + 1
            reasoning = self._token < self._reasoning
            parts.append(self._maker.content(self._token, tokens, reasoning))
            self._token = last + 1
            truth.chunks += 1
            due = self._first_due + self._last_of_next() * self._tpot_s
        ended = self._token >= planned
        counted = ended and self._counted()
        if counted:
            parts.append(self._closing())
        if parts and not self._write(parts, oldest_due, began):
            return None
        if not ended:
            return due
        if not counted:
            return now + COUNT_RETRY_S
        keep_open = self.request.chunked_allowed
        self._finish("ok", 200, close=not keep_open)
        return None

    def _write(self, parts: list[bytes], oldest_due: float, began: int) -> bool:
        """Write the parts, and note what was written when."""
        truth = self.truth
        if self._opening:
            parts.insert(0, self._opening)
            self._opening = b""
        wrote = self._send(b"".join(parts) if len(parts) > 1 else parts[0])
        if wrote is None:
            return False
        if self._token > began:
            late_s = wrote - oldest_due
            if truth.first_token_s is None:
                truth.first_token_s = wrote
                truth.late_first_s = late_s
            truth.last_token_s = wrote
            truth.written_tokens = self._token
            truth.reasoning_tokens = min(self._reasoning, self._token)
            self.service.generation_tokens += self._token - began
            self._note_lateness(late_s)
        return True

    def _closing(self) -> bytes:
        maker = self._maker
        parts = [maker.finish("length" if self.truth.planned_tokens else "stop")]
        if self._ask.include_usage and self._has_usage:
            parts.append(maker.usage(self._usage(self._token)))
        parts.append(maker.raw(chunks.DONE))
        if self.request.chunked_allowed:
            parts.append(LAST_CHUNK)
        return b"".join(parts)

    def _survives_fault(self, parts: list[bytes]) -> bool:
        """Let the fault happen that is due before the next token; whether tokens go on."""
        fault = self.fault
        assert fault is not None
        began = self.truth.written_tokens
        due = self._first_due + max(self._token - 1, 0) * self._tpot_s
        self._fault_at = _NEVER
        if fault.kind == "garbage":
            parts.append(self._maker.garbage())
            return True
        if fault.kind == "error_in_stream":
            parts.append(self._maker.error("The engine failed while generating.", fault.code))
            parts.append(self._maker.raw(chunks.DONE))
            if self.request.chunked_allowed:
                parts.append(LAST_CHUNK)
        if parts and not self._write(parts, due, began):
            return False
        if fault.kind == "error_in_stream":
            self._counted()
            self._finish("error", 200, close=not self.request.chunked_allowed)
        elif fault.kind == "cut":
            self._counted()
            self._finish("cut", 200, close=True)
        # A hang stays in flight until the client leaves.
        return False


class WholeAnswer(TokenAnswer):
    """An answer in one piece: a generation that is not streamed, embeddings, a ranking.

    A generation is due when its last token would be; the others after ttft_s.
    """

    def _prepare(self, now: float) -> float:
        truth = self.truth
        later = max(truth.planned_tokens - 1, 0) * (truth.due_tpot_s or 0.0)
        self._due = now + (truth.due_ttft_s or 0.0) + later
        return self._due

    def fire(self, now: float) -> float | None:
        if not self._counted():
            return now + COUNT_RETRY_S
        kind = self.fault.kind if self.fault else None
        if kind == "hang":
            return None
        status = 200
        body = self._body()
        if kind == "error_in_stream":
            assert self.fault is not None
            status = 500
            body = error_body(
                "The engine failed while generating.", kind="server_error", code=self.fault.code
            )
        elif kind == "garbage":
            body = body[: len(body) // 2]
        data = response(
            status,
            body,
            headers=(("x-request-id", self.truth.id),),
            keep_alive=self.request.keep_alive,
        )
        if kind == "cut":
            data = data[: len(data) - len(body) // 2]
        wrote = self._send(data)
        if wrote is None:
            return None
        self._note_lateness(wrote - self._due)
        if kind == "cut":
            self._finish("cut", 200, close=True)
            return None
        if status == 200:
            self.truth.last_token_s = wrote
            self.truth.written_tokens = self.truth.planned_tokens
            self.truth.reasoning_tokens = self._reasoning
            self.service.generation_tokens += self.truth.planned_tokens
        self._finish("ok" if status == 200 else "error", status)
        return None

    def _body(self) -> bytes:
        ask, truth = self._ask, self.truth
        planned = truth.planned_tokens
        usage = self._usage(planned) if self._has_usage else None
        empty = self.fault is not None and self.fault.kind == "empty"
        if ask.kind == "embedding":
            return chunks.embeddings(
                model=ask.model,
                inputs=0 if empty else ask.inputs,
                dimensions=ask.dimensions,
                as_base64=ask.as_base64,
                usage=usage,
            )
        if ask.kind == "rerank":
            return chunks.ranking(
                request_id=truth.id,
                model=ask.model,
                documents=() if empty else ask.texts[1:],
                usage=usage,
            )
        return chunks.whole_answer(
            kind=ask.kind,
            request_id=truth.id,
            created=int(time.time()),
            model=ask.model,
            output_tokens=planned,
            reasoning_tokens=self._reasoning,
            finish_reason="length" if planned else "stop",
            usage=usage,
        )
