"""A prefix in a bucket of Google Cloud Storage, as files of a store."""

from __future__ import annotations

import asyncio
import functools
import io
import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Final

import aiohttp
import google.auth
import requests
from fsspec.asyn import sync
from gcsfs.core import GCSFileSystem, initiate_upload, simple_upload, upload_chunk
from gcsfs.credentials import GoogleCredentials
from gcsfs.retry import validate_response
from google.auth.transport.requests import Request
from google.oauth2 import service_account
from yarl import URL

from tidemark.errors import StoreAway, StoreError
from tidemark.results.locations import GcsLocation
from tidemark.results.options import check_options
from tidemark.results.patience import Patience
from tidemark.results.providers.gcs_failures import GcsAnswer, gcs_refusal
from tidemark.results.providers.objects import WRITER, ObjectFiles
from tidemark.results.providers.pages import Pages

__all__ = ["GcsFiles"]

_SCOPE: Final = "https://www.googleapis.com/auth/devstorage.read_write"
_EMULATOR: Final = "STORAGE_EMULATOR_HOST"
_FILE: Final = "GOOGLE_APPLICATION_CREDENTIALS"
_PIECE: Final = 32 * 2**20  # a multiple of 256 KiB
_BOUNDARY: Final = b"--==0=="  # between data and metadata, where both are sent in one request
_LIVES_S: Final = 300  # a token that lives no longer is renewed

Find = Callable[[Request], google.auth.credentials.Credentials]


class GcsFiles(ObjectFiles):
    """Objects below a prefix, each created with `ifGenerationMatch=0`.

    Without a service account's file, application default credentials are used. Nobody is
    anonymous but at an emulator that STORAGE_EMULATOR_HOST names, as Google's own clients are.
    """

    scheme: ClassVar[str] = "gs"
    talkative: ClassVar[tuple[str, ...]] = ("gcsfs", "google", "fsspec")

    def __init__(
        self,
        location: GcsLocation,
        options: Mapping[str, str],
        credentials: Mapping[str, str] | None = None,
        patience: Patience | None = None,
    ) -> None:
        super().__init__(location, options, credentials, patience)
        self.root = f"{location.bucket}/{location.prefix}".rstrip("/")
        emulator = _emulator()
        endpoint = options.get("endpoint_url") or emulator
        if endpoint is not None:
            self.options = {**options, "endpoint_url": endpoint.rstrip("/")}
            check_options(self.options, self.scheme, _EMULATOR)
        find = _finder(options, anonymous=endpoint is not None and endpoint == emulator)
        self._key_name = options.get("kms_key_name")
        # Not the class of the registry, which asks every bucket by gRPC what kind it is.
        self.filesystem = _Objects(
            signed=_SignedIn(find, options.get("gcp_project_id"), self._patience),
            patience=self._patience,
            endpoint_url=self.options.get("endpoint_url"),
            token="anon",
            use_listings_cache=False,
            skip_instance_cache=True,
        )

    def _put_new(self, key: str, data: bytes, token: str) -> None:
        self._upload(key, data, mode="create", metadata={WRITER: token})

    def _put_over(self, key: str, data: bytes) -> None:
        self._upload(key, data, mode="overwrite", metadata=None)

    def _writer_of(self, key: str) -> str | None:
        bucket, _, name = key.partition("/")

        async def ask() -> Any:
            call = self.filesystem._call
            return await call("GET", "b/{}/o/{}", bucket, name, json_out=True)

        found = self._within(ask, 0)
        writer: str | None = found.get("metadata", {}).get(WRITER)
        return writer

    def _refusal(self, error: Exception, where: str, said: str) -> StoreError | None:
        return gcs_refusal(error, where, said)

    def _upload(self, key: str, data: bytes, *, mode: str, metadata: Any) -> None:
        bucket, _, name = key.partition("/")
        there = self.filesystem
        encryption = {"kms_key_name": self._key_name}

        async def put() -> None:
            if len(data) <= _PIECE and _BOUNDARY not in data:
                await simple_upload(there, bucket, name, data, metadata, mode=mode, **encryption)
                return
            kind = "application/octet-stream"
            place = await initiate_upload(
                there, bucket, name, kind, metadata, mode=mode, **encryption
            )
            view = memoryview(data)
            for offset in range(0, len(data), _PIECE):
                piece = view[offset : offset + _PIECE]
                await upload_chunk(there, place, piece, offset, len(data), kind)

        self._within(put, len(data))

    def _within(self, ask: Callable[[], Awaitable[Any]], size_bytes: int) -> Any:
        return sync(self.filesystem.loop, ask, timeout=self._patience.transfer_s(size_bytes))


class _SignedIn(GoogleCredentials):  # type: ignore[misc]  # it has no types
    """Credentials that are looked for when they are first needed, and renewed in time."""

    credentials: Any

    def __init__(self, find: Find | None, project: str | None, patience: Patience) -> None:
        super().__init__(project, "read_write", "anon")
        self._find = find
        self._limit_s = patience.connect_s + patience.answer_s

    def maybe_refresh(self, refresh_buffer: float = _LIVES_S) -> None:
        if self._find is None:
            return
        with self.lock, requests.Session() as session:
            request: Any = functools.partial(Request(session), timeout=self._limit_s)
            if self.credentials is None:
                self.credentials = self._find(request)
            if not self._credentials_valid(refresh_buffer):
                self.credentials.refresh(request)

    def apply(self, out: dict[str, str]) -> None:
        super().apply(out)
        if self.project:
            out["x-goog-user-project"] = self.project


class _Objects(GCSFileSystem):  # type: ignore[misc]  # it has no types
    """The file system with requests that are made once, and end in time."""

    def __init__(self, *, signed: _SignedIn, patience: Patience, **named: Any) -> None:
        super().__init__(**named)
        self.credentials = signed
        self._patience = patience

    async def _find(
        self, path: str, withdirs: bool = False, detail: bool = False, **named: Any
    ) -> list[str] | dict[str, Any]:
        if withdirs or any(named.get(name) for name in ("prefix", "versions", "maxdepth")):
            found: list[str] | dict[str, Any] = await super()._find(
                path, withdirs=withdirs, detail=detail, **named
            )
            return found
        # Its own follows pages without end, and asks twice for a folder that is empty.
        bucket, _, folder = path.partition("/")
        start = f"{folder}/" if folder else None
        pages, told, token = Pages(path), [], None
        while True:
            page = await self._call(
                "GET", "b/{}/o", bucket, prefix=start, pageToken=token, json_out=True
            )
            told += [self._process_object(bucket, each) for each in page.get("items", ())]
            if not (token := page.get("nextPageToken")):
                break
            pages.ask(token)
        files = {each["name"]: each for each in told if not each["name"].endswith("/")}
        return files if detail else sorted(files)

    async def _request(
        self,
        method: str,
        path: str,
        *args: str,
        headers: Mapping[str, str] | None = None,
        json: Any = None,
        data: Any = None,
        cache_type: str | None = None,
        cache_source: str | None = None,
        **kwargs: Any,
    ) -> Any:
        # Whoever signs in waits for an answer, and must not keep all others waiting.
        await asyncio.to_thread(self.credentials.maybe_refresh)
        await self._set_session()
        size_bytes = 0 if data is None else len(data)
        limits = aiohttp.ClientTimeout(
            sock_connect=self._patience.connect_s,
            # Waiting for the answer begins with the sending.
            sock_read=self._patience.answer_s
            if not size_bytes
            else self._patience.transfer_s(size_bytes),
        )
        async with self.session.request(
            method=method,
            # As it is: names have characters that would be unquoted again.
            url=URL(self._format_path(path, args), encoded=True),
            params=self._get_params(kwargs),
            json=json,
            headers=self._get_headers(headers, cache_type, cache_source),
            data=None if data is None else io.BytesIO(data),
            timeout=limits,
        ) as answer:
            content = await answer.read()
            try:
                validate_response(answer.status, content, path, args)
            except Exception as error:
                names_object = "/o/" in answer.url.raw_path and method in ("GET", "DELETE")
                raise error from GcsAnswer.of(answer.status, content, names_object)
            return answer.status, answer.headers, answer.request_info, content


def _emulator() -> str | None:
    """The emulator that the environment names for Google's own clients."""
    host = os.environ.get(_EMULATOR)
    if not host or host == "default":
        return None
    return host if host.startswith(("http://", "https://")) else f"http://{host}"


def _finder(options: Mapping[str, str], *, anonymous: bool) -> Find | None:
    """What finds the credentials; None for nobody's. Raises StoreError for a file that is none."""
    path = options.get("gcp_credentials_path")
    if path is None:
        if anonymous and not os.environ.get(_FILE):
            return None
        return _by_default
    try:
        account = service_account.Credentials.from_service_account_file(
            Path(path).expanduser(), scopes=[_SCOPE]
        )
    except (OSError, ValueError, AttributeError, TypeError) as error:
        missing = isinstance(error, FileNotFoundError)
        raise StoreError(
            "the file is not there" if missing else "the file holds no key of a service account",
            f"gcp_credentials_path {path}",
            "Name the JSON file that was downloaded with the service account's key",
        ) from (None if missing else error)
    return lambda _: account


def _by_default(request: Request) -> Any:
    try:
        found, _ = google.auth.default(scopes=[_SCOPE], request=request)
    except (AttributeError, TypeError, KeyError, IsADirectoryError, PermissionError):
        # Its parser takes every JSON for an object, and every path for a file that it may read.
        raise StoreAway(
            "the file of the credentials cannot be used",
            os.environ.get(_FILE) or "application default credentials",
            "Name the JSON file of a service account in GOOGLE_APPLICATION_CREDENTIALS, or run "
            "'gcloud auth application-default login' again",
        ) from None
    return found
