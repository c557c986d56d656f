"""What a job would cost: its machine, why that one, and its quote; nothing is created."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tidemark.cli.alibaba_session import Session
from tidemark.cli.job_plans import read_job_plan
from tidemark.cli.printing import console, long_table, print_document, print_facts, say

if TYPE_CHECKING:
    from tidemark.alibaba.account import Account
    from tidemark.alibaba.job_quote import LookUp
    from tidemark.money.quote import Quote

__all__ = ["print_quote", "quote_document", "show_quote"]

_SHOWN = 8
_LATER = ("Run", "Quote")  # which a quote has once it is asked for
_NO_RUN = "none"


def show_quote(session: Session, file: str, *, store: str | None, as_json: bool) -> int:
    """Look up the machine for a plan, and print what it would cost. Returns the exit status: 1
    where there is no price, and it is not a quota's."""
    from tidemark.alibaba.job_quote import look_up, quote_job
    from tidemark.plan.sweep import plan_hash

    plan = read_job_plan(file, store)

    async def ask(account: Account) -> tuple[LookUp, Quote]:
        found = await look_up(account, plan, clock=account.clock)
        quote = quote_job(
            plan,
            found,
            run_id=_NO_RUN,
            number=1,
            plan_hash=plan_hash(plan),
            now=datetime.fromtimestamp(account.clock.time(), UTC),
        )
        return found, quote

    found, quote = session.run(ask)
    if as_json:
        document = quote_document(quote)
        for name in ("run_id", "quote_id"):
            del document[name]
        print_document({**document, "image": found.image, **_choice_document(found)})
    else:
        _print_choice(found)
        print_quote(quote, without=_LATER)
        say("Nothing was started.")
    return 0 if quote.bound is not None or quote.mode == "quota" else 1


def quote_document(quote: Quote) -> dict[str, Any]:
    """A quote as JSON values: what it says, and the sums that follow."""
    document = quote.document()
    document.pop("details", None)
    sums = {
        name: getattr(quote, name)
        for name in ("per_hour", "expected", "bound", "overshoot", "unwatched", "currency")
    }
    return {**document, **sums}


def print_quote(quote: Quote, *, without: Sequence[str] = (), err: bool = False) -> None:
    """Print what a quote says, but for the labels that are left out."""
    from tidemark.money.quote_text import quote_lines

    facts: dict[str, list[str]] = {}
    for label, value in quote_lines(quote):
        if label not in without:
            facts.setdefault(label.lower(), []).append(value)
    print_facts(facts, err=err)


def _print_choice(found: LookUp) -> None:
    from tidemark.alibaba.machine_choice import table_rows

    if found.choice is not None:
        rows = table_rows(found.choice)
        table = long_table(
            ("spec", "vCPU", "memory GiB", "GPUs", "an hour", "in stock", "note"),
            [_cells(row) for row in rows[:_SHOWN]],
            folded=("GPUs", "note"),
            right=("vCPU", "memory GiB", "an hour"),
        )
        console().print(table)
        if len(rows) > _SHOWN:
            say(f"and {len(rows) - _SHOWN} more: tidemark pai specs")
        say("")
        print_facts({"why": list(found.choice.why)})
    print_facts({"image": found.image})


def _cells(row: Mapping[str, Any]) -> tuple[object, ...]:
    note = "chosen" if row["choice"] else row["note"]
    names = ("spec", "vCPU", "memory GiB", "GPUs", "price per hour", "in stock")
    return (*(row[name] for name in names), note)


def _choice_document(found: LookUp) -> dict[str, Any]:
    from tidemark.alibaba.machine_choice import table_rows

    if found.choice is None:
        return {"why": [], "machines": []}
    return {"why": list(found.choice.why), "machines": table_rows(found.choice)}
