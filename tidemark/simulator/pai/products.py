"""The products beside DLC that the simulated cloud has."""

from __future__ import annotations

from tidemark.clock import Clock
from tidemark.simulator.pai.ecs import EcsPrices
from tidemark.simulator.pai.wire import Service
from tidemark.simulator.pai.world import World

__all__ = ["services"]


def services(world: World, clock: Clock, dlc: object, *, bill: object) -> list[Service]:  # noqa: ARG001
    """All services of one simulated cloud but DLC."""
    return [EcsPrices(world)]
