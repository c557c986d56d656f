"""Cells made by hand: closed loops whose truth is known, for the tests of results."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from tidemark.results.floor import Floor, FloorStat
from tidemark.results.requests import CellRaw, RequestRow, Window


@dataclass(frozen=True)
class Limits:
    max_time_s: float = 600.0
    stall_timeout_s: float = 60.0
    drain_s: float = 30.0


@dataclass(frozen=True)
class Plan:
    limits: Limits = field(default_factory=Limits)
    max_error_rate: float = 0.01
    token_counts: str = "server"


@dataclass(frozen=True)
class Cell:
    concurrency: int = 4
    task: str = "text-to-text"


@dataclass(frozen=True)
class Slo:
    ttft_s: float | None = None
    tpot_s: float | None = None
    e2e_s: float | None = None


def answer(
    request_idx: int,
    start_s: float,
    first_token_s: float | None,
    end_s: float,
    output_tokens: int = 10,
    input_tokens: int = 100,
    token_source: str | None = "server",
) -> RequestRow:
    """An answered request whose durations are those of its times."""
    return RequestRow(
        request_idx=request_idx,
        start_s=start_s,
        first_token_s=first_token_s,
        end_s=end_s,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        reasoning_tokens=0,
        token_source=token_source,
        ttft_s=None if first_token_s is None else first_token_s - start_s,
        e2e_s=end_s - start_s,
    )


def failure(
    request_idx: int,
    start_s: float | None = None,
    end_s: float | None = None,
    error_class: str = "http_5xx",
    error_code: int | None = 500,
    message: str = "boom",
) -> RequestRow:
    return RequestRow(
        request_idx=request_idx,
        start_s=start_s,
        end_s=end_s,
        status="failed",
        error_class=error_class,
        error_code=error_code,
        error_message=message,
    )


def closed_loop(
    users: int = 4,
    each: int = 20,
    *,
    ttft_s: float = 0.5,
    tpot_s: float = 0.05,
    output_tokens: int = 11,
    gap_s: float = 0.0,
    client_s: float = 0.0,
    jitter: float = 0.1,
    seed: int = 7,
) -> CellRaw:
    """`users` that start spread over one service time and send `each` requests, one by one.

    `client_s` is added to ttft by the client, `gap_s` passes between two requests of a user;
    `jitter` varies ttft by up to that part. The window runs until the first user stops sending.
    """
    rng = random.Random(seed)
    service_s = ttft_s + client_s + tpot_s * (output_tokens - 1)
    rows: list[RequestRow] = []
    last_starts = []
    for user in range(users):
        now = user / users * service_s
        for _ in range(each):
            first = now + ttft_s * (1 + jitter * rng.random()) + client_s
            end = first + tpot_s * (output_tokens - 1)
            rows.append(answer(len(rows), now, first, end, output_tokens))
            last_start, now = now, end + gap_s
        last_starts.append(last_start)
    return CellRaw(
        rows=tuple(rows),
        window=Window((users - 1) / users * service_s, min(last_starts)),
        wall_s=max(row.end_s or 0.0 for row in rows),
        client_cpu_p95=0.2,
        loop_lag_p50_s=0.0005,
        loop_lag_p99_s=0.002,
    )


FLOOR_STATS = ("mean", "p50", "p90", "p95", "p99", "p10", "p05", "p01")


def made(
    ttft_s: float = 0.0,
    tpot_s: float = 0.0,
    e2e_s: float = 0.0,
    *,
    noise_s: float = 0.0,
    concurrency: int = 4,
    request_rate_rps: float | None = 100.0,
    loop_lag_p50_s: float | None = 0.001,
    loop_lag_p99_s: float | None = 0.004,
) -> Floor:
    def everywhere(value: float) -> dict[str, FloorStat]:
        return {name: FloorStat(value, value - noise_s, value + noise_s) for name in FLOOR_STATS}

    return Floor(
        ttft_s=everywhere(ttft_s),
        tpot_s=everywhere(tpot_s),
        e2e_s=everywhere(e2e_s),
        n=1000,
        scenario="D(100,100)",
        concurrency=concurrency,
        request_rate_rps=request_rate_rps,
        loop_lag_p50_s=loop_lag_p50_s,
        loop_lag_p99_s=loop_lag_p99_s,
        measured_at="2025-01-01T00:00:00Z",
        machine="test",
        engine="genai-bench 0.0.5",
    )


def renumbered(rows: Iterable[RequestRow]) -> tuple[RequestRow, ...]:
    return tuple(replace(row, request_idx=index) for index, row in enumerate(rows))
