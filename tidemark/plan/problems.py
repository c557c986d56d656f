"""What is wrong with a plan, where, and what to do: from validators to one PlanError.

Validators of the models raise `refusal(...)` for one field, or `refusals(...)` for
several; pydantic adds its own findings; `problems_of` turns both into plain words.
No refused value is ever repeated unless it is known to hold no secret.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

from tidemark.errors import PlanError

__all__ = [
    "Location",
    "Problem",
    "did_you_mean",
    "path_text",
    "plan_error",
    "problems_of",
    "refusal",
    "refusals",
]

Location = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: the field it is about, what, and the remedy."""

    where: Location
    what: str
    remedy: str


def refusal(what: str, remedy: str) -> PydanticCustomError:
    """An error for a field validator to raise; its field is known to pydantic."""
    return PydanticCustomError("plan", "{what}. {remedy}", {"what": what, "remedy": remedy})


def refusals(title: str, problems: Iterable[Problem]) -> ValidationError:
    """An error for a model validator to raise: all problems at once, each at its field."""
    return ValidationError.from_exception_data(
        title,
        [
            InitErrorDetails(type=refusal(found.what, found.remedy), loc=found.where, input=None)
            for found in problems
        ],
        hide_input=True,
    )


def did_you_mean(text: str, known: Iterable[str], synonyms: Mapping[str, str] | None = None) -> str:
    """A remedy that names the closest known word, or lists the known words if none is close."""
    words = list(known)
    by_case = {word.casefold(): word for word in words}
    folded = text.casefold().replace("-", "_")
    if synonyms and folded in synonyms:
        return f"Did you mean {synonyms[folded]}?"
    for candidate in (text.casefold(), folded, folded.replace("_", "-")):
        if candidate in by_case:
            return f"Did you mean {by_case[candidate]}?"
    close = difflib.get_close_matches(text.casefold(), list(by_case), n=1, cutoff=0.6)
    if close:
        return f"Did you mean {by_case[close[0]]}?"
    return f"Known: {', '.join(words)}"


def path_text(where: Sequence[str | int]) -> str:
    """A location as people write it: ("scenarios", 0) is scenarios[0]."""
    text = ""
    for part in where:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text


def plan_error(
    problems: Sequence[Problem],
    source: str | None,
    lines: Mapping[Location, int] | None = None,
) -> PlanError:
    """One error for all `problems`. `source` is the file or place the text came from,
    `lines` the line on which each of its fields stands."""
    places = [_place(found.where, lines or {}) for found in problems]
    if len(problems) == 1:
        place = f"{source}: {places[0]}" if source else places[0]
        return PlanError(problems[0].what, place, problems[0].remedy)
    listed = "".join(
        f"\n  {place}: {found.what}. {found.remedy}"
        for place, found in zip(places, problems, strict=True)
    )
    return PlanError(f"{len(problems)} problems{listed}", source or "the plan")


def _place(where: Location, lines: Mapping[Location, int]) -> str:
    text = path_text(where) or "the plan"
    # A field that is missing has no line; the part it is missing from has one.
    for length in range(len(where), 0, -1):
        line = lines.get(where[:length])
        if line is not None:
            return f"{text} (line {line})"
    return text


def problems_of(
    error: ValidationError, model: type[BaseModel], synonyms: Mapping[str, str] | None = None
) -> tuple[Problem, ...]:
    """What pydantic found wrong with `model`, in plain words, in the order of the fields.

    `synonyms` maps field names of other tools to ours, for a better "did you mean".
    """
    found = []
    details = error.errors(include_url=False)
    # A list is called too short for want of entries that are wrong, which they say themselves.
    parents = {
        tuple(detail["loc"][:length]) for detail in details for length in range(len(detail["loc"]))
    }
    for detail in details:
        if detail["type"] == "too_short" and tuple(detail["loc"]) in parents:
            continue
        what, remedy = _words(detail, model, synonyms)
        found.append(Problem(tuple(detail["loc"]), what, remedy))
    return tuple(found)


def _words(
    detail: ErrorDetails, model: type[BaseModel], synonyms: Mapping[str, str] | None
) -> tuple[str, str]:
    kind = detail["type"]
    context: dict[str, Any] = detail.get("ctx", {})
    if kind == "plan":
        return str(context["what"]), str(context["remedy"])
    location = tuple(detail["loc"])
    if kind == "extra_forbidden":
        parent = _model_at(model, location[:-1]) or model
        return "no such field", did_you_mean(str(location[-1]), parent.model_fields, synonyms)
    field = _field_at(model, location)
    advice = _advice(field)
    if kind == "missing":
        return "is missing", f"Add it. {advice}"
    if kind == "literal_error":
        choices = _choices(context)
        given = detail.get("input")
        remedy = did_you_mean(given, choices) if isinstance(given, str) else ""
        if remedy.startswith("Did"):
            return f"is none of {', '.join(choices)}", remedy
        return f"is none of {', '.join(choices)}", f"Choose one of them. {advice}"
    if kind in _MEANINGS:
        what, remedy = _MEANINGS[kind]
        names = ("gt", "ge", "lt", "le", "min_length", "max_length")
        numbers = {name: f"{context[name]:.12g}" for name in names if name in context}
        return what.format(**numbers), f"{remedy.format(**numbers)}. {advice}"
    return detail["msg"].removeprefix("Input should be ").removeprefix("Value error, "), advice


def _choices(context: Mapping[str, Any]) -> list[str]:
    expected = str(context.get("expected", "")).replace(" or ", ", ")
    return [choice.strip("'") for choice in expected.split(", ") if choice]


# pydantic's error type -> what is wrong, what to do. The field's own description follows.
_MEANINGS: dict[str, tuple[str, str]] = {
    "string_type": ("is not text", "Write text, in quotes if it looks like a number"),
    "string_too_short": (
        "is shorter than {min_length} characters",
        "Give a value, or leave the field out",
    ),
    "string_too_long": ("is longer than {max_length} characters", "Shorten it"),
    "string_pattern_mismatch": ("does not have the right form", "Follow the example"),
    "int_type": ("is not a whole number", "Write a whole number, without quotes"),
    "int_from_float": ("is not a whole number", "Write a whole number"),
    "float_type": ("is not a number", "Write a number, without quotes"),
    "finite_number": ("is not a finite number", "Write a finite number"),
    "bool_type": ("is neither true nor false", "Write true or false, without quotes"),
    "greater_than": ("must be above {gt}", "Give a number above {gt}"),
    "greater_than_equal": ("must be at least {ge}", "Give {ge} or more"),
    "less_than": ("must be below {lt}", "Give a number below {lt}"),
    "less_than_equal": ("must be at most {le}", "Give {le} or less"),
    "too_short": ("has too few entries", "Give at least {min_length}, or leave the field out"),
    "too_long": ("has too many entries", "Give at most {max_length}"),
    "tuple_type": ("is not a list", "Write a list, such as [a, b]"),
    "list_type": ("is not a list", "Write a list, such as [a, b]"),
    "dict_type": ("is not a mapping", "Write name: value lines below it"),
    "model_type": ("is not a mapping", "Write name: value lines below it"),
    "model_attributes_type": ("is not a mapping", "Write name: value lines below it"),
}


def _advice(field: FieldInfo | None) -> str:
    """The field's own description and first example, for the end of a remedy."""
    if field is None:
        return "See the description of the field around it"
    text = (field.description or field.title or "").rstrip(".")
    if field.examples:
        text += f". Example: {field.examples[0]}"
    return text


def _field_at(model: type[BaseModel], location: Location) -> FieldInfo | None:
    """The innermost field of ours on the way to `location`."""
    current: type[BaseModel] | None = model
    innermost: FieldInfo | None = None
    for part in location:
        if current is None or not isinstance(part, str) or part not in current.model_fields:
            break
        innermost = current.model_fields[part]
        current = _model_in(innermost.annotation)
    return innermost


def _model_at(model: type[BaseModel], location: Location) -> type[BaseModel] | None:
    current: type[BaseModel] | None = model
    for part in location:
        if current is None or part not in current.model_fields:
            return None
        current = _model_in(current.model_fields[str(part)].annotation)
    return current


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model inside `Model`, `Model | None` and the like."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        found = _model_in(argument)
        if found is not None:
            return found
    return None
