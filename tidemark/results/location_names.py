"""Which names of buckets and their like the services allow, and which paths may lie in them.

| name                    | allowed                                                             |
|-------------------------|---------------------------------------------------------------------|
| S3 bucket               | 3 to 63 of a-z, 0-9, '.', '-'; no '..', no IP address, nothing that |
|                         | Amazon keeps for itself or for access points                        |
| OSS bucket              | 3 to 63 of a-z, 0-9, '-'                                            |
| OCI namespace, bucket   | up to 256 letters, digits, '.', '_', '-'                            |
| Azure account           | 3 to 24 of a-z, 0-9                                                 |
| Azure container         | 3 to 63 of a-z, 0-9, single '-'; no $root, $web, $logs              |
| GCS bucket              | 3 to 63 of a-z, 0-9, '.', '_', '-', or 222 with dots and up to 63   |
|                         | between them; no IP address, nothing with goog… or google           |
| GitHub owner            | up to 39 letters, digits, '-', '_'                                  |
| GitHub repository       | up to 100 letters, digits, '.', '_', '-', without .git              |
| git tag                 | as git check-ref-format has it, up to 255 bytes, without '?', '#'   |
| Kubernetes namespace    | up to 63 of a-z, 0-9, '-'                                           |
| Kubernetes claim        | up to 253 of a-z, 0-9, '-', and '.' between them                    |
| path                    | up to 500 bytes, so that the longest name of a result below it stays |
|                         | within the 1,023 to 1,024 that keys of objects may have             |

Source: the services' own documentation of these names.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from tidemark.errors import StoreError

__all__ = [
    "AZURE_ACCOUNT",
    "AZURE_CONTAINER",
    "CLAIM",
    "GCS_BUCKET",
    "GITHUB_OWNER",
    "GITHUB_REPOSITORY",
    "GIT_TAG",
    "NAMESPACE",
    "OCI_BUCKET",
    "OCI_NAMESPACE",
    "OSS_BUCKET",
    "REGION",
    "S3_BUCKET",
    "UNPRINTABLE",
    "Names",
    "demand_path",
]

UNPRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")

_LONGEST_PATH_BYTES: Final = 500


@dataclass(frozen=True, slots=True)
class Names:
    """A kind of name: `what` it is, the pattern of those allowed, in words too, and exceptions.

    An exception is a pattern that is looked for, and why a name with it is none.
    """

    what: str
    pattern: re.Pattern[str]
    allowed: str
    exceptions: tuple[tuple[re.Pattern[str], str], ...] = ()

    def demand(self, value: str, form: str) -> None:
        """See that a name can be one. Raises StoreError, with `form` as the place."""
        if not value:
            raise StoreError(f"{self.what} is missing", form, f"The form is {form}")
        for exception, reason in self.exceptions:
            if exception.search(value):
                raise StoreError(
                    f"{self.what} {value!r} {reason}", form, f"Allowed: {self.allowed}"
                )
        if not self.pattern.fullmatch(value):
            raise StoreError(f"{self.what} {value!r} is not one", form, f"Allowed: {self.allowed}")


def _names(what: str, pattern: str, allowed: str, *exceptions: tuple[str, str]) -> Names:
    compiled = tuple((re.compile(found), reason) for found, reason in exceptions)
    return Names(what, re.compile(pattern), allowed, compiled)


_ADDRESS: Final = (r"^\d+\.\d+\.\d+\.\d+\Z", "is written like an IP address")
_DOTS: Final = (r"\.\.", "has two dots in a row")

S3_BUCKET: Final = _names(
    "the bucket name",
    r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]",
    "3 to 63 of a-z, 0-9, '.' and '-', with a letter or digit at both ends",
    _ADDRESS,
    _DOTS,
    (r"^(?:xn--|sthree-|amzn-s3-demo-)", "begins as only names of Amazon's own do"),
    (r"(?:-s3alias|--ol-s3|\.mrap)\Z", "is that of an access point, and not of its bucket"),
)
OSS_BUCKET: Final = _names(
    "the bucket name",
    r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]",
    "3 to 63 of a-z, 0-9 and '-', with a letter or digit at both ends",
)
GCS_BUCKET: Final = _names(
    "the bucket name",
    r"(?=[^.]{3,63}\Z|.{3,222}\Z)(?!.*[^.]{64})[a-z0-9][a-z0-9._-]*[a-z0-9]",
    "3 to 63 of a-z, 0-9, '.', '_' and '-', with a letter or digit at both ends; with dots up to "
    "222, and 63 between them",
    _ADDRESS,
    _DOTS,
    (r"^goog|google|g00gle", "is one that Google keeps for itself"),
)
_OCI_RULE: Final = "up to 256 letters, digits, '.', '_' and '-'"
_ONLY_DOTS: Final = (r"^\.+\Z", "has only dots")
OCI_NAMESPACE: Final = _names("the namespace", r"[A-Za-z0-9._-]{1,256}", _OCI_RULE, _ONLY_DOTS)
OCI_BUCKET: Final = _names("the bucket name", r"[A-Za-z0-9._-]{1,256}", _OCI_RULE, _ONLY_DOTS)
AZURE_ACCOUNT: Final = _names("the account name", r"[a-z0-9]{3,24}", "3 to 24 of a-z and 0-9")
AZURE_CONTAINER: Final = _names(
    "the container name",
    r"(?=.{3,63}\Z)[a-z0-9]+(?:-[a-z0-9]+)*",
    "3 to 63 of a-z, 0-9 and single '-' between them",
    (r"^\$(?:root|web|logs)\Z", "is one that Azure itself uses"),
)
GITHUB_OWNER: Final = _names(
    "the owner",
    r"[A-Za-z0-9][A-Za-z0-9_-]{0,38}",
    "up to 39 letters, digits, '-' and '_', with a letter or digit first",
)
GITHUB_REPOSITORY: Final = _names(
    "the repository",
    r"[A-Za-z0-9._-]{1,100}",
    "up to 100 letters, digits, '.', '_' and '-', without .git at the end",
    (r"^\.{1,2}\Z", "has only dots"),
    (r"\.(?:git|wiki)\Z", "is that of the git repository behind it"),
)
GIT_TAG: Final = _names(
    "the tag",
    r"[^\s~^:?#*\[\\]{1,255}",
    "a tag as git allows it, or no '@'",
    (r"[\x00-\x20\x7f]|^-|^/|/\Z|//|\.\.|\.\Z|(?:^|/)\.|\.lock(?:/|\Z)|@\{|^@\Z",
     "is none that git allows"),
    (r"^refs/", "is the name of a ref, of which the tag is the last part"),
)  # fmt: skip
NAMESPACE: Final = _names(
    "the namespace",
    r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?",
    "up to 63 of a-z, 0-9 and '-', with a letter or digit at both ends",
)
CLAIM: Final = _names(
    "the claim's name",
    r"(?=.{1,253}\Z)[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*",
    "up to 253 of a-z, 0-9, '-' and '.', with a letter or digit at both ends and around each '.'",
)
REGION: Final = _names(
    "the region",
    r"[a-z0-9]+(?:-[a-z0-9]+)*",
    "a region such as us-east-1 or cn-hangzhou; or no '@'",
)


def demand_path(path: str, form: str) -> None:
    """See that a path can lie in a bucket or a volume. Raises StoreError, with `form` as place."""
    if UNPRINTABLE.search(path):
        raise StoreError("the path has control characters in it", form, "Leave them out")
    if "?" in path or "#" in path:
        raise StoreError("the path has '?' or '#' in it", form, "Leave them out")
    if "\\" in path:
        raise StoreError("the path has '\\' in it", form, "Write '/' between its parts")
    segments = path.split("/") if path else []
    if "" in segments:
        raise StoreError("the path has an empty segment", form, "Write single slashes")
    if {".", ".."} & set(segments):
        raise StoreError("the path has '.' or '..' in it", form, "Write where it leads")
    if path != path.strip():
        raise StoreError("the path has spaces around it", form, "Leave them out")
    size_bytes = len(path.encode("utf-8", "replace"))
    if size_bytes > _LONGEST_PATH_BYTES:
        raise StoreError(
            f"the path of {size_bytes} bytes leaves too little of an object's key to results",
            form,
            f"Write one of up to {_LONGEST_PATH_BYTES} bytes",
        )
