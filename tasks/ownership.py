"""Owning a round while one works on it, and showing from outside what is being done."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from tasks.log import logger
from tasks.progress import RunProgress
from tasks.room import Room
from tidemark.errors import RefusedError, StoreError
from tidemark.plan.cells import cell_identity
from tidemark.results.lease import Lease, LeaseLost, LiveRun, acquire, lease_key
from tidemark.results.providers.provider import BEAT_S

__all__ = ["own_round"]

LOOK_S = 0.5  # between looks at whether there is something new to say


@asynccontextmanager
async def own_round(room: Room, progress: RunProgress) -> AsyncIterator[Room]:
    """The same room with the lease of its round, waited for if another run has it.

    While it is held its beat says what the run does, and listens for whoever asks it to stop.
    """
    context = room.context
    owner = {
        "run_id": context.run_id,
        "round": context.round,
        "plan_name": context.plan.name,
        "plan_hash": context.plan_hash,
        "model": context.plan.endpoint.model,
        "flow_run_id": context.flow_run_id,
        "requested_by": context.requested_by,
        "cells": len(room.cells),
    }

    def say_whose(holder: LiveRun) -> None:
        line = f"Waiting for run {holder.run_id}, which works on round {context.round}"
        if progress.report().line != line:
            progress.step("wait", line)

    key = lease_key(context.round, cell_identity(context.plan, room.cells[0])["system"])
    lease = await room.stop.unless_asked(
        acquire(
            room.store.files,
            key,
            owner,
            clock=time.monotonic,
            sleep=asyncio.sleep,
            in_thread=asyncio.to_thread,
            on_wait=say_whose,
        )
    )
    if lease is None:
        raise RefusedError(
            f"the run was ended while it waited for another ({room.stop.reason})",
            f"round {context.round}",
            "See who works on it: tidemark runs",
        )
    over = threading.Event()
    heart = threading.Thread(
        target=_beat,
        args=(lease, room.stop.ask, progress, over, logger().warning, room.store.beat_s),
        daemon=True,
    )
    heart.start()
    try:
        yield replace(room, lease=lease)
    finally:
        over.set()
        heart.join()
        try:
            lease.end()
        except StoreError as error:
            logger().warning("the round could not be given back: %s", error)


def _beat(
    lease: Lease,
    stop: Callable[[str], None],
    progress: RunProgress,
    over: threading.Event,
    warn: Callable[..., Any],
    beat_s: float,
) -> None:
    # News wait for the next beat where a store takes few files.
    at_once = beat_s <= BEAT_S
    silent, said, due_at = False, "", 0.0
    while not over.wait(LOOK_S):
        report = progress.report()
        if time.monotonic() < due_at and not (at_once and report.line != said):
            continue
        said, due_at = report.line, time.monotonic() + beat_s
        try:
            shown = {"line": report.line, "fraction": report.fraction, "left_s": report.left_s}
            if lease.beat(shown):
                stop("asked to stop by `tidemark cancel`")
            silent = False
        except LeaseLost as error:
            warn("%s", error)
            stop(error.what)
            return
        except StoreError as error:
            if not silent:
                warn("the store does not answer: %s", error)
            silent = True
