"""Runs, quotes and approvals in the ledger; each function works within a transaction."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import fields
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, func, insert, or_, select, update

from tidemark.errors import LedgerError, RefusedError
from tidemark.money.amounts import rounded
from tidemark.money.approval import Approval
from tidemark.money.ledger_records import STATES, LedgerRun
from tidemark.money.ledger_schema import APPROVALS, QUOTES, RUNS
from tidemark.money.quote import Quote

__all__ = [
    "approval_of",
    "ask_to_cancel",
    "begin_run",
    "find_run",
    "keep_approval",
    "keep_quote",
    "list_runs",
    "quotes_of",
    "say",
    "the_run",
]


# Such a run may be tried again, as the same one; what was finished or rejected stays so.
_GONE_ON_WITH = ("failed", "cancelled")


def begin_run(connection: Connection, run: LedgerRun) -> LedgerRun:
    """The run that is there for this flow run or id, else this one, now noted."""
    _check_state(run.state)
    same = [RUNS.c.run_id == run.run_id]
    if run.flow_run_id is not None:
        same.append(RUNS.c.flow_run_id == run.flow_run_id)
    found = connection.execute(select(RUNS).where(or_(*same))).mappings().all()
    if len(found) > 1:
        raise LedgerError(
            f"run {run.run_id} and flow run {run.flow_run_id} are noted as two runs", "begin_run",
            "Begin a run with an id of its own",
        )  # fmt: skip
    if found:
        there = _run(found[0])
        if there.state in _GONE_ON_WITH:
            again = {"state": "quoting", "outcome": None, "exit_status": None, "cancel_asked": None}
            _update(connection, there.run_id, {**again, "updated_at": run.updated_at})
        return the_run(connection, there.run_id)
    connection.execute(insert(RUNS).values(_values(run)))
    return the_run(connection, run.run_id)


def the_run(connection: Connection, run_id: str) -> LedgerRun:
    """The run of an id. Raises LedgerError where there is none."""
    found = connection.execute(select(RUNS).where(RUNS.c.run_id == run_id)).mappings().one_or_none()
    if found is None:
        raise LedgerError(f"no run {run_id} is noted", "ledger", "See `tidemark runs`")
    return _run(found)


def find_run(connection: Connection, beginning: str) -> LedgerRun:
    """The one run whose id, or flow run's id, begins so. Raises LedgerError for none or several."""
    if not beginning:
        raise LedgerError("no run is named", "ledger", "Give the first letters of its id")
    columns = (RUNS.c.run_id, RUNS.c.flow_run_id)
    for matches in (
        or_(*(column == beginning for column in columns)),
        or_(*(column.startswith(beginning, autoescape=True) for column in columns)),
    ):
        asked = select(RUNS).where(matches).order_by(RUNS.c.run_id).limit(4)
        found = [_run(row) for row in connection.execute(asked).mappings()]
        if len(found) > 1:
            several = ", ".join(run.run_id for run in found[:3]) + (" …" if found[3:] else "")
            raise LedgerError(
                f"several runs begin with {beginning}: {several}", "ledger", "Give more letters"
            )
        if found:
            return found[0]
    raise LedgerError(f"no run begins with {beginning}", "ledger", "See `tidemark runs`")


def list_runs(connection: Connection, states: Collection[str], limit: int) -> list[LedgerRun]:
    """The newest runs first; of some states, or all."""
    asked = select(RUNS).order_by(RUNS.c.created_at.desc(), RUNS.c.run_id.desc()).limit(limit)
    if states:
        asked = asked.where(RUNS.c.state.in_(states))
    return [_run(row) for row in connection.execute(asked).mappings()]


def say(
    connection: Connection,
    run_id: str,
    *,
    now: datetime,
    state: str | None,
    line: str | None,
    outcome: str | None,
    exit_status: int | None,
) -> None:
    """Note how far a run is. One that has ended stays as it ended."""
    run = the_run(connection, run_id)
    given: dict[str, Any] = {"line": line, "outcome": outcome, "exit_status": exit_status}
    if state is not None:
        _check_state(state)
        given["state"] = None if run.ended else state
    told = {name: value for name, value in given.items() if value is not None}
    _update(connection, run_id, {**told, "updated_at": now})


def ask_to_cancel(connection: Connection, run_id: str, by: str, now: datetime) -> None:
    """Note who wants a run to end; the first who asks is kept."""
    run = the_run(connection, run_id)
    if run.ended:
        raise RefusedError(
            f"is over already: {run.state}", f"run {run_id}", "Nothing is left to do"
        )
    if run.cancel_asked is None:
        _update(connection, run_id, {"cancel_asked": by, "updated_at": now})


def keep_quote(connection: Connection, quote: Quote) -> None:
    """Note a quote; the same again changes nothing."""
    the_run(connection, quote.run_id)
    known = quotes_of(connection, quote.run_id)
    for each in known:
        if each.quote_id == quote.quote_id:
            if each != quote:
                raise LedgerError(
                    "is noted with other values", f"quote {quote.quote_id}",
                    "Give each quote an id of its own",
                )  # fmt: skip
            return
    connection.execute(
        insert(QUOTES).values(
            quote_id=quote.quote_id,
            run_id=quote.run_id,
            number=len(known) + 1,
            document=quote.document(),
        )
    )


def quotes_of(connection: Connection, run_id: str) -> list[Quote]:
    """The quotes of a run, the first one first."""
    asked = select(QUOTES.c.document).where(QUOTES.c.run_id == run_id).order_by(QUOTES.c.number)
    return [Quote.from_document(document) for document in connection.execute(asked).scalars()]


def keep_approval(connection: Connection, approval: Approval) -> Approval:
    """Note a decision on a quote. The first one stands, and is returned."""
    found = approval_of(connection, approval.quote_id)
    if found is not None:
        return found
    asked = select(func.count()).select_from(QUOTES).where(QUOTES.c.quote_id == approval.quote_id)
    if not connection.execute(asked).scalar_one():
        raise LedgerError(
            f"no quote {approval.quote_id} is noted", "approval", "Note the quote before its answer"
        )
    # Never up to more than was said.
    up_to = None if approval.up_to is None else rounded(approval.up_to, "approval: up_to", up=False)
    values = {each.name: getattr(approval, each.name) for each in fields(approval)}
    values["claimed_by"] = values.pop("by")
    connection.execute(insert(APPROVALS).values({**values, "up_to": up_to}))
    return approval_of(connection, approval.quote_id) or approval


def approval_of(connection: Connection, quote_id: str) -> Approval | None:
    """The decision on a quote, if there is one."""
    asked = select(APPROVALS).where(APPROVALS.c.quote_id == quote_id)
    found = connection.execute(asked).mappings().one_or_none()
    if found is None:
        return None
    values = dict(found)
    values["by"] = values.pop("claimed_by")
    return Approval(**values)


def _check_state(state: str) -> None:
    if state not in STATES:
        raise LedgerError(f"{state} is no state of a run", "ledger", f"Use {', '.join(STATES)}")


def _update(connection: Connection, run_id: str, values: dict[str, Any]) -> None:
    connection.execute(update(RUNS).where(RUNS.c.run_id == run_id).values(values))


def _values(run: LedgerRun) -> dict[str, Any]:
    values = {each.name: getattr(run, each.name) for each in fields(run)}
    return {**values, "plan": dict(run.plan)}


def _run(row: RowMapping) -> LedgerRun:
    return LedgerRun(**row)
