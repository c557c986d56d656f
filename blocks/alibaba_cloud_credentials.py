"""Saved credentials of Alibaba Cloud: an access key, or one of the ways to come by credentials."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal, Self

import httpx
from prefect.blocks.abstract import CredentialsBlock
from pydantic import (
    Field,
    HttpUrl,
    ModelWrapValidatorHandler,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from blocks.fields import validated
from blocks.kept import DOCUMENTATION, LOGOS
from tidemark.alibaba import credential_sources as chain
from tidemark.alibaba.account import Account
from tidemark.alibaba.channel import ChannelSettings
from tidemark.alibaba.credential_files import CREDENTIALS_FILE, PROFILE
from tidemark.alibaba.credential_values import key_text
from tidemark.alibaba.credentials import Credentials, CredentialSource, StaticCredentials
from tidemark.alibaba.errors import CredentialError
from tidemark.clock import Clock, SystemClock
from tidemark.config import Config, load_config
from tidemark.plan.base import Name, PlanModel
from tidemark.plan.base import Path as PathText
from tidemark.plan.problems import Problem, refusal, refusals

__all__ = ["AlibabaCloudCredentials"]

# The fields that begin a way to credentials, and the variable of the default chain that it is.
_WAYS: Final = {
    "access_key_id": chain.KEY_ID,
    "profile": PROFILE,
    "oidc_role_arn": chain.ROLE_ARN,
    "machine_role": chain.MACHINE_ROLE,
    "credentials_uri": chain.URI,
}
# What goes with the first field of a way; the second part says whether it has to.
_BESIDE: Final = {
    "access_key_secret": ("access_key_id", True),
    "security_token": ("access_key_id", False),
    "oidc_provider_arn": ("oidc_role_arn", False),
    "oidc_token_file": ("oidc_role_arn", False),
}
_OIDC: Final = {
    "oidc_role_arn": chain.ROLE_ARN,
    "oidc_provider_arn": chain.OIDC_PROVIDER_ARN,
    "oidc_token_file": chain.OIDC_TOKEN_FILE,
}
# All that could lead the default chain another way than the one that is saved.
_LEADING: Final = frozenset(
    (
        *_WAYS.values(),
        *_OIDC.values(),
        chain.KEY_SECRET,
        chain.TOKEN,
        CREDENTIALS_FILE,
        "HOME",
    )
)


_Arn = Annotated[Name, Field(pattern=r"^acs:ram::[0-9]+:[a-z-]+/.+$")]


class AlibabaCloudCredentials(CredentialsBlock, PlanModel):
    """
    Credentials of Alibaba Cloud: an access key, a profile, a role or a URI. Left empty, they are
    looked for where the run is, as Alibaba Cloud's own tools do: in variables, profiles and roles.

    Example:
        Ask for the jobs of the account:
        ```python
        from blocks import AlibabaCloudCredentials
        from tidemark.alibaba.dlc import Dlc

        credentials = AlibabaCloudCredentials.load("BLOCK_NAME")
        async with credentials.get_client(region="cn-hangzhou") as account:
            jobs = await Dlc(account).list_jobs()
        ```
    """

    _block_type_name = "Alibaba Cloud Credentials"
    _block_type_slug = "alibaba-cloud-credentials"
    _logo_url = HttpUrl(f"{LOGOS}/secret.png")
    _documentation_url = HttpUrl(DOCUMENTATION)

    form_order: ClassVar = ("access_key_id", "access_key_secret", "security_token", "profile")

    # Bare types: Prefect masks a secret only where it sees no more than SecretStr.
    access_key_id: str | None = Field(
        default=None,
        max_length=256,
        title="Access key id",
        description="Id of an access key of a RAM user. It goes with its secret.",
        examples=["LTAI-your-key-id"],
    )
    access_key_secret: SecretStr | None = Field(
        default=None,
        max_length=8192,
        title="Access key secret",
        description="Secret of the access key.",
        examples=["your-key-secret"],
    )
    security_token: SecretStr | None = Field(
        default=None,
        max_length=8192,
        title="Security token",
        description="Token that comes with a temporary access key, and ends with it.",
        examples=["your-token"],
    )
    profile: Name | None = Field(
        default=None,
        title="Profile",
        description="Profile in ~/.aliyun/config.json or in the credentials file of the SDKs, "
        "where the run is.",
        examples=["benchmarks"],
    )
    oidc_role_arn: _Arn | None = Field(
        default=None,
        title="Role by OIDC",
        description="ARN of the RAM role that a pod of ACK takes with its service account (RRSA).",
        examples=["acs:ram::123456789012:role/benchmarks"],
    )
    oidc_provider_arn: _Arn | None = Field(
        default=None,
        title="OIDC provider",
        description="ARN of the cluster's provider. Left out: as the pod's environment has it.",
        examples=["acs:ram::123456789012:oidc-provider/ack-rrsa-cluster"],
    )
    oidc_token_file: PathText | None = Field(
        default=None,
        title="OIDC token file",
        description="File with the token of the service account. Left out: as the pod's "
        "environment has it.",
        examples=["/var/run/secrets/ack.alibabacloud.com/rrsa-tokens/token"],
    )
    machine_role: Name | None = Field(
        default=None,
        title="Role of the machine",
        description="Name of the RAM role of the ECS instance where the run is.",
        examples=["benchmarks"],
    )
    credentials_uri: SecretStr | None = Field(
        default=None,
        max_length=8192,
        title="Credentials URI",
        description="URI that answers with temporary credentials, as in the containers of DLC. "
        "It may hold a token, and is kept like one.",
        examples=["http://127.0.0.1:8080/credentials"],
    )

    @model_validator(mode="wrap")
    @classmethod
    def _in_plain_words(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        return validated(cls, data, handler)

    @field_validator("access_key_id", "access_key_secret", "security_token", "credentials_uri")
    @classmethod
    def _is_key(cls, value: str | SecretStr | None, info: ValidationInfo) -> str | SecretStr | None:
        if value is None:
            return None
        text = value.get_secret_value() if isinstance(value, SecretStr) else value
        try:
            key = key_text(text, str(info.field_name))
        except CredentialError as error:
            raise refusal(error.what, error.remedy or "Correct it") from None
        return SecretStr(key) if isinstance(value, SecretStr) else key

    @model_validator(mode="after")
    def _check_one_way(self) -> Self:
        given = [name for name in _WAYS if getattr(self, name) is not None]
        problems = [
            Problem((name,), f"is another way to credentials than {given[0]}", "Keep one of them")
            for name in given[1:]
        ]
        for name, (first, needed) in _BESIDE.items():
            is_given = getattr(self, name) is not None
            if is_given and first not in given:
                problems.append(Problem((first,), f"is missing beside {name}", "Give both"))
            elif needed and first in given and not is_given:
                problems.append(Problem((name,), f"is missing beside {first}", "Give both"))
        if problems:
            raise refusals(self.get_block_type_name(), problems)
        return self

    @property
    def secrets(self) -> tuple[str, ...]:
        """The values that nothing written may hold."""
        kept = (self.access_key_secret, self.security_token, self.credentials_uri)
        return tuple(one.get_secret_value() for one in kept if one is not None)

    def source(self, environ: Mapping[str, str], clock: Clock) -> CredentialSource:
        """Where the credentials come from, in an environment. Nothing is read or asked yet.

        A CredentialError, now or when they are asked for, names the field of this block that
        leads nowhere; they are not looked for elsewhere then.
        """
        if self.access_key_id is not None and self.access_key_secret is not None:
            token = self.security_token
            return StaticCredentials.of(
                self.access_key_id,
                self.access_key_secret.get_secret_value(),
                None if token is None else token.get_secret_value(),
            )
        way = next((name for name in _WAYS if getattr(self, name) is not None), None)
        if way is None:
            return chain.default_chain(environ, clock)
        found = chain.default_chain(self._environment(way, environ), clock)
        return _NamedSource(found, f"{self._named()}: {way}")

    def _named(self) -> str:
        return self._block_document_name or self.get_block_type_name()

    def _environment(self, way: str, environ: Mapping[str, str]) -> dict[str, str]:
        """The environment in which the default chain has one way to go: the one that is saved."""
        reduced = {name: value for name, value in environ.items() if name not in _LEADING}
        if way == "profile":
            both = {name: environ[name] for name in (CREDENTIALS_FILE, "HOME") if name in environ}
            return {**reduced, **both, PROFILE: str(self.profile)}
        if way == "oidc_role_arn":
            chosen = {
                variable: getattr(self, name) or environ.get(variable, "")
                for name, variable in _OIDC.items()
            }
            missing = [variable for variable, value in chosen.items() if not value]
            if missing:
                raise CredentialError(
                    f"the role goes with {' and '.join(missing)}, which the environment lacks",
                    f"{self._named()}: oidc_role_arn",
                    "Run it in a pod with the service account of the role, or give them in the "
                    "block",
                )
            return {**reduced, **chosen}
        if self.credentials_uri is not None:
            return {**reduced, chain.URI: self.credentials_uri.get_secret_value()}
        return {**reduced, chain.MACHINE_ROLE: str(self.machine_role)}

    def get_client(
        self,
        config: Config | None = None,
        *,
        region: str | None = None,
        network: Literal["public", "vpc"] | None = None,
        endpoint: str | None = None,
        environ: Mapping[str, str] | None = None,
        clock: Clock | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> Account:
        """An account with these credentials, to be opened by `async with`.

        What is not given is as configured where the run is. Raises ConfigError for a
        configuration that cannot be read, and CredentialError as `source` does.
        """
        environ = os.environ if environ is None else environ
        config = load_config(environ, Path.cwd()) if config is None else config
        clock = clock or SystemClock()
        return Account(
            self.source(environ, clock),
            region or config.region,
            network=network or config.network,
            endpoints=endpoint or config.pai_endpoint,
            settings=ChannelSettings(calls_per_s=config.pai_calls_per_s),
            transport=transport,
            clock=clock,
        )


@dataclass(frozen=True, slots=True)
class _NamedSource:
    """A source whose errors say which field of which block led there."""

    source: CredentialSource
    name: str

    async def credentials(self) -> Credentials:
        try:
            return await self.source.credentials()
        except CredentialError as error:
            where = f"{self.name}: {error.where}" if error.where else self.name
            # Another one: several calls may be waiting for the same.
            raise CredentialError(error.what, where, error.remedy) from None

    def renew(self) -> None:
        self.source.renew()
