"""The report of an EAS stress test (DescribeBenchmarkTaskReport, EAS 2021-07-01).

Times are in milliseconds, as the service measures them from its own machines; traffic is in bytes.
"""

from __future__ import annotations

import json
from typing import Annotated, Self

from pydantic import BeforeValidator, Field

from tidemark.alibaba.answers import Answer, Listed, Number, Text
from tidemark.alibaba.errors import NoAnswerError
from tidemark.alibaba.operations import JsonObject

__all__ = [
    "TIMED_OUT_STATUS",
    "BenchmarkReport",
    "LatencyBucket",
    "LatencyPoint",
    "RawReport",
    "ResponseTimes",
    "Traffic",
]

Counts = Annotated[dict[str, int], BeforeValidator(lambda value: {} if value is None else value)]
TIMED_OUT_STATUS = "512"
"""The status code under which requests are counted that got no answer in time."""


class ResponseTimes(Answer):
    """Response times within one interval, in ms: their mean, and by percentile."""

    avg_ms: Number = Field(None, alias="AVG")
    tp100_ms: Number = Field(None, alias="TP100")
    tp99_ms: Number = Field(None, alias="TP99")
    tp90_ms: Number = Field(None, alias="TP90")
    tp50_ms: Number = Field(None, alias="TP50")
    tp10_ms: Number = Field(None, alias="TP10")


class Traffic(Answer):
    """Bytes sent and received within one interval."""

    send_bytes: Number = Field(None, alias="Send")
    receive_bytes: Number = Field(None, alias="Receive")


class LatencyPoint(Answer):
    """The time in ms within which so many percent of all requests ended."""

    latency_ms: Number = Field(None, alias="Latency")
    percentage: Number = None


class LatencyBucket(Answer):
    """How many requests of all, and which share, ended within `mark_ms` and not sooner than the
    bucket before it."""

    count: Number = None
    mark_ms: Number = Field(None, alias="Mark")
    frequency: Number = None


class RawReport(Answer):
    """What a stress test measured: series with one value an interval, and sums over all of it.

    Percentiles over all of it are in `rt_distribution` only: those of the intervals cannot be
    averaged.
    """

    timestamp_list: Listed[Number] = ()
    qps_list: Listed[Number] = Field((), alias="QPSList")
    rt_list: Listed[ResponseTimes] = Field((), alias="RTList")
    traffic_list: Listed[Traffic] = ()
    status_code: Counts = Field({})
    count: Number = None
    total: Number = None
    min_rt_ms: Number = Field(None, alias="MinRT")
    avg_rt_ms: Number = Field(None, alias="AvgRT")
    max_rt_ms: Number = Field(None, alias="MaxRT")
    qps: Number = Field(None, alias="QPS")
    total_send_bytes: Number = Field(None, alias="TotalSend")
    total_receive_bytes: Number = Field(None, alias="TotalReceive")
    rt_distribution: Listed[LatencyPoint] = Field((), alias="RTDistribution")
    rt_histogram: Listed[LatencyBucket] = Field((), alias="RTHistogram")

    @property
    def failed_count(self) -> int:
        """How many requests were answered with anything but success, or not in time."""
        return sum(n for status, n in self.status_code.items() if not status.startswith("2"))

    def latency_ms(self, percentage: float) -> float | None:
        """The time within which so many percent of all requests ended; None where the report
        does not say it for this percentage."""
        for point in self.rt_distribution:
            if point.percentage == percentage:
                return point.latency_ms
        return None


class BenchmarkReport(Answer):
    """A report: figures for `report_type` RAW, or for Report the URL of a page for people.

    The URL may be signed, so that no `repr` shows it.
    """

    report_url: Text = Field("", repr=False)
    data: RawReport | None = None
    request_id: Text = ""

    @classmethod
    def of(cls, document: JsonObject, action: str) -> Self:
        """The model of an answer; its figures may come as an object or as JSON text."""
        data = document.get("Data")
        if isinstance(data, str) and data.strip():
            try:
                data = json.loads(data)
            except (ValueError, RecursionError):
                raise NoAnswerError(
                    f"{action} was answered with figures that are no JSON", action, sent=True
                ) from None
        if not data:
            return super().of({**document, "Data": None}, action)
        return super().of({**document, "Data": data}, action)
