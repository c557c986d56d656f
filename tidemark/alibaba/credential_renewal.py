"""Credentials that are asked for once, kept, and renewed before they end."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable
from typing import Any
from weakref import WeakKeyDictionary

from tidemark.alibaba.credentials import Credentials
from tidemark.alibaba.errors import CredentialError
from tidemark.clock import Clock

__all__ = ["RenewedCredentials"]

LOG = logging.getLogger("tidemark.alibaba")
MARGIN_S = 300.0
RETRY_AFTER_S = 30.0


class RenewedCredentials:
    """A `CredentialSource` around one question, `fetch`, that is put as seldom as can be.

    Temporary credentials are renewed 5 minutes before they end, or after half of the time they
    have left when that is less. Whoever asks meanwhile waits for the same renewal. If it fails,
    the old ones are used while they hold, and the next try is 30 s later.
    """

    def __init__(self, fetch: Callable[[], Awaitable[Credentials]], clock: Clock) -> None:
        self._fetch = fetch
        self._clock = clock
        self._current: Credentials | None = None
        self._rejected = False
        self._renew_at_s = math.inf
        self._renewal: asyncio.Task[Credentials] | None = None
        self._given: WeakKeyDictionary[asyncio.Task[Any], Credentials] = WeakKeyDictionary()

    async def credentials(self) -> Credentials:
        """The credentials of this moment. Raises CredentialError."""
        found = self._current
        if found is None or self._rejected or self._clock.time() >= self._renew_at_s:
            found = await self._renewed()
        task = asyncio.current_task()
        if task is not None:
            self._given[task] = found
        return found

    def renew(self) -> None:
        """The service called them expired: the next question fetches them anew.

        Has no effect if the task that says so was given older ones than those at hand: of many
        calls that fail together, only the first has them fetched.
        """
        try:
            task = asyncio.current_task()
        except RuntimeError:  # no loop is running
            task = None
        given = None if task is None else self._given.get(task)
        if given is None or given is self._current:
            self._rejected = True

    async def _renewed(self) -> Credentials:
        loop = asyncio.get_running_loop()
        renewal = self._renewal
        if renewal is None or renewal.done() or renewal.get_loop() is not loop:
            renewal = loop.create_task(self._fetch_whole())
            renewal.add_done_callback(_look_at)
            self._renewal = renewal
        try:
            # One who stops waiting does not end it for the others.
            return await asyncio.shield(renewal)
        except CredentialError as error:
            held = self._current
            if held is None or self._rejected or held.expires_at_s is None:
                raise
            left_s = held.expires_at_s - self._clock.time()
            if left_s <= 0:
                raise
            self._renew_at_s = self._clock.time() + RETRY_AFTER_S
            LOG.warning("credentials hold for %.0f s and were not renewed: %s", left_s, error)
            return held

    async def _fetch_whole(self) -> Credentials:
        found = await self._fetch()
        if found.expires_at_s is None:
            renew_at_s = math.inf
        else:
            left_s = found.expires_at_s - self._clock.time()
            if left_s <= 0:
                raise CredentialError(
                    "the credentials had ended when they came",
                    found.origin,
                    "Compare this machine's clock with the time, and see what is stored there",
                )
            renew_at_s = found.expires_at_s - min(MARGIN_S, left_s / 2)
        self._current, self._rejected, self._renew_at_s = found, False, renew_at_s
        LOG.debug("credentials from %s", found.origin)
        return found


def _look_at(renewal: asyncio.Task[Credentials]) -> None:
    """Take note of a failure that nobody waits for any more, or asyncio would log it."""
    if not renewal.cancelled():
        renewal.exception()
