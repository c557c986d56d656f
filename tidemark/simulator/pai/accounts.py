"""Who may call the simulated cloud: access keys, lasting ones and temporary ones."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

__all__ = ["API_KEY", "SIMULATOR", "Account", "Accounts"]


@dataclass(frozen=True, slots=True)
class Account:
    """An access key of an account. One with a `security_token` is temporary, and ends at
    `expires_at_s` (seconds since 1970-01-01 UTC)."""

    access_key_id: str
    access_key_secret: str = field(repr=False)
    account_id: str = "1234567890123456"
    security_token: str | None = field(default=None, repr=False)
    expires_at_s: float | None = None


# Both are published, and tell nobody from anybody.
SIMULATOR = Account("LTAIsimulator", "simulator-secret")
API_KEY = "sk-simulator"


class Accounts:
    """The access keys that exist."""

    def __init__(self, accounts: Iterable[Account] = (SIMULATOR,)) -> None:
        self._by_key = {account.access_key_id: account for account in accounts}

    def add(self, account: Account) -> None:
        """Let another key call, or replace the one of the same id."""
        self._by_key[account.access_key_id] = account

    def find(self, access_key_id: str) -> Account | None:
        """The key of this id, None if there is none."""
        return self._by_key.get(access_key_id)

    def secrets(self) -> list[str]:
        """What must appear in no record."""
        tokens = [one.security_token for one in self._by_key.values() if one.security_token]
        return [one.access_key_secret for one in self._by_key.values()] + tokens
