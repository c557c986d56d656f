"""One exception tree: every error says what is wrong, where, and what to do.

TidemarkError
├── ConfigError        tidemark.toml, TIDEMARK_* variables, command-line arguments
├── PlanError          a plan, a scenario, a BenchmarkJob manifest
├── SecretError        a reference to a secret that leads nowhere
├── EndpointError      the service under test cannot be measured as described
├── EngineError        a load engine is missing, differs from what was pinned, or failed
├── AlibabaError       a call to Alibaba Cloud; its own tree is in alibaba/errors.py
├── LedgerError        the ledger of quotes, approvals, reservations and leases
│   ├── LedgerAway     it cannot be reached just now; a moment later it may
│   ├── ForeignLedger  it belongs to another installation
│   └── NotTheOwner    somebody else owns by now what was to be changed
├── StoreError         a result store, its location or what it holds
│   ├── AlreadyThere   an exclusive create found that another writer was first
│   └── StoreAway      nothing can be written there at present, whatever it is
│       └── StoreBusy  and asking again in a moment may help
└── RefusedError       understood, but not done, for the reason given
    └── CapReached     what was to be reserved would pass a cap
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "AlreadyThere",
    "CapReached",
    "ConfigError",
    "EndpointError",
    "EngineError",
    "ForeignLedger",
    "LedgerAway",
    "LedgerError",
    "NotTheOwner",
    "PlanError",
    "RefusedError",
    "SecretError",
    "StoreAway",
    "StoreBusy",
    "StoreError",
    "TidemarkError",
]


class TidemarkError(Exception):
    """What went wrong, where, and what to do about it.

    `what` is a sentence without a full stop, `where` a field path, file or URI,
    `remedy` what the reader can do next.
    """

    def __init__(self, what: str, where: str | None = None, remedy: str | None = None) -> None:
        super().__init__(what, where, remedy)
        self.what = what
        self.where = where
        self.remedy = remedy

    def __reduce__(self) -> tuple[Any, ...]:
        # Subclasses take other arguments; what they made of them is carried as it is.
        return _remade, (type(self), self.args, self.__dict__.copy())

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        remedy = f". {self.remedy}" if self.remedy else ""
        return f"{place}{self.what}{remedy}"


def _remade(kind: type[TidemarkError], args: tuple[Any, ...], state: dict[str, Any]) -> Any:
    """An error from another process."""
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(state)
    return error


class ConfigError(TidemarkError):
    """Configuration or command-line arguments that cannot be used."""


class PlanError(TidemarkError):
    """A plan, scenario or manifest that cannot be measured as written."""


class SecretError(TidemarkError):
    """A reference to a secret that leads nowhere."""


class EndpointError(TidemarkError):
    """The service under test cannot be measured as described."""


class EngineError(TidemarkError):
    """A load engine is missing, differs from what was pinned, or failed."""


class StoreError(TidemarkError):
    """A result store, its location, or what it holds."""


class AlreadyThere(StoreError):
    """An exclusive create found that another writer was first."""


class StoreAway(StoreError):
    """A store that takes nothing at present: out of reach, full, or closed to whoever asks.

    The same file can be written there once that is mended.
    """


class StoreBusy(StoreAway):
    """A store that did not answer, or could not do it just now; a moment later it may."""


class LedgerError(TidemarkError):
    """The ledger of quotes, approvals, reservations and leases."""


class LedgerAway(LedgerError):
    """The ledger cannot be reached or written just now; a moment later it may."""


class ForeignLedger(LedgerError):
    """The ledger belongs to another installation."""


class NotTheOwner(LedgerError):
    """Somebody else owns by now what was to be changed."""


class RefusedError(TidemarkError):
    """Understood, but not done, for the reason given."""


class CapReached(RefusedError):
    """What was to be reserved would pass a cap."""
