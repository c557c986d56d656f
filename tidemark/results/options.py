"""Options and credentials of a store: their names and values, checked before anything is opened.

What there is, `plan/store_parameters.py` says. Credentials are no options: wherever they are kept
they are references, and only who opens a store has what they refer to.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from urllib.parse import urlsplit

from pydantic_core import PydanticCustomError

from tidemark.errors import StoreError
from tidemark.plan.secrets import KINDS, SECRET_REMEDY, SecretRef, looks_like_secret
from tidemark.plan.store_parameters import PARAMETERS, Parameter, find_parameter

__all__ = [
    "check_credentials",
    "check_options",
    "check_together",
    "credential_names",
    "option_names",
    "over",
    "references",
    "resolved",
    "sort_parameters",
]

# What key ids of these services look like: they name a key, and open nothing.
_KEY_ID = re.compile(r"(?:AKIA|ASIA|LTAI|STS\.)[A-Za-z0-9.]{4,60}")

_KMS = {"s3": "aws:kms", "oss": "KMS"}
_PAIRS = {
    "s3": ("access_key_id", "secret_access_key"),
    "oss": ("access_key_id", "access_key_secret"),
}
_ALTERNATIVES = {"az": ("azure_account_key", "azure_connection_string", "azure_sas_token")}
_ONLY_WITH_AUTH = {"security_token": "security_token", "delegation_token": "instance_obo_user"}


def option_names(scheme: str) -> tuple[str, ...]:
    """The options of stores at locations of this scheme."""
    return tuple(one.name for one in PARAMETERS[scheme] if not one.is_credential)


def credential_names(scheme: str) -> tuple[str, ...]:
    """The credentials of stores at locations of this scheme."""
    return tuple(one.name for one in PARAMETERS[scheme] if one.is_credential)


def sort_parameters(
    scheme: str, given: Mapping[str, str], where: str | None = None
) -> tuple[dict[str, str], dict[str, str]]:
    """What was written down for a store, as options and as credentials, by our own names.

    Names of BenchmarkJobs are understood. A secret has to be a reference (SecretRef), the id of a
    key may be one. `where` is told as the place of what is wrong. Raises StoreError for a name
    that there is not, one that is given twice, a value that cannot be meant or a secret that is
    written out, which is not repeated.
    """
    where = where or scheme
    options: dict[str, str] = {}
    credentials: dict[str, str] = {}
    for name, value in given.items():
        parameter = find_parameter(scheme, name)
        if parameter is None:
            raise StoreError(f"no option {name!r}", where, _meant_parameter(scheme, name))
        kept = credentials if parameter.is_credential else options
        if parameter.name in kept:
            raise StoreError(
                f"{parameter.name} is given twice", where, f"{name} is another name for it"
            )
        kept[parameter.name] = _reference(parameter, value, where) or value
    check_options(options, scheme, where)
    return options, credentials


def over(
    scheme: str, configured: Mapping[str, str], parameters: Mapping[str, str]
) -> dict[str, str]:
    """What is configured for a store, with `parameters` in the place of what they name again."""
    known = {name: find_parameter(scheme, name) for name in parameters}
    replaced = {found.name for found in known.values() if found is not None}
    kept = {name: value for name, value in configured.items() if name not in replaced}
    return {**kept, **parameters}


def check_options(options: Mapping[str, str], scheme: str = "s3", where: str | None = None) -> None:
    """See that options of a store can be used. Raises StoreError for the first that can't.

    `where` is told as the place of what is wrong. A message holds no value that might be secret.
    """
    where = where or scheme
    for name, value in options.items():
        parameter = find_parameter(scheme, name)
        if parameter is None or parameter.name != name or parameter.is_credential:
            meant = _meant_parameter(scheme, name, options_only=True)
            raise StoreError(f"no option {name!r}", where, meant)
        if not value or value != value.strip() or not value.isprintable():
            raise StoreError(f"the option {name} is empty or has spaces", where, "Correct it")
        if parameter.choices and value not in parameter.choices:
            raise StoreError(f"{name} cannot be {value!r}", where, _meant(value, parameter.choices))
        if parameter.is_url:
            _check_url(name, value, where)
    if "sse_kms_key_id" in options and scheme in _KMS and options.get("sse") != _KMS[scheme]:
        remedy = f"Add sse={_KMS[scheme]}, or leave the key out"
        raise StoreError(f"sse_kms_key_id is used with sse={_KMS[scheme]} only", where, remedy)


def check_credentials(
    credentials: Mapping[str, str], options: Mapping[str, str], scheme: str = "s3"
) -> None:
    """See that credentials are complete and nothing else names others. Raises StoreError.

    No message holds a value.
    """
    where = "credentials"
    known = credential_names(scheme)
    if credentials and not known:
        remedy = "Leave them out, or name another store"
        raise StoreError(f"a {scheme}:// store is used without credentials", scheme, remedy)
    for name, value in credentials.items():
        if name not in known:
            shown = name if name.isidentifier() and len(name) < 40 else "of this name"
            raise StoreError(f"no credential {shown}", where, _meant(name, known))
        if not value.isascii() or not value.isprintable() or " " in value:
            remedy = "Copy it again, without spaces or line breaks"
            raise StoreError(f"{name} cannot be one", where, remedy)
    check_together(options, [name for name, value in credentials.items() if value], scheme, where)


def check_together(
    options: Mapping[str, str], credentials: Iterable[str], scheme: str, where: str
) -> None:
    """See that options and credentials, of which the names suffice, name one key. Raises
    StoreError."""
    given = set(credentials)
    pair = _PAIRS.get(scheme, ())
    for name in pair:
        if given and name not in given:
            raise StoreError(f"{name} is missing", where, "Give the key's id and its secret")
    for name in ("profile", "anonymous"):
        if given and pair and options.get(name, "false") != "false":
            raise StoreError(f"the option {name} is given as well", where, "Give one of them")
    several = [name for name in _ALTERNATIVES.get(scheme, ()) if name in given]
    if len(several) > 1:
        raise StoreError(f"{' and '.join(several)} are given", where, "Give one of them")
    for name, auth in _ONLY_WITH_AUTH.items():
        if scheme == "oci" and name in given and options.get("auth") != auth:
            raise StoreError(f"{name} is used with auth={auth} only", where, f"Set auth: {auth}")


def references(credentials: Mapping[str, str]) -> list[SecretRef]:
    """The references among credentials as they are written down."""
    return [value for value in credentials.values() if isinstance(value, SecretRef)]


def resolved(
    credentials: Mapping[str, str], secret_of: Callable[[SecretRef], str]
) -> dict[str, str] | None:
    """Credentials to open a store with: references replaced by what they refer to.

    None without any: the service's own tools then say where they are.
    """
    return {
        name: secret_of(value) if isinstance(value, SecretRef) else value
        for name, value in credentials.items()
    } or None


def _reference(parameter: Parameter, value: str, where: str) -> SecretRef | None:
    """The reference that a credential is given as; None for what is none and need not be."""
    if not parameter.is_credential or isinstance(value, SecretRef):
        return None
    try:
        return SecretRef.parse(value)
    except PydanticCustomError:
        bare = not value.startswith(KINDS)
        if parameter.kind == "key id" and bare and _names_a_key(value):
            return None
        raise StoreError(
            f"{parameter.name} is no reference to a secret", where, SECRET_REMEDY
        ) from None


def _names_a_key(value: str) -> bool:
    return bool(_KEY_ID.fullmatch(value)) or not looks_like_secret(value)


def _check_url(name: str, url: str, where: str) -> None:
    form = "The form is https://host[:port]"
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises for one that is no number
    except ValueError:
        raise StoreError(f"{name} is no web address", where, form) from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise StoreError(f"{name} is no web address", where, form)
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise StoreError(
            f"credentials or a query do not belong into {name}",
            where,
            "Give credentials by the environment (for s3 AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, or AWS_PROFILE)",
        )


def _meant_parameter(scheme: str, name: str, *, options_only: bool = False) -> str:
    known = option_names(scheme) if options_only else [one.name for one in PARAMETERS[scheme]]
    return _meant(name, known, 0.75) if known else f"A {scheme}:// store has no options"


def _meant(word: str, known: Iterable[str], cutoff: float = 0.5) -> str:
    listed = {name.lower(): name for name in known}
    near = difflib.get_close_matches(word.lower(), listed, n=1, cutoff=cutoff)
    return f"Did you mean {listed[near[0]]}?" if near else f"There are: {', '.join(known)}"
