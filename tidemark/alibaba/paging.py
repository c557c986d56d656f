"""All pages of a list."""

from __future__ import annotations

import re
from collections.abc import Mapping

from tidemark.alibaba.channel import Channel
from tidemark.alibaba.errors import AlibabaError
from tidemark.alibaba.operations import JsonObject, Operation, Parameter

__all__ = ["all_items", "page_of"]

MOST_PAGES = 1000


def page_of(document: JsonObject, items: str) -> list[JsonObject]:
    """The items of one page; none where the list is missing or null."""
    found = document.get(items)
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


async def all_items(
    channel: Channel,
    operation: Operation,
    *,
    items: str,
    key: str | tuple[str, ...],
    query: Mapping[str, Parameter] | None = None,
    parts: Mapping[str, str] | None = None,
    page_size: int = 100,
    number_name: str = "PageNumber",
    wanted: int | None = None,
) -> list[JsonObject]:
    """The items of every page, each once: what moves between pages while they are read is seen
    twice by the service's count and is told apart by `key`, a field or several together.

    Ends at an empty page, at a page that brings nothing new, or at one that is not full once the
    service's total is reached: a total alone may be wrong; and, where no more than so many are
    `wanted`, when they are there. `number_name` is what the operation calls the number of a page.
    Raises AlibabaError for a list that does not end within 1,000 pages.
    """
    keys = (key,) if isinstance(key, str) else key
    found: dict[tuple[str, ...], JsonObject] = {}
    for number in range(1, MOST_PAGES + 1):
        document = await channel.call(
            operation,
            parts=parts,
            query={**(query or {}), number_name: number, "PageSize": page_size},
        )
        page = page_of(document, items)
        before = len(found)
        for item in page:
            found.setdefault(tuple(str(item.get(each)) for each in keys), item)
        # Pages may all be smaller than was asked for: one that is not full is not yet the last.
        total = _total_of(document)
        ended = len(page) < page_size and total is not None and len(found) >= total
        ended = ended or (wanted is not None and len(found) >= wanted)
        if not page or ended or len(found) == before:
            return list(found.values())
    raise AlibabaError(
        f"the list does not end within {MOST_PAGES} pages of {page_size}",
        operation.action,
        "Narrow it down with filters",
    )


def _total_of(document: JsonObject) -> int | None:
    """How many items there are by the service's own count; None where it gives no number."""
    total = document.get("TotalCount")
    if isinstance(total, str) and re.fullmatch(r"[0-9]{1,18}", total):
        return int(total)
    return total if isinstance(total, int) else None
