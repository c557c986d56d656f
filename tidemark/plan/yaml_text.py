"""YAML in and out: one document, JSON's values only, every mistake with its line.

Scalars are read by the core schema of YAML 1.2, so that `no` and `2024-01-01` are text
and `1e3` is a number. What makes small files large or their meaning depend on the reader
is refused: aliases, duplicate keys, tags, several documents.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import yaml

from tidemark.errors import PlanError
from tidemark.plan.problems import Location

__all__ = ["MAX_CHARACTERS", "YamlDocument", "read_yaml", "write_yaml"]

MAX_CHARACTERS = 65_536
_MAX_DEPTH = 40
_MAX_DIGITS = 40

_TAG = "tag:yaml.org,2002:"
# The core schema of YAML 1.2 (section 10.3.2), without its octal and hexadecimal numbers.
_RESOLVERS: tuple[tuple[str, str, str], ...] = (
    ("null", r"~|null|Null|NULL|", "~nN"),
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?(?:0|[1-9][0-9]*)", "-+0123456789"),
    (
        "float",
        r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        "-+.0123456789",
    ),
)


@dataclass(frozen=True, slots=True)
class YamlDocument:
    """The values of a YAML document, and the line, from 1, on which each of them begins."""

    value: Any
    lines: Mapping[Location, int]


class _Loader(yaml.SafeLoader):
    """Reads nodes, with the scalars above; never constructs objects from them."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012


class _Dumper(yaml.SafeDumper):
    """Quotes exactly what `_Loader` would not read back as text."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        return True


# Line breaks of YAML 1.1 that are read as another one, and what some editors take for one.
_BREAKS = re.compile("[\x85\u2028\u2029]")


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    # Only within double quotes they are written as escapes.
    style = '"' if _BREAKS.search(text) else None
    return dumper.represent_scalar(_TAG + "str", text, style)


_Dumper.add_representer(str, _text)

_FORMS = {name: re.compile(pattern) for name, pattern, _ in _RESOLVERS}
for _name, _pattern, _first in _RESOLVERS:
    for _class in (_Loader, _Dumper):
        _class.add_implicit_resolver(
            _TAG + _name,
            re.compile(rf"^(?:{_pattern})\Z"),
            [*_first, ""] if _name == "null" else list(_first),
        )


class _Mark(Protocol):
    """A place in the text: line and column, both from 0."""

    line: int
    column: int


class _Refused(Exception):
    """Something that is YAML and is not read here: what, remedy, mark."""

    def __init__(self, what: str, remedy: str, mark: _Mark | None) -> None:
        super().__init__(what)
        self.what = what
        self.remedy = remedy
        self.mark = mark


def read_yaml(text: str, source: str) -> YamlDocument:
    """Read one YAML document made of mappings, lists, text, numbers, booleans and null.

    Raises PlanError with source, line and column for anything else. No text of the
    document is repeated but the names of keys.
    """
    if len(text) > MAX_CHARACTERS:
        raise PlanError(
            f"has {len(text)} characters, more than {MAX_CHARACTERS}",
            source,
            "Put prompts into a dataset and name it in the plan",
        )
    try:
        _check_events(text)
        node = yaml.compose(text, Loader=_Loader)
        if node is None:
            remedy = "tidemark fields job --example and tidemark fields sweep --example print plans"
            raise PlanError("is empty", source, remedy)
        lines: dict[Location, int] = {}
        return YamlDocument(_value(node, (), lines), lines)
    except _Refused as error:
        raise PlanError(error.what, _place(source, error.mark), error.remedy) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        column = error.position - text.rfind("\n", 0, error.position)
        raise PlanError(
            f"is not YAML: the character U+{int(error.character):04X} is not allowed",
            f"{source}, line {line}, column {column}",
            "Remove the character; it may be invisible",
        ) from None
    except yaml.MarkedYAMLError as error:
        raise _syntax_error(error, source) from None


def _check_events(text: str) -> None:
    """Refuse what must not reach the composer: aliases, which can make a small text stand
    for a huge value, and depths that its recursion does not survive."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.AliasEvent):
            raise _Refused("aliases (*name) are not read", "Write the value out", event.start_mark)
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > _MAX_DEPTH:
                raise _Refused(
                    f"is nested deeper than {_MAX_DEPTH} levels", "Flatten it", event.start_mark
                )
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def write_yaml(value: Any) -> str:
    """YAML text that `read_yaml` reads back as the same value; keys in the given order."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


def _syntax_error(error: yaml.MarkedYAMLError, source: str) -> PlanError:
    problem = (error.problem or "cannot be read").strip()
    mark = error.problem_mark or error.context_mark
    remedy = "Look for a missing quote, colon or space at this place, or just before it"
    if "'\\t'" in problem:
        remedy = "Indent with spaces, not with tabs"
    elif "another document" in problem:
        problem, remedy = "there is a second document", "Write one document per file, without ---"
    elif "mapping values are not allowed" in problem:
        remedy = "Put text that holds a colon in quotes, and indent fields alike"
    return PlanError(f"is not YAML: {problem}", _place(source, mark), remedy)


def _place(source: str, mark: _Mark | None) -> str:
    if mark is None:
        return source
    return f"{source}, line {mark.line + 1}, column {mark.column + 1}"


def _value(node: yaml.Node, where: Location, lines: dict[Location, int]) -> Any:
    lines[where] = node.start_mark.line + 1
    kind = node.tag.removeprefix(_TAG)
    if isinstance(node, yaml.ScalarNode):
        return _scalar(node, kind)
    if isinstance(node, yaml.SequenceNode) and kind == "seq":
        return [_value(item, (*where, index), lines) for index, item in enumerate(node.value)]
    if isinstance(node, yaml.MappingNode) and kind == "map":
        return _mapping(node, where, lines)
    raise _Refused("tags (!name) are not read", "Remove the tag", node.start_mark)


def _mapping(node: yaml.MappingNode, where: Location, lines: dict[Location, int]) -> dict[str, Any]:
    mapping: dict[str, Any] = {}
    for key_node, value_node in node.value:
        if not isinstance(key_node, yaml.ScalarNode) or key_node.tag != _TAG + "str":
            raise _Refused("a key is not text", "Put the key in quotes", key_node.start_mark)
        key = key_node.value
        if key == "<<":
            raise _Refused(
                "merge keys (<<) are not read", "Write the fields out", key_node.start_mark
            )
        if key in mapping:
            raise _Refused(
                f"the key {key!r} is there twice", "Keep one of them", key_node.start_mark
            )
        mapping[key] = _value(value_node, (*where, key), lines)
        # The line of a field is that of its name, also when its value begins below.
        lines[(*where, key)] = key_node.start_mark.line + 1
    return mapping


def _scalar(node: yaml.ScalarNode, kind: str) -> Any:
    text: str = node.value
    if kind == "str":
        return text
    # A tag can claim what the text is not, as in !!int abc.
    if kind not in _FORMS or not _FORMS[kind].fullmatch(text):
        raise _Refused("tags (!name) are not read", "Remove the tag", node.start_mark)
    if kind == "null":
        return None
    if kind == "bool":
        return text.lower() == "true"
    if len(text) > _MAX_DIGITS:
        raise _Refused("a number has too many digits", "Shorten it", node.start_mark)
    if kind == "int":
        return int(text)
    # YAML writes .inf and .nan; a finite check follows where the number is used.
    return float(re.sub(r"\.(?=[in])", "", text.lower()))
