"""The ledger of this installation, as it is configured."""

from __future__ import annotations

from pathlib import Path

from tidemark.clock import Clock
from tidemark.config import Config
from tidemark.money.installation import FILE, read_or_make
from tidemark.money.ledger import Ledger

__all__ = ["open_ledger"]


def open_ledger(config: Config, clock: Clock, *, create: bool) -> Ledger:
    """Open the configured ledger as this installation.

    With `create` a missing ledger and a missing id are made; without, nothing is written. Raises
    LedgerError as `Ledger.open` does.
    """
    installation = config.installation
    if installation is None and (create or _known(config.home)):
        installation = read_or_make(config.home)
    return Ledger.open(config.ledger, installation=installation, clock=clock, create=create)


def _known(home: Path) -> bool:
    return (home / FILE).exists()
