"""PaiStudio: our requests are those of the official SDK."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from alibabacloud_paistudio20220112 import models
from alike import AWKWARD, Both, Pair, assert_alike

from tidemark.alibaba import paistudio
from tidemark.alibaba.paistudio import PaiStudio, TimeRange

SINCE = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SINCE_TEXT = "2026-01-02T03:04:05Z"


def _of_text(text: str) -> list[Pair]:
    """Every operation, with an id or a text that has to be encoded."""
    return [
        Pair(
            paistudio.GET_QUOTA,
            text,
            lambda sdk: sdk.paistudio.get_quota(text, models.GetQuotaRequest(verbose=True)),
            lambda account: PaiStudio(account).get_quota(text),
        ),
        Pair(
            paistudio.LIST_QUOTAS,
            text,
            lambda sdk: sdk.paistudio.list_quotas(
                models.ListQuotasRequest(
                    quota_ids=f"quota1,{text}",
                    quota_name=text,
                    resource_type="Lingjun",
                    statuses="Running,Creating",
                    workspace_ids="1,2",
                    verbose=False,
                    page_number=1,
                    page_size=100,
                )
            ),
            lambda account: PaiStudio(account).list_quotas(
                quota_ids=["quota1", text],
                quota_name=text,
                resource_type="Lingjun",
                statuses=["Running", "Creating"],
                workspace_ids=["1", "2"],
            ),
        ),
        Pair(
            paistudio.LIST_WORKLOADS,
            text,
            lambda sdk: sdk.paistudio.list_quota_workloads(
                text,
                models.ListQuotaWorkloadsRequest(
                    workload_ids=f"dlc1,{text}",
                    workload_names=text,
                    workload_type="dlc",
                    workload_statuses="Queuing,Running",
                    status="Enqueued",
                    workspace_ids="1,2",
                    user_ids="3,4",
                    sub_quota_ids="quota2",
                    before_workload_id=text,
                    show_own=True,
                    with_historical_data=True,
                    page_number=1,
                    page_size=100,
                ),
            ),
            lambda account: PaiStudio(account).list_quota_workloads(
                text,
                workload_ids=["dlc1", text],
                workload_names=[text],
                workload_type="dlc",
                workload_statuses=["Queuing", "Running"],
                status="Enqueued",
                workspace_ids=["1", "2"],
                user_ids=["3", "4"],
                sub_quota_ids=["quota2"],
                before_workload_id=text,
                show_own=True,
                with_history=True,
            ),
        ),
        Pair(
            paistudio.SPOT_PRICES,
            text,
            lambda sdk: sdk.paistudio.get_spot_price_history(
                text,
                models.GetSpotPriceHistoryRequest(
                    start_time=SINCE_TEXT, end_time=SINCE_TEXT, page_number=1, page_size=100
                ),
            ),
            lambda account: PaiStudio(account).get_spot_price_history(
                text, since=SINCE, until=SINCE
            ),
        ),
    ]


RANGES = Pair(
    paistudio.LIST_WORKLOADS,
    "ranges of times",
    lambda sdk: sdk.paistudio.list_quota_workloads(
        "quota1",
        models.ListQuotaWorkloadsRequest(
            workload_created_time_range=models.TimeRangeFilter(
                start_time=SINCE_TEXT, end_time=SINCE_TEXT
            ),
            gmt_enqueued_time_range=models.TimeRangeFilter(start_time=SINCE_TEXT),
            gmt_dequeued_time_range=models.TimeRangeFilter(end_time=SINCE_TEXT),
            page_number=1,
            page_size=100,
        ),
    ),
    lambda account: PaiStudio(account).list_quota_workloads(
        "quota1",
        created=TimeRange(SINCE, SINCE),
        enqueued=TimeRange(since=SINCE),
        dequeued=TimeRange(until=SINCE),
    ),
)
PAIRS = [RANGES, *(pair for text in AWKWARD for pair in _of_text(text))]


@pytest.mark.parametrize("pair", PAIRS, ids=str)
async def test_requests_are_alike(pair: Pair, both: Both) -> None:
    await assert_alike(pair, both)
