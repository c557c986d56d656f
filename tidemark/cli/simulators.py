"""`tidemark simulate`: the world offline, each part a process of its own."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["simulate"]

simulate = typer.Typer(help="The world offline.", no_args_is_help=True)


@simulate.command(
    "endpoint",
    context_settings={
        "allow_extra_args": True,
        "ignore_unknown_options": True,
        "help_option_names": [],
    },
)
def simulate_endpoint(context: typer.Context) -> None:
    """An OpenAI-compatible endpoint whose true latencies are known (--help for its options)."""
    # A process of its own: nothing outside the simulator imports it.
    os.execv(sys.executable, [sys.executable, "-m", "tidemark.simulator.endpoint", *context.args])


@simulate.command(
    "pai",
    context_settings={
        "allow_extra_args": True,
        "ignore_unknown_options": True,
        "help_option_names": [],
    },
)
def simulate_pai(context: typer.Context) -> None:
    """PAI's services with virtual time, a bill and faults on request (--help for its options)."""
    os.execv(sys.executable, [sys.executable, "-m", "tidemark.simulator.pai.server", *context.args])


@simulate.command(
    "oss",
    context_settings={
        "allow_extra_args": True,
        "ignore_unknown_options": True,
        "help_option_names": [],
    },
)
def simulate_oss(context: typer.Context) -> None:
    """Alibaba Cloud OSS with buckets in memory and faults on request (--help for its options)."""
    os.execv(sys.executable, [sys.executable, "-m", "tidemark.simulator.oss.server", *context.args])


@simulate.command("tokenizer")
def simulate_tokenizer(
    directory: Annotated[Path, typer.Argument(help="Where to write it.")],
) -> None:
    """Write a small tokenizer that loads offline."""
    os.execv(sys.executable, [sys.executable, "-m", "tidemark.simulator.tokenizer", str(directory)])
