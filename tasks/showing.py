"""Showing something in Prefect, which is no reason for a run to fail."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tasks.log import logger

__all__ = ["showing"]

_PATIENCE_S = 10.0


@asynccontextmanager
async def showing(what: str) -> AsyncIterator[None]:
    """For what is only shown in Prefect while something runs or is kept elsewhere: a server that
    does not take it is told of, after ten seconds at the latest, and the run goes on."""
    try:
        async with asyncio.timeout(_PATIENCE_S):
            yield
    except Exception as error:
        logger().warning("%s is not shown in Prefect: %s", what, str(error) or type(error).__name__)
