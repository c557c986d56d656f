"""Buckets and their objects, in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from tidemark.simulator.oss.crc64 import crc64
from tidemark.simulator.oss.errors import refuse

__all__ = ["Bucket", "Buckets", "StoredObject", "Upload"]


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object. `headers` are those that it was written with and is answered with: its type,
    its metadata, its encryption."""

    data: bytes = field(repr=False)
    headers: Mapping[str, str]
    modified_s: float
    etag: str
    crc: int
    kind: str = "Normal"

    @classmethod
    def of(cls, data: bytes, headers: Mapping[str, str], modified_s: float) -> StoredObject:
        """One that was put at once."""
        etag = hashlib.md5(data, usedforsecurity=False).hexdigest().upper()
        return cls(data, headers, modified_s, etag, crc64(data))

    @classmethod
    def of_parts(
        cls, parts: list[StoredObject], headers: Mapping[str, str], modified_s: float
    ) -> StoredObject:
        """One that was put in parts."""
        digest = hashlib.md5("".join(part.etag for part in parts).encode(), usedforsecurity=False)
        data = b"".join(part.data for part in parts)
        etag = f"{digest.hexdigest().upper()}-{len(parts)}"
        return cls(data, headers, modified_s, etag, crc64(data), "Multipart")


@dataclass(slots=True)
class Upload:
    """An object that is being put in parts, by number."""

    key: str
    headers: Mapping[str, str]
    begun_s: float
    parts: dict[int, StoredObject] = field(default_factory=dict)


@dataclass(slots=True)
class Bucket:
    """A bucket of an account. `versioning` is "", Enabled or Suspended; older versions are not
    kept here, but while it is either, nothing forbids to overwrite."""

    name: str
    region: str
    owner: str
    created_s: float
    versioning: str = ""
    objects: dict[str, StoredObject] = field(default_factory=dict)
    uploads: dict[str, Upload] = field(default_factory=dict)

    def get(self, key: str) -> StoredObject:
        """An object. Refuses a name that there is not."""
        found = self.objects.get(key)
        if found is None:
            refuse(404, "NoSuchKey", "The specified key does not exist.", Key=key)
        return found

    def put(self, key: str, stored: StoredObject, *, forbid_overwrite: bool) -> None:
        """Keep an object, in the place of one of that name unless this is forbidden."""
        self.check_free(key, forbid_overwrite=forbid_overwrite)
        self.objects[key] = stored

    def check_free(self, key: str, *, forbid_overwrite: bool) -> None:
        """Refuse a name that is taken, if overwriting is forbidden and can be."""
        if forbid_overwrite and not self.versioning and key in self.objects:
            refuse(
                409,
                "FileAlreadyExists",
                "The object you specified already exists and can not be overwritten.",
            )

    def upload(self, upload_id: str, key: str) -> Upload:
        """An upload under way. Refuses one that there is not."""
        found = self.uploads.get(upload_id)
        if found is None or found.key != key:
            refuse(
                404,
                "NoSuchUpload",
                "The specified upload does not exist. The upload ID may be invalid, or the upload "
                "may have been aborted or completed.",
                UploadId=upload_id,
            )
        return found


class Buckets:
    """All buckets, of whatever account."""

    def __init__(self) -> None:
        self._by_name: dict[str, Bucket] = {}

    def create(self, name: str, region: str, owner: str, now_s: float) -> Bucket:
        """A new bucket, or the one of this name if it is the owner's. Refuses another's."""
        found = self._by_name.get(name)
        if found is None:
            found = self._by_name[name] = Bucket(name, region, owner, now_s)
        elif found.owner != owner:
            refuse(
                409,
                "BucketAlreadyExists",
                "The requested bucket name is not available.",
                BucketName=name,
            )
        return found

    def find(self, name: str) -> Bucket | None:
        """The bucket of this name, None if there is none."""
        return self._by_name.get(name)

    def of(self, owner: str) -> list[Bucket]:
        """The buckets of an account, by name."""
        return sorted((b for b in self if b.owner == owner), key=lambda bucket: bucket.name)

    def remove(self, bucket: Bucket) -> None:
        """Remove a bucket. Refuses one that holds anything."""
        if bucket.objects or bucket.uploads:
            refuse(
                409,
                "BucketNotEmpty",
                "The bucket you tried to delete is not empty.",
                BucketName=bucket.name,
            )
        del self._by_name[bucket.name]

    def __iter__(self) -> Iterator[Bucket]:
        return iter(tuple(self._by_name.values()))
