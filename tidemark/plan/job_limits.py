"""How long a job may take, in each of its phases and in all."""

from __future__ import annotations

import math
from typing import Self

from pydantic import Field, model_validator

from tidemark.plan.base import PlanModel, Real
from tidemark.plan.problems import Problem, refusals

__all__ = ["JobLimits"]

_WEEK_S = 604_800


class JobLimits(PlanModel):
    """When a job is stopped. Each phase has a clock of its own, and one runs over all of them."""

    form_order = ("total_s", "running_s")

    total_s: Real = Field(
        default=7200.0,
        title="Total time",
        description="Seconds from creation to the end, queueing included, after which the job is "
        f"stopped, from 60 to {_WEEK_S} (a week). A quote's bound follows from it.",
        examples=[7200, 1800],
        ge=60,
        le=_WEEK_S,
    )
    running_s: Real | None = Field(
        default=None,
        title="Running time",
        description="Seconds of running after which the service itself ends the job, rounded up "
        f"to whole minutes, from 60 to {_WEEK_S}. Left out: the total time.",
        examples=[1800],
        ge=60,
        le=_WEEK_S,
    )
    queueing_s: Real = Field(
        default=1800.0,
        title="Queueing time",
        description=f"Seconds to wait for a machine, which costs nothing, from 10 to {_WEEK_S}.",
        examples=[1800],
        ge=10,
        le=_WEEK_S,
    )
    preparing_s: Real = Field(
        default=3600.0,
        title="Preparing time",
        description="Seconds without any progress while machines and image are made ready, which "
        f"are billed, from 10 to {_WEEK_S}.",
        examples=[3600],
        ge=10,
        le=_WEEK_S,
    )
    image_pull_timeout_s: Real = Field(
        default=300.0,
        title="Image pull time-out",
        description="Seconds for which pulling the image may go on failing, from 10 to 86400. A "
        "pull that makes progress is waited for.",
        examples=[300],
        ge=10,
        le=86_400,
    )
    poll_interval_s: Real = Field(
        default=30.0,
        title="Poll interval",
        description="Seconds between two looks at the job, from 1 to 600.",
        examples=[30],
        ge=1,
        le=600,
    )

    @property
    def running_minutes(self) -> int:
        """Whole minutes of running after which the service ends the job, rounded up."""
        limit_s = self.total_s if self.running_s is None else self.running_s
        return math.ceil(limit_s / 60)

    @model_validator(mode="after")
    def _within_the_total(self) -> Self:
        if self.running_s is not None and self.running_s > self.total_s:
            what = f"is longer than total_s, {self.total_s:g}"
            remedy = "Raise total_s, or lower running_s"
            raise refusals("limits", [Problem(("running_s",), what, remedy)])
        return self
