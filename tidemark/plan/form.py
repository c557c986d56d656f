"""The JSON schema of a model, made so that a form drawn from it can be filled in.

Pydantic says of an optional text that it is either text or null. Prefect's form then asks
which of the two it is to be before it takes any text; and leaves null in place of what was
never touched. An optional value that a form can simply leave empty is one that has a type,
no default and need not be there, which Prefect's server reads as allowing null as well.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

__all__ = ["form_schema"]


def form_schema(
    schema: dict[str, Any], first: Sequence[str] = (), needed: Sequence[str] = ()
) -> None:
    """Change the JSON schema of a model, in place.

    - Optional plain values lose the choice of null; optional groups of fields keep it, since
      there it switches them on and off.
    - A choice of one is a choice.
    - What is filled in by the model itself is accepted, and not asked for.
    - What is free to write gets its first example shown, since forms show none.
    - `position` gives the order of the fields: those named in `first`, then the others.
    - `needed` are fields that a model can be read without, but not be used.
    """
    properties: dict[str, dict[str, Any]] = schema.get("properties", {})
    names = [*first, *(name for name in properties if name not in first)]
    for name in [name for name in properties if properties[name].get("readOnly")]:
        # Unlike a property, a pattern is drawn by no form.
        schema.setdefault("patternProperties", {})[f"^{name}$"] = properties.pop(name)
    for name, described in properties.items():
        described["position"] = names.index(name)
        _without_null(described)
        if "const" in described:
            described["enum"] = [described.pop("const")]
        _show_example(described)
    if needed:
        schema["required"] = sorted({*schema.get("required", []), *needed})


def _without_null(described: dict[str, Any]) -> None:
    choices = described.get("anyOf", [])
    nulls = [choice for choice in choices if choice.get("type") == "null"]
    others = [choice for choice in choices if choice.get("type") != "null"]
    if len(nulls) != 1 or len(others) != 1:
        return
    if "type" not in others[0]:
        nulls[0]["title"], others[0]["title"] = "Off", "On"
        return
    if described.get("default") is not None:
        return
    del described["anyOf"]
    described.pop("default", None)
    for key, value in others[0].items():
        described.setdefault(key, value)


def _show_example(described: dict[str, Any]) -> None:
    examples, text = described.get("examples"), described.get("description", "")
    if not examples or "enum" in described or "default" in described or "Example: " in text:
        return
    example = examples[0]
    is_open = described.get("type") == "object" and "properties" not in described
    if described.get("type") == "string" and len(example) <= 60:
        described["description"] = f"{text} Example: {example}"
    elif is_open:
        described["description"] = f"{text} Example: {json.dumps(example)}"
