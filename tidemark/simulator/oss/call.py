"""What OSS is asked: which bucket, which object, which operation, whatever style the URL has."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, unquote

from tidemark.simulator.oss.errors import OssError, refuse
from tidemark.simulator.pai.asked import Asked

__all__ = ["OPERATIONS", "OssCall", "operation_of", "read_call"]

_PUBLIC = re.compile(
    r"(?:(?P<bucket>[a-z0-9-]+)\.)?oss-(?P<region>[a-z0-9-]+?)(?:-internal)?\.aliyuncs\.com"
)
_DOMAIN = ".oss.simulator"


@dataclass(frozen=True, slots=True)
class OssCall:
    """One request. `bucket` and `key` are decoded, None where it is about neither; `region` is
    that of the host, None where this names none."""

    asked: Asked
    bucket: str | None
    key: str | None
    query: Mapping[str, str]
    region: str | None

    @property
    def resource(self) -> str:
        """What is signed as the resource: `/bucket/key`, `/bucket/` or `/`."""
        return "/" if self.bucket is None else f"/{self.bucket}/{self.key or ''}"

    def number(self, name: str, default: int, *, least: int, most: int) -> int:
        """A parameter as a number. Refuses what is none or out of bounds."""
        text = self.query.get(name, "")
        if text == "":
            return default
        if not text.isascii() or not text.isdigit() or not least <= int(text) <= most:
            refuse(
                400,
                "InvalidArgument",
                f"Argument {name} must be an integer between {least} and {most}.",
                ArgumentName=name,
                ArgumentValue=text,
            )
        return int(text)


def read_call(asked: Asked) -> OssCall:
    """The call that a request makes.

    The bucket is a part of the host below `.oss.simulator` and the domains of OSS, which knows no
    other style there, and of the path elsewhere.
    """
    host = asked.header("host").lower().partition(":")[0]
    path = unquote(asked.raw_path).removeprefix("/")
    query = dict(parse_qsl(asked.raw_query, keep_blank_values=True))
    public = _PUBLIC.fullmatch(host)
    if public is not None:
        bucket, region = public["bucket"], public["region"]
        if bucket is None and path:
            refuse(
                403,
                "SecondLevelDomainForbidden",
                "The bucket you are attempting to access must be addressed using OSS third level "
                "domain.",
            )
        return OssCall(asked, bucket, path or None, query, region)
    if host.endswith(_DOMAIN):
        return OssCall(asked, host.removesuffix(_DOMAIN), path or None, query, None)
    bucket, _, key = path.partition("/")
    return OssCall(asked, bucket or None, key or None, query, None)


def operation_of(call: OssCall) -> str:
    """The operation, as the API reference names it. Refuses what is none of those known here."""
    method, query = call.asked.method, call.query
    if call.bucket is None:
        known = _SERVICE
    elif call.key is None:
        known = _BUCKET
    else:
        known = _OBJECT
    for wanted, parameter, value, action in known:
        if wanted != method or (parameter is not None and parameter not in query):
            continue
        if value is None or query[parameter or ""] == value:
            if action == "PutObject" and call.asked.header("x-oss-copy-source"):
                return "CopyObject"
            return action
    raise OssError(
        405,
        "MethodNotAllowed",
        "The specified method is not allowed against this resource.",
        {"Method": method, "ResourceType": "Object" if call.key else "Bucket"},
    )


# Method, a parameter that has to be there, its value if that counts, and the operation. The first
# that fits is meant.
_Known = tuple[tuple[str, str | None, str | None, str], ...]
_SERVICE: _Known = (("GET", None, None, "ListBuckets"),)
_BUCKET: _Known = (
    ("PUT", "versioning", None, "PutBucketVersioning"),
    ("PUT", None, None, "PutBucket"),
    ("DELETE", None, None, "DeleteBucket"),
    ("POST", "delete", None, "DeleteMultipleObjects"),
    ("GET", "bucketInfo", None, "GetBucketInfo"),
    ("GET", "location", None, "GetBucketLocation"),
    ("GET", "versioning", None, "GetBucketVersioning"),
    ("GET", "uploads", None, "ListMultipartUploads"),
    ("GET", "list-type", "2", "ListObjectsV2"),
    ("GET", None, None, "ListObjects"),
)
_OBJECT: _Known = (
    ("PUT", "uploadId", None, "UploadPart"),
    ("PUT", None, None, "PutObject"),
    ("POST", "uploads", None, "InitiateMultipartUpload"),
    ("POST", "uploadId", None, "CompleteMultipartUpload"),
    ("DELETE", "uploadId", None, "AbortMultipartUpload"),
    ("DELETE", None, None, "DeleteObject"),
    ("GET", "uploadId", None, "ListParts"),
    ("GET", None, None, "GetObject"),
    ("HEAD", "objectMeta", None, "GetObjectMeta"),
    ("HEAD", None, None, "HeadObject"),
)

OPERATIONS: Final = (
    "CopyObject",
    *dict.fromkeys(known[3] for table in (_SERVICE, _BUCKET, _OBJECT) for known in table),
)
"""What can be asked for, as the API reference names it."""
