"""A saved workspace of PAI: where jobs run, and with whose credentials they are started."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

import httpx
from prefect.blocks.core import Block
from pydantic import AfterValidator, Field, HttpUrl, ModelWrapValidatorHandler, model_validator

from blocks.alibaba_cloud_credentials import AlibabaCloudCredentials
from blocks.fields import validated
from blocks.kept import DOCUMENTATION, LOGOS
from tidemark.alibaba.account import Account
from tidemark.alibaba.endpoints import Product, endpoint_for
from tidemark.clock import Clock
from tidemark.config import Config
from tidemark.errors import ConfigError
from tidemark.plan.base import PlanModel
from tidemark.plan.job import JobPlan
from tidemark.plan.job_container import RoleArn
from tidemark.plan.problems import refusal

__all__ = ["PaiWorkspace"]

_ANY_REGION = "cn-hangzhou"
_ANY_ADDRESS = "https://localhost"


def _region(value: str) -> str:
    # At an address of its own a service may be in any region: only its spelling is looked at.
    _check(value, _ANY_ADDRESS)
    return value


def _endpoint(value: str) -> str:
    _check(_ANY_REGION, value)
    return value


def _check(region: str, endpoint: str) -> None:
    try:
        endpoint_for(Product.DLC, region, override=endpoint)
    except ConfigError as error:
        raise refusal(error.what, error.remedy or "Correct it") from None


class PaiWorkspace(Block, PlanModel):
    """
    A workspace of PAI: its region and address, the credentials that jobs are started with, and
    the role that they run with. What is left empty is as configured where the run is.

    Example:
        Run a job in a saved workspace:
        ```python
        from blocks import PaiWorkspace, SpendingPolicy
        from flows.dlc import dlc_benchmark

        workspace = PaiWorkspace.load("BLOCK_NAME")
        asyncio.run(dlc_benchmark(plan, workspace=workspace))
        ```
    """

    _block_type_name = "PAI Workspace"
    _block_type_slug = "pai-workspace"
    _logo_url = HttpUrl(f"{LOGOS}/process.png")
    _documentation_url = HttpUrl(DOCUMENTATION)

    form_order: ClassVar = ("region", "workspace_id", "credentials")

    region: Annotated[str, Field(max_length=40), AfterValidator(_region)] | None = Field(
        default=None,
        title="Region",
        description="Region of Alibaba Cloud. Left out: the configured one.",
        examples=["cn-hangzhou"],
    )
    workspace_id: Annotated[str, Field(pattern=r"^[0-9]{1,20}$")] | None = Field(
        default=None,
        title="Workspace id",
        description="Id of the workspace, in digits. Left out: the account's default workspace.",
        examples=["268"],
    )
    credentials: AlibabaCloudCredentials | None = Field(
        default=None,
        title="Credentials",
        description="Saved credentials. Left out: they are looked for where the run is.",
        examples=[{"profile": "benchmarks"}],
    )
    role_arn: RoleArn | None = Field(
        default=None,
        title="Role of jobs",
        description="ARN of the RAM role that jobs run with, for plans that name none.",
        examples=["acs:ram::123456789012:role/benchmark-jobs"],
    )
    network: Literal["public", "vpc"] | None = Field(
        default=None,
        title="Network",
        description="How the services are reached: public, or vpc from within the region. "
        "Left out: as configured.",
        examples=["vpc"],
    )
    endpoint: Annotated[str, Field(max_length=256), AfterValidator(_endpoint)] | None = Field(
        default=None,
        title="Address",
        description="Address in place of the services' own: a simulator, a proxy. Left out: the "
        "configured one, if there is one.",
        examples=["http://127.0.0.1:8900"],
    )

    @model_validator(mode="wrap")
    @classmethod
    def _in_plain_words(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        return validated(cls, data, handler)

    @property
    def secrets(self) -> tuple[str, ...]:
        """The values that nothing written may hold."""
        return () if self.credentials is None else self.credentials.secrets

    def account(
        self,
        config: Config,
        *,
        clock: Clock,
        transport: httpx.AsyncBaseTransport | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> Account:
        """The account that the workspace is in, to be opened by `async with`.

        `transport` carries its calls; the network where none is given.
        """
        credentials = self.credentials or AlibabaCloudCredentials()
        return credentials.get_client(
            config,
            region=self.region,
            network=self.network,
            endpoint=self.endpoint,
            environ=environ,
            clock=clock,
            transport=transport,
        )

    def plan_for(self, plan: JobPlan) -> JobPlan:
        """The plan of a job in this workspace: with its role, where the plan names none."""
        if self.role_arn is None or plan.role_arn is not None:
            return plan
        return JobPlan.model_validate({**plan.model_dump(), "role_arn": self.role_arn})
