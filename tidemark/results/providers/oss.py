"""A prefix in a bucket of Alibaba Cloud OSS as files of a store.

The client is Alibaba Cloud's own of the second generation, `alibabacloud-oss-v2`, below a small
fsspec file system of this project. Reasons, as of November 2026: it is released every month, signs
with V4 by itself (V1 is being retired), and takes credentials that are renewed, exclusive creation
and a policy of repeating as arguments; of its 17 MB on disk, `requests` is here anyway. `ossfs` was
last released in May 2025, pins an `oss2` of 2023, signs with V1, keeps the credentials it began
with, repeats by itself and creates nothing exclusively. `oss2` was last released in October 2024
and brings 33 MB. OSS's form of the S3 protocol, which `s3fs` could speak, is documented without
`If-None-Match: *`, and without that two writers overwrite each other.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import alibabacloud_oss_v2 as oss
from alibabacloud_oss_v2.exceptions import ResponseError
from alibabacloud_oss_v2.retry import NopRetryer
from alibabacloud_oss_v2.transport import RequestsHttpClient
from alibabacloud_oss_v2.types import HttpRequest, HttpResponse

from tidemark.alibaba.errors import AlibabaError
from tidemark.config import load_config
from tidemark.errors import StoreBusy, StoreError
from tidemark.results.locations import OssLocation
from tidemark.results.patience import Patience
from tidemark.results.providers.objects import WRITER, ObjectFiles
from tidemark.results.providers.oss_credentials import credentials_of
from tidemark.results.providers.oss_failures import EXPIRED, oss_refusal
from tidemark.results.providers.oss_filesystem import OssFileSystem

__all__ = ["OssFiles"]

_CONNECTIONS = 64


class OssFiles(ObjectFiles):
    """Objects below a prefix, each created with `x-oss-forbid-overwrite: true`.

    A bucket that keeps versions ignores that header: the store's probe refuses it. Region and
    network are as configured where nothing names them. Without credentials, a profile or the
    default chain of `alibaba/credential_sources.py` gives them.
    """

    scheme: ClassVar[str] = "oss"

    def __init__(
        self,
        location: OssLocation,
        options: Mapping[str, str],
        credentials: Mapping[str, str] | None = None,
        patience: Patience | None = None,
    ) -> None:
        super().__init__(location, options, credentials, patience)
        self.root = f"{location.bucket}/{location.prefix}".rstrip("/")
        self._credentials = credentials_of(credentials or {}, options.get("profile"))
        region = location.region or options.get("region")
        network = options.get("network")
        if region is None or (network is None and "endpoint_url" not in options):
            configured = load_config(os.environ, Path.cwd())
            region = region or configured.region
            network = network or configured.network
            # Told, so that what waits for this store is sent there from elsewhere too.
            self.options = {**options, "region": region, "network": network}
        http = _HttpClient(
            connect_timeout=self._patience.connect_s,
            readwrite_timeout=self._patience.answer_s,
            max_connections=_CONNECTIONS,
        )
        self.filesystem = OssFileSystem(
            oss.Client(
                oss.config.Config(
                    region=region,
                    endpoint=options.get("endpoint_url"),
                    use_internal_endpoint=network == "vpc",
                    use_path_style=options.get("addressing_style") == "path",
                    credentials_provider=self._credentials,
                    http_client=http,
                    # Asking again is left to `Patience` alone: policies within policies multiply.
                    retryer=NopRetryer(),
                    # The service compares bodies with their Content-MD5 before it keeps them.
                    disable_upload_crc64_check=True,
                    user_agent="tidemark",
                )
            ),
            _encryption(options),
        )

    def _put_new(self, key: str, data: bytes, token: str) -> None:
        self.filesystem.pipe_file(
            key,
            data,
            mode="create",
            metadata={WRITER: token},
            timeout_s=self._patience.transfer_s(len(data)),
        )

    def _put_over(self, key: str, data: bytes) -> None:
        self.filesystem.pipe_file(key, data, timeout_s=self._patience.transfer_s(len(data)))

    def _writer_of(self, key: str) -> str | None:
        found: Mapping[str, str] = self.filesystem.metadata(key)
        return found.get(WRITER)

    def _refusal(self, error: Exception, where: str, said: str) -> StoreError | None:
        if getattr(error, "code", None) == EXPIRED:
            with contextlib.suppress(AlibabaError):  # then it is told that they have expired
                if self._credentials.renewed():
                    return StoreBusy("the credentials were renewed", where, "Try again")
        return oss_refusal(error, where, said)


class _HttpClient(RequestsHttpClient):  # type: ignore[misc]
    """The client's own connections, and nobody else's answers."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.open()  # the first of several threads to ask would do it, and the second disturb it
        # Else an entry in ~/.netrc would take the place of the signature.
        self.session.auth = lambda request: request

    def send(self, request: HttpRequest, **settings: Any) -> HttpResponse:
        """Send a request once. Raises ResponseError for a page of something on the way, which
        would be taken for the content of an object, or for the receipt of one."""
        response = super().send(request, **settings)
        if response.status_code // 100 == 2 and not response.headers.get("x-oss-request-id"):
            response.close()
            raise ResponseError(error="what answers there is not OSS")
        return response


def _encryption(options: Mapping[str, str]) -> dict[str, str]:
    """Fields of PutObject and InitiateMultipartUpload."""
    names = {"sse": "server_side_encryption", "sse_kms_key_id": "server_side_encryption_key_id"}
    return {names[name]: options[name] for name in names if name in options}
