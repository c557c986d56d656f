"""`tidemark engines`: load engines, each in an environment of its own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from tidemark.config import load_config
from tidemark.errors import TidemarkError

__all__ = ["engines"]

FAILED = 1

engines = typer.Typer(help="Load engines, each in an environment of its own.", no_args_is_help=True)


@engines.command("install")
def install_engine(
    name: Annotated[str, typer.Argument(help="The engine.")] = "genai-bench",
    force: Annotated[bool, typer.Option(help="Install again.")] = False,
) -> None:
    """Install an engine as pinned, and check it."""
    from tidemark.engines.install import install

    install(name, load_config(os.environ, Path.cwd()).engines, say=typer.echo, force=force)


@engines.command("check")
def check_engine(
    name: Annotated[str, typer.Argument(help="The engine.")] = "genai-bench",
) -> None:
    """Compare the installed engine with what was pinned and with the options that are passed."""
    from tidemark.engines.install import check

    problems = check(name, load_config(os.environ, Path.cwd()).engines)
    for problem in problems:
        typer.echo(problem, err=True)
    if problems:
        raise typer.Exit(FAILED)
    typer.echo(f"{name} is as pinned and knows every option that is passed")


@engines.command("list")
def list_engines() -> None:
    """The engines, and where they are installed."""
    from tidemark.engines.genai_bench import VERSION
    from tidemark.engines.install import find

    root_directory = load_config(os.environ, Path.cwd()).engines
    try:
        python = find("genai-bench", root_directory).python
        typer.echo(f"genai-bench {VERSION}  installed  {Path(python).parent.parent}")
    except TidemarkError:
        typer.echo(f"genai-bench {VERSION}  not installed  (tidemark engines install genai-bench)")
