"""Services that lie, redirect, or hand back what they were sent, against the real engine."""

import json
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tasks.preflight import probe_endpoint
from tidemark.config import load_config
from tidemark.engines.calibration import simulated_endpoint
from tidemark.engines.install import find
from tidemark.engines.process import EngineSession
from tidemark.errors import EndpointError
from tidemark.plan.cells import cells
from tidemark.plan.load import load_plan
from tidemark.results.metrics import CellMetrics, summarise
from tidemark.results.redact import Redactor
from tidemark.results.requests import CellRaw
from tidemark.simulator.tokenizer import build_tokenizer

KEY = "canary-key-0123456789-zyxwv"
HEADER = "canary-header-9876543210"
REQUESTS = 4
REDIRECTED, ABSURD, TOO_MANY, TEXT_CODE, ECHO = 27, 41, 45, 23, 22
PLAN = """
endpoint:
  url: "{url}"
  model: m
  api_key: "env:KEY"
  headers: {{x-secret: "env:HEADER"}}
scenarios: ["D(32,27)", "D(32,41)", "D(32,45)", "D(32,23)", "D(32,22)", "D(32,30)"]
concurrency: [1]
limits: {{max_requests: 4, max_time_s: 8, stall_timeout_s: 2, drain_s: 2}}
warmup: null
tokenizer: {tokenizer}
"""
LENT = {"env:KEY": KEY, "env:HEADER": HEADER}


class Hostile(BaseHTTPRequestHandler):
    """What it does depends on the length that is asked for."""

    seen_elsewhere: list[str]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        asked = body["max_tokens"]
        if self.path.startswith("/stolen"):
            self.seen_elsewhere.append(str(self.headers))
        if asked == REDIRECTED:
            self.send_response(307)
            self.send_header("location", "/stolen/v1/chat/completions")
            self.send_header("content-length", "0")
            self.end_headers()
        elif asked in (ECHO, 16):
            said = ("." * 1986 if asked == ECHO else "") + str(self.headers)
            self.send_response(401)
            self.end_headers()
            self.wfile.write(said.encode())
        elif asked == TEXT_CODE:
            error = {"code": "rate_limit_exceeded", "message": "slow down"}
            self.stream([{"error": error}])
        else:
            counted = {ABSURD: 10**30, TOO_MANY: 1_000_000}.get(asked, asked)
            words: list[dict[str, Any]] = [
                {"choices": [{"delta": {"content": " tide"}, "finish_reason": None}]}
                for _ in range(asked)
            ]
            words.append({"choices": [{"delta": {}, "finish_reason": "length"}]})
            usage = {"prompt_tokens": 32, "completion_tokens": counted, "total_tokens": 64}
            self.stream([*words, {"choices": [], "usage": usage}])

    def stream(self, events: list[dict[str, Any]]) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        for event in events:
            self.wfile.write(f"data: {json.dumps(event)}\n\n".encode())
        self.wfile.write(b"data: [DONE]\n\n")

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture(scope="module")
def hostile() -> Iterator[str]:
    Hostile.seen_elsewhere = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hostile)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


@dataclass
class Told:
    raw: CellRaw
    metrics: CellMetrics
    kept: bytes


@pytest.fixture(scope="module")
async def told(hostile: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Told]:
    directory = tmp_path_factory.mktemp("hostile")
    build_tokenizer(directory / "tokenizer")
    engine = find("genai-bench", load_config(os.environ, directory).engines)
    plan = load_plan(PLAN.format(url=hostile, tokenizer=directory / "tokenizer"))
    found = {}
    async with EngineSession(
        engine, plan, cells(plan), directory=directory / "work", secrets=LENT, seed=1
    ) as session:
        for cell in cells(plan):
            attempt = await session.measure(cell)
            raw = engine.read(attempt.files, attempt.context)
            kept = b"".join(map(Redactor(LENT.values()).data, attempt.files.values()))
            found[cell.scenario] = Told(raw, summarise(raw, task=plan.task), kept)
    return found


def test_a_redirect_is_not_followed(told: dict[str, Told]) -> None:
    assert told["D(32,27)"].metrics.failed_by_class == {"http_redirect": REQUESTS}
    assert Hostile.seen_elsewhere == []


@pytest.mark.parametrize("scenario", ["D(32,41)", "D(32,45)"])
def test_more_tokens_than_were_asked_for_are_not_counted(
    told: dict[str, Told], scenario: str
) -> None:
    cell = told[scenario]
    assert cell.metrics.ok == REQUESTS
    assert cell.metrics.output_tokens is None
    assert cell.metrics.value("output_tput_tok_s") is None
    assert any("more output tokens than were asked for" in note for note in cell.raw.notes)


def test_the_servers_own_words_of_an_error_in_the_stream(told: dict[str, Told]) -> None:
    cell = told["D(32,23)"]
    assert cell.metrics.failed_by_class == {"in_stream": REQUESTS}
    assert "rate_limit_exceeded" in (cell.raw.rows[0].error_message or "")


def test_a_key_sent_back_is_not_kept_not_even_half_of_it(told: dict[str, Told]) -> None:
    cell = told["D(32,22)"]
    assert cell.metrics.failed_by_class == {"http_4xx": REQUESTS}
    assert b"canary-" not in cell.kept


def test_the_cells_after_them_are_measured(told: dict[str, Told]) -> None:
    assert told["D(32,30)"].metrics.ok == REQUESTS
    assert told["D(32,30)"].metrics.output_tokens == 30 * REQUESTS


async def test_a_key_sent_back_to_the_probe_is_in_no_message(hostile: str) -> None:
    plan = load_plan(PLAN.format(url=hostile, tokenizer="/tokenizer"))
    with pytest.raises(EndpointError, match="401") as caught:
        await probe_endpoint(plan, LENT)
    assert "canary-" not in str(caught.value)
    assert caught.value.__cause__ is None


async def test_cells_that_were_over_before_they_were_asked_for_have_their_rows_once(
    tmp_path: Path,
) -> None:
    build_tokenizer(tmp_path / "tokenizer")
    engine = find("genai-bench", load_config(os.environ, tmp_path).engines)
    with simulated_endpoint("--ttft-s", "0", "--tpot-s", "0") as ready:
        text = PLAN.format(url=ready["url"], tokenizer=tmp_path / "tokenizer")
        plan = load_plan(text.replace("concurrency: [1]", "concurrency: [1, 2, 3, 4]"))
        chosen = [cell for cell in cells(plan) if cell.scenario == "D(32,30)"]
        counts = []
        async with EngineSession(
            engine, plan, chosen, directory=tmp_path / "work", secrets=LENT, seed=1
        ) as session:
            for cell in chosen:
                attempt = await session.measure(cell)
                counts.append(len(engine.read(attempt.files, attempt.context).rows))
    assert counts == [REQUESTS] * 4
