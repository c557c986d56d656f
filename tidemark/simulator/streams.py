"""Answers streamed token by token, as server-sent events."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import lru_cache

from tidemark.simulator.answers import COUNT_RETRY_S, TokenAnswer
from tidemark.simulator.chunks import WORDS, ChunkMaker, StreamShape
from tidemark.simulator.http_messages import stream_head
from tidemark.simulator.latency import Latency


@dataclass(frozen=True, slots=True)
class EventPlan:
    """Which tokens each event of a stream carries; the same for all streams of a shape.

    lasts: the number of each event's last token, which is when the event is due.
    slots: for each event, which of `contents` it is. contents: first token,
    number of tokens, and whether they are reasoning.
    """

    lasts: tuple[int, ...]
    slots: tuple[int, ...]
    contents: tuple[tuple[int, int, bool], ...]


@lru_cache(maxsize=256)
def event_plan(tokens: int, tokens_per_chunk: int, borders: tuple[int, ...]) -> EventPlan:
    """Divide tokens into events: the first alone, then up to `tokens_per_chunk` together.

    `borders` are tokens that begin a new event; those below the first border
    are reasoning.
    """
    lasts: list[int] = []
    slots: list[int] = []
    known: dict[tuple[int, int, bool], int] = {}
    first = 0
    while first < tokens:
        last = min(first + (tokens_per_chunk if first else 1), tokens) - 1
        last = min([last, *(border - 1 for border in borders if first < border <= last)])
        content = (first % len(WORDS), last - first + 1, first < borders[0])
        slots.append(known.setdefault(content, len(known)))
        lasts.append(last)
        first = last + 1
    return EventPlan(tuple(lasts), tuple(slots), tuple(known))


class StreamAnswer(TokenAnswer):
    """An answer streamed as server-sent events.

    The head and the role go out with the first token; the finish reason, the
    usage and [DONE] with the last, as vLLM does. With `tokens_per_chunk` N the
    first event carries one token and each other up to N, sent when the last of
    them is due, so that true TTFT and TPOT do not depend on N.
    """

    def _prepare(self, now: float, latency: Latency) -> float:
        truth, fault = self.truth, self.fault
        self._first_due = now + latency.ttft_s
        self._tpot_s = latency.tpot_s
        self._chunked = self.request.chunked_allowed
        shape = StreamShape(
            kind="chat" if self._ask.kind == "chat" else "completion",
            model=self._ask.model,
            chunked=self._chunked,
        )
        self._maker = ChunkMaker(shape, truth.id, int(time.time()))
        breaks = fault is not None and fault.kind in ("error_in_stream", "cut", "hang")
        self._break_at = self._fault_at if breaks else None
        plan = event_plan(
            truth.planned_tokens if self._break_at is None else self._break_at,
            self.service.config.tokens_per_chunk,
            (self._reasoning, self._fault_at),
        )
        self._lasts, self._slots = plan.lasts, plan.slots
        opening, self._contents = self._maker.contents(plan.contents)
        keep_alive = self.request.keep_alive and self._chunked
        head = stream_head(request_id=truth.id, chunked=self._chunked, keep_alive=keep_alive)
        self._opening = head + opening
        if fault is not None and fault.kind == "garbage" and plan.lasts:
            self._spoil(plan)
        self._event = 0  # the next to be written
        self._size = len(plan.lasts)
        return self._first_due

    def _spoil(self, plan: EventPlan) -> None:
        """Put an event that is not valid JSON before the one that begins at the fault."""
        index = sum(last < self._fault_at for last in plan.lasts)
        slots = list(plan.slots)
        self._contents.append(self._maker.garbage() + self._contents[slots[index]])
        slots[index] = len(self._contents) - 1
        self._slots = tuple(slots)

    def fire(self, now: float) -> float | None:
        began = self._event
        if began >= self._size:
            return self._end(now)
        lasts, first_due, tpot_s = self._lasts, self._first_due, self._tpot_s
        # More than one event only when this is late: each has its own deadline.
        index = began + 1
        while index < self._size and first_due + lasts[index] * tpot_s <= now:
            index += 1
        if index == began + 1:
            data = self._contents[self._slots[began]]
        else:
            data = b"".join([self._contents[slot] for slot in self._slots[began:index]])
        if began == 0:
            data = self._opening + data
        ended = index == self._size and self._break_at is None and self._counted()
        if ended:
            data += self._closing()
        wrote = time.monotonic()
        if not self.connection.send(data):
            return None
        self._event = index
        self._note(wrote, lasts[index - 1] + 1, index - began, first_due + lasts[began] * tpot_s)
        if index < self._size:
            return first_due + lasts[index] * tpot_s
        if ended:
            self.finish("ok", 200, wrote, close=not self._chunked)
            return None
        if self._break_at is None:
            return now + COUNT_RETRY_S
        return first_due + self._break_at * tpot_s

    def _note(self, wrote: float, tokens: int, events: int, due: float) -> None:
        """Note that `tokens` are written by now, the earliest of the new ones due at `due`."""
        truth = self.truth
        late_s = wrote - due
        if truth.first_token_s is None:
            truth.first_token_s = wrote
            truth.late_first_s = truth.late_worst_s = late_s
        elif truth.late_worst_s is None or late_s > truth.late_worst_s:
            truth.late_worst_s = late_s
        truth.last_token_s = wrote
        self.service.generation_tokens += tokens - truth.written_tokens
        truth.written_tokens = tokens
        truth.reasoning_tokens = min(self._reasoning, tokens)
        truth.chunks += events

    def _end(self, now: float) -> float | None:
        """What comes when no token is left: the end, or what breaks off instead of it."""
        kind = self.fault.kind if self.fault and self._break_at is not None else None
        if kind == "hang":
            return None  # stays in flight until the client leaves
        counted = self._counted()
        if kind == "cut":
            self.finish("cut", 200 if self.truth.sent_bytes else None, None, close=True)
            return None
        if kind is None and not counted:
            return now + COUNT_RETRY_S
        data = self._closing() if kind is None else self._error()
        if not self.truth.sent_bytes:
            data = self._opening + data
        wrote = time.monotonic()
        if self.connection.send(data):
            outcome = "ok" if kind is None else "error"
            self.finish(outcome, 200, wrote, close=not self._chunked)
        return None

    def _closing(self) -> bytes:
        maker, planned = self._maker, self.truth.planned_tokens
        parts = [maker.finish("length" if planned else "stop")]
        if self._ask.include_usage and self._has_usage:
            parts.append(maker.usage(self._usage(planned)))
        parts.append(maker.done())
        return b"".join(parts)

    def _error(self) -> bytes:
        code = self.fault.code if self.fault else 500
        return self._maker.error("The engine failed while generating.", code) + self._maker.done()
