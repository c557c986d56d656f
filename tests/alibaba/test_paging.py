"""Lists of many pages from services that count well, badly, or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable

import httpx
import pytest
from cloud import ADDRESS
from hypothesis import given
from hypothesis import strategies as st

from tidemark.alibaba.account import Account
from tidemark.alibaba.channel import ChannelSettings
from tidemark.alibaba.credentials import StaticCredentials
from tidemark.alibaba.dlc import LIST_JOBS
from tidemark.alibaba.errors import AlibabaError
from tidemark.alibaba.paging import MOST_PAGES, all_items
from tidemark.simulator.clock import VirtualClock

PAGE = 10


class Pages(httpx.AsyncBaseTransport):
    """A list of so many items, `most` on a page, and what it says of their number."""

    def __init__(self, items: int, total: object, most: int = PAGE) -> None:
        self.items = [{"JobId": f"dlc{number}"} for number in range(items)]
        self.total = total
        self.most = most
        self.calls = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.calls += 1
        asked = request.url.params
        size = min(int(asked["PageSize"]), self.most)
        start = (int(asked["PageNumber"]) - 1) * size
        document: dict[str, object] = {"Jobs": self.items[start : start + size]}
        if self.total is not ...:
            document["TotalCount"] = self.total
        return httpx.Response(200, content=json.dumps(document))


async def found(pages: Pages) -> int:
    account = Account(
        StaticCredentials.of("LTAIfake", "fake"),
        "cn-hangzhou",
        endpoints=ADDRESS,
        transport=pages,
        clock=VirtualClock(jump=True),
        settings=ChannelSettings(calls_per_s=1000),
    )
    async with account:
        items = await all_items(account, LIST_JOBS, items="Jobs", key="JobId", page_size=PAGE)
    return len(items)


@pytest.mark.parametrize("as_sent", [int, str])
@pytest.mark.parametrize(("items", "calls"), [(0, 1), (7, 1), (13, 2), (29, 3), (20, 3)])
async def test_an_honest_count_saves_the_call_after_a_page_that_is_not_full(
    items: int, calls: int, as_sent: Callable[[int], object]
) -> None:
    pages = Pages(items, as_sent(items))
    assert await found(pages) == items
    assert pages.calls == calls


@pytest.mark.parametrize(
    "total", [..., None, 0, 1, -5, 10, 10**9, "²", "٣", "9" * 5000, "", [], {}, True, 1.5]
)
async def test_a_count_that_is_wrong_or_none_ends_no_list_early(total: object) -> None:
    assert await found(Pages(23, total)) == 23


async def test_a_list_that_does_not_end_is_refused_rather_than_cut() -> None:
    pages = Pages(MOST_PAGES * PAGE + 1, None)
    with pytest.raises(AlibabaError, match="does not end") as caught:
        await found(pages)
    assert "ListJobs" in str(caught.value)
    assert pages.calls == MOST_PAGES


@given(items=st.integers(0, 60), most=st.integers(1, PAGE))
async def test_pages_may_be_smaller_than_was_asked_for(items: int, most: int) -> None:
    pages = Pages(items, items, most)
    assert await found(pages) == items
    assert pages.calls <= -(-items // most) + 1
