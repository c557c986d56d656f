"""What kinds of stores there are, what each guarantees, and what it can be told."""

from __future__ import annotations

import json
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tidemark.errors import ConfigError
from tidemark.plan.problems import did_you_mean
from tidemark.plan.store_parameters import PARAMETERS, Parameter
from tidemark.results.locations import FORMS
from tidemark.results.providers.provider import PROVIDERS

__all__ = ["show_kinds"]


def show_kinds(kind: str | None, *, as_json: bool) -> None:
    """Print all kinds of stores, or one with all that it can be told. Raises ConfigError."""
    if kind is not None:
        kind = kind.partition(":")[0].lower()
        if kind not in PROVIDERS:
            raise ConfigError(
                f"no store is called {kind}://", "KIND", did_you_mean(kind, PROVIDERS)
            )
    if as_json:
        wanted = [kind] if kind else [*PROVIDERS]
        typer.echo(json.dumps([_document(one) for one in wanted], indent=2))
    elif kind is None:
        _print_all(Console(highlight=False))
    else:
        _print_one(Console(highlight=False), kind)


def _print_all(console: Console) -> None:
    for kind, provider in PROVIDERS.items():
        extra = f"  (extra {provider.extra})" if provider.extra else ""
        console.print(f"[bold]{escape(FORMS[kind])}[/]{extra}")
        facts = {
            "created once by": provider.exclusive_create,
            "encryption": provider.encryption,
            "weaker": provider.weaker,
        }
        _print_facts(console, facts)
    console.print("what one of them can be told: tidemark store kinds KIND", style="dim")


def _print_facts(console: Console, facts: dict[str, str | None]) -> None:
    for name, value in facts.items():
        if value:
            console.print(f"  {name:16} {escape(value)}", soft_wrap=True)


def _print_one(console: Console, kind: str) -> None:
    provider = PROVIDERS[kind]
    facts = {
        "location": FORMS[kind],
        "needs": provider.extra and f"pip install 'tidemark[{provider.extra}]'",
        "created once by": provider.exclusive_create,
        "encryption": provider.encryption,
        "weaker": provider.weaker,
    }
    console.print(provider.title, style="bold")
    _print_facts(console, facts)
    if not PARAMETERS[kind]:
        return
    table = Table(box=None, pad_edge=False)
    for title in ("option", "in a BenchmarkJob", "meaning"):
        table.add_column(title, overflow="fold")
    for one in PARAMETERS[kind]:
        table.add_row(one.name, one.also or one.name, escape(_meaning(one)))
    console.print("", table)


def _meaning(parameter: Parameter) -> str:
    choices = f" ({', '.join(parameter.choices)})" if parameter.choices else ""
    how = {"secret": "; a reference", "key id": "; itself, or a reference", "option": ""}
    return f"{parameter.meaning}{choices}{how[parameter.kind]}"


def _document(kind: str) -> dict[str, Any]:
    provider = PROVIDERS[kind]
    return {
        "kind": kind,
        "title": provider.title,
        "location": FORMS[kind],
        "extra": provider.extra,
        "exclusive_create": provider.exclusive_create,
        "encryption": provider.encryption,
        "weaker": provider.weaker,
        "parameters": [
            {
                "name": one.name,
                "in_benchmark_job": one.also or one.name,
                "kind": one.kind,
                "choices": [*one.choices],
                "meaning": one.meaning,
            }
            for one in PARAMETERS[kind]
        ],
    }
