"""One profile of a file: which way to credentials its fields describe."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from tidemark.alibaba.credential_recipes import (
    AssumeOidcRole,
    AssumeRole,
    MachineRole,
    Recipe,
    Session,
    UseKeys,
)
from tidemark.alibaba.credential_values import key_text, speakable, text_of
from tidemark.alibaba.credentials import Credentials
from tidemark.alibaba.errors import CredentialError

__all__ = ["CLI", "INI", "Fields", "Form", "Profiles", "machine_role"]

Fields = Mapping[str, object]
_ROLE_NAME = re.compile(r"[A-Za-z0-9._-]{0,64}")


@dataclass(frozen=True, slots=True)
class Form:
    """How one kind of file names what a profile holds.

    `kinds` are the values of `kind_field` that are read here, `others` those that are known and
    are not; the rest are names of fields.
    """

    called: str
    kind_field: str
    kinds: Mapping[str, str]
    others: frozenset[str]
    security_token: str
    role_arn: str
    session_name: str
    oidc_token_file: str
    machine_role: str


CLI = Form(
    called="profile",
    kind_field="mode",
    kinds={
        "AK": "keys",
        "StsToken": "temporary keys",
        "RamRoleArn": "role",
        "ChainableRamRoleArn": "role by another profile",
        "OIDC": "oidc role",
        "EcsRamRole": "machine role",
    },
    others=frozenset(("CloudSSO", "CredentialsURI", "External", "OAuth", "RsaKeyPair")),
    security_token="sts_token",
    role_arn="ram_role_arn",
    session_name="ram_session_name",
    oidc_token_file="oidc_token_file",
    machine_role="ram_role_name",
)
INI = Form(
    called="section",
    kind_field="type",
    kinds={
        "access_key": "keys",
        "sts": "temporary keys",
        "ram_role_arn": "role",
        "oidc_role_arn": "oidc role",
        "ecs_ram_role": "machine role",
    },
    others=frozenset(("bearer", "credentials_uri", "rsa_key_pair")),
    security_token="security_token",
    role_arn="role_arn",
    session_name="role_session_name",
    oidc_token_file="oidc_token_file_path",
    machine_role="role_name",
)


@dataclass(frozen=True, slots=True)
class Profiles:
    """The profiles of one file."""

    form: Form
    path: str
    by_name: Mapping[str, Fields] = field(repr=False)
    environ: Mapping[str, str] = field(repr=False)

    def recipe(self, name: str, before: tuple[str, ...] = ()) -> Recipe:
        """How to come by the credentials of a profile that is there.

        `before` are the profiles that led here. Raises CredentialError for one that cannot be used.
        """
        form, fields, where = self.form, self.by_name[name], self._where(name)
        kind = fields.get(form.kind_field)
        if not isinstance(kind, str):
            kind = ""
        match form.kinds.get(kind):
            case "keys":
                return UseKeys(self._keys(fields, where, temporary=False))
            case "temporary keys":
                return UseKeys(self._keys(fields, where, temporary=True))
            case "role":
                temporary = bool(fields.get(form.security_token))
                base = UseKeys(self._keys(fields, where, temporary=temporary))
                return AssumeRole(base, self._session(fields, where), where)
            case "role by another profile":
                below = self._source(fields, where, (*before, name))
                return AssumeRole(below, self._session(fields, where), where)
            case "oidc role":
                # The CLI names the session of this mode as the other file does.
                session = self._session(fields, where, INI.session_name)
                provider_arn = _needed(fields, "oidc_provider_arn", where)
                token_file = _needed(fields, form.oidc_token_file, where)
                return AssumeOidcRole(session, provider_arn, token_file, where)
            case "machine role":
                role_name = text_of(fields, form.machine_role, where)
                return machine_role(role_name, f"{where}: {form.machine_role}", self.environ)
        known = f" {kind}" if kind in form.others else ""
        raise CredentialError(
            f"is a {form.kind_field}{known} that is not read here",
            f"{where}: {form.kind_field}",
            f"Use {', '.join(form.kinds)}, or give credentials in another way",
        )

    def _where(self, name: str) -> str:
        return f"{self.path}: {self.form.called}{f' {name}' if speakable(name) else ''}"

    def _keys(self, fields: Fields, where: str, *, temporary: bool) -> Credentials:
        def key(name: str) -> str:
            if fields.get(name) is None:
                raise CredentialError("is missing", f"{where}: {name}", "Put the key there")
            return key_text(fields[name], f"{where}: {name}")

        return Credentials(
            key("access_key_id"),
            key("access_key_secret"),
            key(self.form.security_token) if temporary else None,
            provider="static_sts" if temporary else "static_ak",
            origin=where,
        )

    def _session(self, fields: Fields, where: str, name_field: str = "") -> Session:
        return Session.of(
            fields,
            where,
            role_field=self.form.role_arn,
            name_field=name_field or self.form.session_name,
            environ=self.environ,
        )

    def _source(self, fields: Fields, where: str, before: tuple[str, ...]) -> Recipe:
        source = text_of(fields, "source_profile", where)
        if source not in self.by_name or source in before:
            raise CredentialError(
                "names no profile of this file, or one that leads back here",
                f"{where}: source_profile",
                "Name the profile whose credentials may take the role",
            )
        return self.recipe(source, before)


def machine_role(role_name: str, where: str, environ: Mapping[str, str]) -> MachineRole:
    """The role of the machine, "" for whichever it has. Raises CredentialError for no such name."""
    if not _ROLE_NAME.fullmatch(role_name):
        raise CredentialError("is not the name of a RAM role", where, "Correct it")
    strict = environ.get("ALIBABA_CLOUD_IMDSV1_DISABLED", "").strip().lower() == "true"
    return MachineRole(role_name, strict, where)


def _needed(fields: Fields, name: str, where: str) -> str:
    value = text_of(fields, name, where)
    if not value:
        raise CredentialError("is missing", f"{where}: {name}", "Put it there")
    return value
