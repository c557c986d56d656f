"""One pass of the reaper by hand: what nobody looks after any more is stopped."""

from __future__ import annotations

import os
import socket
from dataclasses import asdict
from decimal import Decimal
from typing import TYPE_CHECKING

from tidemark.cli.alibaba_session import Session
from tidemark.cli.ledgers import opened_ledger
from tidemark.cli.printing import print_document, say
from tidemark.errors import LedgerError, RefusedError, TidemarkError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tidemark.alibaba.account import Account
    from tidemark.alibaba.reaping import ReapReport
    from tidemark.money.ledger import Ledger

__all__ = ["reap_all"]

FINE, FAILED, WRONG_USE = 0, 1, 2


def reap_all(session: Session, *, dry_run: bool, moved: bool, as_json: bool) -> int:
    """Look through each region that may hold something of this installation: the one given, else
    those of open leases and the configured one. `moved`: the ledger is the one in use, though its
    file is another than it was made in.

    Returns the exit status: 1 where something could not be ended or looked at, 2 where the ledger
    does not allow it. Raises RefusedError where there is no ledger of this installation.
    """
    reports: dict[str, ReapReport | TidemarkError] = {}
    try:
        with opened_ledger(update_tables=not dry_run) as ledger:
            if moved and dry_run:
                raise RefusedError(
                    "would change what it looks at", "--moved", "Leave --dry-run out, or --moved"
                )
            if moved:
                ledger.claim_file()
            for region in _regions(session, ledger):
                reports[region] = _pass(Session(region, session.endpoint), ledger, dry_run=dry_run)
    except LedgerError as error:
        raise RefusedError(
            f"nothing was touched: {error.what}", error.where, error.remedy
        ) from None
    if as_json:
        print_document({"dry_run": dry_run, "regions": _documents(reports)})
    else:
        _print(reports)
    return _status(reports)


def _regions(session: Session, ledger: Ledger) -> list[str]:
    if session.region is not None:
        return [session.region]
    held = (lease.region for lease in ledger.leases(unreleased=True))
    return list(dict.fromkeys([session.region_name(), *held]))


def _pass(session: Session, ledger: Ledger, *, dry_run: bool) -> ReapReport | TidemarkError:
    from tidemark.alibaba.reaping import reap

    owner = f"tidemark reap {socket.gethostname()}/{os.getpid()}"

    async def look(account: Account) -> ReapReport:
        return await reap(ledger, account, clock=account.clock, owner=owner, dry_run=dry_run)

    try:
        return session.run(look)
    except TidemarkError as error:  # one region is no reason to leave the others
        return error


def _print(reports: Mapping[str, ReapReport | TidemarkError]) -> None:
    from tidemark.alibaba.reap_text import report_lines

    for region, report in reports.items():
        if isinstance(report, TidemarkError):
            say(f"{region}: could not be looked at: {report}", err=True)
            continue
        for line in report_lines(report):
            say(f"{region}: {line}", err=report.refused is not None)


def _status(reports: Mapping[str, ReapReport | TidemarkError]) -> int:
    seen = [report for report in reports.values() if not isinstance(report, TidemarkError)]
    if any(report.refused is not None for report in seen):
        return WRONG_USE
    whole = len(seen) == len(reports)
    return FINE if whole and not any(report.failed for report in seen) else FAILED


def _documents(reports: Mapping[str, ReapReport | TidemarkError]) -> dict[str, object]:
    documents: dict[str, object] = {}
    for region, report in reports.items():
        if isinstance(report, TidemarkError):
            documents[region] = {"error": str(report)}
        else:
            saved: dict[str, Decimal] = dict(report.saved)
            documents[region] = {**asdict(report), "saved": saved}
    return documents
