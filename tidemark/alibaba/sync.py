"""The clients for scripts that do not use asyncio: one account for each region, kept open.

    from tidemark.alibaba.sync import run
    jobs = run(lambda account: Dlc(account).all_jobs(status="Running"), region="cn-hangzhou")

Account, region and addresses come from the environment and `tidemark.toml`, or from `use`.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx

from tidemark.alibaba.account import Account
from tidemark.alibaba.channel import ChannelSettings
from tidemark.alibaba.credential_sources import default_chain
from tidemark.alibaba.credentials import CredentialSource
from tidemark.clock import Clock, SystemClock
from tidemark.config import load_config

__all__ = ["close", "run", "use"]

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class _Choice:
    """What `use` chose; None is as configured."""

    source: CredentialSource | None = None
    region: str | None = None
    endpoints: str | Mapping[str, str] | None = None
    transport: httpx.AsyncBaseTransport | None = None
    clock: Clock | None = None
    settings: ChannelSettings | None = None


class _Background:
    """An event loop in a thread of its own, with the accounts that live in it.

    The thread is a daemon, so that a script ends when it ends.
    """

    def __init__(self, choice: _Choice) -> None:
        self._choice = choice
        self._accounts: dict[str, Account] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="tidemark-alibaba", daemon=True
        )
        self._thread.start()

    def run(self, work: Callable[[Account], Coroutine[Any, Any, _T]], region: str | None) -> _T:
        async def here() -> _T:
            return await work(self._account(region))

        future = asyncio.run_coroutine_threadsafe(here(), self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def _account(self, region: str | None) -> Account:
        choice = self._choice
        config = load_config(os.environ, Path.cwd())
        named = region or choice.region or config.region
        if named not in self._accounts:
            clock = choice.clock or SystemClock()
            self._accounts[named] = Account(
                choice.source or default_chain(os.environ, clock),
                named,
                network=config.network,
                endpoints=choice.endpoints or config.pai_endpoint,
                settings=choice.settings or ChannelSettings(calls_per_s=config.pai_calls_per_s),
                transport=choice.transport,
                clock=clock,
            )
        return self._accounts[named]

    def close(self) -> None:
        async def end() -> None:
            for account in self._accounts.values():
                await account.aclose()

        asyncio.run_coroutine_threadsafe(end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


_lock = threading.Lock()
_choice = _Choice()
_background: _Background | None = None


def run(work: Callable[[Account], Coroutine[Any, Any, _T]], region: str | None = None) -> _T:
    """Do `work` with the account of a region, and return what it returns.

    The region is the configured one by default. Must not be called from an event loop: await the
    clients there. Raises what `work` raises, and CredentialError without credentials.
    """
    global _background
    with _lock:
        if _background is None:
            _background = _Background(_choice)
        background = _background
    return background.run(work, region)


def use(
    *,
    source: CredentialSource | None = None,
    region: str | None = None,
    endpoints: str | Mapping[str, str] | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
    clock: Clock | None = None,
    settings: ChannelSettings | None = None,
) -> None:
    """Choose account, region and addresses for what follows; what is left out is as configured."""
    global _choice
    close()
    _choice = _Choice(source, region, endpoints, transport, clock, settings)


def close() -> None:
    """Close all connections. What follows opens new ones."""
    global _background
    with _lock:
        background, _background = _background, None
    if background is not None:
        background.close()


def _forget() -> None:
    """In a child after a fork: the thread is not there, and the lock may be held by nobody."""
    global _background, _lock
    _background, _lock = None, threading.Lock()


atexit.register(close)
os.register_at_fork(after_in_child=_forget)
