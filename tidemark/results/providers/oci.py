"""A prefix in a bucket of OCI Object Storage, as files of a store."""

from __future__ import annotations

import base64
import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, Final

from oci.circuit_breaker import NoCircuitBreakerStrategy
from oci.exceptions import ServiceError
from oci.object_storage import ObjectStorageClient
from oci.retry import NoneRetryStrategy
from ocifs import OCIFileSystem

from tidemark.errors import StoreError
from tidemark.results.locations import OciLocation
from tidemark.results.patience import Patience
from tidemark.results.providers.objects import WRITER, ObjectFiles
from tidemark.results.providers.oci_failures import oci_refusal
from tidemark.results.providers.oci_signers import Identity, identity_of
from tidemark.results.providers.pages import Pages

__all__ = ["OciFiles"]

_EXISTS: Final = 412
_LISTED: Final = 1000  # names in one answer, as many as the service gives


class OciFiles(ObjectFiles):
    """Objects below a prefix, each created with `If-None-Match: *` in one request.

    One request may hold 50 GiB, as the service has it; nothing a store keeps comes near. Who
    asks, the option `auth` says.
    """

    scheme: ClassVar[str] = "oci"
    talkative: ClassVar[tuple[str, ...]] = ("oci", "ocifs", "lakesharing", "fsspec")

    def __init__(
        self,
        location: OciLocation,
        options: Mapping[str, str],
        credentials: Mapping[str, str] | None = None,
        patience: Patience | None = None,
    ) -> None:
        super().__init__(location, options, credentials, patience)
        self.root = f"{location.bucket}@{location.namespace}/{location.prefix}".rstrip("/")
        self._location = location
        self._identity = identity_of(options, credentials or {}, str(location))
        self._redactor = self._redactor.knowing(self._identity.secrets)
        self._sent_along = {
            f"opc_{name}": options[name] for name in ("sse_kms_key_id",) if name in options
        }
        self.filesystem = _Objects(
            client=self._client, use_listings_cache=False, skip_instance_cache=True
        )

    def _put_new(self, key: str, data: bytes, token: str) -> None:
        try:
            self._put(key, data, if_none_match="*", opc_meta={WRITER: token})
        except ServiceError as error:
            if error.status != _EXISTS:
                raise
            raise FileExistsError(key) from error

    def _put_over(self, key: str, data: bytes) -> None:
        self._put(key, data)

    def _put(self, key: str, data: bytes, **how: Any) -> None:
        digest = base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
        self.filesystem.oci_client.put_object(
            *_names(key), data, content_md5=digest, **self._sent_along, **how
        )

    def _writer_of(self, key: str) -> str | None:
        found = self.filesystem.oci_client.head_object(*_names(key))
        writer: str | None = found.headers.get(f"opc-meta-{WRITER}")
        return writer

    def _refusal(self, error: Exception, where: str, said: str) -> StoreError | None:
        return oci_refusal(error, where, said, self._identity.remedy)

    def _client(self) -> ObjectStorageClient:
        """The client; an instance's identity is asked for now, and not when a store is opened."""
        identity: Identity = self._identity
        endpoint = self.options.get("endpoint_url")
        signer = identity.signer()
        config = dict(identity.config)
        if region := self.options.get("region"):
            config["region"] = region
        return ObjectStorageClient(
            config,
            signer=signer,
            # Asking again is left to `Patience` alone.
            retry_strategy=NoneRetryStrategy(),
            circuit_breaker_strategy=NoCircuitBreakerStrategy(),
            timeout=(self._patience.connect_s, self._patience.answer_s),
            **({} if endpoint is None else {"service_endpoint": endpoint.rstrip("/")}),
        )


def _names(key: str) -> tuple[str, str, str]:
    """Namespace, bucket and name of an object."""
    place, _, name = key.partition("/")
    bucket, _, namespace = place.partition("@")
    return namespace, bucket, name


class _Objects(OCIFileSystem):  # type: ignore[misc]  # it has no types
    """The file system on a client that is made when it is first needed.

    Its own takes one request for each folder to list, and two to read.
    """

    def __init__(self, *, client: Callable[[], ObjectStorageClient], **named: Any) -> None:
        self._make = client
        self._made: ObjectStorageClient | None = None
        self._lock = threading.Lock()
        super().__init__(**named)

    @property
    def oci_client(self) -> ObjectStorageClient:
        """The client of all threads."""
        with self._lock:
            if self._made is None:
                self._made = self._make()
            return self._made

    @oci_client.setter
    def oci_client(self, client: object) -> None:
        """Left as it is: the file system would make one of its own."""

    def connect(self, refresh: bool = True) -> None:
        """Nothing is asked before it has to be."""

    def find(
        self,
        path: str,
        maxdepth: int | None = None,
        withdirs: bool = False,
        detail: bool = False,
        **named: Any,
    ) -> Any:
        """Names of all objects below a path, or what is known of them by name."""
        if maxdepth is not None or withdirs:
            return super().find(path, maxdepth, withdirs, detail, **named)
        found = {
            f"{path.partition('/')[0]}/{one.name}": {
                "name": f"{path.partition('/')[0]}/{one.name}",
                "size": one.size,
                "type": "file",
            }
            for one in self._listed(path)
            if not one.name.endswith("/")
        }
        return found if detail else sorted(found)

    def _listed(self, path: str) -> Iterator[Any]:
        namespace, bucket, folder = _names(path)
        begin: str | None = None
        pages = Pages(path)
        while True:
            page = self.oci_client.list_objects(
                namespace,
                bucket,
                prefix=f"{folder}/" if folder else "",
                fields="name,size",
                limit=_LISTED,
                **({} if begin is None else {"start": begin}),
            ).data
            yield from page.objects
            begin = page.next_start_with
            if begin is None:
                return
            pages.ask(begin)

    def cat_file(
        self, path: str, start: int | None = None, end: int | None = None, **named: Any
    ) -> bytes:
        """The bytes of an object; of a part of it, if that is asked for."""
        if start is not None or end is not None:
            part: bytes = super().cat_file(path, start, end, **named)
            return part
        answer = self.oci_client.get_object(*_names(path))
        data: bytes = answer.data.content
        size_bytes = answer.headers.get("content-length")
        if size_bytes is not None and int(size_bytes) != len(data):
            raise ConnectionError(f"{len(data)} of {size_bytes} bytes came")
        return data

    def rm_file(self, path: str) -> None:
        """Remove one object."""
        self.oci_client.delete_object(*_names(path))
