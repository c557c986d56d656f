"""How credentials are come by: what a variable or a profile says, before anything is asked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from tidemark.alibaba.credential_values import text_of
from tidemark.alibaba.credentials import Credentials
from tidemark.alibaba.errors import CredentialError

__all__ = [
    "SESSION_NAME",
    "AskUri",
    "AssumeOidcRole",
    "AssumeRole",
    "MachineRole",
    "NotHere",
    "Recipe",
    "Session",
    "UseKeys",
]

SESSION_NAME = "ALIBABA_CLOUD_ROLE_SESSION_NAME"
STS_REGION = "ALIBABA_CLOUD_STS_REGION"
INSIDE_VPC = "ALIBABA_CLOUD_VPC_ENDPOINT_ENABLED"

CENTRAL_STS = "sts.aliyuncs.com"

_REGION = re.compile(r"[a-z0-9-]{1,40}")
_SESSION_NAME = re.compile(r"[A-Za-z0-9.@_-]{2,64}")
_SHORTEST_S, _LONGEST_S, _DEFAULT_S = 900, 43200, 3600


@dataclass(frozen=True, slots=True)
class NotHere:
    """A place that has no credentials, and how that was seen."""

    place: str
    reason: str


@dataclass(frozen=True, slots=True)
class UseKeys:
    """Keys that are written there."""

    credentials: Credentials


@dataclass(frozen=True, slots=True)
class Session:
    """The session of a role: its name, its length in seconds, and the STS that is asked for it."""

    role_arn: str
    name: str = "tidemark"
    duration_s: int = _DEFAULT_S
    policy: str = field(default="", repr=False)
    external_id: str = field(default="", repr=False)
    sts_host: str = CENTRAL_STS

    @classmethod
    def of(
        cls,
        fields: Mapping[str, object],
        where: str,
        *,
        role_field: str,
        name_field: str,
        environ: Mapping[str, str],
    ) -> Session:
        """From the fields of a profile, and from the environment for what they leave open.

        `role_field` and `name_field` are what the profile calls the role and the session. Raises
        CredentialError for a missing role, and for values that STS does not take.
        """
        role_arn = text_of(fields, role_field, where)
        if not role_arn:
            raise CredentialError(
                "is missing", f"{where}: {role_field}", "Put the role's ARN there"
            )
        name = text_of(fields, name_field, where) or environ.get(SESSION_NAME) or "tidemark"
        if not _SESSION_NAME.fullmatch(name):
            raise CredentialError(
                "is not the name of a session",
                f"{where}: {name_field}",
                "Use 2 to 64 letters, digits and . @ _ -",
            )
        inside = fields.get("enable_vpc")
        inside = environ.get(INSIDE_VPC) if inside is None else inside
        return cls(
            role_arn,
            name,
            _duration_s(fields.get("expired_seconds"), where),
            text_of(fields, "policy", where, lines=True),
            text_of(fields, "external_id", where),
            _sts_host(
                text_of(fields, "sts_region", where) or environ.get(STS_REGION, ""),
                str(inside).strip().lower() == "true",
                f"{where}: sts_region",
            ),
        )


@dataclass(frozen=True, slots=True)
class AssumeRole:
    """A RAM role, taken with other credentials. STS AssumeRole, 2015-04-01."""

    base: Recipe
    session: Session
    where: str


@dataclass(frozen=True, slots=True)
class AssumeOidcRole:
    """A RAM role, taken with the token in a file, as pods of ACK have it (RRSA)."""

    session: Session
    provider_arn: str
    token_file: str
    where: str


@dataclass(frozen=True, slots=True)
class MachineRole:
    """The RAM role of the ECS instance this runs on; `role_name` "" asks the instance for it."""

    role_name: str
    without_imds_v1: bool
    where: str


@dataclass(frozen=True, slots=True)
class AskUri:
    """Temporary credentials that a URI answers with."""

    uri: str = field(repr=False)
    where: str


Recipe = UseKeys | AssumeRole | AssumeOidcRole | MachineRole | AskUri


def _duration_s(value: object, where: str) -> int:
    if value in (None, "", 0, "0"):
        return _DEFAULT_S
    try:
        seconds = int(str(value))
    except ValueError:
        seconds = 0
    if not _SHORTEST_S <= seconds <= _LONGEST_S:
        raise CredentialError(
            f"is not a number of seconds from {_SHORTEST_S} to {_LONGEST_S}",
            f"{where}: expired_seconds",
            "Correct it, or remove it for an hour",
        )
    return seconds


def _sts_host(region: str, inside_vpc: bool, where: str) -> str:
    """The host of STS in a region, the central one for "". Raises CredentialError."""
    if not region:
        return CENTRAL_STS
    if not _REGION.fullmatch(region):
        raise CredentialError(
            "is not the name of a region", where, "Write it as cn-hangzhou is written"
        )
    return f"{'sts-vpc' if inside_vpc else 'sts'}.{region}.aliyuncs.com"
