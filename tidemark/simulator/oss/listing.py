"""Lists of objects: by prefix, grouped by a delimiter, in pages. Both versions of the request."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from urllib.parse import quote

from tidemark.simulator.oss.buckets import Bucket, StoredObject
from tidemark.simulator.oss.call import OssCall
from tidemark.simulator.oss.errors import refuse
from tidemark.simulator.oss.xml_text import Fields, write_xml

__all__ = ["encoding", "list_objects", "list_objects_v2", "page_of", "text_writer", "written"]


def list_objects(call: OssCall, bucket: Bucket) -> bytes:
    """The answer to version 1, which goes on after a marker."""
    text = text_writer(call)
    marker = call.query.get("marker", "")
    most = call.number("max-keys", 100, least=1, most=1000)
    prefix, delimiter = call.query.get("prefix", ""), call.query.get("delimiter", "")
    keys, groups, last = page_of(bucket.objects, prefix, delimiter, marker, most)
    fields: list[tuple[str, str | Fields]] = [
        ("Name", bucket.name),
        ("Prefix", text(prefix)),
        ("Marker", text(marker)),
        ("MaxKeys", str(most)),
        ("Delimiter", text(delimiter)),
        *encoding(call),
        ("IsTruncated", "true" if last else "false"),
    ]
    if last:
        fields.append(("NextMarker", text(last)))
    fields += [("Contents", _object(text, key, bucket, owned=True)) for key in keys]
    fields += [("CommonPrefixes", [("Prefix", text(group))]) for group in groups]
    return write_xml("ListBucketResult", fields)


def list_objects_v2(call: OssCall, bucket: Bucket) -> bytes:
    """The answer to version 2, which goes on by a token."""
    text = text_writer(call)
    token = call.query.get("continuation-token", "")
    begin = call.query.get("start-after", "")
    most = call.number("max-keys", 100, least=1, most=1000)
    prefix, delimiter = call.query.get("prefix", ""), call.query.get("delimiter", "")
    after = _read_token(token) if token else begin
    keys, groups, last = page_of(bucket.objects, prefix, delimiter, after, most)
    owned = call.query.get("fetch-owner") == "true"
    fields: list[tuple[str, str | Fields]] = [
        ("Name", bucket.name),
        ("Prefix", text(prefix)),
        ("StartAfter", text(begin)),
        ("MaxKeys", str(most)),
        ("Delimiter", text(delimiter)),
        *encoding(call),
        ("IsTruncated", "true" if last else "false"),
        ("KeyCount", str(len(keys) + len(groups))),
    ]
    if token:
        fields.append(("ContinuationToken", token))
    if last:
        fields.append(("NextContinuationToken", base64.b64encode(last.encode()).decode()))
    fields += [("Contents", _object(text, key, bucket, owned=owned)) for key in keys]
    fields += [("CommonPrefixes", [("Prefix", text(group))]) for group in groups]
    return write_xml("ListBucketResult", fields)


def page_of(
    names: Iterable[str], prefix: str, delimiter: str, after: str, most: int
) -> tuple[list[str], list[str], str]:
    """Keys and groups of a page, and where the next one begins: after this text, "" if nowhere."""
    keys: list[str] = []
    groups: list[str] = []
    last = ""
    for name in sorted(name for name in names if name.startswith(prefix) and name > after):
        head, found, _ = name[len(prefix) :].partition(delimiter) if delimiter else (name, "", "")
        group = f"{prefix}{head}{found}" if found else ""
        if group and (group == after or (groups and groups[-1] == group)):
            continue
        if len(keys) + len(groups) == most:
            return keys, groups, last
        last = group or name
        (groups if group else keys).append(last)
    return keys, groups, ""


def text_writer(call: OssCall) -> Callable[[str], str]:
    """How names are written: percent-encoded if the call wants them so."""
    encoding = call.query.get("encoding-type", "")
    if encoding not in ("", "url"):
        refuse(400, "InvalidArgument", "Invalid Encoding Method specified in Request.")
    return (lambda name: quote(name, safe="-_.~/")) if encoding else (lambda name: name)


def encoding(call: OssCall) -> list[tuple[str, str]]:
    """The element that says that names are percent-encoded, if the call wants them so."""
    return [("EncodingType", "url")] if call.query.get("encoding-type") else []


def written(moment_s: float) -> str:
    """A moment as the documents have it."""
    return datetime.fromtimestamp(moment_s, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def _object(text: Callable[[str], str], key: str, bucket: Bucket, *, owned: bool) -> Fields:
    stored: StoredObject = bucket.objects[key]
    fields: list[tuple[str, str | Fields]] = [
        ("Key", text(key)),
        ("LastModified", written(stored.modified_s)),
        ("ETag", f'"{stored.etag}"'),
        ("Type", stored.kind),
        ("Size", str(len(stored.data))),
        ("StorageClass", "Standard"),
    ]
    if owned:
        fields.append(("Owner", [("ID", bucket.owner), ("DisplayName", bucket.owner)]))
    return fields


def _read_token(token: str) -> str:
    try:
        return base64.b64decode(token, validate=True).decode()
    except ValueError:
        refuse(400, "InvalidArgument", "The continuation-token is invalid.")
