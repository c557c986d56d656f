"""Who answers a quote: a sum that was said before, whoever sits at the terminal, or somebody
elsewhere, by `tidemark approve`."""

from __future__ import annotations

import asyncio
import os
import re
import sys
import termios
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Literal

from rich.console import Console
from rich.markup import escape

from tidemark.cli.ledgers import user
from tidemark.cli.quotes import print_quote
from tidemark.errors import ConfigError, RefusedError
from tidemark.money.amounts import sum_text

if TYPE_CHECKING:
    from tasks.approval import Reply
    from tasks.job_room import JobRoom
    from tidemark.cli.terminal import Bar
    from tidemark.money.quote import Quote

__all__ = [
    "UpTo",
    "answer_by_sum",
    "ask_elsewhere",
    "ask_here",
    "check_price",
    "forget_typed",
    "is_yes",
    "without_estimates",
]

Ask = Callable[["JobRoom", "Quote", str], Awaitable["Reply"]]

_LOOK_S = 0.5  # between looks at Ctrl-C
_LEDGER_S = 2.0  # between looks at the ledger
# Digits that everybody reads alike, and not more of them than an amount of money has.
_SUM = re.compile(r"(?P<amount>[0-9]{1,10}(?:\.[0-9]{1,8})?) ?(?P<currency>[A-Za-z]{3})")


@dataclass(frozen=True, slots=True)
class UpTo:
    """The most that is approved."""

    amount: Decimal
    currency: str

    @classmethod
    def of(cls, text: str, option: str) -> UpTo:
        """Of `5CNY` or `5 CNY`. Raises ConfigError, which names the option."""
        found = _SUM.fullmatch(text.strip())
        amount = Decimal(found["amount"]) if found else Decimal(0)
        if found is None or amount <= 0:
            raise ConfigError(
                "is no sum of money with its currency",
                f"{option} {text}",
                "Write one such as 5CNY or 12.50CNY",
            )
        return cls(amount, found["currency"].upper())

    def __str__(self) -> str:
        return sum_text(self.amount, self.currency)

    def why_not(self, quote: Quote) -> str:
        """Why a quote is not within this sum; "" where it is."""
        if quote.bound is None or quote.currency is None:
            return f"there is no price to hold against {self}: {quote.price.reason}"
        if self.currency != quote.currency:
            return f"the quote is in {quote.currency}, and {self} is not; sums are never converted"
        if quote.bound > self.amount:
            most = sum_text(quote.bound, quote.currency)
            return f"it can cost {most}, and {self} is approved at most"
        return ""


def answer_by_sum(limit: UpTo) -> Ask:
    """Says yes if the most that a quote can cost is within `limit`, else no and why."""

    async def ask(room: JobRoom, quote: Quote, why: str) -> Reply:
        _show(room, quote, why)
        trouble = limit.why_not(quote)
        return _reply(
            "reject" if trouble else "approve",
            channel=f"--approve-up-to {limit}",
            reason=trouble,
        )

    return ask


def ask_here(console: Console, aside: Callable[[], AbstractContextManager[None]]) -> Ask:
    """Asks whoever sits at this terminal; `aside` hides what else is drawn on it meanwhile.

    Somebody elsewhere may be quicker: their answer then stands.
    """

    async def ask(room: JobRoom, quote: Quote, why: str) -> Reply:
        with aside():
            _show(room, quote, why)
            check_price(quote)
            await _say_it_waits(room, quote)
            forget_typed()
            console.print("Approve? \\[y/N] ", end="")
            elsewhere = _Elsewhere(room, quote)
            typed = await _typed(elsewhere)
            if typed is None:
                console.print()
                return elsewhere.reply()
            if is_yes(typed):
                return _reply("approve", channel="terminal")
            console.print("Why not? (for the record) ", end="")
            reason = await _typed(elsewhere)
            return _reply("reject", channel="terminal", reason=(reason or "").strip())

    return ask


def ask_elsewhere(console: Console) -> Ask:
    """Waits for `tidemark approve` or `tidemark reject`, and says so."""

    async def ask(room: JobRoom, quote: Quote, why: str) -> Reply:
        _show(room, quote, why)
        check_price(quote)
        await _say_it_waits(room, quote)
        console.print(
            f"no terminal to ask at: answer by  tidemark approve {room.run.run_id}\n"
            f"                            or by  tidemark reject {room.run.run_id} --reason WHY",
            soft_wrap=True,
        )
        elsewhere = _Elsewhere(room, quote)
        while not await elsewhere.answered():
            await room.clock.sleep(_LOOK_S)
        return elsewhere.reply()

    return ask


def without_estimates(bar: Bar, ask: Ask) -> Ask:
    """Asks without a time left on the bar, and with one from the answer on."""

    async def asked(room: JobRoom, quote: Quote, why: str) -> Reply:
        bar.estimates = False
        reply = await ask(room, quote, why)
        bar.estimates = reply.decision == "approve"
        return reply

    return asked


def check_price(quote: Quote) -> None:
    """Raises RefusedError for a quote without a price, but for a quota's."""
    if quote.bound is None and quote.mode != "quota":
        raise RefusedError(
            f"has no price that could be approved: {quote.price.reason}",
            f"quote {quote.quote_id}",
            "Ask again when the price can be read (tidemark quote PLAN), or name another machine",
        )


def forget_typed() -> None:
    """Throw away what was typed before a question was shown: it is no answer to it."""
    if os.isatty(sys.stdin.fileno()):
        termios.tcflush(sys.stdin.fileno(), termios.TCIFLUSH)


def is_yes(typed: str) -> bool:
    """Whether a line that somebody typed says yes; all but `y` and `yes` is a no."""
    return typed.strip().casefold() in ("y", "yes")


class _Elsewhere:
    """What comes from somewhere else than the keyboard: Ctrl-C, `tidemark cancel`, an answer."""

    def __init__(self, room: JobRoom, quote: Quote) -> None:
        self._room = room
        self._quote = quote
        self._looked_s = float("-inf")
        self._reply: Reply | None = None

    async def answered(self) -> bool:
        room = self._room
        if room.stop.asked:
            self._reply = _reply(
                "reject", channel="terminal", reason=f"ended by {room.stop.reason}"
            )
        elif room.clock.monotonic() - self._looked_s >= _LEDGER_S:
            self._looked_s = room.clock.monotonic()
            self._reply = await asyncio.to_thread(self._noted)
        return self._reply is not None

    def reply(self) -> Reply:
        assert self._reply is not None
        return self._reply

    def _noted(self) -> Reply | None:
        from tasks.approval import Reply
        from tidemark.errors import LedgerAway

        try:
            found = self._room.ledger.approval(self._quote.quote_id)
            run = self._room.ledger.run(self._room.run.run_id)
        except LedgerAway:
            return None  # looked at again soon
        if found is not None:
            return Reply(found.decision, found.by, found.channel, found.reason)
        if run.cancel_asked:
            return Reply("reject", run.cancel_asked, "tidemark cancel", "the run was cancelled")
        return None


async def _typed(elsewhere: _Elsewhere) -> str | None:
    """A line that is typed, "" at the end of input; None if an answer came from elsewhere first."""
    loop = asyncio.get_running_loop()
    line: asyncio.Future[bytes] = loop.create_future()
    keyboard = sys.stdin.fileno()

    def read() -> None:
        if not line.done():
            line.set_result(os.read(keyboard, 4096))

    # Not by input(): a thread that waits in it could not be ended.
    loop.add_reader(keyboard, read)
    try:
        while not line.done():
            await asyncio.wait([line], timeout=_LOOK_S)
            if not line.done() and await elsewhere.answered():
                return None
        return line.result().decode("utf-8", "replace")
    finally:
        loop.remove_reader(keyboard)


async def _say_it_waits(room: JobRoom, quote: Quote) -> None:
    most = "a share of a quota"
    if quote.bound is not None and quote.currency is not None:
        most = f"up to {sum_text(quote.bound, quote.currency)}"
    await room.say("waiting", f"Waiting for approval of {most}")


def _show(room: JobRoom, quote: Quote, why: str) -> None:
    what = room.plan.name or "The job"
    console = Console(stderr=True, highlight=False)
    console.print(f"\n[bold]{escape(what)} will cost[/]", soft_wrap=True)
    print_quote(quote, err=True)
    if why:
        console.print(f"[yellow]note:[/] {escape(why)}", soft_wrap=True)


def _reply(decision: Literal["approve", "reject"], *, channel: str, reason: str = "") -> Reply:
    from tasks.approval import Reply

    return Reply(decision, user(), channel, reason)
