"""Answers in one piece: generations that are not streamed, embeddings, rankings."""

from __future__ import annotations

import time

from tidemark.simulator import chunks
from tidemark.simulator.answers import COUNT_RETRY_S, TokenAnswer
from tidemark.simulator.http_messages import error_body, response
from tidemark.simulator.latency import Latency


class WholeAnswer(TokenAnswer):
    """An answer in one piece.

    A generation is due when its last token would be; the others after ttft_s.
    """

    def _prepare(self, now: float, latency: Latency) -> float:
        later = max(self.truth.planned_tokens - 1, 0) * latency.tpot_s
        self._due = now + latency.ttft_s + later
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
        wrote = time.monotonic()
        if not self.connection.send(data):
            return None
        self.truth.late_worst_s = wrote - self._due
        if kind == "cut":
            self.finish("cut", 200, wrote, close=True)
            return None
        if status == 200:
            self.truth.last_token_s = wrote
            self.truth.written_tokens = self.truth.planned_tokens
            self.truth.reasoning_tokens = self._reasoning
            self.service.generation_tokens += self.truth.planned_tokens
        self.finish("ok" if status == 200 else "error", status, wrote)
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
