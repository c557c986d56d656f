"""When a cell ends, and what is thrown away before the first one."""

from __future__ import annotations

from pydantic import Field

from tidemark.plan.base import PlanModel, Real, Whole

__all__ = ["MAX_CONCURRENCY", "REQUESTS_PER_USER", "Limits", "WarmUp"]

MAX_CONCURRENCY = 4096
# Where a plan sets no max_requests. In-flight requests are cut off when a cell ends, one
# per user: with 20 finished requests per user that is a few per cent of the work.
REQUESTS_PER_USER = 20
# Fewer leave p90 open, however few users there are.
LEAST_REQUESTS = 100
_MAX_REQUESTS = 10_000_000


class Limits(PlanModel):
    """When a cell ends: at the number of requests or at the time, whichever comes first."""

    max_time_s: Real = Field(
        default=60.0,
        title="Time per cell",
        description="Seconds of load after which a cell ends, from 1 to 86400 (one day).",
        examples=[60, 900],
        ge=1,
        le=86_400,
    )
    max_requests: Whole | None = Field(
        default=None,
        title="Requests per cell",
        description="Finished requests after which a cell ends, from 1 to 10 million. Left out: "
        "20 times the concurrency of each cell, and at least 100.",
        examples=[1000],
        ge=1,
        le=_MAX_REQUESTS,
    )
    min_requests_per_user: Whole = Field(
        default=10,
        title="Least requests per user",
        description="The plan warns when max_requests is below this many for each of the users "
        "of its highest concurrency, from 1 to 1000.",
        examples=[10],
        ge=1,
        le=1000,
    )
    stall_timeout_s: Real = Field(
        default=60.0,
        title="Stall time-out",
        description="Seconds of silence, without a byte of the answer, after which a request "
        "has failed, from 1 to 7200. Longer than the slowest first token.",
        examples=[60],
        ge=1,
        le=7200,
    )
    drain_s: Real = Field(
        default=30.0,
        title="Drain",
        description="Seconds allowed for a cell to close after its load ended, from 0 to 3600.",
        examples=[30],
        ge=0,
        le=3600,
    )

    def requests_at(self, concurrency: int) -> int:
        """How many finished requests end a cell of this concurrency."""
        if self.max_requests is not None:
            return self.max_requests
        return max(LEAST_REQUESTS, REQUESTS_PER_USER * concurrency)


class WarmUp(PlanModel):
    """Load before the first cell whose measurements are thrown away."""

    requests: Whole | None = Field(
        default=None,
        title="Requests",
        description="How many requests, from 1 to 10 million. Left out: twice the concurrency of "
        "the warm-up.",
        examples=[32],
        ge=1,
        le=_MAX_REQUESTS,
    )
    concurrency: Whole | None = Field(
        default=None,
        title="Concurrency",
        description=f"At how many at once, from 1 to {MAX_CONCURRENCY}. Left out: the highest "
        "concurrency of the plan.",
        examples=[16],
        ge=1,
        le=MAX_CONCURRENCY,
    )

    def load(self, highest_concurrency: int) -> tuple[int, int]:
        """(requests, concurrency) of the warm-up of a plan with this highest concurrency."""
        concurrency = self.concurrency or highest_concurrency
        return self.requests or 2 * concurrency, concurrency
