"""Leave to create at the simulator, and nowhere else: nothing there is billed."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from tidemark.authorization import Authorization, Creation
from tidemark.errors import RefusedError

__all__ = ["SimulatorAuthorization"]


class SimulatorAuthorization(Authorization):
    """Covers whatever is created at an address of this machine's loopback interface, or at a
    name under `.simulator`, which no name server knows: what in-process tests use."""

    __slots__ = ()

    def permit(self, creation: Creation) -> None:
        """Return if the service is a simulator by its address. Raises RefusedError if not."""
        host = urlsplit(creation.url).hostname or ""
        try:
            here = host == "localhost" or ipaddress.ip_address(host).is_loopback
        except ValueError:
            here = host.endswith(".simulator")
        if not here:
            raise RefusedError(
                f"{creation.action} at {host} is not covered by leave to create at the simulator",
                "authorization",
                "Get a quote approved to create at a real service",
            )
