"""A saved policy: what runs may spend without asking anybody."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Self

from prefect.blocks.core import Block
from pydantic import HttpUrl, ModelWrapValidatorHandler, field_serializer, model_validator

from blocks.fields import validated
from blocks.kept import DOCUMENTATION, LOGOS
from tidemark.money.policy import SpendingRules

__all__ = ["SpendingPolicy"]


class SpendingPolicy(Block, SpendingRules):
    """
    What runs may spend without asking anybody: for a run, a night, a month and a person, on which
    machines, and when. It answers first; scheduled and event-triggered runs ask nobody else.

    Example:
        Start a job that the policy answers for:
        ```python
        from blocks import SpendingPolicy
        from flows.dlc import dlc_benchmark

        policy = SpendingPolicy.load("BLOCK_NAME")
        asyncio.run(dlc_benchmark(plan, policy=policy))
        ```
    """

    _block_type_name = "Spending Policy"
    _block_type_slug = "spending-policy"
    _logo_url = HttpUrl(f"{LOGOS}/secret.png")
    _documentation_url = HttpUrl(DOCUMENTATION)

    @model_validator(mode="wrap")
    @classmethod
    def _in_plain_words(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        return validated(cls, data, handler)

    @field_serializer("per_run", "per_night", "per_month", "per_person", when_used="json")
    def _as_number(self, amount: Decimal | None) -> float | str | None:
        """As the form has it, which knows numbers only; as text where a number would round it."""
        if amount is None:
            return None
        number = float(amount)
        return number if Decimal(repr(number)) == amount else str(amount)

    @property
    def name(self) -> str:
        """What an approval by it is recorded under: the name it is saved under, else "given"."""
        return self._block_document_name or "given"

    def rules(self) -> SpendingRules:
        """The same as what the library judges by."""
        return SpendingRules.model_validate(
            {name: getattr(self, name) for name in SpendingRules.model_fields}
        )
