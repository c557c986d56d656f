"""What a load engine did, request by request: the contract between engines and results.

An engine's reader turns raw output into one `CellRaw`; everything that is later said about
the cell is computed from it and from nothing else. Times are seconds on the cell's own clock,
whose zero is the moment the cell's first user was started.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = [
    "ABORTED",
    "FAILED",
    "OK",
    "STATUSES",
    "TIMEOUT",
    "TOKENS_FROM_SERVER",
    "TOKENS_FROM_TOKENIZER",
    "CellRaw",
    "Failure",
    "RequestRow",
    "Window",
]

OK = "ok"
FAILED = "failed"
ABORTED = "aborted"
STATUSES = (OK, FAILED, ABORTED)

TIMEOUT = "timeout"
"""The error class of a request that the server accepted and then left without a byte."""

TOKENS_FROM_SERVER = "server"
TOKENS_FROM_TOKENIZER = "tokenizer"


@dataclass(frozen=True, slots=True)
class RequestRow:
    """One request as the client saw it.

    `start_s`, `first_token_s` and `end_s` are None where the engine gave no times or the event
    never came. `first_token_s` is the first content or reasoning chunk, and None when the answer
    was not streamed. `status` is "ok", "failed" or "aborted": cut off by the client because the
    cell ended, hence not an attempt. `error_message` is redacted and at most 500 characters.
    `ttft_s` and `e2e_s` are as the engine measured them, from the actual send.
    """

    request_idx: int
    start_s: float | None = None
    first_token_s: float | None = None
    end_s: float | None = None
    status: str = OK
    error_class: str | None = None
    error_code: int | None = None
    error_message: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    token_source: str | None = None
    ttft_s: float | None = None
    e2e_s: float | None = None

    @property
    def tpot_s(self) -> float | None:
        """Seconds per output token after the first; None below two tokens or untimed."""
        if self.output_tokens is None or self.output_tokens < 2:
            return None
        if self.ttft_s is None or self.e2e_s is None:
            return None
        return (self.e2e_s - self.ttft_s) / (self.output_tokens - 1)


@dataclass(frozen=True, slots=True)
class Window:
    """The span in which the load was as asked: all users started, none yet told to stop."""

    start_s: float
    end_s: float

    @property
    def length_s(self) -> float:
        """Seconds between the edges; not positive when the load was never as asked."""
        return self.end_s - self.start_s


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an engine never delivered a cell.

    `error_class` is a word of `advice.py` or the engine's own, `evidence` what was seen
    (redacted), `advice` what to do about it.
    """

    error_class: str
    evidence: str
    advice: str


@dataclass(frozen=True, slots=True)
class CellRaw:
    """One attempt at a cell, as an engine's reader gives it.

    `window` is None when the engine gave no times. `wall_s` runs from the first user's start to
    the end of the last request. `engine_claims` are the engine's own aggregates, kept as evidence;
    its durations are in `engine_claims_unit` ("s" or "ms"). `client_cpu_p95` is a fraction of one
    core, the 95th percentile of samples of the engine process. The loop lags say how late the
    client's event loop woke. `notes` is what the reader noticed; `failure` is set when the engine
    never delivered the cell.
    """

    rows: tuple[RequestRow, ...] = ()
    window: Window | None = None
    wall_s: float | None = None
    engine_claims: Mapping[str, float | int | str | None] = field(default_factory=dict)
    engine_claims_unit: str = "s"
    client_cpu_p95: float | None = None
    loop_lag_p50_s: float | None = None
    loop_lag_p99_s: float | None = None
    notes: tuple[str, ...] = ()
    failure: Failure | None = None
