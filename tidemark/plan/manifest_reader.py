"""Reading a manifest by field path, keeping all that is wrong with it for one answer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeVar

from tidemark.plan.manifest_fields import FIELDS, ManifestField
from tidemark.plan.problems import Location, Problem, did_you_mean

__all__ = ["ManifestReader"]

Item = TypeVar("Item", str, int)

_PART = re.compile(r"([^.\[\]]+)|\[([0-9]+)\]")


def _location(path: str) -> Location:
    return tuple(
        int(found[2]) if found[2] is not None else found[1] for found in _PART.finditer(path)
    )


class ManifestReader:
    """Gives the values at field paths; a value of the wrong type is a problem and None.

    `problems`, `notes` and `warnings` grow while reading. Paths are dotted, as in
    "spec.endpoint.endpoint.url".
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document
        self.problems: list[Problem] = []
        self.notes: list[str] = []
        self.warnings: list[str] = []

    def problem(self, path: str, what: str, remedy: str) -> None:
        """Keep a problem at a path."""
        self.add(Problem(_location(path), what, remedy))

    def add(self, found: Problem) -> None:
        """Keep a problem, unless the same field or a part of it has one already."""
        for earlier in self.problems:
            shorter = min(len(earlier.where), len(found.where))
            if earlier.where[:shorter] == found.where[:shorter]:
                return
        self.problems.append(found)

    def note(self, path: str, sentence: str) -> None:
        """Say what became of a field."""
        self.notes.append(f"{path}: {sentence}")

    def warn(self, path: str, sentence: str) -> None:
        """Say that a field has not the effect it seems to have."""
        self.warnings.append(f"{path}: {sentence}")

    def value(self, path: str) -> Any:
        """What stands at a path; None if nothing does."""
        current: Any = self._document
        for part in path.split("."):
            if not isinstance(current, Mapping):
                return None
            current = current.get(part)
        return current

    def mapping(self, path: str, *, required: bool = False) -> Mapping[str, Any] | None:
        """The mapping at a path."""
        value = self.value(path)
        if value is None:
            if required:
                self.problem(path, "is missing", f"Add {path.rpartition('.')[2]}")
            return None
        if not isinstance(value, Mapping):
            self.problem(path, "is not a mapping", "Write name: value lines below it")
            return None
        return value

    def text(self, path: str, *, required: bool = False) -> str | None:
        """The text at a path."""
        value = self.value(path)
        if value is None:
            if required:
                self.problem(path, "is missing", f"Add {path.rpartition('.')[2]}")
            return None
        if not isinstance(value, str):
            self.problem(path, "is not text", "Put it in quotes")
            return None
        return value

    def texts(self, path: str) -> dict[str, str]:
        """The mapping at a path whose values must all be text."""
        texts = {}
        for name, value in (self.mapping(path) or {}).items():
            if isinstance(value, str):
                texts[name] = value
            else:
                self.problem(f"{path}.{name}", "is not text", "Put it in quotes")
        return texts

    def whole(
        self, path: str, least: int, most: int, unit: str, *, required: bool = True
    ) -> int | None:
        """The whole number at a path, within its bounds."""
        value = self.value(path)
        if value is None:
            if required:
                self.problem(path, "is missing", f"Add a number of {unit}, at least {least}")
            return None
        if isinstance(value, bool) or not isinstance(value, int):
            self.problem(path, "is not a whole number", f"Write whole {unit}, without quotes")
            return None
        if not least <= value <= most:
            self.problem(
                path,
                f"is not from {least} to {most} {unit}",
                f"Write at least {least} and at most {most}",
            )
            return None
        return value

    def set_of(self, path: str, kind: type[Item]) -> list[Item] | None:
        """The list at a path: empty when left out, None when something is wrong with it.

        Its entries are of one kind and all different, as Kubernetes asks of a list of
        type set.
        """
        value = self.value(path)
        if value is None:
            return []
        if not isinstance(value, list):
            self.problem(path, "is not a list", "Write one entry per line, each after -")
            return None
        items: list[Item] = []
        fine = True
        for index, item in enumerate(value):
            where = f"{path}[{index}]"
            if not isinstance(item, kind) or isinstance(item, bool):
                name = "text" if kind is str else "a whole number"
                remedy = "Put it in quotes" if kind is str else "Write a whole number"
                self.problem(where, f"is not {name}", remedy)
                fine = False
            elif item in items:
                self.problem(where, "is listed twice", "List each entry once")
                fine = False
            else:
                items.append(item)
        return items if fine else None

    def refuse_unknown(self) -> None:
        """Keep a problem for each field that the table refuses or does not know, and a note
        for each that it notes."""
        self._walk(self._document, "")

    def _walk(self, value: Mapping[str, Any], path: str) -> None:
        names = {key.split(".")[path.count(".") + 1 if path else 0]: None for key in _below(path)}
        for name, item in value.items():
            here = f"{path}.{name}" if path else name
            if name not in names:
                self.problem(here, "no such field in a BenchmarkJob", did_you_mean(name, names))
                continue
            entry = FIELDS.get(here)
            if entry is not None:
                self._treat(here, entry, item)
            elif isinstance(item, Mapping):
                self._walk(item, here)
            elif item is not None:
                self.problem(here, "is not a mapping", "Write name: value lines below it")

    def _treat(self, path: str, entry: ManifestField, item: Any) -> None:
        if item is None:
            return
        if entry.treatment == "refused":
            self.problem(path, f"is refused: {entry.reason}", "Remove it")
        elif entry.treatment == "noted":
            self.note(path, entry.reason)
        elif not entry.open and isinstance(item, Mapping | list):
            self.problem(path, "is not a single value", "Write one value after the colon")


def _below(path: str) -> list[str]:
    """The table's paths that go on below `path`."""
    return [key for key in FIELDS if not path or key.startswith(path + ".")]
