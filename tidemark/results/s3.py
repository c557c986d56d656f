"""A prefix in a bucket of S3, or of a service that speaks like it, as files of a store."""

from __future__ import annotations

import errno
import logging
import os
import uuid
from collections.abc import Mapping
from typing import Any, Final

import botocore.session
import fsspec

from tidemark.results.failures import explained, service_code
from tidemark.results.locations import S3Location
from tidemark.results.options import check_credentials, check_options
from tidemark.results.patience import Patience
from tidemark.results.redact import Redactor

__all__ = ["S3Files"]

_CONFLICTS: Final = ("PreconditionFailed", "412")
_WRITER: Final = "tidemark-writer"

# At the level DEBUG these write down the headers of requests, a session token among them.
_TALKATIVE: Final = ("botocore", "aiobotocore", "s3fs", "fsspec")


class S3Files:
    """Objects below a prefix, each created with `If-None-Match: *`.

    Credentials are given, or found by the environment, a profile or a role. `options` then has
    the endpoint that is really used, also where the environment or a profile names it.
    """

    def __init__(
        self,
        location: S3Location,
        options: Mapping[str, str],
        credentials: Mapping[str, str] | None = None,
        patience: Patience | None = None,
    ) -> None:
        check_options(options)
        if credentials is not None:
            check_credentials(credentials, options)
        secrets = credentials or {}
        self.root = f"{location.bucket}/{location.prefix}".rstrip("/")
        self._redactor = Redactor(secrets.values())
        self._patience = patience or Patience()
        self._encryption = _encryption(options)
        for name in _TALKATIVE:
            if logging.getLogger(name).level == logging.NOTSET:
                logging.getLogger(name).setLevel(logging.INFO)
        with explained(f"s3://{self.root}", self._redactor):
            endpoint = options.get("endpoint_url") or _configured_endpoint(options.get("profile"))
            if endpoint is not None:
                options = {**options, "endpoint_url": endpoint}
                check_options(options, "AWS_ENDPOINT_URL")
            self.options = dict(options)
            region = location.region or options.get("region")
            self.filesystem = fsspec.filesystem(
                "s3",
                anon=options.get("anonymous") == "true",
                profile=options.get("profile"),
                endpoint_url=endpoint,
                key=secrets.get("access_key_id"),
                secret=secrets.get("secret_access_key"),
                token=secrets.get("session_token"),
                client_kwargs={"region_name": region} if region else {},
                config_kwargs=self._config(options),
                use_listings_cache=False,
                skip_instance_cache=True,
            )
            # Asking again is left to `Patience` alone: policies within policies multiply.
            self.filesystem.retries = 1

    def create(self, path: str, data: bytes) -> None:
        # If an answer is lost and the put repeated, the service finds our own object in the way.
        # The token tells it from another writer's.
        token = uuid.uuid4().hex
        key = f"{self.root}/{path}"

        def put() -> None:
            with explained(f"s3://{key}", self._redactor):
                try:
                    self.filesystem.pipe_file(
                        key, data, mode="create", Metadata={_WRITER: token}, **self._encryption
                    )
                except OSError as error:
                    taken = isinstance(error, FileExistsError) or service_code(error) in _CONFLICTS
                    if not taken:
                        raise
                    if self._writer_of(key) != token:
                        raise FileExistsError(errno.EEXIST, "exists") from error

        self._patience.call(put)

    def replace(self, path: str, data: bytes) -> None:
        def put() -> None:
            with explained(f"s3://{self.root}/{path}", self._redactor):
                self.filesystem.pipe_file(f"{self.root}/{path}", data, **self._encryption)

        self._patience.call(put)

    def read(self, path: str) -> bytes:
        def get() -> bytes:
            with explained(f"s3://{self.root}/{path}", self._redactor):
                data: bytes = self.filesystem.cat_file(f"{self.root}/{path}")
                return data

        return self._patience.call(get)

    def list(self, folder: str) -> list[str]:
        def find() -> list[str]:
            with explained(f"s3://{self.root}/{folder}", self._redactor):
                return [*self.filesystem.find(f"{self.root}/{folder}")]

        names = (name.removeprefix(f"{self.root}/") for name in self._patience.call(find))
        return sorted(name for name in names if not name.rpartition("/")[2].startswith("."))

    def remove(self, path: str) -> None:
        def remove() -> None:
            with explained(f"s3://{self.root}/{path}", self._redactor):
                self.filesystem.rm_file(f"{self.root}/{path}")

        self._patience.call(remove)

    def _writer_of(self, key: str) -> str | None:
        metadata: Mapping[str, str] = self.filesystem.metadata(key, refresh=True)
        return metadata.get(_WRITER) or metadata.get(_WRITER.replace("-", "_"))

    def _config(self, options: Mapping[str, str]) -> dict[str, Any]:
        config: dict[str, Any] = {
            "connect_timeout": self._patience.connect_s,
            "read_timeout": self._patience.answer_s,
            "retries": {"total_max_attempts": 1},
        }
        if "addressing_style" in options:
            config["s3"] = {"addressing_style": options["addressing_style"]}
        if "endpoint_url" in options:
            # Services that only speak like S3 often refuse the newer checksum headers.
            config["request_checksum_calculation"] = "when_required"
            config["response_checksum_validation"] = "when_required"
        return config


def _encryption(options: Mapping[str, str]) -> dict[str, str]:
    """Arguments of PutObject and CreateMultipartUpload."""
    names = {"sse": "ServerSideEncryption", "sse_kms_key_id": "SSEKMSKeyId"}
    return {names[name]: options[name] for name in names if name in options}


def _configured_endpoint(profile: str | None) -> str | None:
    """The endpoint that the environment or a profile names for S3, in the order of the AWS SDKs.

    Source: AWS SDKs and Tools Reference Guide, "Service-specific endpoints".
    """
    session = botocore.session.Session(profile=profile)
    if session.get_config_variable("ignore_configured_endpoint_urls"):
        return None
    scoped = session.get_scoped_config()
    services = session.full_config.get("services", {}).get(scoped.get("services"), {})
    found = (
        os.environ.get("AWS_ENDPOINT_URL_S3"),
        os.environ.get("AWS_ENDPOINT_URL"),
        services.get("s3", {}).get("endpoint_url"),
        scoped.get("endpoint_url"),
    )
    return next((url for url in found if url), None)
