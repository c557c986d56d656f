"""The products beside DLC that the simulated cloud has."""

from __future__ import annotations

from tidemark.clock import Clock
from tidemark.simulator.pai.aiworkspace import AiWorkSpace, Workspace
from tidemark.simulator.pai.bill import Bill
from tidemark.simulator.pai.eas_benchmarks import EasBenchmarks
from tidemark.simulator.pai.eas_deployed import SERVICES, DeployedService
from tidemark.simulator.pai.eas_services import EasServices
from tidemark.simulator.pai.ecs import EcsPrices
from tidemark.simulator.pai.gateway import EasGateway
from tidemark.simulator.pai.paistudio import PaiStudio
from tidemark.simulator.pai.quotas import QUOTAS, Quota
from tidemark.simulator.pai.wire import Service
from tidemark.simulator.pai.workloads import Jobs, WorkloadDocuments
from tidemark.simulator.pai.world import World

__all__ = ["services"]


def services(
    world: World,
    clock: Clock,
    dlc: Jobs,
    *,
    bill: Bill,
    deployed: tuple[DeployedService, ...] = SERVICES,
    workspaces: tuple[Workspace, ...] | None = None,
    quotas: tuple[Quota, ...] = QUOTAS,
    workspaces_fail: bool = False,
    wrapped: bool = False,
) -> list[Service]:
    """All services of one simulated cloud but DLC. What they charge for goes on the bill.

    `deployed`, `workspaces` and `quotas` are there from the start; by default two services, the
    default workspace and one quota. With `workspaces_fail` new workspaces end in FAILURE; with
    `wrapped`, DescribeService answers below a key `Service`. ECS prices and benchmark tasks can be
    scripted: `EcsPrices.script`, `EasBenchmarks.script`.
    """
    now_s = clock.time()
    eas = EasServices(world, now_s, deployed, wrapped=wrapped)
    bill.add_provider(eas.bill_lines)
    benchmarks = EasBenchmarks(world, eas, clock)
    return [
        AiWorkSpace(world, now_s, workspaces, failing=workspaces_fail),
        eas,
        benchmarks,
        EasGateway(world, benchmarks),
        EcsPrices(world),
        PaiStudio(world, clock, dlc, quotas),
        WorkloadDocuments(world, clock, dlc),
    ]
