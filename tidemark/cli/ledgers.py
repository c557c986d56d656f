"""The ledger as it is configured, open for one command."""

from __future__ import annotations

import getpass
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tidemark.cli.printing import say
from tidemark.config import load_config
from tidemark.errors import ForeignLedger, LedgerAway, LedgerError, RefusedError

if TYPE_CHECKING:
    from tidemark.money.ledger import Ledger, LedgerRun

__all__ = ["LIVE", "ended_as", "ledger_if_any", "named_run", "opened_ledger", "user"]

LIVE = ("quoting", "waiting", "approved", "starting", "running", "collecting")
"""States of runs that are not over."""

_NEAR = 5


@contextmanager
def opened_ledger(*, update_tables: bool = False) -> Iterator[Ledger]:
    """The configured ledger; one of an older version is refused, unless to `update_tables`.

    Raises LedgerError where it is not there, and what it says.
    """
    ledger = _open(update_tables=update_tables)
    try:
        yield ledger
    finally:
        ledger.close()


@contextmanager
def ledger_if_any() -> Iterator[Ledger | None]:
    """The configured ledger; None where none was made yet, and after a word about it where it
    cannot be read."""
    config = load_config(os.environ, Path.cwd())
    if config.ledger_url is None and not (config.home / "ledger.db").exists():
        yield None
        return
    try:
        ledger = _open()
    except LedgerError as error:
        say(f"note: the ledger cannot be read. {error}", err=True)
        yield None
        return
    try:
        yield ledger
    finally:
        ledger.close()


def named_run(ledger: Ledger, wanted: str) -> LedgerRun:
    """The run whose id, or flow run's id, begins so.

    Raises RefusedError for several, and for none, with the nearest.
    """
    if not wanted.strip():
        raise RefusedError("no run is named", "RUN", "Give the beginning of an id: tidemark runs")
    try:
        return ledger.run(wanted)
    except (LedgerAway, ForeignLedger):
        raise
    except LedgerError as error:
        runs = ledger.runs(limit=1000)
        ids = [one for run in runs for one in (run.run_id, run.flow_run_id or "")]
        if any(one.startswith(wanted) for one in ids):
            raise RefusedError(error.what, f"RUN {wanted}", error.remedy) from None
        from tidemark.plan.problems import did_you_mean

        remedy = did_you_mean(wanted, [run.run_id for run in runs][:_NEAR])
        remedy = remedy if runs else "No run is noted in it yet"
        raise RefusedError(error.what, f"ledger {ledger.place}", remedy) from None


def ended_as(run: LedgerRun) -> str:
    """The state of a run in a word; of one that is finished, what came of it (`complete`,
    `failed` …)."""
    return run.outcome or run.state if run.state == "finished" else run.state


def user() -> str:
    """Who sits at this machine, as far as it knows."""
    with suppress(OSError, KeyError):
        return getpass.getuser()
    return "somebody at this machine"


def _open(*, update_tables: bool = False) -> Ledger:
    from tidemark.clock import SystemClock
    from tidemark.money.opening import open_ledger

    config = load_config(os.environ, Path.cwd())
    return open_ledger(config, SystemClock(), create=False, update_tables=update_tables)
