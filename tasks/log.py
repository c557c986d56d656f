"""The logger of the run one is in, or the ordinary one outside of any run."""

from __future__ import annotations

import logging
from typing import Any

from prefect.exceptions import MissingContextError
from prefect.logging import get_logger, get_run_logger

__all__ = ["logger"]


def logger() -> logging.Logger | logging.LoggerAdapter[Any]:
    """Prefect's run logger inside a flow or task, its root logger elsewhere."""
    try:
        return get_run_logger()
    except MissingContextError:
        return get_logger("tidemark")
