"""What became of a thing that failed: a class, the line that shows it, and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Failure", "FailureClass"]


class FailureClass(StrEnum):
    """What a failure is about.

    `quota` is a limit of what was bought or set aside, `stock` what the service has to sell,
    `oom` main memory, `gpu` a GPU, its memory, or the talk between GPUs. `stopped` is a stop that
    somebody asked for, `timeout` one that a deadline brought.
    """

    IMAGE = "image"
    QUOTA = "quota"
    STOCK = "stock"
    OOM = "oom"
    COMMAND = "command"
    NETWORK = "network"
    CONFIGURATION = "configuration"
    PERMISSION = "permission"
    STORAGE = "storage"
    EVICTED = "evicted"
    TIMEOUT = "timeout"
    GPU = "gpu"
    STOPPED = "stopped"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why it failed.

    `evidence` is the line that shows it, `where` says what it is from ("log of …", "event of pod
    …", "ReasonMessage"), `advice` what to do, without full stop.
    """

    kind: FailureClass
    evidence: str
    where: str
    advice: str
