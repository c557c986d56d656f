"""Who asks OCI Object Storage: what signs requests, by the kind of `auth`."""

from __future__ import annotations

import configparser
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from oci.auth.signers import (
    InstancePrincipalsDelegationTokenSigner,
    InstancePrincipalsSecurityTokenSigner,
    SecurityTokenSigner,
)
from oci.circuit_breaker import NoCircuitBreakerStrategy
from oci.config import DEFAULT_LOCATION, DEFAULT_PROFILE, from_file
from oci.exceptions import ClientError, InvalidPrivateKey
from oci.retry import NoneRetryStrategy
from oci.signer import Signer, load_private_key_from_file

from tidemark.errors import StoreAway, StoreError

__all__ = ["Identity", "identity_of"]

_PROFILE: Final = "OCI_CLI_PROFILE"
_ON_INSTANCE: Final = (
    "Run it on an instance of OCI, in a dynamic group that a policy allows to use the bucket; or "
    "use another auth"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who asks: `signer` makes what signs requests, `config` is what the client needs beside it.

    `remedy` says what to do if the service does not know who asks, `secrets` are never told.
    """

    signer: Callable[[], Any] = field(repr=False)
    remedy: str
    config: Mapping[str, str] = field(default_factory=dict, repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)


def identity_of(options: Mapping[str, str], credentials: Mapping[str, str], where: str) -> Identity:
    """Who asks, as the options and credentials say; reads files, and asks nobody.

    Raises StoreError for what contradicts itself, and for a profile or key that cannot be used.
    """
    auth = options.get("auth", "user_principal")
    if auth == "instance_principal":
        for name in ("config_file", "profile"):
            if name in options:
                raise StoreError(
                    f"the option {name} is given, but auth is {auth}",
                    where,
                    "An instance has no profile: leave it out, or use another auth",
                )
        return Identity(signer=_instance, remedy=_ON_INSTANCE)
    if auth == "instance_obo_user":
        return _on_behalf(options, credentials, where)
    profile = _Profile.of(options, where)
    if auth == "security_token":
        return _session(profile, credentials.get("security_token"), where)
    return _user(profile, where)


@dataclass(frozen=True, slots=True)
class _Profile:
    """A profile of the command line's configuration."""

    name: str
    path: str
    values: Mapping[str, str] = field(repr=False)

    @classmethod
    def of(cls, options: Mapping[str, str], where: str) -> _Profile:
        path = options.get("config_file", DEFAULT_LOCATION)
        name = options.get("profile") or os.environ.get(_PROFILE) or DEFAULT_PROFILE
        try:
            values = from_file(path, name)
        except configparser.Error as error:
            # Its text has the line itself, which may be a pass phrase.
            what = f"the configuration file {path} cannot be read: {_misread(error)}"
            remedy = "Correct it: below [DEFAULT] or another [profile], each name=value once"
            raise StoreError(what, where, remedy) from None
        except (ClientError, ValueError, OSError) as error:
            what = {
                "ConfigFileNotFound": f"there is no configuration file {path}",
                "ProfileNotFound": f"there is no profile {name} in {path}",
                "InvalidKeyFilePath": f"the key_file of the profile {name} is not there",
            }.get(type(error).__name__, f"the configuration file {path} cannot be read")
            remedy = "Make one with 'oci setup config', or check config_file and profile"
            raise StoreError(what, where, remedy) from None
        texts = {key: value for key, value in values.items() if isinstance(value, str)}
        return cls(name, path, texts)

    def demand(self, *names: str, where: str) -> None:
        """Raise StoreError for the first that it does not say."""
        for name in names:
            if not self.values.get(name):
                raise StoreError(
                    f"the profile {self.name} in {self.path} has no {name}",
                    where,
                    "Add it, or name another profile",
                )

    def key(self, where: str) -> Any:
        """The private key of its key_file."""
        try:
            return load_private_key_from_file(self.values["key_file"], self.pass_phrase)
        except (InvalidPrivateKey, OSError, ValueError, TypeError) as error:
            raise _no_key(self, error, where) from None

    @property
    def pass_phrase(self) -> str | None:
        return self.values.get("pass_phrase") or None

    @property
    def client(self) -> dict[str, str]:
        """What a client needs of it, without what logs more than it should."""
        names = ("user", "tenancy", "fingerprint", "key_file", "region")
        return {name: self.values[name] for name in names if name in self.values}


def _misread(error: configparser.Error) -> str:
    """What is wrong with a configuration, and in which line."""
    if isinstance(error, configparser.MissingSectionHeaderError):
        return f"line {error.lineno} stands before any [profile]"
    if isinstance(error, configparser.DuplicateOptionError | configparser.DuplicateSectionError):
        return f"line {error.lineno} names again what is there already"
    if isinstance(error, configparser.ParsingError):
        return f"line {error.errors[0][0]} is no name=value"
    return "it is no configuration"


def _no_key(profile: _Profile, error: Exception, where: str) -> StoreError:
    what = f"the key_file of the profile {profile.name} cannot be used"
    if type(error).__name__ == "MissingPrivateKeyPassphrase":
        return StoreError(f"{what}: it needs a pass_phrase", where, "Add it to the profile")
    return StoreError(what, where, "Name the private key of an API key, in PEM")


def _user(profile: _Profile, where: str) -> Identity:
    profile.demand("user", "tenancy", "fingerprint", "key_file", "region", where=where)
    values = profile.values
    try:
        signer = Signer(
            values["tenancy"],
            values["user"],
            values["fingerprint"],
            values["key_file"],
            profile.pass_phrase,
        )
    except (InvalidPrivateKey, OSError, ValueError, TypeError) as error:
        raise _no_key(profile, error, where) from None
    return Identity(
        signer=lambda: signer,
        config=profile.client,
        secrets=tuple(filter(None, [profile.pass_phrase])),
        remedy=f"Check user, tenancy, fingerprint and key_file of the profile {profile.name} in "
        f"{profile.path}, and this machine's clock",
    )


def _session(profile: _Profile, token: str | None, where: str) -> Identity:
    profile.demand("key_file", "region", where=where)
    if token is None:
        profile.demand("security_token_file", where=where)
    key = profile.key(where)
    signer = _Session(key, profile.values.get("security_token_file", ""), token)
    return Identity(
        signer=lambda: signer,
        config={"region": profile.values["region"]},
        secrets=tuple(filter(None, [token, profile.pass_phrase])),
        remedy="Log in again: oci session refresh, or oci session authenticate",
    )


def _on_behalf(options: Mapping[str, str], credentials: Mapping[str, str], where: str) -> Identity:
    token = credentials.get("delegation_token")
    if token is None:
        if not options.get("config_file") and not options.get("profile"):
            raise StoreError(
                "delegation_token is missing",
                where,
                "Give it, or name the profile that has a delegation_token_file",
            )
        profile = _Profile.of(options, where)
        profile.demand("delegation_token_file", where=where)
        token = _text(profile.values["delegation_token_file"])
    return Identity(
        signer=lambda: InstancePrincipalsDelegationTokenSigner(
            delegation_token=token, **_asked_once()
        ),
        secrets=(token,),
        remedy=f"Ask for a new delegation token. {_ON_INSTANCE}",
    )


def _instance() -> Any:
    return InstancePrincipalsSecurityTokenSigner(**_asked_once())


def _asked_once() -> dict[str, Any]:
    return {
        "retry_strategy": NoneRetryStrategy(),
        "federation_client_retry_strategy": NoneRetryStrategy(),
        "federation_client_circuit_breaker_strategy": NoCircuitBreakerStrategy(),
    }


class _Session(SecurityTokenSigner):  # type: ignore[misc]  # it has no types
    """Signs as a session whose token is renewed in its file while a run goes on."""

    api_key: str

    def __init__(self, key: Any, path: str, token: str | None) -> None:
        self._path = path
        self._given = token
        self._lock = threading.Lock()
        self._begun = False
        self._key = key

    def __call__(self, request: Any, enforce_content_headers: bool = True) -> Any:
        token = self._given or _text(self._path)
        with self._lock:
            if not self._begun:
                super().__init__(token, self._key)
                self._begun = True
            elif not self.api_key.endswith(token):
                self.api_key = f"ST${token}"
                self._basic_signer.reset_signer(self.api_key, self._key)
                self._body_signer.reset_signer(self.api_key, self._key)
        return super().__call__(request, enforce_content_headers)


def _text(path: str) -> str:
    """What a token's file holds."""
    try:
        return Path(path).expanduser().read_text("utf-8").strip()
    except (OSError, ValueError):
        raise StoreAway(
            "the file of the token cannot be read", path, "Log in again: oci session authenticate"
        ) from None
