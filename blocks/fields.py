"""The fields of a block as they were given, and what is wrong with them in plain words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from prefect.blocks.core import Block
from pydantic import ModelWrapValidatorHandler, ValidationError

from blocks.kept import without_block_type
from tidemark.plan.problems import problems_of, refusals

__all__ = ["validated"]

_Kind = TypeVar("_Kind", bound=Block)

# What Prefect writes into a saved block that is dumped within another one.
_PREFECTS = frozenset(("_block_document_id", "_block_document_name", "_is_anonymous"))


def validated(block: type[_Kind], data: Any, handler: ModelWrapValidatorHandler[_Kind]) -> _Kind:
    """The block that `handler` makes of `data`, without what Prefect wrote beside its fields.

    Raises pydantic's error, which says what to do, asks about misspelled fields whether another
    was meant, and repeats no value.
    """
    data = without_block_type(data, block.get_block_type_slug())
    if isinstance(data, Mapping):
        data = {name: value for name, value in data.items() if name not in _PREFECTS}
    try:
        return handler(data)
    except ValidationError as error:
        problems = problems_of(error, block)
    # Out here, so that it does not lead to the error that it replaces.
    raise refusals(block.get_block_type_name(), problems)
