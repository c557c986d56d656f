"""A saved result store: where results go, and by which references it is opened."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from prefect.blocks.core import Block
from pydantic import AfterValidator, Field, HttpUrl, model_validator

from blocks.kept import DOCUMENTATION, LOGOS, without_block_type
from tidemark.errors import StoreError
from tidemark.plan.base import Name, PlanModel
from tidemark.plan.problems import Problem, refusal, refusals
from tidemark.plan.secrets import SECRET_REMEDY, SecretRef
from tidemark.results.locations import S3Location, parse_location
from tidemark.results.options import credential_names, option_names

__all__ = ["OPTIONS", "ResultStore"]

# All but one: who saves a store wants to write to it, which nobody may anonymously.
OPTIONS = tuple(name for name in option_names("s3") if name != "anonymous")
CREDENTIALS = credential_names("s3")


def _location(uri: str) -> str:
    try:
        return str(parse_location(uri))
    except StoreError as error:
        raise refusal(error.what, error.remedy or "Correct it") from None


def _reference(title: str, what: str, example: str) -> Any:
    return Field(
        default=None,
        title=title,
        description=f"Where the {what} is found: env:NAME, file:/absolute/path, or prefect:NAME "
        f"for a saved Secret block. Never the {what} itself. Only with s3://.",
        examples=[f"prefect:{example}", f"env:{example.upper().replace('-', '_')}"],
    )


class ResultStore(Block, PlanModel):
    """
    A place for results: a folder, or a bucket that speaks the protocol of S3. It holds no
    secret: credentials are references, or are left to the environment, a profile or a role.

    Example:
        Keep the results of a sweep in a saved store:
        ```python
        from blocks import ResultStore
        from flows.sweep import sweep

        saved = ResultStore.load("BLOCK_NAME")
        asyncio.run(sweep(plan, result_store=saved))
        ```
    """

    _block_type_name = "Result Store"
    _block_type_slug = "result-store"
    _logo_url = HttpUrl(f"{LOGOS}/filesystem.png")
    _documentation_url = HttpUrl(DOCUMENTATION)

    uri: Annotated[str, Field(min_length=1, max_length=2048), AfterValidator(_location)] = Field(
        title="Location",
        description="A folder (a path or file:///path) or a prefix in a bucket (s3://bucket/path).",
        examples=["s3://my-bucket/benchmarks", "/data/results"],
    )
    region: Name | None = Field(
        default=None,
        title="Region",
        description="Region of the bucket. Only with s3://.",
        examples=["eu-central-1"],
    )
    endpoint_url: Annotated[str, Field(pattern=r"^https?://[^\s?#@]+$", max_length=2048)] | None = (
        Field(
            default=None,
            title="S3 endpoint",
            description="Address of a service other than Amazon's that speaks the protocol of S3. "
            "Only with s3://.",
            examples=["https://s3.example.com", "http://minio:9000"],
        )
    )
    access_key_id: SecretRef | None = _reference("Access key id", "access key id", "store-key-id")
    secret_access_key: SecretRef | None = _reference(
        "Secret access key", "secret access key", "store-secret"
    )
    session_token: SecretRef | None = _reference("Session token", "session token", "store-token")
    profile: Name | None = Field(
        default=None,
        title="Profile",
        description="Profile of the AWS configuration where the run is, instead of keys. "
        "Only with s3://.",
        examples=["benchmarks"],
    )
    sse: Literal["AES256", "aws:kms"] | None = Field(
        default=None,
        title="Server-side encryption",
        description="How the service encrypts what is written. Left out: as the bucket is set up. "
        "Only with s3://.",
        examples=["AES256", "aws:kms"],
    )
    sse_kms_key_id: Name | None = Field(
        default=None,
        title="Encryption key",
        description="Id of the key for aws:kms. Left out: the account's own.",
        examples=["alias/benchmarks"],
    )
    addressing_style: Literal["path", "virtual", "auto"] | None = Field(
        default=None,
        title="Addressing style",
        description="Whether the bucket stands in the path of a request or before the host. "
        "Left out: what suits the service. Only with s3://.",
        examples=["path", "virtual"],
    )

    @model_validator(mode="before")
    @classmethod
    def _as_kept(cls, data: Any) -> Any:
        return without_block_type(data, cls.get_block_type_slug())

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        problems = self._problems()
        if problems:
            raise refusals("result store", problems)
        return self

    def _problems(self) -> list[Problem]:
        location = parse_location(self.uri)
        if not isinstance(location, S3Location):
            return [
                Problem((name,), f"has no effect on a {location.scheme}:// store", "Remove it")
                for name in (*OPTIONS, *CREDENTIALS)
                if getattr(self, name) is not None
            ]
        problems = []
        if self.region and location.region and self.region != location.region:
            problems.append(
                Problem(("region",), "is another than the one in the location", "Keep one of them")
            )
        if self.sse_kms_key_id and self.sse != "aws:kms":
            problems.append(
                Problem(("sse_kms_key_id",), "is a key for aws:kms only", "Set sse: aws:kms")
            )
        given = {name for name in CREDENTIALS if getattr(self, name) is not None}
        problems += [
            Problem((name,), "is missing beside the other credentials", SECRET_REMEDY)
            for name in ("access_key_id", "secret_access_key")
            if given and name not in given
        ]
        if given and self.profile:
            problems.append(
                Problem(("profile",), "is given beside credentials", "Keep one of the two")
            )
        return problems

    @property
    def options(self) -> dict[str, str]:
        """The options of `tidemark.results.store.open_store`, by name."""
        values = {name: getattr(self, name) for name in OPTIONS}
        return {name: value for name, value in values.items() if value is not None}

    @property
    def credentials(self) -> dict[str, SecretRef]:
        """References to the credentials, by the names that `open_store` gives them."""
        values = {name: getattr(self, name) for name in CREDENTIALS}
        return {name: value for name, value in values.items() if value is not None}
