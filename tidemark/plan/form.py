"""The JSON schema of a model, made so that a form drawn from it can be filled in.

Pydantic says of an optional text that it is either text or null. Prefect's form then asks
which of the two it is to be before it takes any text; and leaves null in place of what was
never touched. An optional value that a form can simply leave empty is one that has a type,
no default and need not be there, which Prefect's server reads as allowing null as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["form_schema"]

_NULL = {"type": "null"}


def form_schema(schema: dict[str, Any], first: Sequence[str] = ()) -> None:
    """Change the JSON schema of a model, in place.

    - Optional plain values lose the choice of null; optional models keep it, since there it
      switches a group of fields on and off.
    - A choice of one is a choice.
    - What is filled in by the model itself is accepted, and not asked for.
    - `position` gives the order of the fields: those named in `first`, then the others.
    """
    properties: dict[str, dict[str, Any]] = schema.get("properties", {})
    names = [*first, *(name for name in properties if name not in first)]
    for name in [name for name in properties if properties[name].get("readOnly")]:
        # Unlike a property, a pattern is drawn by no form.
        schema.setdefault("patternProperties", {})[f"^{name}$"] = properties.pop(name)
    for name, described in properties.items():
        described["position"] = names.index(name)
        _flatten(described)
        if "const" in described:
            described["enum"] = [described.pop("const")]


def _flatten(described: dict[str, Any]) -> None:
    choices = described.get("anyOf", [])
    plain = [choice for choice in choices if choice != _NULL]
    if len(plain) != 1 or len(choices) != 2 or "type" not in plain[0]:
        return
    if described.get("default") is not None:
        return
    del described["anyOf"]
    described.pop("default", None)
    for key, value in plain[0].items():
        described.setdefault(key, value)
