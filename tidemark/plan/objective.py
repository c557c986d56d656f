"""Service-level objectives: what a request must keep to count as good."""

from __future__ import annotations

import math
from typing import Annotated, Self

from pydantic import Field, model_validator

from tidemark.plan.base import PlanModel, Real
from tidemark.plan.problems import Problem, refusals

__all__ = ["Slo"]

Seconds = Annotated[Real, Field(gt=0, le=7200)]
# A percentile is trusted with this many samples beyond it: p90 from 100, p99 from 1000.
_SAMPLES_BEYOND = 10


class Slo(PlanModel):
    """Bounds on latency, and the share of requests that must keep all of them."""

    ttft_s: Seconds | None = Field(
        default=None,
        title="Time to first token",
        description="Seconds from sending to the first token, above 0, at most 7200.",
        examples=[0.5],
    )
    tpot_s: Seconds | None = Field(
        default=None,
        title="Time per output token",
        description="Seconds per token after the first, above 0, at most 7200.",
        examples=[0.05],
    )
    e2e_s: Seconds | None = Field(
        default=None,
        title="End to end",
        description="Seconds from sending to the last byte, above 0, at most 7200.",
        examples=[10.0],
    )
    attainment: Real = Field(
        default=0.99,
        title="Attainment",
        description="Share of requests that must keep all bounds, above 0 and at most 1.",
        examples=[0.99],
        gt=0,
        le=1,
    )

    @model_validator(mode="after")
    def _bounds_something(self) -> Self:
        if self.ttft_s is None and self.tpot_s is None and self.e2e_s is None:
            found = Problem(
                ("ttft_s",),
                "no bound is given",
                "Give ttft_s, tpot_s or e2e_s in seconds, or leave slo out",
            )
            raise refusals("slo", [found])
        return self

    @property
    def requests_needed(self) -> int | None:
        """Requests a cell must finish for its percentile at `attainment` to be told.

        Ten samples beyond the percentile: ceil(10 / (1 - attainment)). None when no
        number is enough, since no sample proves that every request keeps a bound.
        """
        if self.attainment >= 1:
            return None
        # Rounded first: 1 - 0.99 is not exactly 0.01 in floating point.
        return math.ceil(round(_SAMPLES_BEYOND / (1 - self.attainment), 6))
