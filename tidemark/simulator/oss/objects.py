"""Operations on objects: put, get, copy, delete, and put in parts."""

from __future__ import annotations

import base64
import hashlib
import re
import uuid
from collections.abc import Callable, Mapping
from email.utils import formatdate
from urllib.parse import unquote

from tidemark.simulator.oss.buckets import Bucket, Buckets, StoredObject, Upload
from tidemark.simulator.oss.call import OssCall
from tidemark.simulator.oss.errors import OssError, refuse
from tidemark.simulator.oss.listing import encoding, text_writer, written
from tidemark.simulator.oss.xml_text import Fields, read_xml, write_xml
from tidemark.simulator.pai.asked import Answer

__all__ = ["ObjectOperations"]

_KEPT = (
    "content-type", "content-encoding", "content-disposition", "content-language", "cache-control",
    "expires", "x-oss-server-side-encryption", "x-oss-server-side-encryption-key-id",
    "x-oss-storage-class",
)  # fmt: skip
_ENCRYPTION = ("x-oss-server-side-encryption", "x-oss-server-side-encryption-key-id")
_METHODS = ("AES256", "KMS", "SM4")
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_LEAST_PART_BYTES = 100 * 1024
_MOST_PARTS = 10_000
_XML = {"content-type": "application/xml"}


class ObjectOperations:
    """What is done with objects; `now_s` is the moment of a call."""

    def __init__(self, buckets: Buckets) -> None:
        self._buckets = buckets
        self.actions: dict[str, Callable[[OssCall, Bucket, str, float], Answer]] = {
            "PutObject": self._put,
            "CopyObject": self._copy,
            "GetObject": self._get,
            "HeadObject": self._head,
            "GetObjectMeta": self._meta,
            "DeleteObject": self._delete,
            "InitiateMultipartUpload": self._initiate,
            "UploadPart": self._upload_part,
            "ListParts": self._list_parts,
            "CompleteMultipartUpload": self._complete,
            "AbortMultipartUpload": self._abort,
        }

    def delete_several(self, call: OssCall, bucket: Bucket) -> Answer:
        """Remove the objects that the body names."""
        if not call.asked.header("content-md5"):
            refuse(400, "MissingArgument", "Missing Some Required Arguments.")
        _check_digest(call)
        root = read_xml(call.asked.body, "Delete")
        text = text_writer(call)
        keys = [element.findtext("Key") or "" for element in root.iter("Object")]
        if not 1 <= len(keys) <= 1000:
            refuse(400, "MalformedXML", "1 to 1000 objects can be deleted at once.")
        for key in keys:
            bucket.objects.pop(key, None)
        quiet = root.findtext("Quiet") == "true"
        deleted: Fields = [("Deleted", [("Key", text(key))]) for key in keys if not quiet]
        return Answer(200, write_xml("DeleteResult", [*encoding(call), *deleted]), _XML)

    def _put(self, call: OssCall, bucket: Bucket, key: str, now_s: float) -> Answer:
        _check_digest(call)
        stored = StoredObject.of(call.asked.body, _headers_to_keep(call), now_s)
        bucket.put(key, stored, forbid_overwrite=_forbids(call))
        digest = hashlib.md5(stored.data, usedforsecurity=False).digest()
        return Answer(
            200,
            b"",
            {
                "etag": f'"{stored.etag}"',
                "x-oss-hash-crc64ecma": str(stored.crc),
                "content-md5": base64.b64encode(digest).decode(),
                **_encryption(stored.headers),
            },
        )

    def _copy(self, call: OssCall, bucket: Bucket, key: str, now_s: float) -> Answer:
        name, _, source_key = (
            unquote(call.asked.header("x-oss-copy-source")).removeprefix("/").partition("/")
        )
        source = self._buckets.find(name)
        if source is None or source.owner != bucket.owner:
            refuse(404, "NoSuchBucket", "The specified bucket does not exist.", BucketName=name)
        original = source.get(source_key)
        replaced = call.asked.header("x-oss-metadata-directive").upper() == "REPLACE"
        kept = _headers_to_keep(call)
        headers = kept if replaced else {**original.headers, **_encryption(kept)}
        stored = StoredObject(original.data, headers, now_s, original.etag, original.crc)
        bucket.put(key, stored, forbid_overwrite=_forbids(call))
        fields = [("ETag", f'"{stored.etag}"'), ("LastModified", written(now_s))]
        return Answer(200, write_xml("CopyObjectResult", fields), {**_XML, **_encryption(headers)})

    def _get(self, call: OssCall, bucket: Bucket, key: str, now_s: float) -> Answer:  # noqa: ARG002
        stored = bucket.get(key)
        wanted = _range(call, len(stored.data))
        headers = _answered(stored)
        if wanted is None:
            return Answer(200, stored.data, headers)
        first, last = wanted
        headers["content-range"] = f"bytes {first}-{last}/{len(stored.data)}"
        return Answer(206, stored.data[first : last + 1], headers)

    def _head(self, call: OssCall, bucket: Bucket, key: str, now_s: float) -> Answer:  # noqa: ARG002
        stored = bucket.get(key)
        return Answer(200, b"", {**_answered(stored), "content-length": str(len(stored.data))})

    def _meta(self, call: OssCall, bucket: Bucket, key: str, now_s: float) -> Answer:  # noqa: ARG002
        stored = bucket.get(key)
        return Answer(
            200,
            b"",
            {
                "etag": f'"{stored.etag}"',
                "last-modified": formatdate(stored.modified_s, usegmt=True),
                "content-length": str(len(stored.data)),
                "x-oss-hash-crc64ecma": str(stored.crc),
            },
        )

    def _delete(self, call: OssCall, bucket: Bucket, key: str, now_s: float) -> Answer:  # noqa: ARG002
        bucket.objects.pop(key, None)
        return Answer(204, b"", {})

    def _initiate(self, call: OssCall, bucket: Bucket, key: str, now_s: float) -> Answer:
        bucket.check_free(key, forbid_overwrite=_forbids(call))
        upload_id = uuid.uuid4().hex.upper()
        headers = _headers_to_keep(call)
        bucket.uploads[upload_id] = Upload(key, headers, now_s)
        text = text_writer(call)
        fields: Fields = [
            *encoding(call),
            ("Bucket", bucket.name),
            ("Key", text(key)),
            ("UploadId", upload_id),
        ]
        body = write_xml("InitiateMultipartUploadResult", fields)
        return Answer(200, body, {**_XML, **_encryption(headers)})

    def _upload_part(self, call: OssCall, bucket: Bucket, key: str, now_s: float) -> Answer:
        upload = bucket.upload(call.query["uploadId"], key)
        number = call.number("partNumber", 0, least=1, most=_MOST_PARTS)
        _check_digest(call)
        part = StoredObject.of(call.asked.body, {}, now_s)
        upload.parts[number] = part
        headers = {"etag": f'"{part.etag}"', "x-oss-hash-crc64ecma": str(part.crc)}
        return Answer(200, b"", {**headers, **_encryption(upload.headers)})

    def _list_parts(self, call: OssCall, bucket: Bucket, key: str, now_s: float) -> Answer:  # noqa: ARG002
        upload_id = call.query["uploadId"]
        parts = bucket.upload(upload_id, key).parts
        text = text_writer(call)
        after = call.number("part-number-marker", 0, least=0, most=_MOST_PARTS)
        most = call.number("max-parts", 1000, least=1, most=1000)
        numbers = sorted(number for number in parts if number > after)
        fields: list[tuple[str, str | Fields]] = [
            ("Bucket", bucket.name),
            ("Key", text(key)),
            ("UploadId", upload_id),
            ("PartNumberMarker", str(after)),
            ("MaxParts", str(most)),
            ("NextPartNumberMarker", str(numbers[:most][-1] if numbers else after)),
            ("IsTruncated", "true" if len(numbers) > most else "false"),
        ]
        for number in numbers[:most]:
            part = parts[number]
            listed: Fields = [
                ("PartNumber", str(number)),
                ("LastModified", written(part.modified_s)),
                ("ETag", f'"{part.etag}"'),
                ("HashCrc64ecma", str(part.crc)),
                ("Size", str(len(part.data))),
            ]
            fields.append(("Part", listed))
        return Answer(200, write_xml("ListPartsResult", fields), _XML)

    def _complete(self, call: OssCall, bucket: Bucket, key: str, now_s: float) -> Answer:
        upload_id = call.query["uploadId"]
        upload = bucket.upload(upload_id, key)
        parts = [upload.parts[number] for number in _numbers(call, upload)]
        for part in parts[:-1]:
            if len(part.data) < _LEAST_PART_BYTES:
                refuse(
                    400,
                    "EntityTooSmall",
                    "Your proposed upload smaller than the minimum allowed size.",
                )
        stored = StoredObject.of_parts(parts, upload.headers, now_s)
        bucket.put(key, stored, forbid_overwrite=_forbids(call))
        del bucket.uploads[upload_id]
        text = text_writer(call)
        fields: Fields = [
            *encoding(call),
            ("Location", f"http://{call.asked.header('host')}{call.asked.raw_path}"),
            ("Bucket", bucket.name),
            ("Key", text(key)),
            ("ETag", f'"{stored.etag}"'),
        ]
        headers = {"etag": f'"{stored.etag}"', "x-oss-hash-crc64ecma": str(stored.crc)}
        body = write_xml("CompleteMultipartUploadResult", fields)
        return Answer(200, body, {**_XML, **headers, **_encryption(stored.headers)})

    def _abort(self, call: OssCall, bucket: Bucket, key: str, now_s: float) -> Answer:  # noqa: ARG002
        upload_id = call.query["uploadId"]
        bucket.upload(upload_id, key)
        del bucket.uploads[upload_id]
        return Answer(204, b"", {})


def _headers_to_keep(call: OssCall) -> dict[str, str]:
    """The headers that an object is kept with. Refuses an encryption that there is not."""
    headers = {
        name: text
        for name, text in call.asked.headers.items()
        if name in _KEPT or name.startswith("x-oss-meta-")
    }
    method = headers.get("x-oss-server-side-encryption")
    if method is not None and method not in _METHODS:
        refuse(
            400,
            "InvalidEncryptionAlgorithmError",
            "The Encryption request you specified is not valid. Supported value: AES256/SM4/KMS.",
        )
    if "x-oss-server-side-encryption-key-id" in headers and method != "KMS":
        refuse(
            400,
            "InvalidArgument",
            "x-oss-server-side-encryption-key-id is not applicable if the encryption method is "
            "not KMS.",
        )
    return headers


def _forbids(call: OssCall) -> bool:
    text = call.asked.header("x-oss-forbid-overwrite").lower()
    if text not in ("", "true", "false"):
        refuse(
            400,
            "InvalidArgument",
            "The x-oss-forbid-overwrite header is invalid.",
            EC="0017-00000279",
        )
    return text == "true"


def _check_digest(call: OssCall) -> None:
    given = call.asked.header("content-md5")
    digest = hashlib.md5(call.asked.body, usedforsecurity=False).digest()
    if given and given != base64.b64encode(digest).decode():
        refuse(400, "InvalidDigest", "The Content-MD5 you specified was invalid.")


def _encryption(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: headers[name] for name in _ENCRYPTION if name in headers}


def _answered(stored: StoredObject) -> dict[str, str]:
    return {
        "content-type": "application/octet-stream",
        **stored.headers,
        "etag": f'"{stored.etag}"',
        "last-modified": formatdate(stored.modified_s, usegmt=True),
        "accept-ranges": "bytes",
        "x-oss-object-type": stored.kind,
        "x-oss-storage-class": "Standard",
        "x-oss-hash-crc64ecma": str(stored.crc),
    }


def _range(call: OssCall, size: int) -> tuple[int, int] | None:
    """The first and the last byte that are wanted, None for all of them.

    Of a range that reaches beyond the object all of it is answered, unless the header
    `x-oss-range-behavior` asks for what HTTP has in its place: what there is, or a refusal.
    """
    found = _RANGE.fullmatch(call.asked.header("range"))
    if found is None or not (found[1] or found[2]) or not size:
        return None
    standard = call.asked.header("x-oss-range-behavior") == "standard"
    if found[1]:
        first, last = int(found[1]), int(found[2]) if found[2] else size - 1
    else:
        first, last = size - int(found[2]), size - 1
    if first < size and standard:
        first, last = max(first, 0), min(last, size - 1)
    if 0 <= first <= last < size:
        return first, last
    if standard and first >= size:
        refuse(416, "InvalidRange", "The requested range cannot be satisfied.")
    return None


def _numbers(call: OssCall, upload: Upload) -> list[int]:
    """The parts that an object is to be made of, in order. Refuses those that do not fit."""
    if call.asked.header("x-oss-complete-all") == "yes":
        return sorted(upload.parts)
    root = read_xml(call.asked.body, "CompleteMultipartUpload")
    numbers = []
    for element in root.iter("Part"):
        text, etag = element.findtext("PartNumber") or "", element.findtext("ETag") or ""
        part = upload.parts.get(int(text)) if text.isascii() and text.isdigit() else None
        if part is None or etag.strip('"').upper() != part.etag:
            raise OssError(
                400,
                "InvalidPart",
                "One or more of the specified parts could not be found or the specified entity "
                "tag might not have matched the part's entity tag.",
                {"PartNumber": text, "UploadId": call.query["uploadId"]},
            )
        numbers.append(int(text))
    if not numbers or numbers != sorted(set(numbers)):
        refuse(400, "InvalidPartOrder", "The list of parts was not in ascending order.")
    return numbers
