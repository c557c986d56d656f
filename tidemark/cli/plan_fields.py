"""What can be written into a plan: each field with its kind, default and meaning, or an example.

All of it is read off the models that plans are checked by.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

import typer

from tidemark.cli.printing import console, print_document
from tidemark.errors import ConfigError
from tidemark.plan.base import PlanModel
from tidemark.plan.job import JobPlan
from tidemark.plan.problems import did_you_mean
from tidemark.plan.sweep import SweepPlan
from tidemark.plan.yaml_text import write_yaml

__all__ = ["KINDS", "PlanField", "PlanKind", "example_of", "fields_of", "show_fields"]

PlanKind = Literal["job", "sweep"]

KINDS: Final[Mapping[PlanKind, type[PlanModel]]] = {"job": JobPlan, "sweep": SweepPlan}
"""The kinds of plans."""

# What an example says; all else stands in it as a comment.
_SAID: Final[Mapping[PlanKind, Mapping[str, Any]]] = {
    "job": {
        "command": "nvidia-smi",
        "machine": {"work": "small-model"},
        "limits": {"total_s": 1800},
        "cap": {"amount": 20, "currency": "CNY"},
    },
    "sweep": {
        "endpoint": {"url": "http://my-service:8080", "model": "llama-3-1-70b-instruct"},
        "tokenizer": "org/model@main",
        "scenarios": ["D(512,128)"],
        "concurrency": [1, 4, 16],
        "limits": {"max_time_s": 60},
    },
}
_WORDS: Final = {
    "integer": "whole number",
    "number": "number",
    "string": "text",
    "boolean": "true or false",
    "object": "names with values",
}
_WIDTH: Final = 96


@dataclass(frozen=True, slots=True)
class PlanField:
    """A field of a plan: its path (`limits.total_s`, `mounts[].uri`), its kind in words, its
    default (None where there is none), whether it has to be given where its group is, and what it
    means."""

    path: str
    kind: str
    default: Any
    needed: bool
    description: str


def fields_of(kind: PlanKind) -> list[PlanField]:
    """All fields of a kind of plan, in the order in which a form asks for them. Of a job's sweep
    only itself is among them: its fields are those of the other kind."""
    schema = KINDS[kind].model_json_schema()
    return list(_fields(schema, schema.get("$defs", {}), ""))


def example_of(kind: PlanKind) -> str:
    """YAML text of a plan that can be run, with every other field beside it as a comment."""
    schema = KINDS[kind].model_json_schema()
    definitions = schema.get("$defs", {})
    fields = (_lines(each, definitions, _SAID[kind]) for each in _ordered(schema))
    return "\n".join("\n".join([*lines, ""]) for lines in fields)


def show_fields(kind: PlanKind, part: str | None, *, example: bool, as_json: bool) -> None:
    """Print the fields of a kind of plan, or those below `part`; or an example of it.

    Raises ConfigError for what is no field.
    """
    if example:
        typer.echo(example_of(kind), nl=False)
        return
    fields = fields_of(kind)
    if part is not None:
        wanted = [one for one in fields if re.match(rf"{re.escape(part)}(\W|$)", one.path)]
        if not wanted:
            known = [one.path for one in fields]
            raise ConfigError(f"has no such field {part}", kind, did_you_mean(part, known))
        fields = wanted
    if as_json:
        print_document([asdict(one) for one in fields])
        return
    width = min(console().width, _WIDTH)
    for one in fields:
        for line in textwrap.wrap(_head(one), width, subsequent_indent="  "):
            typer.echo(line)
        for line in textwrap.wrap(one.description, width - 4, break_on_hyphens=False):
            typer.echo(f"    {line}")
    if part is None and kind == "job":
        typer.echo("what a sweep is made of: tidemark fields sweep")
    if part is None:
        typer.echo(f"a plan to begin with: tidemark fields {kind} --example > {kind}.yaml")


def _head(one: PlanField) -> str:
    default = "" if one.default is None else f" = {_value(one.default)}"
    return f"{one.path}: {one.kind}{default}{', needed' if one.needed else ''}"


def _value(value: Any) -> str:
    return write_yaml({"": value}).partition(":")[2].strip()


def _fields(
    schema: Mapping[str, Any], definitions: Mapping[str, Any], path: str
) -> Iterator[PlanField]:
    for name, described in _ordered(schema):
        inside, is_list = _inside(described, definitions)
        yield PlanField(
            f"{path}{name}",
            _kind(described, inside, is_list=is_list),
            described.get("default"),
            name in schema.get("required", ()),
            _meaning(described),
        )
        if inside is not None and inside.get("title") != SweepPlan.__name__:
            yield from _fields(inside, definitions, f"{path}{name}{'[]' if is_list else ''}.")


def _ordered(schema: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    properties: dict[str, dict[str, Any]] = schema["properties"]
    return sorted(properties.items(), key=lambda each: each[1]["position"])


def _inside(
    described: Mapping[str, Any], definitions: Mapping[str, Any]
) -> tuple[Mapping[str, Any] | None, bool]:
    """The group of fields that a field is, or a list of, if it is; and whether it is a list."""
    is_list = described.get("type") == "array"
    one = described.get("items", {}) if is_list else described
    for choice in (one, *one.get("anyOf", ()), *one.get("allOf", ())):
        if "$ref" in choice:
            found = definitions[choice["$ref"].rpartition("/")[2]]
            return (found if "properties" in found else None), is_list
    return None, is_list


def _kind(described: Mapping[str, Any], inside: object, *, is_list: bool) -> str:
    if inside is not None:
        return "list of groups of fields" if is_list else "group of fields"
    if is_list:
        return f"list of {_kind(described.get('items', {}), None, is_list=False)}"
    if "enum" in described:
        return f"one of {', '.join(str(one) for one in described['enum'])}"
    choices = [one for one in described.get("anyOf", ()) if one.get("type") != "null"]
    if choices:
        return " or ".join(dict.fromkeys(_kind(one, None, is_list=False) for one in choices))
    return _WORDS.get(str(described.get("type")), "anything")


def _meaning(described: Mapping[str, Any]) -> str:
    """What a field means, without the example that forms show after it."""
    return str(described.get("description", "")).partition(" Example: ")[0]


def _lines(
    field: tuple[str, Mapping[str, Any]], definitions: Mapping[str, Any], said: Mapping[str, Any]
) -> Iterator[str]:
    """A field as YAML, below what it means: as in `said`, or as a comment."""
    name, described = field
    for line in textwrap.wrap(_meaning(described), _WIDTH - 8, break_on_hyphens=False):
        yield f"# {line}"
    mark = "" if name in said else "#"
    for line in _written(name, described, definitions, said):
        yield f"{mark}{line}"


def _written(
    name: str, described: Mapping[str, Any], definitions: Mapping[str, Any], said: Mapping[str, Any]
) -> Iterator[str]:
    value = said.get(name, described.get("default"))
    if value in (None, [], {}):
        value = _example(described, definitions)
    inside, is_list = _inside(described, definitions)
    if inside is None or inside.get("title") == SweepPlan.__name__:
        yield from write_yaml({name: value}).splitlines()
        return
    yield f"{name}:"
    for each in value if is_list else [value]:
        if is_list:
            yield "  -"
        for field in _ordered(inside):
            for line in _lines(field, definitions, each):
                yield f"{'    ' if is_list else '  '}{line}"


def _example(described: Mapping[str, Any], definitions: Mapping[str, Any]) -> Any:
    """The first example that a field has; of a kind of value, where it has none of its own."""
    for one in (described, *described.get("anyOf", ())):
        found = one.get("examples") or definitions.get(
            str(one.get("$ref", "")).rpartition("/")[2], {}
        ).get("examples")
        if found:
            return found[0]
    return None
