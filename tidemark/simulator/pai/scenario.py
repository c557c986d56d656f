"""What goes wrong, and when: rules for calls and for jobs, for stress tests and for prices, from
a YAML or JSON file.

    seed: 7
    calls:
      - when: {action: CreateJob, nth: 1}
        then: {lost: answer}
      - when: {action: "List*", every: 3}
        then: {throttle: {status: 429, retry_after_s: 2}}
    jobs:
      - when: {name: "bench-*"}
        then: {image_pull: {fails_after_s: 5, recovers_after_s: 90}, running_s: never}
    tasks:
      - {service: "chat-*", fail: Error, fail_after_s: 30}
    prices:
      - {instance_type: "ecs.gn6*", code: PriceNotFound}

Of the rules of one kind the first that applies is used.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from tidemark.errors import ConfigError
from tidemark.plan.problems import did_you_mean, path_text
from tidemark.simulator.pai.eas_task import TaskScript
from tidemark.simulator.pai.ecs import PriceScript
from tidemark.simulator.pai.job_script import JobScript, strict_model

__all__ = [
    "CallEffect",
    "CallMatch",
    "CallRule",
    "ErrorAnswer",
    "JobMatch",
    "JobRule",
    "Scenario",
    "Throttle",
    "load_scenario",
    "scenario_from_text",
]

Count = Annotated[int, Field(ge=1)]
_YEAR_S = 366 * 86400.0
_MOST_CHARACTERS = 1024 * 1024
# Far more than any number or date in a scenario has; what is read from longer ones takes long.
_MOST_OF_A_NUMBER = 40
_NO_MAPPING = ("dict_type", "model_type", "model_attributes_type")


class CallMatch(BaseModel):
    """Which calls. `action` may hold `*`; `nth` and `every` count the calls that match both
    action and method, from 1; the rule is used at most `count` times."""

    model_config = strict_model

    action: str = "*"
    method: Literal["GET", "POST", "PUT", "DELETE"] | None = None
    nth: Count | None = None
    every: Count | None = None
    count: Count | None = None
    probability: Annotated[float, Field(gt=0, le=1)] | None = None


class Throttle(BaseModel):
    """A refusal because of too many calls, with a hint of when to come again: the service's own
    header in milliseconds, or the standard one in seconds."""

    model_config = strict_model

    status: Literal[400, 429, 503] = 400
    code: str = "Throttling.User"
    retry_after_ms: Annotated[int, Field(ge=0)] | None = None
    retry_after_s: Annotated[int, Field(ge=0)] | None = None


class ErrorAnswer(BaseModel):
    """An error as the service words them."""

    model_config = strict_model

    status: Annotated[int, Field(ge=400, le=599)]
    code: Annotated[str, Field(min_length=1)]
    message: str = "The simulator was told to fail."


class CallEffect(BaseModel):
    """What becomes of a call: at most one of `throttle`, `error`, `html` and `lost`, none of
    which but a lost answer does what was asked; and any of them, or an ordinary answer, late.

    html: a page of a gateway with this status. lost: `answer` breaks the connection off after
    the call was done, `request` before. slow_s: the answer is sent so late, in seconds of the
    simulator's clock.
    """

    model_config = strict_model

    throttle: Throttle | None = None
    error: ErrorAnswer | None = None
    html: Literal[500, 502, 503, 504] | None = None
    lost: Literal["answer", "request"] | None = None
    slow_s: Annotated[float, Field(gt=0, le=_YEAR_S)] | None = None

    @model_validator(mode="after")
    def _one(self) -> CallEffect:
        outcomes = (self.throttle, self.error, self.html, self.lost)
        given = sum(1 for one in outcomes if one is not None)
        if given > 1:
            raise ValueError("takes one of throttle, error, html and lost")
        if not given and self.slow_s is None:
            raise ValueError("does nothing: give throttle, error, html, lost or slow_s")
        return self


class CallRule(BaseModel):
    """What happens to some calls."""

    model_config = strict_model

    when: CallMatch = CallMatch()
    then: CallEffect


class JobMatch(BaseModel):
    """Which jobs, by DisplayName, which may hold `*`; `nth` and `every` count those, from 1."""

    model_config = strict_model

    name: str = "*"
    nth: Count | None = None
    every: Count | None = None
    count: Count | None = None


class JobRule(BaseModel):
    """How some jobs live."""

    model_config = strict_model

    when: JobMatch = JobMatch()
    then: JobScript


class Scenario(BaseModel):
    """All rules. `seed` is of what happens by probability; `tasks` are benchmark tasks of EAS."""

    model_config = strict_model

    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] = 0
    calls: tuple[CallRule, ...] = ()
    jobs: tuple[JobRule, ...] = ()
    tasks: tuple[TaskScript, ...] = ()
    prices: tuple[PriceScript, ...] = ()


def load_scenario(path: Path) -> Scenario:
    """The scenario of a file. Raises ConfigError with the place and the remedy."""
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(_MOST_CHARACTERS + 1)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError("the scenario cannot be read", str(path), "Name a text file") from error
    return scenario_from_text(text, str(path))


def scenario_from_text(text: str, source: str) -> Scenario:
    """The scenario that a YAML or JSON text of up to 1 MiB describes, without aliases. Raises
    ConfigError."""
    if len(text) > _MOST_CHARACTERS:
        raise ConfigError("is longer than 1 MiB", source, "Write fewer rules")
    try:
        document = yaml.load(text, _Loader)
    except _Alias as error:
        place = f"{source}: line {error.line}"
        raise ConfigError("holds an alias", place, "Write out what it stands for") from None
    except RecursionError:
        raise ConfigError("is nested too deeply", source, "Correct it") from None
    except (ValueError, OverflowError) as error:
        # PyYAML takes a text for a number or a date by its looks, and then may fail to read it.
        raise ConfigError(
            "holds a number or a date that is none", source, "Put texts in quotes"
        ) from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{source}: line {mark.line + 1}" if mark else source
        raise ConfigError("is not YAML", place, "Correct it, or write JSON") from error
    if document is None:
        document = {}
    if not isinstance(document, Mapping):
        raise ConfigError("is not a mapping", source, "Write calls: or jobs: with rules below")
    try:
        return Scenario.model_validate(_with_tuples(document))
    except ValidationError as error:
        # Of several the first is told; it is often the cause of the others.
        raise _config_error(error.errors(include_url=False)[0], source) from error
    except (ValueError, RecursionError) as error:
        raise ConfigError("cannot be read", source, "Correct it") from error


class _Alias(Exception):
    """A scenario that repeats a part of itself: nine lines could stand for millions."""

    def __init__(self, line: int) -> None:
        super().__init__(line)
        self.line = line


class _Loader(yaml.SafeLoader):
    """Reads plain data, and refuses what takes out of proportion long."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """The next node. Raises _Alias for a reference to another."""
        if self.check_event(yaml.AliasEvent):
            event: yaml.Event = self.get_event()  # type: ignore[no-untyped-call]
            mark = event.start_mark
            raise _Alias(mark.line + 1 if mark else 1)
        return super().compose_node(parent, index)

    def compose_scalar_node(self, anchor: dict[str, yaml.Node]) -> yaml.ScalarNode:
        """The next text, number or date. Raises ValueError for an endless number."""
        node = super().compose_scalar_node(anchor)
        if node.tag != "tag:yaml.org,2002:str" and len(node.value) > _MOST_OF_A_NUMBER:
            raise ValueError(node.tag)
        return node


def _with_tuples(value: Any) -> Any:
    """A document with tuples for lists: strict models take no other sequence for a tuple."""
    if isinstance(value, Mapping):
        return {name: _with_tuples(one) for name, one in value.items()}
    return tuple(map(_with_tuples, value)) if isinstance(value, list) else value


def _config_error(detail: ErrorDetails, source: str) -> ConfigError:
    location = detail["loc"]
    place = f"{source}: {path_text(location)}" if location else source
    if detail["type"] == "extra_forbidden":
        parent = _model_at(location[:-1])
        return ConfigError(
            "no such key", place, did_you_mean(str(location[-1]), parent.model_fields)
        )
    if detail["type"] == "missing":
        return ConfigError("is missing", place, "Add it")
    if detail["type"] in _NO_MAPPING:
        keys = ", ".join(_model_at(location).model_fields)
        return ConfigError("is not a mapping", place, f"Write {keys}, or some of them, below it")
    if detail["type"] == "tuple_type":
        return ConfigError("is not a list", place, "Write each entry after a dash")
    message = detail["msg"].removeprefix("Value error, ")
    return ConfigError(message[:1].lower() + message[1:], place, "Correct it")


def _model_at(location: tuple[int | str, ...]) -> type[BaseModel]:
    model: type[BaseModel] = Scenario
    for part in location:
        if isinstance(part, str) and part in model.model_fields:
            model = _model_in(model.model_fields[part].annotation) or model
    return model


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (_model_in(argument) for argument in getattr(annotation, "__args__", ()))
    return next((one for one in found if one is not None), None)
