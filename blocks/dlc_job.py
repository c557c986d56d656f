"""A saved job: what to run, where, and the policy that answers for its cost."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import httpx
from prefect.blocks.abstract import JobBlock
from pydantic import Field, HttpUrl, ModelWrapValidatorHandler, model_validator

from blocks.dlc_job_run import DlcJobRun
from blocks.dlc_job_steps import JobOrder
from blocks.fields import validated
from blocks.kept import DOCUMENTATION, LOGOS
from blocks.pai_workspace import PaiWorkspace
from blocks.result_store import ResultStore
from blocks.spending_policy import SpendingPolicy
from tidemark.clock import Clock, SystemClock
from tidemark.errors import RefusedError
from tidemark.plan.base import PlanModel
from tidemark.plan.job import JobPlan

__all__ = ["DlcJob"]


class DlcJob(JobBlock, PlanModel):  # type: ignore[type-arg]  # of a run, it would be another type
    """
    A job of PAI-DLC, with the workspace it runs in and the policy that answers for its cost.
    Triggered, it is quoted, judged by the policy, started under a lease and watched to its end.

    Example:
        Run a saved job, and see what it came to:
        ```python
        from blocks import DlcJob

        job = DlcJob.load("BLOCK_NAME")
        run = job.trigger()
        run.wait_for_completion()
        print(run.fetch_result().cost)
        ```
    """

    _block_type_name = "DLC Job"
    _block_type_slug = "dlc-job"
    _logo_url = HttpUrl(f"{LOGOS}/docker.png")
    _documentation_url = HttpUrl(DOCUMENTATION)

    form_order: ClassVar = ("plan", "policy", "workspace", "result_store")

    plan: JobPlan = Field(
        title="Plan",
        description="What to run, on what machine, for how long and up to what sum.",
        examples=[{"command": "nvidia-smi", "machine": {"spec": "ecs.gn7i-c8g1.2xlarge"}}],
    )
    policy: SpendingPolicy = Field(
        title="Policy",
        description="Rules that say yes or no to the quote: a block has nobody to ask.",
        examples=[{"currency": "CNY", "per_run": 10}],
    )
    workspace: PaiWorkspace | None = Field(
        default=None,
        title="Workspace",
        description="Where it runs, and with which credentials. Left out: as configured where the "
        "run is.",
        examples=[{"region": "cn-hangzhou", "workspace_id": "268"}],
    )
    result_store: ResultStore | None = Field(
        default=None,
        title="Result store",
        description="Where a sweep in the job keeps its results, and where logs and events of a "
        "job that fails are kept. Left out: the configured one.",
        examples=[{"uri": "oss://my-bucket@cn-hangzhou/benchmarks"}],
    )

    @model_validator(mode="wrap")
    @classmethod
    def _in_plain_words(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        return validated(cls, data, handler)

    def trigger(  # type: ignore[override]
        self,
        *,
        environ: Mapping[str, str] | None = None,
        clock: Clock | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> DlcJobRun:
        """Quote the job, have the policy judge the quote, and start it; return when it is there.

        Configuration comes from `environ`, this process's where none is given; `transport` carries
        the calls to Alibaba Cloud, the network where none is given. Raises RefusedError where the
        policy says no or a cap would be passed, and TidemarkError. Nothing is left running then.
        """
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return DlcJobRun(self._order(environ, clock, transport)).begin()
        raise RefusedError(
            "would hold up all that runs in this event loop", "trigger()", "await atrigger()"
        )

    async def atrigger(
        self,
        *,
        environ: Mapping[str, str] | None = None,
        clock: Clock | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> DlcJobRun:
        """As `trigger`, for code that runs in an event loop."""
        return await DlcJobRun(self._order(environ, clock, transport)).abegin()

    def _order(
        self,
        environ: Mapping[str, str] | None,
        clock: Clock | None,
        transport: httpx.AsyncBaseTransport | None,
    ) -> JobOrder:
        return JobOrder(
            name=self._block_document_name or "",
            plan=self.plan,
            workspace=self.workspace or PaiWorkspace(),
            policy=self.policy,
            result_store=self.result_store,
            environ=dict(os.environ if environ is None else environ),
            directory=Path.cwd(),
            clock=clock or SystemClock(),
            transport=transport,
            log=self.logger,
        )
