"""What an EAS stress test is asked to do: bodies of CreateBenchmarkTask and UpdateBenchmarkTask.

The service (EAS 2021-07-01) publishes no schema for them. What its guides name is checked here;
what they do not name is sent as it is, and `warnings` tells where it looks like a slip of the pen.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, model_validator

from tidemark.alibaba.answers import read
from tidemark.alibaba.eas_secrets import references_in, secret_problems
from tidemark.alibaba.eas_sections import (
    BaseSection,
    DataSection,
    HttpSection,
    OptionalSection,
    Section,
    ServiceSection,
)
from tidemark.alibaba.operations import JsonObject
from tidemark.errors import ConfigError
from tidemark.plan.problems import Problem, refusals
from tidemark.plan.secrets import SecretRef

__all__ = ["MOST_MANUAL_S", "BenchmarkBody", "BenchmarkUpdate"]

MOST_MANUAL_S = 1200
"""How long a test in manual mode may last, in seconds."""

_SECTIONS: Mapping[str, type[Section]] = {
    "base": BaseSection,
    "service": ServiceSection,
    "data": DataSection,
    "http": HttpSection,
    "optional": OptionalSection,
}
_DATA_TYPES = ("binary", "text")
# In both sections, and which of them counts is not said for every mode.
_IN_BOTH = ("duration", "concurrency", "agentCount")


class _Body(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True, hide_input_in_errors=True)

    sections: ClassVar[tuple[str, ...]] = tuple(_SECTIONS)

    @classmethod
    def read(cls, given: Mapping[str, Any] | str, where: str = "body") -> Self:
        """From an object, or from JSON text. Raises ConfigError that names each wrong field."""
        if isinstance(given, str):
            try:
                given = json.loads(given)
            except (ValueError, RecursionError):
                raise ConfigError("is not JSON", where, "Write one JSON object") from None
        if not isinstance(given, Mapping):
            raise ConfigError("is not an object", where, "Write the sections base, service, data")
        return read(cls, given, where)

    @model_validator(mode="after")
    def _secrets_are_references(self) -> Self:
        problems = secret_problems(self.body())
        if problems:
            raise refusals(type(self).__name__, problems)
        return self

    def body(self) -> JsonObject:
        """The JSON object that is sent: secrets are references in it, to be resolved."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)

    @property
    def secrets(self) -> tuple[SecretRef, ...]:
        """The references whose secrets have to be lent when it is sent."""
        return references_in(self.body())

    def warnings(self) -> list[str]:
        """What is sent all the same, but looks like a slip: one sentence each."""
        found = []
        for name in self.model_extra or {}:
            found += _misplaced((), name, self.sections)
        for section in self.sections:
            held = getattr(self, section)
            for name in held.unknown if held is not None else ():
                found += _misplaced((section,), name, self.sections)
        return found

    # What is not known may hold anything: only its name is shown.
    def __repr_args__(self) -> Any:
        extra = self.model_extra or {}
        for name, value in super().__repr_args__():
            yield (name, "…") if name in extra else (name, value)


class BenchmarkBody(_Body):
    """A stress test to create.

    Its name is `base.name`, or made up by the service from the service's name. Give one: without
    it a test whose creation was answered by nothing cannot be told from others. Stress tests carry
    no tags, so that a name is also all that can say whose they are.
    """

    base: BaseSection | None = None
    service: ServiceSection
    data: DataSection
    http: HttpSection | None = None
    optional: OptionalSection | None = None

    @model_validator(mode="after")
    def _within_manual(self) -> Self:
        if self.optional is None or self.optional.mode != "manual":
            return self
        problems = [
            Problem(
                (section, "duration"),
                f"is more than the {MOST_MANUAL_S} seconds of manual mode",
                f"Give {MOST_MANUAL_S} or less, or another optional.mode",
            )
            for section in ("base", "optional")
            if (getattr(getattr(self, section), "duration_s", None) or 0) > MOST_MANUAL_S
        ]
        if problems:
            raise refusals("BenchmarkBody", problems)
        return self

    def warnings(self) -> list[str]:
        """What is sent all the same, but looks like a slip: one sentence each."""
        found = super().warnings()
        if self.data.data_type is not None and self.data.data_type not in _DATA_TYPES:
            near = _near(self.data.data_type, _DATA_TYPES)
            if near:
                found.append(
                    f"data.dataType: is not known, and sent as it is; did you mean {near}?"
                )
        body = self.body()
        base, optional = (_fields(body, section) for section in ("base", "optional"))
        found += [
            f"base.{name} and optional.{name} differ: give one of them, since which counts "
            "depends on optional.mode"
            for name in _IN_BOTH
            if name in base and name in optional and base[name] != optional[name]
        ]
        return found


class BenchmarkUpdate(_Body):
    """Changes to a stress test: `qps`, `concurrency` and `agentCount` work while it runs."""

    sections = ("base", "optional")

    base: BaseSection | None = None
    optional: OptionalSection | None = None

    @model_validator(mode="after")
    def _changes(self) -> Self:
        body = self.body()
        if not any(body.values()):
            raise refusals("BenchmarkUpdate", [Problem((), "changes nothing", "Give base.qps")])
        if self.base is not None and self.base.name is not None:
            problem = Problem(("base", "name"), "cannot be changed", "Leave it out")
            raise refusals("BenchmarkUpdate", [problem])
        return self


def _fields(body: JsonObject, section: str) -> Mapping[str, Any]:
    fields = body.get(section)
    return fields if isinstance(fields, Mapping) else {}


def _misplaced(where: tuple[str, ...], name: str, sections: tuple[str, ...]) -> list[str]:
    """A warning about an unknown name, if a known one is near or has its place elsewhere."""
    meant = _near(name, _SECTIONS[where[0]].names() if where else tuple(_SECTIONS))
    if not meant:
        places = {field: section for section in sections for field in _SECTIONS[section].names()}
        field = _near(name, tuple(places), cutoff=0.9)
        meant = f"{places[field]}.{field}" if field else ""
    if not meant:
        return []
    kind = "field" if where else "section"
    place = ".".join((*where, name))
    return [f"{place}: no such {kind} is known, and it is sent as it is; did you mean {meant}?"]


def _near(text: str, known: tuple[str, ...], cutoff: float = 0.7) -> str:
    folded = {name.casefold(): name for name in known}
    plain = text.casefold().replace("_", "").replace("-", "")
    close = difflib.get_close_matches(plain, list(folded), n=1, cutoff=cutoff)
    return folded[close[0]] if close else ""
