"""What services answer and what they are asked, as models.

Answers are open: fields and values this version does not know survive. Requests are closed: a field
that is not known is refused before anything is sent.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Any, Self, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, PrivateAttr, ValidationError
from pydantic.alias_generators import to_pascal

from tidemark.alibaba.errors import NoAnswerError
from tidemark.alibaba.operations import JsonObject
from tidemark.errors import ConfigError
from tidemark.plan.problems import plan_error, problems_of
from tidemark.plan.secrets import is_sensitive_name

__all__ = ["MASK", "Answer", "Instant", "Listed", "Number", "Request", "Text", "read", "redacted"]

MASK = "***"
# Fields that carry secrets though their name does not say so to everyone, and some that only
# sound as if they did: they name a secret's kind or a time.
_SECRET_FIELDS = frozenset(("token", "accesstoken", "requesttoken", "auth", "password"))
_HOLDERS = frozenset((str, dict, list))
_PLAIN_FIELDS = frozenset(("credentialconfig", "credentialconfigitems", "nexttoken"))


def redacted(value: Any, name: str = "") -> Any:
    """A JSON value without what its fields' names announce as secret, for people and for files.

    Empty values and references (`env:NAME`) stay: they show that there is none, or where it is.
    """
    copied = copy.deepcopy(value)
    return _masked(copied, name)


def _masked(value: Any, name: str) -> Any:
    """As `redacted`, in place: most answers hold no secret, and need no copy."""
    kind = type(value)
    if kind is str:
        if not value or not _is_secret(name) or value.startswith(("env:", "file:", "prefect:")):
            return value
        return MASK
    if kind is dict:
        names = _named_pair(value)
        for key, each in value.items():
            if type(each) in _HOLDERS:
                value[key] = _masked(each, names.get(key, key) if names else key)
    elif kind is list:
        for place, each in enumerate(value):
            if type(each) in _HOLDERS:
                value[place] = _masked(each, name)
    return value


def _named_pair(value: dict[Any, Any]) -> dict[Any, str]:
    """What to call the fields of a name beside its value, as labels and lists of environment
    variables have them: the value is what the name says, and the name, though called a key, is
    no secret."""
    for key, name, content in (("Key", "Name", "Value"), ("key", "name", "value")):
        if content in value:
            said: object = value.get(key, value.get(name))
            if isinstance(said, str):
                return {content: said, key: "", name: ""}
    return {}


@lru_cache(maxsize=4096)
def _is_secret(name: str) -> bool:
    folded = name.casefold()
    return folded not in _PLAIN_FIELDS and (folded in _SECRET_FIELDS or is_sensitive_name(name))


def _instant(value: object) -> datetime | None:
    if isinstance(value, datetime):
        return value
    if not isinstance(value, str) or not value.strip():
        return None
    try:
        moment = datetime.fromisoformat(value.strip())
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _number(value: object) -> float | None:
    if isinstance(value, bool) or value is None:
        return None
    try:
        number = float(value)  # type: ignore[arg-type]  # what is no number raises
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _list(value: object) -> object:
    return () if value is None else value


Instant = Annotated[datetime | None, BeforeValidator(_instant)]
"""A moment in UTC; None for what is absent, empty or no time."""

Number = Annotated[float | None, BeforeValidator(_number)]
"""A number, also one sent as text; None for what is absent, empty or no number."""

Text = Annotated[str, BeforeValidator(_text)]
"""Text, also from a number; empty for what is absent."""

_Item = TypeVar("_Item")
Listed = Annotated[tuple[_Item, ...], BeforeValidator(_list)]
"""Items; empty for what is absent or null."""


class Answer(BaseModel):
    """What a service answered. Fields that are not known stay in `wire`, and in the model."""

    model_config = ConfigDict(
        extra="allow",
        frozen=True,
        alias_generator=to_pascal,
        populate_by_name=True,
        hide_input_in_errors=True,
    )

    _wire: JsonObject = PrivateAttr(default_factory=dict)

    @property
    def wire(self) -> JsonObject:
        """The JSON object as it came, without secrets."""
        return self._wire

    @classmethod
    def of(cls, document: JsonObject, action: str) -> Self:
        """The model of an answer, whose secrets are masked in place. Raises NoAnswerError for one
        of another shape."""
        clean = _masked(document, "")
        try:
            answer = cls.model_validate(clean)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(map(str, first["loc"]))
            raise NoAnswerError(
                f"{action} was answered in another shape than documented ({place}: {first['msg']})",
                action,
                sent=True,
            ) from None
        answer._wire = clean
        return answer


class Request(BaseModel):
    """What a service is asked. Names and values are checked before anything is sent."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        alias_generator=to_pascal,
        populate_by_name=True,
        hide_input_in_errors=True,
        str_strip_whitespace=False,
    )

    def body(self) -> JsonObject:
        """The JSON object that is sent: what was not given is left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


_Model = TypeVar("_Model", bound=BaseModel)


def read(model: type[_Model], given: Mapping[str, Any], where: str) -> _Model:
    """`given` as a model. Raises ConfigError that names each wrong field, and what was meant."""
    try:
        return model.model_validate(given)
    except ValidationError as error:
        told = plan_error(problems_of(error, model), where)
        raise ConfigError(told.what, told.where, told.remedy) from None
