"""The products beside DLC that the simulated cloud has."""

from __future__ import annotations

from tidemark.clock import Clock
from tidemark.simulator.pai.bill import Bill
from tidemark.simulator.pai.eas_benchmarks import EasBenchmarks
from tidemark.simulator.pai.eas_services import EasServices
from tidemark.simulator.pai.ecs import EcsPrices
from tidemark.simulator.pai.gateway import EasGateway
from tidemark.simulator.pai.wire import Service
from tidemark.simulator.pai.world import World

__all__ = ["services"]


def services(world: World, clock: Clock, dlc: object, *, bill: Bill) -> list[Service]:  # noqa: ARG001
    """All services of one simulated cloud but DLC. What they charge for goes on the bill."""
    eas = EasServices(world, clock.time())
    bill.add_provider(eas.bill_lines)
    benchmarks = EasBenchmarks(world, eas, clock)
    return [EcsPrices(world), eas, benchmarks, EasGateway(world, benchmarks)]
