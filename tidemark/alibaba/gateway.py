"""EAS stress tests through the gateway: one address for all regions, and a key for a signature.

`https://api.aliyun.com/api/eas/2021-07-01/{Action}`, outside China `api.alibabacloud.com`, with
`Authorization: Bearer KEY`. The region and the task stand in the query as `ClusterId` and
`TaskName`. This form is described beside the service's own API, which takes no such key; it is
used only by who makes a `Gateway`:

    gateway = Gateway(BearerKey.from_environment(os.environ), "cn-hangzhou")
    report = await Eas(gateway).get_report("benchmark-1")
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

import httpx

from tidemark.alibaba.auth import BearerAuth
from tidemark.alibaba.channel import Channel, ChannelSettings, Target
from tidemark.alibaba.credential_values import key_text
from tidemark.alibaba.credentials import BearerKey
from tidemark.alibaba.endpoints import Product, endpoint_for
from tidemark.alibaba.errors import AccessError, ThrottledError
from tidemark.alibaba.operations import JsonObject, Operation, Parameter, query_string
from tidemark.authorization import Authorization
from tidemark.clock import Clock
from tidemark.errors import ConfigError

__all__ = ["CALLS_PER_S", "Gateway"]

CALLS_PER_S = 100.0
"""The calls per second that an account is allowed, as documented for this form."""

_PATH = "/api/eas/2021-07-01"


class Gateway(Channel):
    """Carries EAS's operations on stress tests, for `Eas`, with a bearer key.

    Creating a test names no region: the answer says where it was created, and that is the
    `cluster_id` of what follows. `endpoint` replaces the address. Raises CredentialError for a
    key that is none, such as the name of a variable in place of its value.
    """

    def __init__(
        self,
        key: BearerKey,
        region: str,
        *,
        endpoint: str | None = None,
        settings: ChannelSettings | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        clock: Clock | None = None,
        draw: random.Random | None = None,
    ) -> None:
        super().__init__(
            region,
            # What may go at once comes on top of what goes in a second.
            settings=settings or ChannelSettings(calls_per_s=CALLS_PER_S, burst=1),
            transport=transport,
            clock=clock,
            draw=draw,
        )
        value = key_text(key.value, "the gateway's key")
        self._base_url = endpoint_for(Product.GATEWAY, region, override=endpoint)
        self._auth = BearerAuth(lambda: value)

    async def call(
        self,
        operation: Operation,
        *,
        parts: Mapping[str, str] | None = None,
        query: Mapping[str, Parameter] | None = None,
        body: Mapping[str, object] | None = None,
        authorization: Authorization | None = None,
        secrets: Sequence[str] = (),
    ) -> JsonObject:
        """Call an operation of EAS on stress tests in this form; see `Channel.call`.

        Raises ConfigError for any other operation.
        """
        if operation.product is not Product.EAS or "Benchmark" not in operation.action:
            raise ConfigError(
                f"the gateway does not know {operation.action}",
                "gateway",
                "Use an Account for all but stress tests",
            )
        here = Operation(
            Product.GATEWAY,
            operation.action,
            "GET" if operation.effect == "reads" else "POST",
            f"{_PATH}/{operation.action}",
            operation.effect,
        )
        try:
            return await super().call(
                here,
                query={**(parts or {}), **(query or {})},
                body=body,
                authorization=authorization,
                secrets=secrets,
            )
        except AccessError as error:
            error.remedy = "See that the key is valid and may use EAS's stress tests"
            raise
        except ThrottledError as error:
            error.remedy = f"An account may make {CALLS_PER_S:.0f} calls per second: ask less often"
            raise

    def target(
        self,
        operation: Operation,
        parts: Mapping[str, str],  # noqa: ARG002  # in the query here
        query: Mapping[str, Parameter],
    ) -> Target:
        """Where a call goes."""
        return Target(self._base_url, operation.path, query_string(query))

    def auth(self, operation: Operation) -> httpx.Auth:  # noqa: ARG002  # the same for all
        """The key."""
        return self._auth

    def renew_credentials(self) -> None:
        """A key is not renewed."""
