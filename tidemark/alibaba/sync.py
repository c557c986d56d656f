"""The clients for scripts that do not use asyncio: one account for each region, kept open.

    from tidemark.alibaba.sync import run
    jobs = run(lambda account: Dlc(account).all_jobs(status="Running"), region="cn-hangzhou")

Account, region and addresses come from the environment and `tidemark.toml`, or from `use`.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import threading
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import CancelledError, Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx

from tidemark.alibaba.account import Account
from tidemark.alibaba.channel import ChannelSettings
from tidemark.alibaba.credential_sources import default_chain
from tidemark.alibaba.credentials import CredentialSource
from tidemark.alibaba.errors import NoAnswerError
from tidemark.clock import Clock, SystemClock
from tidemark.config import load_config

__all__ = ["close", "run", "use"]

LOG = logging.getLogger("tidemark.alibaba")

# How long work that is cancelled may take to end.
_CLOSING_S = 10.0
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
        self._under_way: set[Future[Any]] = set()
        self._closing = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._live, name="tidemark-alibaba", daemon=True)
        self._thread.start()

    def _live(self) -> None:
        _inside.here = True
        self._loop.run_forever()
        self._loop.close()

    def begin(
        self, work: Callable[[Account], Coroutine[Any, Any, _T]], region: str | None
    ) -> Future[_T]:
        """Start some work. What is begun before `close` ends with an outcome, whatever it is."""

        async def here() -> _T:
            return await work(self._account(region))

        future = asyncio.run_coroutine_threadsafe(here(), self._loop)
        self._under_way.add(future)
        future.add_done_callback(self._under_way.discard)
        return future

    def outcome(self, future: Future[_T]) -> _T:
        """What work that was begun returns or raises."""
        try:
            return future.result()
        except CancelledError:
            if self._closing:
                raise _closed() from None
            raise
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
        """End what is under way, close all connections, and end the thread."""
        self._closing = True
        ended = asyncio.run_coroutine_threadsafe(self._end(), self._loop)
        ended.add_done_callback(lambda _: self._loop.call_soon_threadsafe(self._loop.stop))
        self._thread.join(2 * _CLOSING_S)
        if self._thread.is_alive():
            # Work that does not let go of the loop keeps its thread, but nobody waits for it.
            LOG.warning("work that does not end was left behind")
        for future in list(self._under_way):
            with suppress(InvalidStateError):
                future.set_exception(_closed())

    async def _end(self) -> None:
        work = asyncio.all_tasks() - {asyncio.current_task()}
        for task in work:
            task.cancel()
        if work:
            await asyncio.wait(work, timeout=_CLOSING_S)
        for account in self._accounts.values():
            with suppress(Exception):
                await account.aclose()


def _closed() -> NoAnswerError:
    return NoAnswerError(
        "the clients were closed while this was under way", "tidemark.alibaba.sync", sent=True
    )


_lock = threading.Lock()
_inside = threading.local()
_choice = _Choice()
_background: _Background | None = None


def run(work: Callable[[Account], Coroutine[Any, Any, _T]], region: str | None = None) -> _T:
    """Do `work` with the account of a region, and return what it returns.

    The region is the configured one by default. Must not be called from an event loop: await the
    clients there. Raises what `work` raises, CredentialError without credentials, NoAnswerError
    where `close` or `use` ended it meanwhile, and RuntimeError inside of other work.
    """
    global _background
    _check_outside("run")
    with _lock:
        if _background is None:
            _background = _Background(_choice)
        background = _background
        # Under the lock, so that what is begun is seen by whoever closes.
        future = background.begin(work, region)
    return background.outcome(future)


def use(
    *,
    source: CredentialSource | None = None,
    region: str | None = None,
    endpoints: str | Mapping[str, str] | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
    clock: Clock | None = None,
    settings: ChannelSettings | None = None,
) -> None:
    """Choose account, region and addresses for what follows; what is left out is as configured.

    What is under way is ended, as by `close`.
    """
    _replace(_Choice(source, region, endpoints, transport, clock, settings))


def close() -> None:
    """Close all connections. What follows opens new ones.

    Work under way in other threads is cancelled, and has ten seconds to end.
    """
    _replace(None)


def _replace(choice: _Choice | None) -> None:
    global _background, _choice
    _check_outside("close")
    with _lock:
        background, _background = _background, None
        _choice = choice or _choice
    if background is not None:
        background.close()


def _check_outside(name: str) -> None:
    if getattr(_inside, "here", False):
        raise RuntimeError(
            f"{name}() was called by work that run() is doing, which would wait for itself: "
            "await the clients there"
        )


def _forget() -> None:
    """In a child after a fork: the thread is not there, and the lock may be held by nobody."""
    global _background, _lock
    _background, _lock = None, threading.Lock()


atexit.register(close)
os.register_at_fork(after_in_child=_forget)
