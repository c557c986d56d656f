"""The ledger of this installation, as it is configured."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from tidemark.clock import Clock
from tidemark.errors import LedgerError
from tidemark.money.installation import FILE, read_or_make
from tidemark.money.ledger import Ledger

__all__ = ["COPIED", "COPY_REMEDY", "Configured", "open_ledger"]

COPIED = (
    "is a copy, or its file was moved to another disk: who has the original may watch what "
    "stands in it, and counts its budgets alone"
)
COPY_REMEDY = "If this is the only one in use, run: tidemark reap --moved"


class Configured(Protocol):
    """What of the configuration says where the ledger is, and whose: `tidemark.config.Config`."""

    @property
    def home(self) -> Path:
        """The folder that keeps the id of this installation."""
        ...

    @property
    def installation(self) -> str | None:
        """The id, where it is configured."""
        ...

    @property
    def ledger(self) -> str:
        """The URL of the ledger."""
        ...


def open_ledger(
    config: Configured, clock: Clock, *, create: bool, update_tables: bool = False
) -> Ledger:
    """Open the configured ledger as this installation.

    With `create`, for whoever begins runs, a missing ledger and a missing id are made; without,
    nothing is written but, to `update_tables`, what a new version needs. Raises LedgerError as
    `Ledger.open` does, and for a copy in which runs would be begun that nobody reaps.
    """
    installation = config.installation
    if installation is None and (create or _known(config.home)):
        installation = read_or_make(config.home)
    ledger = Ledger.open(
        config.ledger, installation=installation, clock=clock, create=create,
        update_tables=update_tables,
    )  # fmt: skip
    if create and ledger.is_copy():
        ledger.close()
        raise LedgerError(COPIED, ledger.place, COPY_REMEDY)
    return ledger


def _known(home: Path) -> bool:
    return (home / FILE).exists()
