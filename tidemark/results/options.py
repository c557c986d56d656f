"""Options of a store on S3: their names and values, checked before anything is opened.

| option           | value                                                                        |
|------------------|------------------------------------------------------------------------------|
| endpoint_url     | address of a service that speaks like S3; default: AWS_ENDPOINT_URL, or AWS  |
| region           | where the bucket's URI names none                                            |
| addressing_style | "path", "virtual" or "auto": where the bucket's name goes in the address     |
| profile          | of the AWS configuration files; default: AWS_PROFILE                         |
| anonymous        | "true": requests without credentials                                         |
| sse              | "AES256" or "aws:kms": encryption by the service, asked for with each object |
| sse_kms_key_id   | the key, with sse "aws:kms"; default: the account's                          |

Credentials are no options: they are in no file and no variable of this project.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import urlsplit

from tidemark.errors import StoreError

__all__ = ["CREDENTIALS", "S3_OPTIONS", "check_credentials", "check_options"]

S3_OPTIONS: Final = (
    "endpoint_url", "region", "addressing_style", "profile", "anonymous", "sse", "sse_kms_key_id",
)  # fmt: skip

CREDENTIALS: Final = ("access_key_id", "secret_access_key", "session_token")

_CHOICES: Final = {
    "addressing_style": ("path", "virtual", "auto"),
    "anonymous": ("true", "false"),
    "sse": ("AES256", "aws:kms"),
}


def check_options(options: Mapping[str, str], where: str = "s3") -> None:
    """See that options of a store on S3 can be used. Raises StoreError for the first that can't.

    `where` is told as the place of what is wrong. A message holds no value that might be secret.
    """
    for name, value in options.items():
        if name not in S3_OPTIONS:
            raise StoreError(f"no option {name!r}", where, _meant(name, S3_OPTIONS, 0.75))
        if not value or value != value.strip() or not value.isprintable():
            raise StoreError(f"the option {name} is empty or has spaces", where, "Correct it")
        choices = _CHOICES.get(name)
        if choices and value not in choices:
            raise StoreError(f"{name} cannot be {value!r}", where, _meant(value, choices))
    if "endpoint_url" in options:
        _check_endpoint(options["endpoint_url"], where)
    if "sse_kms_key_id" in options and options.get("sse") != "aws:kms":
        remedy = "Add sse=aws:kms, or leave the key out"
        raise StoreError("sse_kms_key_id is used with sse=aws:kms only", where, remedy)


def check_credentials(credentials: Mapping[str, str], options: Mapping[str, str]) -> None:
    """See that credentials are complete and nothing else names others. Raises StoreError.

    No message holds a value.
    """
    where = "credentials"
    for name in credentials:
        if name not in CREDENTIALS:
            known = name if name.isidentifier() and len(name) < 40 else "of this name"
            raise StoreError(f"no credential {known}", where, _meant(name, CREDENTIALS))
    for name in CREDENTIALS[:2]:
        if not credentials.get(name):
            raise StoreError(f"{name} is missing", where, "Give the key's id and its secret")
    for name, value in credentials.items():
        if not value.isascii() or not value.isprintable() or " " in value:
            remedy = "Copy it again, without spaces or line breaks"
            raise StoreError(f"{name} cannot be one", where, remedy)
    for name in ("profile", "anonymous"):
        if options.get(name, "false") != "false":
            raise StoreError(f"the option {name} is given as well", where, "Give one of them")


def _check_endpoint(url: str, where: str) -> None:
    form = "The form is https://host[:port]"
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises for one that is no number
    except ValueError:
        raise StoreError("endpoint_url is no web address", where, form) from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise StoreError("endpoint_url is no web address", where, form)
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise StoreError(
            "credentials or a query do not belong into endpoint_url",
            where,
            "Give credentials by the environment (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
            "or AWS_PROFILE)",
        )


def _meant(word: str, known: Iterable[str], cutoff: float = 0.5) -> str:
    listed = {name.lower(): name for name in known}
    near = difflib.get_close_matches(word.lower(), listed, n=1, cutoff=cutoff)
    return f"Did you mean {listed[near[0]]}?" if near else f"There are: {', '.join(known)}"
