"""What a job's pods used while they ran, as rows for a timeline (GetJobMetrics 2020-12-03)."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from tidemark.alibaba.dlc import METRIC_TYPES, Dlc
from tidemark.alibaba.errors import InvalidRequestError

__all__ = ["Usage", "usage"]

LOG = logging.getLogger("tidemark.alibaba")

# The service's own step is five minutes, longer than many a benchmark.
_STEP: Final = "1m"
_STEP_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Usage:
    """One value of one pod, of the interval that begins at `at`.

    `series` is the metric by the service's name. `unit` is "%" of what the pod was given, or "B/s".
    """

    pod_id: str
    series: str
    unit: str
    at: datetime
    value: float
    interval_s: float | None = _STEP_S
    source: str = "GetJobMetrics"

    def document(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "source": self.source,
            "pod": self.pod_id,
            "series": self.series,
            "unit": self.unit,
            "at": self.at.isoformat(),
            "interval_s": self.interval_s,
            "value": self.value,
        }


async def usage(dlc: Dlc, job_id: str, since: datetime, until: datetime) -> list[Usage]:
    """Use of GPU, processor, memory, network and disk, minute by minute, in the order of time.

    Metrics that the service refuses for this job, such as those of a GPU that it does not have, are
    left out. Raises AlibabaError.
    """
    rows: list[Usage] = []
    for metric in METRIC_TYPES:
        try:
            found = await dlc.get_job_metrics(
                job_id, metric, since=since, until=until, time_step=_STEP
            )
        except InvalidRequestError as error:
            LOG.info("%s of %s cannot be had: %s", metric, job_id, error)
            continue
        unit = "%" if metric.endswith("Usage") else "B/s"
        for pod in found.pod_metrics:
            points = [(datetime.fromtimestamp(at_s, UTC), value) for at_s, value in pod.points]
            rows += [
                Usage(pod.pod_id, metric, unit, at, value)
                for at, value in points
                if since <= at <= until
            ]
    return sorted(rows, key=lambda row: (row.at, row.series, row.pod_id))
