"""A measured attempt to store, and a server that speaks S3."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tidemark.plan.cells import Cell, cells
from tidemark.plan.sweep import SweepPlan, plan_hash
from tidemark.results.layout import attempt_id
from tidemark.results.proof import measured_metrics, proved_row
from tidemark.results.record import record_of
from tidemark.results.requests import CellRaw, RequestRow, Window
from tidemark.results.rows import (
    AttemptContext,
    Harness,
    Row,
    RunContext,
    TimelinePoint,
)
from tidemark.results.store import Attempt

S3_SERVER = Path(__file__).parent / "s3_server.py"
MEASURED_AT = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)


@pytest.fixture
def plan() -> SweepPlan:
    return SweepPlan.model_validate(
        {
            "name": "nightly",
            "endpoint": {
                "url": "http://service:8080",
                "model": "org/model=7b",
                "api_key": "env:SERVICE_API_KEY",
            },
            "scenarios": ["D(100,100)"],
            "concurrency": [1, 4],
            "tokenizer": "/models/tokenizer",
            "slo": {"ttft_s": 0.1},
        }
    )


@pytest.fixture
def run(plan: SweepPlan) -> RunContext:
    return RunContext(
        run_id="run-1",
        round="2026-11-21",
        plan=plan,
        plan_hash=plan_hash(plan),
        created_at=MEASURED_AT,
        harness=Harness(tidemark_version="0.1.0", python_version="3.11.7"),
        requested_by="night watch",
    )


def requests_of(count: int) -> tuple[RequestRow, ...]:
    """Four users, half a second per answer, one request in fifty refused."""
    return tuple(
        RequestRow(
            index,
            start_s=index * 0.125,
            end_s=index * 0.125 + 0.01,
            status="failed",
            error_class="http_429",
            error_code=429,
            error_message="slow down",
        )
        if index % 50 == 49
        else RequestRow(
            index,
            start_s=index * 0.125,
            first_token_s=index * 0.125 + 0.05,
            end_s=index * 0.125 + 0.5,
            input_tokens=100,
            output_tokens=100,
            token_source="server",
            ttft_s=0.05,
            e2e_s=0.5,
        )
        for index in range(count)
    )


@pytest.fixture
def raw() -> CellRaw:
    return CellRaw(
        rows=requests_of(200),
        window=Window(0.5, 25.0),
        wall_s=25.5,
        engine_claims={"run_duration": 25.5, "error_rate": 0.0, "mean": float("nan")},
        client_cpu_p95=0.1,
        notes=("one line of the log could not be read",),
    )


@pytest.fixture
def cell(plan: SweepPlan) -> Cell:
    return cells(plan)[1]


@pytest.fixture
def make_context(run: RunContext, cell: Cell) -> Callable[..., AttemptContext]:
    """Makes a try at the cell: make_context(try_idx)."""

    def make(try_idx: int = 0) -> AttemptContext:
        return AttemptContext(
            cell=cell,
            attempt_id=attempt_id(run.run_id, cell.repeat_idx, try_idx),
            created_at=MEASURED_AT,
            started_at=MEASURED_AT,
            try_idx=try_idx,
            reproduce="tidemark sweep plan.yaml --cell 1",
        )

    return make


@pytest.fixture
def make_row(
    run: RunContext, make_context: Callable[..., AttemptContext], raw: CellRaw
) -> Callable[..., Row]:
    """Makes the row of a try at the cell: make_row(try_idx)."""

    def make(try_idx: int = 0) -> Row:
        return proved_row(run, make_context(try_idx), raw, measured_metrics(run, raw))

    return make


@pytest.fixture
def make_attempt(
    run: RunContext,
    make_row: Callable[..., Row],
    make_context: Callable[..., AttemptContext],
    raw: CellRaw,
) -> Callable[..., Attempt]:
    """Makes a try at the cell, complete with raw output: make_attempt(try_idx)."""

    def make(try_idx: int = 0) -> Attempt:
        return Attempt(
            row=make_row(try_idx),
            requests=raw.rows,
            raw_files={"run.json": b'{"run": 1}\n', "logs/engine.log": b"INFO ready\n" * 100},
            raw_context={"exit_status": 0},
            record=record_of(run, make_context(try_idx)),
            timeline=(TimelinePoint("server", "running", "1", 0.0, 4.0),),
        )

    return make


class S3Service:
    """moto, in a process of its own that is stopped, killed and paused by its id."""

    def __init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.endpoint_url = f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, empty, and wait until it serves."""
        self.process = subprocess.Popen(
            [sys.executable, str(S3_SERVER), "-H", "127.0.0.1", "-p", str(self.port)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONWARNINGS": "ignore"},
        )
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if b"Running on http" in line:
                break
        else:
            pytest.fail("the S3 server did not start")
        # Nobody reads its log, but a full pipe would stop it.
        self._reader = threading.Thread(target=self.process.stdout.read, daemon=True)
        self._reader.start()

    def stop(self) -> None:
        """End it, also if it is paused; what it held is lost."""
        self.process.kill()
        self.process.wait(timeout=20)
        self._reader.join(timeout=20)
        assert self.process.stdout is not None
        self.process.stdout.close()

    def pause(self) -> None:
        """Let it hang: it is connected to, and never answers."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def create_bucket(self, name: str) -> None:
        self.ask("PUT", f"/{name}")

    def ask(self, method: str, path: str, body: bytes = b"") -> bytes:
        """What it answers to a request of its own interface, or to one without a signature."""
        request = urllib.request.Request(
            self.endpoint_url + path, body, {"Content-Type": "text/plain"}, method=method
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert answer.status == 200
            content: bytes = answer.read()
            return content


@pytest.fixture(scope="session")
def s3_service() -> Iterator[S3Service]:
    service = S3Service()
    service.start()
    yield service
    service.stop()


@pytest.fixture
def s3(s3_service: S3Service, monkeypatch: pytest.MonkeyPatch) -> S3Service:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "made-up-key-id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "made-up-secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    return s3_service
