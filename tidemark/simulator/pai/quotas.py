"""Quotas that are there from the start, and who stands in their queue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tidemark.simulator.pai.workloads import Workload
from tidemark.simulator.pai.world import World

__all__ = ["QUOTAS", "Quota", "seeded_workloads"]

_HOUR_S = 3600.0
_STRATEGIES = (
    "PaiStrategyIntelligent",
    "PaiStrategyBalance",
    "PaiStrategyRoundRobin",
    "PaiStrategyStrictFIFO",
)


@dataclass(frozen=True, slots=True)
class Quota:
    """Machines that are paid for as a whole and shared by queueing.

    `strategy` is how the queue is worked off, one of PaiStrategyIntelligent, PaiStrategyBalance,
    PaiStrategyRoundRobin, PaiStrategyStrictFIFO.
    """

    quota_id: str
    name: str
    machine: str
    nodes: int
    strategy: str = "PaiStrategyIntelligent"
    resource_type: str = "ECS"

    def __post_init__(self) -> None:
        if self.strategy not in _STRATEGIES:
            raise ValueError(f"{self.strategy} is no strategy of a queue")


QUOTAS = (Quota("quota1h2x3a4m5p6l", "team-quota", "ecs.gn7i-c32g1.16xlarge", 4),)


def seeded_workloads(quota: Quota, began_s: float, world: World) -> tuple[Workload, ...]:
    """Workloads of others that are there from the start, the first of them long over."""

    def workload(number: int, name: str, status: str, hours_ago: float, **more: Any) -> Workload:
        return Workload(
            workload_id=f"dlc{number}seeded00000{number}",
            name=name,
            status=status,
            quota_id=quota.quota_id,
            created_s=began_s - hours_ago * _HOUR_S,
            user_id="2345678901234567",
            user_name="bob",
            workspace_id=world.default_workspace_id,
            workspace_name="default_workspace",
            gpu_type=spec.gpu_type if (spec := world.spec(quota.machine)) else "",
            **more,
        )

    def ago(hours: float) -> float:
        return began_s - hours * _HOUR_S

    node = f"{quota.name}-node-1"
    small = {"cpu": 32.0, "gpu": 1.0, "memory_gib": 188.0}
    large = {"cpu": 128.0, "gpu": 4.0, "memory_gib": 752.0}
    waits = "The resources of the quota are in use."
    return (
        workload(
            1, "ablation", "Succeeded", 50, **small, dequeued_s=ago(49), ended_s=ago(20), node=node
        ),
        workload(2, "pretraining", "Running", 30, **large, dequeued_s=ago(29), node=node),
        workload(3, "distillation", "PreAllocation", 2, **small, dequeued_s=ago(0.05)),
        workload(4, "finetune", "Queuing", 1.5, **large, priority=5, reason=waits),
        workload(5, "evaluation", "Queuing", 1, **small, reason="Others are before it."),
    )
