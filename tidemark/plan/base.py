"""What all parts of a plan share: frozen, closed, finite, and short printable text."""

from __future__ import annotations

import unicodedata
from typing import Annotated, ClassVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    Strict,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from tidemark.plan.form import form_schema
from tidemark.plan.problems import refusal

__all__ = ["Name", "Path", "PlanModel", "Real", "Whole"]


class PlanModel(BaseModel):
    """A part of a plan: a value that never changes, knows all its fields, holds no NaN."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        # A value typed into the wrong field may be a secret: errors must not repeat it.
        hide_input_in_errors=True,
        validate_default=True,
        protected_namespaces=(),
    )

    form_order: ClassVar[tuple[str, ...]] = ()
    """Which fields a form asks for first; the others follow as they are declared."""

    form_needs: ClassVar[tuple[str, ...]] = ()
    """Fields that may be missing in what is read, but not in what is to be run."""

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        described = handler(schema)
        form_schema(handler.resolve_ref_schema(described), cls.form_order, cls.form_needs)
        return described


UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Categories of characters that are not seen as they are: control, invisible formatting, halves of
surrogate pairs, line breaks."""


def _printable(text: str) -> str:
    for character in text:
        if unicodedata.category(character) in UNSEEN:
            raise refusal(
                "holds an invisible or control character",
                "Type the text again, without line breaks or pasted formatting",
            )
    if text != text.strip():
        raise refusal("begins or ends with a space", "Remove the spaces around it")
    return text


# Strict, so that "60", true and 4.5 are not quietly taken for numbers.
Whole = Annotated[int, Strict()]
Real = Annotated[float, Strict()]
Name = Annotated[str, Field(min_length=1, max_length=256), AfterValidator(_printable)]
Path = Annotated[str, Field(min_length=1, max_length=1024), AfterValidator(_printable)]
