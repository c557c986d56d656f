"""Where credentials are looked for, in the order of Alibaba Cloud's own default chain.

| # | source                | given by                                                          |
|---|-----------------------|-------------------------------------------------------------------|
| 1 | environment           | ALIBABA_CLOUD_ACCESS_KEY_ID, …_ACCESS_KEY_SECRET, …_SECURITY_TOKEN |
| 2 | role of a pod (RRSA)  | ALIBABA_CLOUD_ROLE_ARN, …_OIDC_PROVIDER_ARN, …_OIDC_TOKEN_FILE    |
| 3 | profile of the CLI    | ~/.aliyun/config.json, ALIBABA_CLOUD_PROFILE                      |
| 4 | credentials file      | ~/.alibabacloud/credentials.ini, ALIBABA_CLOUD_CREDENTIALS_FILE   |
| 5 | role of the machine   | ALIBABA_CLOUD_ECS_METADATA: the name of an ECS instance's role    |
| 6 | URI                   | ALIBABA_CLOUD_CREDENTIALS_URI, as in the containers of DLC        |
| 7 | role of the machine   | nothing: asked last, where its package is installed               |

The first one that is given is used, also if it turns out to be broken: another would be another
account, and what is started there is billed there. 2, 5 and 7 need the extra `credentials`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from tidemark.alibaba import credential_official as official
from tidemark.alibaba.credential_files import PROFILE, find_cli_profile, find_file_profile
from tidemark.alibaba.credential_profiles import machine_role
from tidemark.alibaba.credential_recipes import (
    SESSION_NAME,
    AskUri,
    AssumeOidcRole,
    AssumeRole,
    MachineRole,
    NotHere,
    Recipe,
    Session,
    UseKeys,
)
from tidemark.alibaba.credential_remote import NewClient, assume_role, fetch_from_uri, new_client
from tidemark.alibaba.credential_renewal import RenewedCredentials
from tidemark.alibaba.credential_values import key_text
from tidemark.alibaba.credentials import Credentials, CredentialSource
from tidemark.alibaba.errors import CredentialError
from tidemark.clock import Clock, SystemClock
from tidemark.errors import SecretError
from tidemark.plan.secrets import resolve

__all__ = ["default_chain", "from_references"]

KEY_ID = "ALIBABA_CLOUD_ACCESS_KEY_ID"
KEY_SECRET = "ALIBABA_CLOUD_ACCESS_KEY_SECRET"
TOKEN = "ALIBABA_CLOUD_SECURITY_TOKEN"
ROLE_ARN = "ALIBABA_CLOUD_ROLE_ARN"
OIDC_PROVIDER_ARN = "ALIBABA_CLOUD_OIDC_PROVIDER_ARN"
OIDC_TOKEN_FILE = "ALIBABA_CLOUD_OIDC_TOKEN_FILE"
MACHINE_ROLE = "ALIBABA_CLOUD_ECS_METADATA"
MACHINE_ROLE_DISABLED = "ALIBABA_CLOUD_ECS_METADATA_DISABLED"
URI = "ALIBABA_CLOUD_CREDENTIALS_URI"

_ReadFile = Callable[[str], str]
_Find = Callable[[Mapping[str, str], _ReadFile], Recipe | NotHere]


def default_chain(
    environ: Mapping[str, str],
    clock: Clock,
    *,
    read_file: _ReadFile = lambda path: Path(path).read_text("utf-8"),
    client: NewClient = new_client,
    sts_url: str | None = None,
) -> CredentialSource:
    """A source that looks in all places at the first question, and then stays with one.

    `read_file` gets a path, `client` makes the transport of one question, `sts_url` replaces
    the base URL of STS. Nothing is read or asked before the first question; its CredentialError
    says which place is broken, or lists where was looked.
    """
    return RenewedCredentials(_Chain(environ, clock, read_file, client, sts_url).fetch, clock)


def from_references(
    key_id: str,
    secret: str,
    token: str | None,
    environ: Mapping[str, str],
    read_file: _ReadFile,
    read_block: Callable[[str], str] | None = None,
    clock: Clock | None = None,
) -> CredentialSource:
    """A source for an access key given by references: `env:NAME`, `file:/path`, `prefect:NAME`.

    They are followed at the first question, and again when the service calls the key expired.
    The CredentialError of one that leads nowhere names it.
    """

    def key(reference: str) -> str:
        try:
            return key_text(resolve(reference, environ, read_file, read_block), reference)
        except SecretError as error:
            raise CredentialError(error.what, error.where, error.remedy) from None

    async def fetch() -> Credentials:
        return Credentials(
            key(key_id),
            key(secret),
            None if token is None else key(token),
            provider="static_ak" if token is None else "static_sts",
            origin=f"key {key_id}",
        )

    return RenewedCredentials(fetch, clock or SystemClock())


class _Chain:
    """The places, and the one that has the credentials once it is known."""

    def __init__(
        self,
        environ: Mapping[str, str],
        clock: Clock,
        read_file: _ReadFile,
        client: NewClient,
        sts_url: str | None,
    ) -> None:
        self._environ = environ
        self._clock = clock
        self._read_file = read_file
        self._client = client
        self._sts_url = sts_url
        self._stays_with: _Find | None = None

    async def fetch(self) -> Credentials:
        """The credentials of this moment. Raises CredentialError."""
        if self._stays_with is not None:
            found = self._stays_with(self._environ, self._read_file)
            if isinstance(found, NotHere):
                raise CredentialError(
                    f"the credentials are no longer there ({found.reason})",
                    found.place,
                    "Put them back, or start again to have them looked for elsewhere",
                )
            return await self._follow(found)
        looked: list[NotHere] = []
        for find in _PLACES:
            found = find(self._environ, self._read_file)
            if find is _by_machine_role:
                self._check_profile(looked)
            if isinstance(found, NotHere):
                looked.append(found)
                continue
            credentials = await self._follow(found)
            self._stays_with = find
            return credentials
        return await self._unasked(looked)

    def _check_profile(self, looked: list[NotHere]) -> None:
        """See that a profile that was asked for by name was found in one of the files."""
        if self._environ.get(PROFILE):
            raise CredentialError(
                f"names a profile that is in neither file: {_listed(looked[-2:])}",
                PROFILE,
                "Correct it, or unset it to have credentials looked for elsewhere",
            )

    async def _unasked(self, looked: list[NotHere]) -> Credentials:
        """The role of this machine although nothing speaks of one, or the error of all places."""
        if self._environ.get(MACHINE_ROLE_DISABLED, "").strip().lower() == "true":
            looked.append(NotHere("role of the machine", f"{MACHINE_ROLE_DISABLED} is true"))
        elif not official.is_installed():
            looked.append(
                NotHere(
                    "role of the machine",
                    "asked only where the package alibabacloud-credentials is installed",
                )
            )
        else:
            try:
                credentials = await self._follow(_any_machine_role(self._environ, self._read_file))
            except CredentialError as error:
                looked.append(NotHere("role of the machine", error.what))
            else:
                self._stays_with = _any_machine_role
                return credentials
        raise CredentialError(
            "no credentials of Alibaba Cloud were found",
            "credentials",
            f"Set {KEY_ID} and {KEY_SECRET}, or run: aliyun configure. Looked at: "
            f"{_listed(looked)}",
        )

    async def _follow(self, recipe: Recipe) -> Credentials:
        match recipe:
            case UseKeys():
                return recipe.credentials
            case AssumeRole():
                base = await self._follow(recipe.base)
                url = self._sts_url or f"https://{recipe.session.sts_host}"
                return await assume_role(
                    base, recipe.session, recipe.where, self._client, self._clock, url
                )
            case AssumeOidcRole():
                return await official.role_by_oidc(recipe)
            case MachineRole():
                return await official.role_of_machine(recipe)
            case AskUri():
                return await fetch_from_uri(recipe.uri, recipe.where, self._client)


def _by_environment(environ: Mapping[str, str], read_file: _ReadFile) -> Recipe | NotHere:  # noqa: ARG001
    if not environ.get(KEY_ID) and not environ.get(KEY_SECRET):
        return NotHere("environment", f"{KEY_ID} is not set")
    for name, other in ((KEY_ID, KEY_SECRET), (KEY_SECRET, KEY_ID)):
        if not environ.get(name):
            raise CredentialError(f"is not set, but {other} is", name, "Set both, or neither")
    token = environ.get(TOKEN)
    return UseKeys(
        Credentials(
            key_text(environ[KEY_ID], KEY_ID),
            key_text(environ[KEY_SECRET], KEY_SECRET),
            key_text(token, TOKEN) if token else None,
            provider="static_sts" if token else "static_ak",
            origin=KEY_ID,
        )
    )


def _by_oidc(environ: Mapping[str, str], read_file: _ReadFile) -> Recipe | NotHere:  # noqa: ARG001
    if not environ.get(OIDC_PROVIDER_ARN) and not environ.get(OIDC_TOKEN_FILE):
        return NotHere("role of the pod", f"{OIDC_TOKEN_FILE} is not set")
    for name in (ROLE_ARN, OIDC_PROVIDER_ARN, OIDC_TOKEN_FILE):
        if not environ.get(name):
            raise CredentialError(
                "is not set, but others for the role of a pod are",
                name,
                f"Set {ROLE_ARN}, {OIDC_PROVIDER_ARN} and {OIDC_TOKEN_FILE}, or none",
            )
    session = Session.of(
        {ROLE_ARN: environ[ROLE_ARN]},
        "environment",
        role_field=ROLE_ARN,
        name_field=SESSION_NAME,
        environ=environ,
    )
    return AssumeOidcRole(
        session, environ[OIDC_PROVIDER_ARN], environ[OIDC_TOKEN_FILE], OIDC_TOKEN_FILE
    )


def _by_machine_role(environ: Mapping[str, str], read_file: _ReadFile) -> Recipe | NotHere:
    if not environ.get(MACHINE_ROLE):
        return NotHere("role of the machine by name", f"{MACHINE_ROLE} is not set")
    if environ.get(MACHINE_ROLE_DISABLED, "").strip().lower() == "true":
        return NotHere("role of the machine by name", f"{MACHINE_ROLE_DISABLED} is true")
    return _any_machine_role(environ, read_file)


def _any_machine_role(environ: Mapping[str, str], read_file: _ReadFile) -> Recipe:  # noqa: ARG001
    name = environ.get(MACHINE_ROLE, "").strip()
    return machine_role(name, MACHINE_ROLE if name else "role of the machine", environ)


def _by_uri(environ: Mapping[str, str], read_file: _ReadFile) -> Recipe | NotHere:  # noqa: ARG001
    uri = environ.get(URI, "").strip()
    return AskUri(uri, URI) if uri else NotHere("URI", f"{URI} is not set")


_PLACES: tuple[_Find, ...] = (
    _by_environment,
    _by_oidc,
    find_cli_profile,
    find_file_profile,
    _by_machine_role,
    _by_uri,
)


def _listed(looked: list[NotHere]) -> str:
    return "; ".join(f"{one.place} ({one.reason})" for one in looked)
