"""Objects of OSS as an fsspec file system: read, listed, put whole and removed.

Each request is sent once, and nothing that was listed is remembered. A name that is not there is
a FileNotFoundError, one that is taken a FileExistsError; what else goes wrong is an error of the
client, without the wrapping that names the operation.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import time
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Final

import alibabacloud_oss_v2 as oss
from alibabacloud_oss_v2.exceptions import OperationError, ServiceError
from fsspec.spec import AbstractBufferedFile, AbstractFileSystem

from tidemark.results.providers.pages import Pages

__all__ = ["PART_BYTES", "OssFileSystem"]

PART_BYTES: Final = 8 * 2**20
"""Objects above this size are put in parts of it."""

_MOST_PARTS: Final = 10_000
_NOT_THERE: Final = ("NoSuchKey", "NoSuchObject", "404")


class OssFileSystem(AbstractFileSystem):  # type: ignore[misc]
    """Paths are `bucket/key`. Safe for threads.

    `encryption` has the fields `server_side_encryption` and `server_side_encryption_key_id` of
    the requests that begin an object.
    """

    protocol: ClassVar[str] = "oss"
    cachable: ClassVar[bool] = False

    def __init__(self, client: oss.Client, encryption: Mapping[str, str]) -> None:
        super().__init__(use_listings_cache=False)
        self._client = client
        self._encryption = dict(encryption)

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """Name, size in bytes and type of a file; what files lie below is a directory."""
        path = self._strip_protocol(path)
        bucket, key = _split(path)
        if key:
            with contextlib.suppress(FileNotFoundError):
                return self._file(path)
        page = next(self._pages(bucket, f"{key}/" if key else "", most=1))
        if not page.contents and key:
            raise FileNotFoundError(path)
        return {"name": path, "size": 0, "type": "directory"}

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        """What lies directly below a path, or the file there."""
        path = self._strip_protocol(path)
        bucket, key = _split(path)
        found: list[dict[str, Any]] = []
        for page in self._pages(bucket, f"{key}/" if key else "", delimiter="/"):
            found += _files(bucket, page)
            found += [
                {"name": f"{bucket}/{one.prefix.rstrip('/')}", "size": 0, "type": "directory"}
                for one in page.common_prefixes or ()
            ]
        if not found and key:
            found = [self.info(path)]
        found.sort(key=lambda one: str(one["name"]))
        return found if detail else [one["name"] for one in found]

    def find(
        self,
        path: str,
        maxdepth: int | None = None,
        withdirs: bool = False,
        detail: bool = False,
        **options: Any,
    ) -> Any:
        """All files below a path, sorted; one list request for a thousand of them."""
        path = self._strip_protocol(path)
        if maxdepth is not None or withdirs:
            return super().find(path, maxdepth, withdirs, detail, **options)
        bucket, key = _split(path)
        pages = self._pages(bucket, f"{key}/" if key else "")
        found = {one["name"]: one for page in pages for one in _files(bucket, page)}
        if not found and key:
            with contextlib.suppress(FileNotFoundError):
                found = {path: self._file(path)}
        return found if detail else sorted(found)

    def cat_file(
        self, path: str, start: int | None = None, end: int | None = None, **_: Any
    ) -> bytes:
        """The bytes of a file, or those from `start` up to `end`, which may count from its end."""
        path = self._strip_protocol(path)
        if (start or 0) < 0 or (end or 0) < 0:
            size = self.info(path)["size"]
            start = max(size + start, 0) if start is not None and start < 0 else start
            end = max(size + end, 0) if end is not None and end < 0 else end
        wanted = None
        if start or end is not None:
            if end is not None and end <= (start or 0):
                return b""
            wanted = f"bytes={start or 0}-{'' if end is None else end - 1}"
        bucket, key = _split(path)
        request = oss.GetObjectRequest(
            bucket=bucket,
            key=key,
            range_header=wanted,
            # Else all of the object comes where the range reaches beyond its end.
            range_behavior=wanted and "standard",
        )
        with _translated(path):
            try:
                with self._client.get_object(request).body as body:
                    data: bytes = body.read()
            except OperationError as error:
                if _code(error) == "InvalidRange":
                    return b""
                raise
        return data

    def pipe_file(
        self,
        path: str,
        value: bytes,
        mode: str = "overwrite",
        *,
        metadata: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
        **_: Any,
    ) -> None:
        """Put a file, whole or not at all; with mode "create" only if there is none of its name.

        `timeout_s` is how long sending may take.
        """
        path = self._strip_protocol(path)
        bucket, key = _split(path)
        sending = _Sending(timeout_s)
        begun = {"bucket": bucket, "key": key, "metadata": dict(metadata or {})} | self._encryption
        forbidden = "true" if mode == "create" else None
        with _translated(path):
            if len(value) <= PART_BYTES:
                self._client.put_object(
                    oss.PutObjectRequest(
                        **begun,
                        forbid_overwrite=forbidden,
                        content_md5=_md5(value),
                        body=sending.body(value),
                    )
                )
            else:
                self._put_parts(begun, value, forbidden, sending)

    def rm_file(self, path: str) -> None:
        """Remove a file; one that is not there is no error."""
        bucket, key = _split(self._strip_protocol(path))
        with _translated(path):
            self._client.delete_object(oss.DeleteObjectRequest(bucket=bucket, key=key))

    def metadata(self, path: str) -> Mapping[str, str]:
        """What was given as metadata as a file was put."""
        return dict(self._head(self._strip_protocol(path)).metadata or {})

    def _put_parts(
        self, begun: Mapping[str, Any], value: bytes, forbidden: str | None, sending: _Sending
    ) -> None:
        upload = self._client.initiate_multipart_upload(
            oss.InitiateMultipartUploadRequest(**begun, forbid_overwrite=forbidden)
        )
        same = {"bucket": begun["bucket"], "key": begun["key"], "upload_id": upload.upload_id}
        size = max(PART_BYTES, -(-len(value) // _MOST_PARTS))
        try:
            parts = []
            for number, begin in enumerate(range(0, len(value), size), 1):
                part = value[begin : begin + size]
                answer = self._client.upload_part(
                    oss.UploadPartRequest(
                        **same,
                        part_number=number,
                        content_md5=_md5(part),
                        body=sending.body(part),
                    )
                )
                parts.append(oss.UploadPart(part_number=number, etag=answer.etag))
            self._client.complete_multipart_upload(
                oss.CompleteMultipartUploadRequest(
                    **same,
                    forbid_overwrite=forbidden,
                    complete_multipart_upload=oss.CompleteMultipartUpload(parts=parts),
                )
            )
        except BaseException:
            # Parts without an object are paid for until they are removed. If it was completed
            # and only the answer lost, there is nothing left to abort.
            with contextlib.suppress(OperationError):
                self._client.abort_multipart_upload(oss.AbortMultipartUploadRequest(**same))
            raise

    def _file(self, path: str) -> dict[str, Any]:
        head = self._head(path)
        return {
            "name": path,
            "size": head.content_length,
            "type": "file",
            "ETag": head.etag,
            "LastModified": head.last_modified,
        }

    def _head(self, path: str) -> oss.HeadObjectResult:
        bucket, key = _split(path)
        with _translated(path):
            return self._client.head_object(oss.HeadObjectRequest(bucket=bucket, key=key))

    def _pages(
        self, bucket: str, prefix: str, *, delimiter: str | None = None, most: int = 1000
    ) -> Iterator[oss.ListObjectsV2Result]:
        token, pages = None, Pages(f"oss://{bucket}/{prefix}")
        while True:
            request = oss.ListObjectsV2Request(
                bucket=bucket,
                prefix=prefix,
                delimiter=delimiter,
                max_keys=most,
                continuation_token=token,
            )
            with _translated(bucket):
                page = self._client.list_objects_v2(request)
            yield page
            token = page.next_continuation_token
            if not page.is_truncated:
                return
            pages.ask(token or "")

    def _open(self, path: str, mode: str = "rb", **options: Any) -> _OssFile:
        if mode != "rb":
            raise NotImplementedError("objects are put whole: use pipe_file")
        size = options.pop("block_size", None) or "default"
        return _OssFile(self, path, mode, size, **options)


class _OssFile(AbstractBufferedFile):  # type: ignore[misc]
    """An object that is read piece by piece."""

    def _fetch_range(self, start: int, end: int) -> bytes:
        data: bytes = self.fs.cat_file(self.path, start, end)
        return data


class _Sending:
    """How long the bodies of one put may take all together, from now on."""

    def __init__(self, timeout_s: float | None) -> None:
        self._until = None if timeout_s is None else time.monotonic() + timeout_s

    def body(self, data: bytes) -> io.BytesIO | bytes:
        """A body that is read in small pieces, as only then each has the connection's timeout."""
        # Of an empty file the client would not tell the length.
        return _Body(data, self._until) if data else data


class _Body(io.BytesIO):
    def __init__(self, data: bytes, until: float | None) -> None:
        super().__init__(data)
        self._until = until

    def read(self, size: int | None = -1) -> bytes:
        """The next bytes. Raises TimeoutError once it has taken too long."""
        if self._until is not None and time.monotonic() > self._until:
            raise TimeoutError("sending takes too long")
        return super().read(size)


@contextlib.contextmanager
def _translated(path: str) -> Iterator[None]:
    try:
        yield
    except OperationError as error:
        code = _code(error)
        if code == "FileAlreadyExists":
            raise FileExistsError(path) from error
        if code in _NOT_THERE:
            raise FileNotFoundError(path) from error
        cause = error.unwrap()
        raise cause if isinstance(cause, Exception) else error from None


def _code(error: OperationError) -> str | None:
    cause = error.unwrap()
    return str(cause.code) if isinstance(cause, ServiceError) else None


def _files(bucket: str, page: oss.ListObjectsV2Result) -> list[dict[str, Any]]:
    # Consoles put empty objects named like folders.
    return [
        {
            "name": f"{bucket}/{one.key}",
            "size": one.size,
            "type": "file",
            "ETag": one.etag,
            "LastModified": one.last_modified,
        }
        for one in page.contents or ()
        if not one.key.endswith("/")
    ]


def _split(path: str) -> tuple[str, str]:
    bucket, _, key = path.strip("/").partition("/")
    if not bucket:
        raise FileNotFoundError("the path names no bucket")
    return bucket, key


def _md5(data: bytes) -> str:
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
