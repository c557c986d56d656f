"""What GetJobMetrics (2020-12-03) measures in the pods of a job: steady, and the same each time."""

from __future__ import annotations

import hashlib
import math
import re
from typing import Any

from tidemark.simulator.pai.job import Job, Pod
from tidemark.simulator.pai.wire import refuse

__all__ = ["METRIC_TYPES", "pod_metrics", "step_s"]

_MIB = 1024.0 * 1024.0
# Metric -> its usual level and how far it swings. Usage in percent, rates in bytes per second.
METRIC_TYPES = {
    "GpuCoreUsage": (82.0, 9.0),
    "GpuMemoryUsage": (71.0, 2.0),
    "CpuCoreUsage": (38.0, 12.0),
    "MemoryUsage": (46.0, 3.0),
    "NetworkInputRate": (12 * _MIB, 4 * _MIB),
    "NetworkOutputRate": (9 * _MIB, 3 * _MIB),
    "DiskReadRate": (3 * _MIB, 1 * _MIB),
    "DiskWriteRate": (1.5 * _MIB, 0.5 * _MIB),
}
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_MOST_POINTS = 10_000


def step_s(text: str) -> int:
    """The TimeStep `5m` in seconds. Refuses what is none."""
    found = re.fullmatch(r"([1-9]\d{0,5})([smhd])", text)
    if found is None:
        refuse(400, "InvalidParameter", "The specified parameter TimeStep is not valid.")
    return int(found[1]) * _UNITS[found[2]]


def pod_metrics(
    job: Job, metric: str, *, start_s: float, end_s: float, every_s: int
) -> list[dict[str, Any]]:
    """PodMetrics: a point at each whole step while a pod ran. Without a GPU there is no GPU's."""
    if (end_s - start_s) / every_s > _MOST_POINTS:
        refuse(400, "InvalidParameter", "The time range holds too many points.")
    found = []
    for pod in job.pods():
        if metric.startswith("Gpu") and not pod.role.gpu:
            continue
        points = []
        at_s = math.ceil(start_s / every_s) * every_s
        while at_s <= end_s:
            if any(one.started_s <= at_s < one.end_s for one in pod.incarnations):
                points.append({"Time": at_s * 1000, "Value": _value(pod, metric, at_s)})
            at_s += every_s
        if points:
            found.append({"PodId": pod.pod_id, "Metrics": points})
    return found


def _value(pod: Pod, metric: str, at_s: int) -> float:
    level, swing = METRIC_TYPES[metric]
    digest = hashlib.sha256(f"{pod.pod_id}/{metric}/{at_s}".encode()).digest()
    return round(level + swing * (int.from_bytes(digest[:4]) / 2**31 - 1), 3)
