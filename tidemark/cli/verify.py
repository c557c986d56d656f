"""`tidemark verify`: every row of a store made again from its raw output, and what differs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import Final

import typer
from rich.console import Console
from rich.text import Text

from tidemark.cli.progress import progress
from tidemark.cli.stores import opened
from tidemark.engines.genai_bench import GenaiBench
from tidemark.engines.genai_bench_output import read_pass
from tidemark.results.finding import LEVELS, Finding
from tidemark.results.rebuild import Readers
from tidemark.results.verify import Verification, verify

__all__ = ["READERS_OF_ENGINES", "print_findings", "verify_store"]

READERS_OF_ENGINES: Final[Readers] = {GenaiBench.name: read_pass}

TONES: Final = {"wrong": "bold red", "unverified": "yellow", "rules": "cyan", "note": "dim"}
LISTED: Final = {"wrong": 100, "unverified": 20, "rules": 20, "note": 10}


def verify_store(uri: str, *, run: str | None, as_json: bool, jobs: int | None) -> int:
    """Verify a store, print what was found, and return the exit status."""
    with progress("verifying", "verified", "attempts") as on_progress:
        done = verify(
            partial(opened, uri),
            READERS_OF_ENGINES,
            run=run,
            jobs=jobs,
            on_progress=on_progress,
        )
    if as_json:
        typer.echo(json.dumps(done.document(), indent=2))
        return done.exit_status
    console = Console(highlight=False)
    print_findings(console, done.findings)
    for line in _summary(done):
        console.print(Text(line), soft_wrap=True)
    return done.exit_status


def print_findings(console: Console, findings: tuple[Finding, ...]) -> None:
    """One paragraph for each finding: its weight and place, what it is, in what it differs."""
    for level in LEVELS:
        # Of rows that other rules would judge alike there may be thousands.
        of_level = sorted(
            (found for found in findings if found.level == level),
            key=lambda found: not found.verdict_changes,
        )
        for found in of_level[: LISTED[level]]:
            console.print(
                Text.assemble((f"{level:<11}", TONES[level]), _printable(found.path)),
                soft_wrap=True,
            )
            lines = [f"{found.what}. {found.advice}", *map(str, found.differences)]
            if found.differing > len(found.differences):
                lines.append(f"and {found.differing - len(found.differences)} more")
            for line in lines:
                console.print(Text(f"           {_printable(line)}"), soft_wrap=True)
        left = Counter(found.kind for found in of_level[LISTED[level] :])
        for kind, count in left.items():
            words = f"{count} more: {kind.replace('_', ' ')} (--json lists all)"
            console.print(Text.assemble((f"{level:<11}", TONES[level]), words))


def _summary(done: Verification) -> Iterator[str]:
    yield (
        f"{done.cells} cells, {done.requests} requests and {done.runs} runs are as rebuilt "
        f"from the raw output of {done.attempts} attempts"
    )
    kinds: dict[str, Counter[str]] = {level: Counter() for level in LEVELS}
    for found in done.findings:
        kinds[found.level][found.kind.replace("_", " ")] += 1
    for level in LEVELS:
        if kinds[level]:
            told = ", ".join(f"{kind} {count}" for kind, count in sorted(kinds[level].items()))
            yield f"{level}: {told}"
    changed = sum(found.verdict_changes for found in done.findings)
    if done.count("rules"):
        yield f"{changed} verdicts would be others by today's rules"
    if done.exit_status == 4:
        yield "nothing could be verified"


def _printable(text: str) -> str:
    """What a server or a file said, without what steers a terminal."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)
