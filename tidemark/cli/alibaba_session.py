"""One command's calls to Alibaba Cloud: the account as configured, open while they are made."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import typer

from tidemark.cli.printing import plain
from tidemark.config import Config, load_config
from tidemark.errors import SecretError

if TYPE_CHECKING:
    from tidemark.alibaba.account import Account
    from tidemark.alibaba.eas import Eas

__all__ = ["AsJson", "Endpoint", "Region", "Session"]

_T = TypeVar("_T")

Region = Annotated[
    str | None, typer.Option(help="Region, such as cn-hangzhou. Default: the configured one.")
]
Endpoint = Annotated[
    str | None,
    typer.Option(metavar="URL", help="Address in place of the services': a simulator, a proxy."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@dataclass(frozen=True, slots=True)
class Session:
    """Whom a command asks: a region and an address, None for the configured ones.

    `gateway`: EAS's stress tests by the gateway, with the key in DASHSCOPE_API_KEY.
    """

    region: str | None = None
    endpoint: str | None = None
    gateway: bool = False

    def run(
        self,
        work: Callable[[Account], Awaitable[_T]],
        *,
        signature: Literal["acs3", "roa-sha1"] = "acs3",
    ) -> _T:
        """Do `work` with an account, whose credentials come from where the environment says.

        Raises SecretError without credentials, and what `work` raises.
        """
        from tidemark.alibaba.account import Account
        from tidemark.alibaba.channel import ChannelSettings
        from tidemark.alibaba.credential_sources import default_chain
        from tidemark.clock import SystemClock

        config = load_config(os.environ, Path.cwd())
        clock = SystemClock()

        async def carry() -> _T:
            async with Account(
                default_chain(os.environ, clock),
                self._region(config),
                network=config.network,
                endpoints=self._endpoint(config),
                signature=signature,
                settings=ChannelSettings(calls_per_s=config.pai_calls_per_s),
                clock=clock,
            ) as account:
                return await work(account)

        return _done(carry)

    def run_eas(self, work: Callable[[Eas], Awaitable[_T]]) -> _T:
        """Do `work` with EAS: by signed calls, or by the gateway. Raises as `run` does."""
        from tidemark.alibaba.eas import Eas

        if not self.gateway:
            return self.run(lambda account: work(Eas(account)))
        from tidemark.alibaba.channel import ChannelSettings
        from tidemark.alibaba.credentials import BearerKey
        from tidemark.alibaba.gateway import CALLS_PER_S, Gateway

        config = load_config(os.environ, Path.cwd())
        settings = ChannelSettings(calls_per_s=min(config.pai_calls_per_s, CALLS_PER_S), burst=1)

        async def carry() -> _T:
            key = BearerKey.from_environment(os.environ)
            async with Gateway(
                key, self._region(config), endpoint=self._endpoint(config), settings=settings
            ) as gateway:
                return await work(Eas(gateway))

        return _done(carry)

    def region_name(self) -> str:
        """The region that is asked: the one given, else the configured one."""
        return self._region(load_config(os.environ, Path.cwd()))

    def _region(self, config: Config) -> str:
        return config.region if self.region is None else self.region

    def _endpoint(self, config: Config) -> str | None:
        return config.pai_endpoint if self.endpoint is None else self.endpoint


def _done(carry: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
    import asyncio

    from tidemark.alibaba.errors import AlibabaError, CredentialError

    try:
        return asyncio.run(carry())
    except CredentialError as error:
        # Nothing was asked of a service: the set-up is wrong, as with any other secret.
        raise SecretError(error.what, error.where, error.remedy) from None
    except AlibabaError as error:
        # A service may repeat anything, also of what others gave it.
        error.what = plain(error.what)
        raise
