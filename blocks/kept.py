"""What all blocks share: how Prefect keeps them, and the pictures it shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["DOCUMENTATION", "LOGOS", "without_block_type"]

DOCUMENTATION = "https://docs.prefect.io/v3/concepts/blocks"
LOGOS = (
    "https://raw.githubusercontent.com/PrefectHQ/prefect/"
    "420d0d6a78bb6df1fc18bcf188fdad43c1d22ea9/assets/block-logos"
)


def without_block_type(data: Any, slug: str) -> Any:
    """The fields of a block, without the type that Prefect writes beside them when it dumps one.

    Blocks here know all their fields, so that a misspelled one is refused. Another type than
    `slug` is left in place: Prefect refuses it.
    """
    if not isinstance(data, Mapping):
        return data
    return {
        name: value for name, value in data.items() if (name, value) != ("block_type_slug", slug)
    }
