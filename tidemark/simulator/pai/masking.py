"""JSON values without the secrets in them, for files and for people."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qsl

from tidemark.plan.secrets import is_sensitive_name

__all__ = ["masked"]

_HIDDEN = "***"
# What says it beside what plans are held to; the short ones only as whole words of a name.
_SECRET = re.compile(
    r"(?i:access[-_]?key|api[-_]?key|passphrase)"
    r"|(?:^|[-_.]|(?<=[a-z0-9])(?=[A-Z]))(?:[Kk]ey|KEY|[Pp]wd|PWD|[Pp]ass|PASS|[Aa]uth|AUTH"
    r"|[Cc]reds?|CREDS?|[Aa]k|AK|[Ss]k|SK|[Ss]ig|SIG)(?:$|[-_.]|(?=[A-Z]))"
)
# They hold how keys are lent to a job, and no key.
_PLAIN = frozenset(("credentialconfig", "credentialconfigitems"))
# A token may also be a piece of text.
_TOKENIZER = re.compile(r"tokeni[sz]er", re.I)
_COUNT = re.compile(r"tokens", re.I)
_NAMES, _VALUES = ("Key", "Name", "key", "name"), ("Value", "value")
_ADDRESS = re.compile(
    r"(?<![\w+.-])(?P<scheme>[A-Za-z][\w+.-]*://)(?P<user>[^\s/?#@\"']*@)?"
    r"(?P<path>[^\s?\"'<>]*)(?P<query>\?[^\s\"'<>]*)?"
)
# Looks ahead once and takes the word whole, so that long texts take no longer than they must.
_NAME = (
    r"(?<![\w.-])(?=[\w.-]*?(?:auth|cookie|token|secret|pass|pwd|cred|sig|key|jwt|ak|sk))"
    r"(?P<name>[\w.-]++)"
)
# A header or a field of JSON, a variable or a parameter, an option of a command.
_IN_TEXT = (
    re.compile(_NAME + r"(?P<by>[\"']?\s*:(?!//)\s*[\"']?)(?P<value>[^\"'\r\n]+)", re.I),
    re.compile(_NAME + r"(?P<by>=)(?P<value>\"[^\"]*\"|'[^']*'|[^\s;&|\"']+)", re.I),
    re.compile(_NAME + r"(?P<by>\s+)(?P<value>\"[^\"]*\"|'[^']*'|[^\s;&|\"'-][^\s;&|\"']*)", re.I),
)


def masked(value: Any, name: str = "") -> Any:
    """A JSON value with `***` for all that stands under a name that says it is secret, beside
    such a name as in `{"Name": …, "Value": …}`, or in a text: after such a header's, variable's
    or option's name, before the host of an address, and as the query of one that is signed.

    Nothing, truth values and counts of tokens stay.
    """
    if value is None or value == "" or isinstance(value, bool):
        return value
    if _is_secret(name) and not (isinstance(value, int | float) and _COUNT.search(name)):
        return _HIDDEN
    if isinstance(value, dict):
        names = _named_pair(value)
        return {key: masked(one, str(names.get(key, key))) for key, one in value.items()}
    if isinstance(value, list):
        return [masked(one) for one in value]
    return _text(value) if isinstance(value, str) else value


def _named_pair(value: dict[str, Any]) -> dict[str, str]:
    """What to call the fields of a name beside its value: the value is what the name says, and
    the name, though called a key, is no secret."""
    said = ".".join(value[one] for one in _NAMES if isinstance(value.get(one), str))
    if not said or not any(one in value for one in _VALUES):
        return {}
    names: dict[str, str] = dict.fromkeys(_NAMES, "")
    return names | dict.fromkeys(_VALUES, said)


def _is_secret(name: str) -> bool:
    if name.casefold() in _PLAIN:
        return False
    name = _TOKENIZER.sub("", name)
    return is_sensitive_name(name) or _SECRET.search(name) is not None


def _text(text: str) -> str:
    text = _ADDRESS.sub(_address, text)
    for form in _IN_TEXT:
        text = form.sub(_assigned, text)
    return text


def _address(found: re.Match[str]) -> str:
    user = f"{_HIDDEN}@" if found["user"] else ""
    query = found["query"] or ""
    if any(_is_secret(name) for name, _ in parse_qsl(query[1:], keep_blank_values=True)):
        query = f"?{_HIDDEN}"
    return f"{found['scheme']}{user}{found['path']}{query}"


def _assigned(found: re.Match[str]) -> str:
    name, by, value = found["name"], found["by"], found["value"]
    is_option = name.startswith("-")
    counts = _COUNT.search(name) and value.strip().isdecimal()
    if (by.isspace() and not is_option) or counts or not _is_secret(name):
        return found[0]
    return f"{name}{by}{_HIDDEN}"
