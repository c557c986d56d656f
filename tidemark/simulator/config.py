"""How an endpoint is set up: one frozen value, from the command line or from code."""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

from tidemark.errors import ConfigError
from tidemark.simulator.faults import FAULTS_HELP, FaultRule, rule_from_text
from tidemark.simulator.latency import LatencyModel, LatencyModelName

# Never recorded: what these carry is a secret.
_SECRET_HEADERS = frozenset(
    ("authorization", "proxy-authorization", "cookie", "api-key", "x-api-key")
)


@dataclass(frozen=True, slots=True)
class EndpointConfig:
    """What an endpoint does. Raises ConfigError for what makes no sense.

    port: 0 lets the system choose. latency: the true latencies. tokens_per_chunk:
    tokens per event of a stream. reasoning_tokens: how many of a chat answer's
    first tokens are reasoning. default_output_tokens: the length when a client
    names none. served_model: the only model answered for; None answers for any.
    tokenizer: a directory whose tokenizer.json counts prompts; None estimates by
    words. api_key_env: the variable that holds the key clients must show.
    record: the file for the record, appended to. record_headers: request headers
    to keep with it. max_seconds: after so long the endpoint ends by itself.
    parent_pid: it ends when this process does. created: Unix time of the model.
    """

    host: str = "127.0.0.1"
    port: int = 0
    latency: LatencyModel = field(default_factory=LatencyModel)
    tokens_per_chunk: int = 1
    reasoning_tokens: int = 0
    default_output_tokens: int = 128
    max_output_tokens: int = 131_072
    served_model: str | None = None
    tokenizer: Path | None = None
    api_key_env: str | None = None
    record: Path | None = None
    record_headers: tuple[str, ...] = ()
    flush_s: float = 0.5
    faults: tuple[FaultRule, ...] = ()
    max_body_bytes: int = 32 * 1024 * 1024
    max_seconds: float = 3600.0
    parent_pid: int | None = None
    created: float = field(default_factory=time.time)

    def __post_init__(self) -> None:
        model = self.latency
        if model.name not in get_args(LatencyModelName):
            allowed = ", ".join(get_args(LatencyModelName))
            raise ConfigError(f"unknown model {model.name!r}", "--model", f"Use one of {allowed}")
        for option, value, least in (
            ("--port", self.port, 0),
            ("--ttft-s", model.ttft_s, 0),
            ("--tpot-s", model.tpot_s, 0),
            ("--slots", model.slots, 1),
            ("--tokens-per-chunk", self.tokens_per_chunk, 1),
            ("--reasoning-tokens", self.reasoning_tokens, 0),
            ("--default-output-tokens", self.default_output_tokens, 1),
            ("--max-output-tokens", self.max_output_tokens, 1),
            ("--max-body-bytes", self.max_body_bytes, 1),
            ("--flush-s", self.flush_s, 0.01),
            ("--max-seconds", self.max_seconds, 0.01),
            ("--parent-pid", 1 if self.parent_pid is None else self.parent_pid, 1),
        ):
            if not math.isfinite(value) or value < least:
                raise ConfigError(f"{value} is not possible", option, f"Give at least {least}")
        for option, value in (
            ("--ttft-jitter", model.ttft_jitter),
            ("--tpot-jitter", model.tpot_jitter),
        ):
            if not 0 <= value < 1:
                raise ConfigError(f"{value} is not possible", option, "Give 0 to below 1")
        if not (math.isfinite(model.knee) and model.knee > 0):
            raise ConfigError(f"{model.knee} is not possible", "--knee", "Give more than 0")
        for name in self.record_headers:
            if name.lower() in _SECRET_HEADERS:
                raise ConfigError(
                    f"`{name}` holds a secret", "--record-header", "Record another header"
                )


class _Formatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Defaults in the help of options, and the notation of faults as it is written."""


def parser() -> argparse.ArgumentParser:
    """The command line of `tidemark simulate endpoint`."""
    result = argparse.ArgumentParser(
        prog="tidemark simulate endpoint",
        description="An OpenAI-compatible endpoint whose true latencies are known. "
        "Prints one JSON line {url, port, pid} when it is ready.",
        formatter_class=_Formatter,
        epilog=FAULTS_HELP,
    )
    add = result.add_argument
    add("--host", default="127.0.0.1")
    add("--port", type=int, default=0, help="0 lets the system choose")
    add("--model", choices=get_args(LatencyModelName), default="fixed", help="latencies by load")
    add("--ttft-s", type=float, default=0.05, help="true time to first token, seconds")
    add("--tpot-s", type=float, default=0.005, help="true time per output token, seconds")
    add("--slots", type=int, default=8, help="queueing: how many requests run at once")
    add("--knee", type=float, default=32.0, help="degrading: others in flight that double both")
    add("--ttft-jitter", type=float, default=0.0, help="relative half-width per request")
    add("--tpot-jitter", type=float, default=0.0, help="relative half-width per request")
    add("--seed", type=int, default=0, help="of jitter and of faults by probability")
    add("--tokens-per-chunk", type=int, default=1)
    add("--reasoning-tokens", type=int, default=0)
    add("--default-output-tokens", type=int, default=128, help="when a client names no length")
    add("--max-output-tokens", type=int, default=131_072)
    add("--served-model", help="answer for this model only")
    add("--tokenizer", type=Path, help="directory whose tokenizer.json counts prompts")
    add("--api-key-env", help="variable that holds the key clients must show")
    add("--record", type=Path, help="file to append one JSON line per request to")
    add("--record-header", action="append", default=[], help="request header to record")
    add("--flush-s", type=float, default=0.5, help="how often the record is written")
    add("--fault", action="append", default=[], help='such as "status=429 when every=10"')
    add("--max-body-bytes", type=int, default=32 * 1024 * 1024)
    add("--max-seconds", type=float, default=3600.0, help="end by itself after so long")
    add("--parent-pid", type=int, help="end when this process does")
    return result


def config_from_arguments(arguments: Sequence[str]) -> EndpointConfig:
    """Read the command line. Raises ConfigError; wrong options exit as argparse does."""
    given = parser().parse_args(arguments)
    return EndpointConfig(
        host=given.host,
        port=given.port,
        latency=LatencyModel(
            name=given.model,
            ttft_s=given.ttft_s,
            tpot_s=given.tpot_s,
            slots=given.slots,
            knee=given.knee,
            ttft_jitter=given.ttft_jitter,
            tpot_jitter=given.tpot_jitter,
            seed=given.seed,
        ),
        tokens_per_chunk=given.tokens_per_chunk,
        reasoning_tokens=given.reasoning_tokens,
        default_output_tokens=given.default_output_tokens,
        max_output_tokens=given.max_output_tokens,
        served_model=given.served_model,
        tokenizer=given.tokenizer,
        api_key_env=given.api_key_env,
        record=given.record,
        record_headers=tuple(name.lower() for name in given.record_header),
        flush_s=given.flush_s,
        faults=tuple(rule_from_text(text) for text in given.fault),
        max_body_bytes=given.max_body_bytes,
        max_seconds=given.max_seconds,
        parent_pid=given.parent_pid,
    )
