"""One account in one region: what all clients of PAI's services share.

async with Account(source, "cn-hangzhou") as account:
    job = await Dlc(account).get_job("dlc1example")
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Literal

import httpx

from tidemark.alibaba.auth import Acs3Auth, RoaSha1Auth
from tidemark.alibaba.channel import Channel, ChannelSettings, Target
from tidemark.alibaba.credentials import CredentialSource
from tidemark.alibaba.endpoints import Product, endpoint_for
from tidemark.alibaba.operations import Operation, Parameter, query_string
from tidemark.clock import Clock
from tidemark.errors import ConfigError

__all__ = ["Account"]


class Account(Channel):
    """Carries signed calls to every product of one region over one pool of connections.

    `endpoints` replaces the services' addresses: one URL for all products, or one for each.
    `signature` is "acs3" (version 3), or "roa-sha1" for services that know only the older one;
    RPC operations are always signed by version 3, those of PAI Workload by the older one, which is
    all that is described for it. One `Account` belongs to one event loop.
    """

    def __init__(
        self,
        source: CredentialSource,
        region: str,
        *,
        network: Literal["public", "vpc"] = "public",
        endpoints: str | Mapping[str, str] | None = None,
        signature: Literal["acs3", "roa-sha1"] = "acs3",
        settings: ChannelSettings | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        clock: Clock | None = None,
        draw: random.Random | None = None,
    ) -> None:
        super().__init__(region, settings=settings, transport=transport, clock=clock, draw=draw)
        self._source = source
        self._network = network
        self._endpoints = endpoints
        self._base_urls: dict[Product, str] = {}
        self._acs3 = Acs3Auth(source, self.time_s)
        self._roa_sha1 = RoaSha1Auth(source, self.time_s)
        self._roa = self._roa_sha1 if signature == "roa-sha1" else self._acs3

    def target(
        self, operation: Operation, parts: Mapping[str, str], query: Mapping[str, Parameter]
    ) -> Target:
        """Where a call goes. Raises ConfigError for a region that the product does not serve."""
        product = operation.product
        base_url = self._base_urls.get(product)
        if base_url is None:
            base_url = self._base_urls[product] = endpoint_for(
                product, self.region, network=self._network, override=self._endpoints
            )
        try:
            path = operation.path_with(parts)
        except ValueError as error:
            raise ConfigError(
                f"{error}, which names nothing", operation.action, "Give the id as it was returned"
            ) from None
        return Target(base_url, path, query_string(query, rpc=operation.rpc))

    def auth(self, operation: Operation) -> httpx.Auth:
        """What signs a call."""
        if operation.product is Product.WORKLOAD:
            return self._roa_sha1
        return self._acs3 if operation.rpc else self._roa

    def renew_credentials(self) -> None:
        """The service called them expired."""
        self._source.renew()
