"""What can be looked up about kinds of stores before one is used."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tidemark.plan.store_parameters import PARAMETERS
from tidemark.results.locations import FORMS
from tidemark.results.providers.provider import PROVIDERS

Command = Callable[..., Any]
README = Path(__file__).parent.parent.parent / "README.md"


def test_every_kind_is_shown_with_how_it_is_written(command: Command) -> None:
    shown = " ".join(command("store", "kinds").out.split())
    for form in FORMS.values():
        assert form in shown
    assert "a release takes 1,000 files" in shown
    documents = json.loads(command("store", "kinds", "--json").out)
    assert {one["kind"] for one in documents} == set(FORMS) == set(PROVIDERS) == set(PARAMETERS)


@pytest.mark.parametrize("kind", [*PROVIDERS])
def test_one_kind_is_shown_with_all_that_it_can_be_told(command: Command, kind: str) -> None:
    shown = command("store", "kinds", kind).out
    for one in PARAMETERS[kind]:
        assert one.name in shown
        assert (one.also or "") in shown
    if extra := PROVIDERS[kind].extra:
        assert f"tidemark[{extra}]" in shown
    assert command("store", "kinds", f"{kind}://").out == shown


def test_a_kind_with_a_typo_is_told_the_nearest(command: Command) -> None:
    said = command("store", "kinds", "osss")
    assert said.status == 2
    assert "Did you mean oss?" in said.err


def test_the_readme_says_what_each_kind_does() -> None:
    text = README.read_text("utf-8")
    for kind, provider in PROVIDERS.items():
        assert FORMS[kind] in text, kind
        if provider.extra:
            assert f"`{provider.extra}`" in text, kind
