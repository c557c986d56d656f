"""Faults on demand: which requests go wrong, and how.

A rule is written as `KIND[=VALUE][,OPTION=VALUE...][ when CONDITION[,CONDITION...]]`,
for example

    status=429,retry_after_s=2 when every=10
    cut,after_tokens=5 when probability=0.1,in_flight_min=8
    hang when output_tokens=37
    slow_first=20 when first=5,last=9
    error_in_stream,after_tokens=3,code=507 when header.x-cell=b

or as the JSON object that `FaultRule.as_json` gives. All conditions of a rule
must hold; the first rule that holds is the one that happens.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, get_args

from tidemark.errors import ConfigError

FaultKind = Literal[
    "status",  # an HTTP error instead of an answer
    "error_in_stream",  # 200, then an error object after `after_tokens`
    "cut",  # the connection is closed after `after_tokens`
    "no_usage",  # the answer has no token counts
    "hang",  # nothing more comes after `after_tokens`
    "single_token",  # one token, whatever was asked for
    "slow_first",  # the first token takes `factor` times as long
    "garbage",  # one event is not valid JSON
    "empty",  # 200, token counts, but no content
]
FAULT_STATUSES = (400, 401, 404, 429, 500, 503)
FAULTS_HELP = """\
faults: KIND[=VALUE][,OPTION=VALUE...][ when CONDITION[,CONDITION...]]; the first rule that holds
  kinds       status=CODE  error_in_stream  cut  no_usage  hang  single_token  slow_first=FACTOR
              garbage  empty
  options     retry_after_s  after_tokens  code  delay_s
  conditions  every=N  probability=P  in_flight=N  in_flight_min=N  first=N  last=N
              output_tokens=N  path=PATH  header.NAME=VALUE
  examples    "status=429,retry_after_s=2 when every=10"
              "cut,after_tokens=5 when probability=0.1"   "hang when first=20,last=24"
"""
_REMEDY = "Write it as KIND[=VALUE][,OPTION=VALUE...][ when CONDITION[,CONDITION...]]"


@dataclass(frozen=True, slots=True)
class Occasion:
    """What a rule's conditions look at: one request as it arrives.

    `number` counts the inference requests since the rules were set, from 1;
    `in_flight` counts this request too.
    """

    number: int
    in_flight: int
    output_tokens: int
    path: str
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Condition:
    """When a rule holds; what is None is not looked at.

    every: each n-th request. probability: drawn from the endpoint's seed and the
    request's number. in_flight: exactly so many, in_flight_min: at least so many.
    first, last: from request number to number, both included. output_tokens: the
    output length asked for. path: the request's path. header: name and value.
    """

    every: int | None = None
    probability: float | None = None
    in_flight: int | None = None
    in_flight_min: int | None = None
    first: int | None = None
    last: int | None = None
    output_tokens: int | None = None
    path: str | None = None
    header: tuple[str, str] | None = None

    def holds(self, occasion: Occasion, seed: str) -> bool:
        """Whether this request is meant."""
        if self.every is not None and occasion.number % self.every:
            return False
        if self.in_flight is not None and occasion.in_flight != self.in_flight:
            return False
        if self.in_flight_min is not None and occasion.in_flight < self.in_flight_min:
            return False
        if self.first is not None and occasion.number < self.first:
            return False
        if self.last is not None and occasion.number > self.last:
            return False
        if self.output_tokens is not None and occasion.output_tokens != self.output_tokens:
            return False
        if self.path is not None and occasion.path != self.path:
            return False
        if self.header is not None and occasion.headers.get(self.header[0]) != self.header[1]:
            return False
        if self.probability is None:
            return True
        return random.Random(f"{seed}/{occasion.number}").random() < self.probability


@dataclass(frozen=True, slots=True)
class FaultRule:
    """One fault and when it happens.

    status: the HTTP status of kind `status`. retry_after_s: sent with a 429.
    after_tokens: how much of the answer comes first. factor: of kind `slow_first`.
    code: the code inside the stream. delay_s: how long an HTTP error takes.
    """

    kind: FaultKind
    when: Condition = field(default_factory=Condition)
    status: int = 500
    retry_after_s: int = 1
    after_tokens: int = 0
    factor: float = 10.0
    code: int = 500
    delay_s: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """The rule as a JSON object, which `rule_from_json` reads."""
        when = {name: value for name, value in asdict(self.when).items() if value is not None}
        return {**asdict(self), "when": when}

    @property
    def name(self) -> str:
        """How records name the fault: its kind, with the status where it has one."""
        return f"status_{self.status}" if self.kind == "status" else self.kind


class Faults:
    """The rules in force, and the count of requests they have seen."""

    def __init__(self, rules: tuple[FaultRule, ...], seed: int) -> None:
        self._seed = seed
        self.rules = rules
        self.seen = 0

    def replace(self, rules: tuple[FaultRule, ...]) -> None:
        """Put other rules in force; requests are counted from 1 again."""
        self.rules = rules
        self.seen = 0

    def choose(
        self, *, in_flight: int, output_tokens: int, path: str, headers: Mapping[str, str]
    ) -> FaultRule | None:
        """What happens to the request that has just arrived."""
        self.seen += 1
        if not self.rules:
            return None
        occasion = Occasion(self.seen, in_flight, output_tokens, path, headers)
        for index, rule in enumerate(self.rules):
            if rule.when.holds(occasion, f"{self._seed}/{index}"):
                return rule
        return None


def rule_from_text(text: str) -> FaultRule:
    """Read a rule from the command line's notation.

    Raises ConfigError when it cannot be understood.
    """
    what, _, when = text.partition(" when ")
    words = re.split(r"(?<![,=])\s+(?![,=])", what.strip())
    if len(words) > 1:
        raise ConfigError(
            f"`{words[1]}` is not understood", f"fault `{text}`", f"Did you mean when? {_REMEDY}"
        )
    document: dict[str, Any] = {}
    for index, part in enumerate(what.split(",")):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if index == 0:
            document["kind"] = name
            if equals and name in ("status", "slow_first"):
                document["status" if name == "status" else "factor"] = _number(value)
            elif equals and name in get_args(FaultKind):
                raise ConfigError(f"`{name}` takes no value", f"fault `{text}`", _REMEDY)
        else:
            document[name] = _number(value)
    conditions: dict[str, Any] = {}
    for part in when.split(",") if when.strip() else ():
        name, _, value = (piece.strip() for piece in part.partition("="))
        if name.startswith("header."):
            conditions["header"] = [name.removeprefix("header."), value]
        else:
            conditions[name] = value if name == "path" else _number(value)
    return rule_from_json({**document, "when": conditions}, f"fault `{text}`")


def _number(text: str) -> int | float | str:
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    return text


def rule_from_json(document: object, where: str) -> FaultRule:
    """Read a rule from JSON. Raises ConfigError naming the field that is wrong."""
    if not isinstance(document, dict):
        raise ConfigError("a fault rule must be an object", where, _REMEDY)
    kind: Any = document.get("kind")
    if kind not in get_args(FaultKind):
        allowed = ", ".join(get_args(FaultKind))
        raise ConfigError(f"unknown kind of fault {kind!r}", where, f"Use one of {allowed}")
    numbers = _numbers(document, FaultRule, where, without=("kind", "when"))
    rule = FaultRule(kind=kind, when=_condition(document.get("when", {}), where), **numbers)
    if rule.status not in FAULT_STATUSES:
        allowed = ", ".join(map(str, FAULT_STATUSES))
        raise ConfigError(f"status {rule.status} is not offered", where, f"Use one of {allowed}")
    return rule


def _condition(document: object, where: str) -> Condition:
    if not isinstance(document, dict):
        raise ConfigError("`when` must be an object", where, _REMEDY)
    header, path = document.get("header"), document.get("path")
    if header is not None:
        named = isinstance(header, (list, tuple)) and len(header) == 2
        if not named or not all(isinstance(part, str) and part for part in header):
            raise ConfigError("`header` must be a name and a value", where, _REMEDY)
        header = (header[0].lower(), header[1])
    if path is not None and not isinstance(path, str):
        raise ConfigError("`path` must be a text", where, _REMEDY)
    numbers = _numbers(document, Condition, where, without=("header", "path"))
    for name in ("every", "in_flight", "in_flight_min", "first", "last", "output_tokens"):
        if numbers.get(name, 1) < 1:
            raise ConfigError(f"`{name}` must be at least 1", where, _REMEDY)
    if numbers.get("probability", 0) > 1:
        raise ConfigError("`probability` must be at most 1", where, _REMEDY)
    return Condition(header=header, path=path, **numbers)


def _numbers(
    document: dict[str, Any], of: type, where: str, without: tuple[str, ...]
) -> dict[str, Any]:
    """The numeric fields of `of` that the document gives, whole where they count something."""
    allowed = {item.name: str(item.type) for item in fields(of)}
    numbers: dict[str, Any] = {}
    for name, value in document.items():
        if name not in allowed:
            raise ConfigError(f"unknown field `{name}`", where, f"Use {', '.join(allowed)}")
        if name in without or value is None:
            continue
        kinds = (int, float) if "float" in allowed[name] else (int,)
        if isinstance(value, bool) or not isinstance(value, kinds):
            needed = "a number" if float in kinds else "a whole number"
            raise ConfigError(f"`{name}` must be {needed}", where, _REMEDY)
        if value < 0 or not math.isfinite(value):
            raise ConfigError(f"`{name}` must not be negative or endless", where, _REMEDY)
        numbers[name] = value
    return numbers
