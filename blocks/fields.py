"""The fields of a block as they were given: without those of Prefect itself, none misspelled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prefect.blocks.core import Block

from blocks.kept import without_block_type
from tidemark.plan.problems import Problem, did_you_mean, refusals

__all__ = ["known_fields"]

# What Prefect writes into a saved block that is dumped within another one.
_PREFECTS = frozenset(("_block_document_id", "_block_document_name", "_is_anonymous"))


def known_fields(block: type[Block], data: Any) -> Any:
    """`data` for a block, without what Prefect wrote beside its fields.

    Raises pydantic's error, which repeats no value, for fields that the block does not have.
    """
    data = without_block_type(data, block.get_block_type_slug())
    if not isinstance(data, Mapping):
        return data
    known = block.model_fields
    given = {name: value for name, value in data.items() if name not in _PREFECTS}
    # Prefect itself refuses the type of another block.
    unknown = [name for name in given if name not in known and name != "block_type_slug"]
    if unknown:
        raise refusals(
            block.get_block_type_name(),
            [Problem((name,), "no such field", did_you_mean(str(name), known)) for name in unknown],
        )
    return given
