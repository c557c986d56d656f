"""A quote says what a run costs, never less than it does, and reads well."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from money_builders import NOW, PLAN_HASH, price, quote

from tidemark.errors import LedgerError, RefusedError
from tidemark.money.quote import Quote
from tidemark.money.quote_text import quote_lines, quote_markdown


def page(of: Quote, **more: str) -> str:
    given = {
        "plan_name": "nightly",
        "job_type": "PyTorchJob",
        "command_or_sweep": "python train.py",
        **more,
    }
    return quote_markdown(of, **given)


def test_the_plan_is_whole_in_a_terminal_and_short_in_a_table_that_has_to_fit() -> None:
    asked = quote()
    assert ("Plan", asked.plan_hash) in quote_lines(asked)
    assert f"| Plan | {asked.plan_hash[:12]} |" in page(asked)
    assert asked.plan_hash not in page(asked)


def test_costs_are_of_all_machines_and_rounded_up() -> None:
    asked = quote(workers=3, price=price("0.17"), expected_s=100, bound_s=7201, poll_s=30)
    assert asked.per_hour == Decimal("0.51")
    assert asked.expected == Decimal("0.014167")  # 0.0141666…
    assert asked.bound == Decimal("1.020142")  # 1.02014166…
    assert asked.overshoot == Decimal("0.00425")
    assert asked.unwatched == Decimal("0.1275")
    assert asked.currency == "CNY"


def test_without_a_price_there_is_no_cost_and_never_zero() -> None:
    asked = quote(price=price(None))
    costs = (asked.per_hour, asked.expected, asked.bound, asked.overshoot, asked.unwatched)
    assert (*costs, asked.currency) == (None,) * 6


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"per_hour": Decimal(0)}, "is not above 0"),
        ({"per_hour": Decimal(-1)}, "is not above 0"),
        ({"per_hour": Decimal("NaN")}, "is not above 0"),
        ({"currency": None}, "has no currency"),
        ({"currency": "yuan"}, "has no currency"),
        ({"per_hour": None, "reason": None}, "neither a price nor a reason"),
        ({"read_at": NOW.replace(tzinfo=None)}, "has no time zone"),
    ],
)
def test_what_is_no_price_is_refused(more: dict[str, Any], message: str) -> None:
    with pytest.raises(RefusedError, match=message):
        price(**more)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"workers": 0}, "is for no machine"),
        ({"mode": "private"}, "private is no mode"),
        ({"poll_s": float("inf")}, "poll_s is no duration"),
        ({"unwatched_s": -1.0}, "unwatched_s is no duration"),
        ({"expected_s": 4000.0}, "expected to last longer than it may"),
        ({"quoted_at": NOW.replace(tzinfo=None)}, "times without a zone"),
    ],
)
def test_what_is_no_quote_is_refused(more: dict[str, Any], message: str) -> None:
    with pytest.raises(RefusedError, match=message):
        quote(**more)


def test_a_quote_holds_until_it_expires() -> None:
    asked = quote()
    assert not asked.expired(asked.expires_at)
    assert asked.expired(asked.expires_at + timedelta(seconds=1))


@pytest.mark.parametrize(
    "of", [quote(notes=("a", "好"), details={"a": [1]}), quote(mode="quota", price=price(None))]
)
def test_a_quote_survives_being_written_as_json(of: Quote) -> None:
    assert Quote.from_document(json.loads(json.dumps(of.document(), allow_nan=False))) == of


@pytest.mark.parametrize("damage", ["price", "workers", "quoted_at", "surprise"])
def test_a_damaged_quote_is_none(damage: str) -> None:
    document = quote().document()
    if damage in document:
        del document[damage]
    else:
        document[damage] = 1
    with pytest.raises(LedgerError, match="is no quote"):
        Quote.from_document(document)


def test_the_page_has_every_number_of_the_quote() -> None:
    asked = quote(notes=("The image has 9 GB.",))
    said = page(asked)
    for number in (
        "2 × ecs.gn7i-c8g1.2xlarge (8 vCPU, 30 GiB, 1 × NVIDIA A10 24 GiB)",
        "3.60 CNY an hour",  # one machine
        "7.20 CNY an hour",  # both
        "**2 CNY** expected, **7.20 CNY** at most",
        "up to 0.18 CNY (90 s)",  # until it has stopped
        "up to 1.80 CNY (15 min)",  # if this machine dies
        "16 min 40 s",
        "stopped after 1 h at the latest",
        "ECS DescribePrice (2014-05-26), cn-hangzhou, read 2026-11-22 18:00:00+00:00",
        "After 2026-11-22 18:30:00+00:00 the price is read and you are asked again",
        PLAN_HASH[:12],
        "run-1-q1",
        "PyTorchJob",
        "python train.py",
        "The image has 9 GB.",
        "**Approve**: 7.20 CNY are reserved",
        "**Reject**: nothing is created",
    ):
        assert number in said, number
    for label, value in quote_lines(asked):
        if label != "Plan":
            assert f"| {label} | {value} |" in said


def test_other_machines_are_shown_where_there_are_any() -> None:
    assert "Other machines" not in page(quote())
    assert "### Other machines\n\n| a |" in page(quote(), alternatives_markdown="| a |\n|---|\n")


def test_a_missing_price_is_told_with_its_reason_and_cannot_be_approved() -> None:
    said = page(quote(price=price(None)))
    assert "**The price is not known**: ECS answered without a price." in said
    assert "**Approve** is not possible without a price" in said
    assert ("Price", "not known: ECS answered without a price") in quote_lines(
        quote(price=price(None))
    )
    assert "0 CNY" not in said


def test_a_quota_is_said_to_cost_the_same_anyway() -> None:
    free = price(None, reason="a quota is paid for as a whole")
    said = page(quote(mode="quota", spec="quota1", machine="8 vCPU of quota1", price=free))
    assert "**No price of its own**: a quota is paid for as a whole." in said
    assert "No sum is reserved, since the quota costs the same anyway" in said


def test_a_spot_machine_is_said_to_go_away() -> None:
    assert "may be taken back" in page(quote(mode="spot"))


def test_text_of_others_cannot_break_the_page() -> None:
    nasty = replace(quote(), machine="a | b\n## c <script> `x`")
    said = page(nasty, command_or_sweep="echo '```'\n# not a heading", plan_name="*x*")
    assert "a \\| b \\#\\# c \\<script\\> \\`x\\`" in said
    assert "````\necho '```'\n# not a heading\n````" in said
    assert said.startswith("## What \\*x\\* will cost\n")
