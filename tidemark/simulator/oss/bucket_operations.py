"""Operations on buckets: what they are, what is in them, whether versions are kept."""

from __future__ import annotations

from collections.abc import Callable

from tidemark.simulator.oss.buckets import Bucket, Buckets
from tidemark.simulator.oss.call import OssCall
from tidemark.simulator.oss.errors import refuse
from tidemark.simulator.oss.listing import (
    encoding,
    list_objects,
    list_objects_v2,
    text_writer,
    written,
)
from tidemark.simulator.oss.objects import ObjectOperations
from tidemark.simulator.oss.xml_text import Fields, read_xml, write_xml
from tidemark.simulator.pai.asked import Answer

__all__ = ["BucketOperations"]

_XML = {"content-type": "application/xml"}


class BucketOperations:
    """What is done with buckets."""

    def __init__(self, buckets: Buckets, objects: ObjectOperations) -> None:
        self._buckets = buckets
        self.actions: dict[str, Callable[[OssCall, Bucket], Answer]] = {
            "DeleteBucket": self._delete,
            "DeleteMultipleObjects": objects.delete_several,
            "GetBucketInfo": lambda _, bucket: _xml("BucketInfo", [("Bucket", _known(bucket))]),
            "GetBucketLocation": lambda _, bucket: _xml(
                "LocationConstraint", f"oss-{bucket.region}"
            ),
            "GetBucketVersioning": lambda _, bucket: _xml(
                "VersioningConfiguration", _versioning(bucket, "Status")
            ),
            "PutBucketVersioning": _put_versioning,
            "ListMultipartUploads": _list_uploads,
            "ListObjects": lambda call, bucket: Answer(200, list_objects(call, bucket), _XML),
            "ListObjectsV2": lambda call, bucket: Answer(200, list_objects_v2(call, bucket), _XML),
        }

    def list_buckets(self, owner: str) -> Answer:
        """The buckets of an account."""
        buckets: Fields = [("Bucket", _known(bucket)) for bucket in self._buckets.of(owner)]
        fields: Fields = [
            ("Owner", [("ID", owner), ("DisplayName", owner)]),
            ("IsTruncated", "false"),
            ("Buckets", buckets),
        ]
        return _xml("ListAllMyBucketsResult", fields)

    def _delete(self, call: OssCall, bucket: Bucket) -> Answer:  # noqa: ARG002
        self._buckets.remove(bucket)
        return Answer(204, b"", {})


def _put_versioning(call: OssCall, bucket: Bucket) -> Answer:
    status = read_xml(call.asked.body, "VersioningConfiguration").findtext("Status") or ""
    if status not in ("Enabled", "Suspended"):
        refuse(400, "InvalidArgument", "The versioning status is invalid.")
    bucket.versioning = status
    return Answer(200, b"", {})


def _list_uploads(call: OssCall, bucket: Bucket) -> Answer:
    text = text_writer(call)
    prefix = call.query.get("prefix", "")
    found = [
        (upload.key, upload_id, upload)
        for upload_id, upload in bucket.uploads.items()
        if upload.key.startswith(prefix)
    ]
    uploads: Fields = [
        (
            "Upload",
            [
                ("Key", text(key)),
                ("UploadId", upload_id),
                ("Initiated", written(upload.begun_s)),
            ],
        )
        for key, upload_id, upload in sorted(found, key=lambda one: one[:2])
    ]
    fields: Fields = [
        ("Bucket", bucket.name),
        ("Prefix", text(prefix)),
        ("NextKeyMarker", ""),
        ("NextUploadIdMarker", ""),
        ("MaxUploads", "1000"),
        ("IsTruncated", "false"),
        *encoding(call),
        *uploads,
    ]
    return _xml("ListMultipartUploadsResult", fields)


def _known(bucket: Bucket) -> Fields:
    return [
        ("Name", bucket.name),
        ("CreationDate", written(bucket.created_s)),
        ("Location", f"oss-{bucket.region}"),
        ("Region", bucket.region),
        ("ExtranetEndpoint", f"oss-{bucket.region}.aliyuncs.com"),
        ("IntranetEndpoint", f"oss-{bucket.region}-internal.aliyuncs.com"),
        ("StorageClass", "Standard"),
        ("Owner", [("ID", bucket.owner), ("DisplayName", bucket.owner)]),
        ("AccessControlList", [("Grant", "private")]),
        *_versioning(bucket, "Versioning"),
    ]


def _versioning(bucket: Bucket, name: str) -> list[tuple[str, str]]:
    return [(name, bucket.versioning)] if bucket.versioning else []


def _xml(name: str, fields: str | Fields) -> Answer:
    return Answer(200, write_xml(name, fields), _XML)
