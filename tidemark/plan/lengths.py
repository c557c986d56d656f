"""A traffic scenario in numbers, for who does not know how the load engine spells one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, ValidationError, WithJsonSchema, model_validator

from tidemark.plan.base import PlanModel, Whole
from tidemark.plan.problems import Problem, problems_of, refusals
from tidemark.plan.scenario import MAX_TOKENS

__all__ = ["ScenarioText", "TokenLengths"]


class TokenLengths(PlanModel):
    """How long inputs and outputs are, in tokens."""

    input_tokens: Whole = Field(
        title="Input tokens",
        description=f"Length of each input in tokens, or its mean, from 1 to {MAX_TOKENS}.",
        examples=[480],
        ge=1,
        le=MAX_TOKENS,
    )
    output_tokens: Whole | None = Field(
        default=None,
        title="Output tokens",
        description=f"Length of each answer in tokens, or its mean, from 1 to {MAX_TOKENS}. "
        "Left out for embeddings, which have none.",
        examples=[300],
        ge=1,
        le=MAX_TOKENS,
    )
    input_stddev_tokens: Whole | None = Field(
        default=None,
        title="Spread of inputs",
        description="Standard deviation of the inputs in tokens. Left out: all are equally long.",
        examples=[240],
        ge=0,
        le=MAX_TOKENS,
    )
    output_stddev_tokens: Whole | None = Field(
        default=None,
        title="Spread of outputs",
        description="Standard deviation of the answers in tokens. Left out: all are equally long.",
        examples=[150],
        ge=0,
        le=MAX_TOKENS,
    )

    @model_validator(mode="after")
    def _spread_needs_answers(self) -> Self:
        if self.output_tokens is None and self._spreads:
            found = Problem(
                ("output_tokens",),
                "is missing, and only the lengths of texts with answers can spread",
                "Give it, or leave the spread out",
            )
            raise refusals("lengths", [found])
        return self

    @property
    def _spreads(self) -> bool:
        return bool(self.input_stddev_tokens or self.output_stddev_tokens)

    @property
    def text(self) -> str:
        """The same as the load engine spells it, such as D(100,100)."""
        if self.output_tokens is None:
            return f"E({self.input_tokens})"
        if not self._spreads:
            return f"D({self.input_tokens},{self.output_tokens})"
        return (
            f"N({self.input_tokens},{self.input_stddev_tokens or 0})"
            f"/({self.output_tokens},{self.output_stddev_tokens or 0})"
        )


def _text(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    try:
        return TokenLengths.model_validate(dict(value)).text
    except ValidationError as error:
        raise refusals("lengths", problems_of(error, TokenLengths)) from None


ScenarioText = Annotated[
    str,
    BeforeValidator(_text),
    WithJsonSchema(
        {
            "anyOf": [
                {**TokenLengths.model_json_schema(), "title": "Lengths"},
                {
                    "type": "string",
                    "title": "Spelled out",
                    "description": "As the load engine spells it: D(100,100) is 100 tokens in, "
                    "100 out; N(480,240)/(300,150) mean and spread; U(50,100)/(200,250) from "
                    "least to most; E(256) for embeddings; R(512,100) document and query; "
                    "I(512,512) an image; A(500) characters to speak; or dataset.",
                },
            ]
        }
    ),
]
"""One entry of a plan's scenarios: text, or TokenLengths that are turned into it."""
