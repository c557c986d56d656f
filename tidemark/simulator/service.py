"""The endpoint's state, and what it does with each request."""

from __future__ import annotations

import hmac
import time
from itertools import count

from tidemark.simulator import control
from tidemark.simulator.admission import Admission
from tidemark.simulator.answers import Answer, StatusAnswer
from tidemark.simulator.asks import KINDS, Ask, AskError, read_ask
from tidemark.simulator.config import EndpointConfig
from tidemark.simulator.connection import Connection
from tidemark.simulator.counting import PromptCounter
from tidemark.simulator.faults import FaultRule, Faults
from tidemark.simulator.http_messages import MessageError, Request, error_body, response
from tidemark.simulator.record import Record, RequestTruth
from tidemark.simulator.schedule import Schedule
from tidemark.simulator.streams import StreamAnswer
from tidemark.simulator.whole_answers import WholeAnswer

_ID_PREFIXES = {"chat": "chatcmpl", "completion": "cmpl", "embedding": "embd", "rerank": "rerank"}


class Service:
    """Answers requests, and keeps the record of what it did.

    `api_key` is the key clients must show on /v1 paths; None for no check.
    """

    def __init__(
        self,
        config: EndpointConfig,
        *,
        schedule: Schedule,
        record: Record,
        counter: PromptCounter,
        api_key: str | None,
    ) -> None:
        self.config = config
        self.schedule = schedule
        self.record = record
        self.counter = counter
        self.admission = Admission(config.latency)
        self.faults = Faults(config.faults, config.latency.seed)
        self.prompt_tokens = 0
        self.generation_tokens = 0
        self.finished = 0
        self.marked_s = time.monotonic()
        self.marked_cpu_s = time.process_time()
        self._expected = None if api_key is None else f"Bearer {api_key}".encode()
        self._numbers = count(1)
        self._connection_numbers = count(1)
        self._connections: set[Connection] = set()

    def connected(self, connection: Connection) -> int:
        """Take a new connection; answers its number."""
        self._connections.add(connection)
        return next(self._connection_numbers)

    def disconnected(self, connection: Connection) -> None:
        """Forget a connection."""
        self._connections.discard(connection)

    def handle(self, connection: Connection, request: Request, arrival_s: float) -> None:
        """Answer a request, now or in time."""
        kind = KINDS.get(request.path)
        if not self._admitted(request):
            refusal = AskError("Incorrect API key provided.", status=401, code="invalid_api_key")
            self._decline(connection, request, arrival_s, refusal)
            return
        if kind is None or request.method != "POST":
            self._control(connection, request, arrival_s)
            return
        try:
            ask = read_ask(kind, request.body)
            self._check_limits(ask)
        except AskError as refusal:
            self._decline(connection, request, arrival_s, refusal)
            return
        self._answer(connection, request, ask, arrival_s)

    def _admitted(self, request: Request) -> bool:
        if self._expected is None or not request.path.startswith("/v1/"):
            return True
        shown = request.headers.get("authorization", "").encode("latin-1")
        return hmac.compare_digest(shown, self._expected)

    def _check_limits(self, ask: Ask) -> None:
        served = self.config.served_model
        if served is not None and ask.model != served:
            raise AskError(
                f"The model `{ask.model}` does not exist.",
                "model",
                status=404,
                code="model_not_found",
            )
        limit = self.config.max_output_tokens
        if (ask.output_tokens or 0) > limit:
            raise AskError(f"At most {limit} output tokens are given.", "max_tokens")

    def _truth(
        self, connection: Connection, path: str, received_bytes: int, arrival_s: float, prefix: str
    ) -> RequestTruth:
        number = next(self._numbers)
        return RequestTruth(
            number=number,
            id=f"{prefix}-{number:09d}",
            path=path,
            connection=connection.number,
            connected_s=connection.connected_s,
            arrival_s=arrival_s,
            in_flight=self.admission.in_flight + 1,
            received_bytes=received_bytes,
        )

    def _answer(self, connection: Connection, request: Request, ask: Ask, arrival_s: float) -> None:
        truth = self._truth(
            connection, request.path, request.size_bytes, arrival_s, _ID_PREFIXES[ask.kind]
        )
        generates = ask.kind in ("chat", "completion")
        planned = (ask.output_tokens or self.config.default_output_tokens) if generates else 0
        fault = self.faults.choose(
            in_flight=truth.in_flight,
            output_tokens=planned,
            path=request.path,
            headers=request.headers,
        )
        if fault is not None:
            truth.fault = fault.name
            planned = {"single_token": min(planned, 1), "empty": 0}.get(fault.kind, planned)
        truth.planned_tokens = planned
        truth.stream = ask.stream
        truth.headers = {
            name: request.headers[name]
            for name in self.config.record_headers
            if name in request.headers
        }
        answer = self._make(connection, request, truth, fault, ask)
        connection.answering(answer)
        self.admission.enter(answer)

    def _make(
        self,
        connection: Connection,
        request: Request,
        truth: RequestTruth,
        fault: FaultRule | None,
        ask: Ask,
    ) -> Answer:
        if fault is not None and fault.kind == "status":
            return StatusAnswer(self, connection, request, truth, fault)
        prompt = self.counter.count(ask.texts, ask.prompt_token_ids)
        make = StreamAnswer if ask.stream else WholeAnswer
        return make(self, connection, request, truth, fault, ask, prompt)

    def finish(
        self, answer: Answer, outcome: str, status: int | None, end_s: float | None = None
    ) -> None:
        """Note that an answer has ended (now, or at `end_s`), and let the next in."""
        now = time.monotonic()
        truth = answer.truth
        answer.over = True
        truth.end_s = now if end_s is None else end_s
        truth.outcome = outcome
        truth.status = status
        truth.aborted_by_client = outcome == "aborted"
        if outcome == "ok":
            self.finished += 1
            self.prompt_tokens += truth.prompt_tokens or 0
        self.record.add(truth)
        self.admission.leave(answer, now)

    def abandon(self, answer: Answer) -> None:
        """Note that the client has left before its answer was complete."""
        if not answer.over:
            self.finish(answer, "aborted", 200 if answer.truth.sent_bytes else None)

    def stop(self) -> None:
        """End everything that is in flight, and every connection."""
        for answer in self.admission.answers():
            answer.over = True
        for answer in self.admission.answers():
            answer.truth.end_s = time.monotonic()
            answer.truth.outcome = "stopped"
            answer.truth.status = 200 if answer.truth.sent_bytes else None
            self.record.add(answer.truth)
        for connection in tuple(self._connections):
            connection.close()

    def mark(self) -> None:
        """Begin the truth anew: /truth tells of requests that arrive from now on."""
        self.marked_s = time.monotonic()
        self.marked_cpu_s = time.process_time()
        self.admission.peak = self.admission.in_flight
        self.record.mark()

    def refused(self, connection: Connection, error: MessageError, arrival_s: float) -> None:
        """Note a request that could not even be read."""
        truth = self._truth(connection, "", 0, arrival_s, "refused")
        self._note_refusal(truth, error.status)

    def _note_refusal(self, truth: RequestTruth, status: int) -> None:
        truth.end_s = time.monotonic()
        truth.outcome = "error"
        truth.status = status
        self.record.add(truth)

    def _decline(
        self, connection: Connection, request: Request, arrival_s: float, refusal: AskError
    ) -> None:
        truth = self._truth(connection, request.path, request.size_bytes, arrival_s, "refused")
        body = error_body(
            refusal.message, kind="invalid_request_error", code=refusal.code, param=refusal.param
        )
        data = response(
            refusal.status,
            body,
            headers=(("x-request-id", truth.id),),
            keep_alive=request.keep_alive,
        )
        truth.sent_bytes = len(data)
        self._note_refusal(truth, refusal.status)
        if connection.send(data):
            connection.answered(request.keep_alive)

    def _control(self, connection: Connection, request: Request, arrival_s: float) -> None:
        page = control.page(self, request)
        if page is None:
            refusal = AskError(f"There is nothing at {request.path}.", status=404)
            self._decline(connection, request, arrival_s, refusal)
            return
        data = response(
            page.status,
            page.body,
            content_type=page.content_type,
            headers=page.headers,
            keep_alive=request.keep_alive,
        )
        if connection.send(data):
            connection.answered(request.keep_alive)
