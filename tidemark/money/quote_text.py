"""A quote in words: what a person reads before saying yes or no."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from tidemark.money.amounts import sum_text
from tidemark.money.quote import Quote

__all__ = ["quote_lines", "quote_markdown"]

_BILLING = {
    "public": "pay-as-you-go: from when the machine is there, the pull of the image included, "
    "until the job has ended",
    "spot": "pay-as-you-go at a spot price: the machine may be taken back, and what ran on it "
    "until then is billed",
    "quota": "by the quota: it costs the same whether this runs or not",
}

_HASH_SHOWN = 12


def quote_lines(quote: Quote) -> list[tuple[str, str]]:
    """Label and value of all that a quote says, in the order to read them in."""
    price, currency = quote.price, quote.currency
    lines = [
        ("Run", quote.run_id),
        ("Machines", f"{quote.workers} × {quote.machine}"),
        ("Expected to take", _duration(quote.expected_s)),
        ("Ends at the latest after", _duration(quote.bound_s)),
    ]
    if price.per_hour is not None and currency is not None:
        lines += [
            ("Price of a machine", f"{sum_text(price.per_hour, currency)} an hour"),
            ("All machines", f"{_sum(quote.per_hour, quote)} an hour"),
            ("Expected cost", _sum(quote.expected, quote)),
            ("Most it can cost", _sum(quote.bound, quote)),
            (
                "On top, until it has stopped",
                f"up to {_sum(quote.overshoot, quote)} ({_duration(quote.poll_s)})",
            ),
            (
                "On top, if this machine dies",
                f"up to {_sum(quote.unwatched, quote)} ({_duration(quote.unwatched_s)})",
            ),
        ]
    else:
        lines.append(("Price", f"not known: {price.reason}"))
    lines += [
        ("Billing", _BILLING[quote.mode]),
        ("Price from", f"{price.source}, read {_time(price.read_at)}"),
        ("Holds until", _time(quote.expires_at)),
        ("Quote", quote.quote_id),
        ("Plan", quote.plan_hash),
    ]
    return lines + [("Note", note) for note in quote.notes]


def quote_markdown(
    quote: Quote,
    *,
    plan_name: str,
    job_type: str,
    command_or_sweep: str,
    alternatives_markdown: str = "",
) -> str:
    """The page that is read before a decision: the sums first, then all of the quote, what is run,
    and what a yes and a no mean. `alternatives_markdown` is a table of other machines."""
    # The plan's hash has no place to break, and would make the table wider than where it is shown.
    short = {"Plan": quote.plan_hash[:_HASH_SHOWN]}
    said = [(label, short.get(label, value)) for label, value in quote_lines(quote)]
    rows = [("Job type", job_type), *said]
    table = "\n".join(f"| {_cell(label)} | {_cell(value)} |" for label, value in rows)
    fence = _fence(command_or_sweep)
    parts = [
        f"## What {_plain(plan_name)} will cost",
        _headline(quote),
        f"| | |\n|---|---|\n{table}",
        f"### What is run\n\n{fence}\n{command_or_sweep.strip()}\n{fence}",
    ]
    if alternatives_markdown:
        parts.append(f"### Other machines\n\n{alternatives_markdown.strip()}")
    parts.append(f"### Go on?\n\n{_choices(quote)}")
    return "\n\n".join(parts) + "\n"


def _headline(quote: Quote) -> str:
    machines = f"{quote.workers} × {_plain(quote.machine)}"
    if quote.bound is None:
        said = f"**The price is not known**: {_plain(str(quote.price.reason))}."
        if quote.mode == "quota":
            said = f"**No price of its own**: {_plain(str(quote.price.reason))}."
        return f"{said} {machines}, for {_duration(quote.expected_s)} or so."
    return (
        f"**{_sum(quote.expected, quote)}** expected, **{_sum(quote.bound, quote)}** at most: "
        f"{machines}, for {_duration(quote.expected_s)} or so and {_duration(quote.bound_s)} at "
        "most."
    )


def _choices(quote: Quote) -> str:
    no = "- **Reject**: nothing is created and nothing is billed. The reason is kept."
    if quote.bound is None and quote.mode != "quota":
        return (
            "- **Approve** is not possible without a price: no sum could be kept to. Ask for a "
            f"new quote when the price can be read.\n{no}"
        )
    until = f"After {_time(quote.expires_at)} the price is read and you are asked again."
    if quote.bound is None:
        yes = (
            "- **Approve**: the job is created in the quota, and stopped after "
            f"{_duration(quote.bound_s)} at the latest. No sum is reserved, since the quota costs "
            f"the same anyway. {until}"
        )
    else:
        yes = (
            f"- **Approve**: {_sum(quote.bound, quote)} are reserved, the job is created, and "
            f"stopped after {_duration(quote.bound_s)} at the latest. What is not spent is free "
            f"again. {until}"
        )
    return (
        f"{yes}\n{no}\n\nA yes is for this plan alone, `{quote.plan_hash[:_HASH_SHOWN]}`: a "
        "changed one is quoted again."
    )


def _sum(amount: Decimal | None, quote: Quote) -> str:
    # Called only where there is a price, and then there are both.
    return sum_text(amount or Decimal(0), quote.currency or "")


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:g} s"
    whole = round(seconds)
    hours, minutes, rest = whole // 3600, whole % 3600 // 60, whole % 60
    words = [(hours, "h"), (minutes, "min"), (rest, "s")]
    return " ".join(f"{number} {unit}" for number, unit in words if number)


def _time(moment: datetime) -> str:
    return f"{moment.isoformat(sep=' ', timespec='seconds')}"


def _plain(text: str) -> str:
    """Text that Markdown shows as it is."""
    for mark in "\\`*_[]<>|#":
        text = text.replace(mark, f"\\{mark}")
    return " ".join(text.split())


def _cell(text: str) -> str:
    return _plain(text)


def _fence(text: str) -> str:
    ticks = "```"
    while ticks in text:
        ticks += "`"
    return ticks
