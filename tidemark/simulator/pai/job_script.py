"""How a job's life goes: how long each phase takes, and what goes wrong in it.

All durations are seconds of the simulator's clock; `never` stands for one that does not end.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

__all__ = [
    "Detour",
    "ImagePull",
    "Interruption",
    "JobScript",
    "PullError",
    "StockOut",
    "strict_model",
]

PullError = Literal[
    "not_found", "access_denied", "manifest_unknown", "unauthorized", "invalid_name", "timeout"
]


def _never(value: Any) -> Any:
    if value == "never":
        return math.inf
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("must be a number of seconds without quotes, or never")
    return value


Seconds = Annotated[float, Field(ge=0), BeforeValidator(_never)]
FiniteSeconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]

# Texts in a file are not taken for numbers, nor numbers for truth values.
strict_model = ConfigDict(frozen=True, extra="forbid", strict=True)


class ImagePull(BaseModel):
    """How the image is pulled, counted from the moment a node is there.

    With `fails_after_s` the first pull fails then and is tried again at growing intervals, until
    `recovers_after_s`, when a pull begins that takes `pull_s`, or `gives_up_after_s`, when the
    job fails; with neither it fails for ever. With `layers` each layer is told of when it is
    there. `in_sub_status` names ImagePullBackOff in the pods' SubStatus, where the service has
    only Normal and Evicted.
    """

    model_config = strict_model

    pull_s: Seconds = 40.0
    layers: Annotated[int, Field(ge=0, le=1000)] = 0
    fails_after_s: FiniteSeconds | None = None
    recovers_after_s: FiniteSeconds | None = None
    gives_up_after_s: FiniteSeconds | None = None
    error: PullError = "not_found"
    in_sub_status: bool = False

    @model_validator(mode="after")
    def _consistent(self) -> ImagePull:
        ends = [one for one in (self.recovers_after_s, self.gives_up_after_s) if one is not None]
        if len(ends) == 2:
            raise ValueError("takes recovers_after_s or gives_up_after_s, not both")
        if ends and (self.fails_after_s is None or ends[0] < self.fails_after_s):
            raise ValueError("must fail (fails_after_s) before it recovers or gives up")
        if self.in_sub_status and self.fails_after_s is None:
            raise ValueError("in_sub_status is of a pull that fails: give fails_after_s")
        return self


class StockOut(BaseModel):
    """No machine is to be had: until `recovers_after_s`, until the job fails, or for ever."""

    model_config = strict_model

    recovers_after_s: FiniteSeconds | None = None
    fails_after_s: FiniteSeconds | None = None

    @model_validator(mode="after")
    def _consistent(self) -> StockOut:
        if self.recovers_after_s is not None and self.fails_after_s is not None:
            raise ValueError("takes recovers_after_s or fails_after_s, not both")
        return self


class Interruption(BaseModel):
    """A pod is lost while the job runs, and the job restarts.

    It happens `after_s` of running since the last start; the command then begins anew. An
    evicted pod waits `new_node_s` for another node, which is not billed until it is there; a
    failed one keeps its node. Either then needs `start_s`. `pod` counts from 0 in the order of
    GetJob's Pods.
    """

    model_config = strict_model

    after_s: FiniteSeconds
    kind: Literal["eviction", "failure"] = "eviction"
    pod: Annotated[int, Field(ge=0)] = 0
    new_node_s: FiniteSeconds = 30.0
    start_s: FiniteSeconds = 30.0


class Detour(BaseModel):
    """A status in between, also one that no documentation names."""

    model_config = strict_model

    status: Annotated[str, Field(min_length=1, max_length=64)]
    before: Literal[
        "Queuing",
        "Bidding",
        "EnvPreparing",
        "SanityChecking",
        "Running",
        "SucceededReserving",
        "FailedReserving",
        "Succeeded",
        "Failed",
    ]
    for_s: Seconds = 30.0


class JobScript(BaseModel):
    """The life of one job. What is left out is as the job itself asks, or ordinary.

    `bidding_s`, `sanity_check_s` and `reserving_s`: None leaves it to the job (a Lingjun spot job
    bids, EnableSanityCheck checks, JobReservedMinutes reserves). `visible_after_s`: how long
    ListJobs does not know the job yet. `stopping_s`: from a stop to Stopped. `logs`: what the
    pod that runs the command writes when it starts. Where commands are run for real, they decide
    over `running_s`, `exit_code` and `logs`.
    """

    model_config = strict_model

    creating_s: Seconds = 1.0
    queuing_s: Seconds = 5.0
    stock_out: StockOut | None = None
    bidding_s: Seconds | None = None
    node_s: Seconds = 15.0
    image_pull: ImagePull = ImagePull()
    sanity_check_s: Seconds | None = None
    running_s: Seconds = 300.0
    exit_code: Annotated[int, Field(ge=0, le=255)] = 0
    interruptions: tuple[Interruption, ...] = ()
    reserving_s: Seconds | None = None
    stopping_s: Seconds = 5.0
    detours: tuple[Detour, ...] = ()
    visible_after_s: FiniteSeconds = 0.0
    logs: tuple[str, ...] = ()
