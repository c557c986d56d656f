"""Whether an official SDK understood an answer: nothing left out, nothing of another type."""

from __future__ import annotations

import json
import types
from collections.abc import Collection, Iterator
from typing import Any, Union, get_args, get_origin, get_type_hints

from contract_cloud import Cloud
from darabonba.model import DaraModel
from Tea.model import TeaModel

__all__ = ["lost_fields", "understood", "wrong_types"]

# The models of newer SDKs, and of older ones.
Models = (DaraModel, TeaModel)


def understood(cloud: Cloud, response: Any, *, unknown: Collection[str] = ()) -> Any:
    """The body of an SDK's response, after a look at all of it.

    Every field that the simulator sent has to be one that the SDK knows, but those named in
    `unknown`, and of the type that the SDK declares.
    """
    sent = json.loads(cloud.requests[-1].answer)
    assert response.status_code == 200
    assert response.body.request_id == sent["RequestId"]
    assert response.headers["x-acs-request-id"] == sent["RequestId"]
    lost = set(lost_fields(sent, response.body.to_map()))
    assert lost == set(unknown), f"the SDK does not know {lost}, {set(unknown)} was expected"
    wrong = list(wrong_types(response.body))
    assert not wrong, "\n".join(wrong)
    return response.body


def lost_fields(sent: Any, read: Any, where: str = "") -> Iterator[str]:
    """The places of what was sent and is not in what was read, such as `Jobs[].Price`."""
    if isinstance(sent, dict):
        for name, value in sent.items():
            place = f"{where}.{name}".lstrip(".")
            if not isinstance(read, dict) or name not in read:
                # A model leaves out what it has no value for.
                if value is not None:
                    yield place
            else:
                yield from lost_fields(value, read[name], place)
    elif isinstance(sent, list):
        for one, other in zip(sent, read, strict=True):
            yield from lost_fields(one, other, f"{where}[]")
    else:
        assert sent == read, where


def wrong_types(model: Any, where: str = "") -> Iterator[str]:
    """The places whose values are not of the type that the SDK declares."""
    for name, hint in get_type_hints(type(model).__init__).items():
        if name != "return":
            yield from _misfits(getattr(model, name), hint, f"{where}.{name}".lstrip("."))


def _misfits(value: Any, hint: Any, where: str) -> Iterator[str]:
    if value is None or hint is Any:
        return
    kind = get_origin(hint)
    if kind in (Union, types.UnionType):
        if all(list(_misfits(value, one, where)) for one in get_args(hint)):
            yield f"{where}: {value!r} is no {hint}"
    elif kind in (list, dict):
        if not isinstance(value, kind):
            yield f"{where}: {value!r} is no {hint}"
            return
        inner = get_args(hint)[-1]
        for one in value.values() if isinstance(value, dict) else value:
            yield from _misfits(one, inner, f"{where}[]")
    elif isinstance(value, Models):
        yield from wrong_types(value, where)
    else:
        # A number without a fraction is a number all the same.
        fits = (int, float) if hint is float else hint
        if not isinstance(value, fits) or (isinstance(value, bool) and hint is not bool):
            yield f"{where}: {value!r} is no {hint}"
