"""All pages of a list."""

from __future__ import annotations

from collections.abc import Mapping

from tidemark.alibaba.channel import Channel
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
    key: str,
    query: Mapping[str, Parameter] | None = None,
    parts: Mapping[str, str] | None = None,
    page_size: int = 100,
) -> list[JsonObject]:
    """The items of every page, each once: what moves between pages while they are read is seen
    twice by the service's count and is told apart by `key`.

    Ends at an empty page, at the total that the service gives, or at a page that brings nothing
    new.
    """
    found: dict[str, JsonObject] = {}
    for number in range(1, MOST_PAGES + 1):
        document = await channel.call(
            operation,
            parts=parts,
            query={**(query or {}), "PageNumber": number, "PageSize": page_size},
        )
        page = page_of(document, items)
        before = len(found)
        for item in page:
            found.setdefault(str(item.get(key)), item)
        total = document.get("TotalCount")
        ended = total is not None and str(total).isdigit() and number * page_size >= int(str(total))
        if not page or ended or len(found) == before:
            break
    return list(found.values())
