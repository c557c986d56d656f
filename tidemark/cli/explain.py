"""What a code, status, event or error text means, printed."""

from __future__ import annotations

import json
import re
import sys
import textwrap
from collections.abc import Iterator, Sequence

import typer
from rich.console import Console
from rich.text import Text

from tidemark.alibaba.explanations import (
    KINDS,
    LONGEST_TEXT,
    TABLE,
    Explanation,
    explain,
    nearest_names,
    prefix_hint,
)
from tidemark.cli.pai_advice import with_commands

__all__ = ["explain_text"]

UNKNOWN = 1
IN_FULL = 5
"""As many explanations are printed whole; of the others one line each."""
WIDTH = 100
LABEL = 11


def explain_text(words: Sequence[str], *, as_json: bool) -> int:
    """Print what is known about the words, joined, or `-` for standard input; without any, kinds.

    Returns the exit status: 1 if nothing is known.
    """
    if not words:
        _print_kinds(as_json=as_json)
        return 0
    text = _standard_input() if list(words) == ["-"] else " ".join(words)
    found = explain(text)
    near = () if found else nearest_names(text)
    hint = None if found else prefix_hint(text)
    if as_json:
        document = {
            "found": [entry.document() for entry in found],
            "did_you_mean": list(near),
            "hint": hint,
        }
        typer.echo(json.dumps(document, indent=2))
    elif found:
        of_a_kind = " ".join(text.split()).casefold() in map(str.casefold, KINDS)
        _print(found, whole=0 if of_a_kind else IN_FULL)
    else:
        for line in _unknown(text, near, hint):
            typer.echo(line, err=True)
    return 0 if found else UNKNOWN


def _standard_input() -> str:
    """As much as is read of it: of an endless or very long one the beginning and the end."""
    # Every character has at most four bytes, so that what is cut is never what would be read.
    bound = 8 * LONGEST_TEXT
    kept = bytearray()
    while chunk := sys.stdin.buffer.read(1 << 20):
        kept += chunk
        if len(kept) > 2 * bound:
            kept = kept[:bound] + b"\n" + kept[-bound:]
    return kept.decode("utf-8", "replace")


def _print(found: Sequence[Explanation], *, whole: int) -> None:
    console = Console(highlight=False)
    for place, entry in enumerate(found[:whole]):
        if place:
            console.print()
        console.print(Text.assemble((entry.name, "bold"), "  ", (entry.kind, "dim")))
        for line in _lines(entry):
            console.print(Text(line), soft_wrap=True)
    if found[whole:] and whole:
        console.print("\nalso:")
    for entry in found[whole:]:
        console.print(
            Text.assemble((entry.name, "bold"), "  ", (entry.kind, "dim"), f"  {entry.meaning}"),
            soft_wrap=True,
        )


def _lines(entry: Explanation) -> Iterator[str]:
    yield from _labelled("", (entry.meaning,))
    yield from _labelled("because", entry.causes)
    of_job = entry.kind.startswith("DLC ")
    yield from _labelled("do", [with_commands(one, of_job=of_job) for one in entry.remedies])
    yield from _labelled("ask again", (entry.retry,))
    if entry.billed:
        yield from _labelled("billed", (entry.billed,))
    for link in entry.links:
        yield f"  {'see' if link == entry.links[0] else '':<{LABEL}}{link}"


def _labelled(label: str, sentences: Sequence[str]) -> Iterator[str]:
    """The sentences, wrapped, after a label; numbered if they are several."""
    for number, sentence in enumerate(sentences, 1):
        head = f"  {label if number == 1 else '':<{LABEL}}" if label else "  "
        mark = f"{number}. " if len(sentences) > 1 else ""
        yield from textwrap.wrap(
            sentence,
            WIDTH,
            initial_indent=head + mark,
            subsequent_indent=" " * len(head + mark),
            break_long_words=False,
            break_on_hyphens=False,
        )


def _unknown(text: str, near: Sequence[str], hint: str | None) -> Iterator[str]:
    yield f"nothing is known about {_shown(text)}"
    if near:
        yield f"did you mean {', '.join(near)}?"
    if hint:
        yield f"by its form: {hint}"
    if not near and not hint:
        yield ("paste the whole line of the error or event, or see what is known: tidemark explain")


def _shown(text: str) -> str:
    """The code, if it is sure to be one: what may be a key, or steer a terminal, is not repeated.

    A code is made of words; keys have digits, or change between small and capital letters.
    """
    code = text.strip()
    words = re.findall(r"[A-Z]*[a-z]+|[A-Z]+", code)
    if re.fullmatch(r"[A-Za-z]+(?:\.[A-Za-z]+){0,4}", code) and len(code) <= 64:
        longest = max(map(len, words))
        if len(code) <= 16 or (len(code) / len(words) >= 4 and longest <= 16):
            return code
    return code if re.fullmatch(r"-?[0-9]{1,4}", code) else "this text"


def _print_kinds(*, as_json: bool) -> None:
    names = {
        kind: list(dict.fromkeys(entry.name for entry in TABLE if entry.kind == kind))
        for kind in KINDS
    }
    if as_json:
        document = [
            {"kind": kind, "where": where, "names": names[kind]} for kind, where in KINDS.items()
        ]
        typer.echo(json.dumps({"kinds": document}, indent=2))
        return
    console = Console(highlight=False)
    for kind, where in KINDS.items():
        console.print(Text.assemble((kind, "bold"), f"  {where}"), soft_wrap=True)
        listed = ", ".join(names[kind])
        for line in textwrap.wrap(
            listed, WIDTH, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False
        ):
            console.print(Text(line), soft_wrap=True)
    console.print()
    console.print(
        Text(f"tidemark explain NAME explains one of these {len(TABLE)}, or any pasted text.")
    )
