"""What a call is signed with. No `repr`, error or log shows any of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from tidemark.alibaba.credential_values import key_text
from tidemark.alibaba.errors import CredentialError

__all__ = ["BearerKey", "CredentialSource", "Credentials", "StaticCredentials"]


@dataclass(frozen=True, slots=True)
class Credentials:
    """An access key, and for temporary ones the token and the moment they end.

    `expires_at_s` is in seconds since 1970-01-01 UTC, None for keys that do not expire.
    `provider` names the kind of source, as the header `x-acs-credentials-provider` does, `origin`
    the place, for people: a variable, a profile of a file, a host.
    """

    access_key_id: str = field(repr=False)
    access_key_secret: str = field(repr=False)
    security_token: str | None = field(default=None, repr=False)
    expires_at_s: float | None = None
    provider: str = "static_ak"
    origin: str = "given"


class CredentialSource(Protocol):
    """Where credentials come from; asked before every attempt at a call."""

    async def credentials(self) -> Credentials:
        """The credentials of this moment, renewed in time. Raises CredentialError."""
        ...

    def renew(self) -> None:
        """The service called them expired: the next question reads or asks anew."""
        ...


@dataclass(frozen=True, slots=True)
class StaticCredentials:
    """Credentials that are given and never change."""

    given: Credentials = field(repr=False)

    @classmethod
    def of(
        cls, access_key_id: str, access_key_secret: str, security_token: str | None = None
    ) -> StaticCredentials:
        """From an access key, and the token that comes with a temporary one."""
        provider = "static_sts" if security_token else "static_ak"
        return cls(Credentials(access_key_id, access_key_secret, security_token, provider=provider))

    async def credentials(self) -> Credentials:
        """What was given."""
        return self.given

    def renew(self) -> None:
        """Nothing to renew."""


@dataclass(frozen=True, slots=True)
class BearerKey:
    """An API key that is sent as it is, for the gateway form: `Authorization: Bearer KEY`."""

    value: str = field(repr=False)

    @classmethod
    def from_environment(
        cls, environ: Mapping[str, str], name: str = "DASHSCOPE_API_KEY"
    ) -> BearerKey:
        """The key in the variable `name`.

        Raises CredentialError, without the value, when it is not set or no key.
        """
        if not environ.get(name):
            raise CredentialError("is not set", name, f"Run: export {name}=KEY")
        return cls(key_text(environ[name], name))
