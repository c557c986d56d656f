"""A prefix in a bucket of S3, or of a service that speaks like it, as files of a store."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from typing import Any, ClassVar, Final

from aiobotocore.session import AioSession
from s3fs import S3FileSystem

from tidemark.errors import StoreError
from tidemark.results.locations import S3Location
from tidemark.results.options import check_options
from tidemark.results.patience import Patience
from tidemark.results.providers.objects import WRITER, ObjectFiles
from tidemark.results.providers.pages import Pages
from tidemark.results.providers.s3_failures import s3_refusal, service_code

__all__ = ["S3Files"]

_CONFLICTS: Final = ("PreconditionFailed", "412")


class S3Files(ObjectFiles):
    """Objects below a prefix, each created with `If-None-Match: *`.

    Without credentials, the environment, a profile or a role gives them.
    """

    scheme: ClassVar[str] = "s3"
    talkative: ClassVar[tuple[str, ...]] = ("botocore", "aiobotocore", "s3fs", "fsspec")

    def __init__(
        self,
        location: S3Location,
        options: Mapping[str, str],
        credentials: Mapping[str, str] | None = None,
        patience: Patience | None = None,
    ) -> None:
        super().__init__(location, options, credentials, patience)
        secrets = credentials or {}
        self.root = f"{location.bucket}/{location.prefix}".rstrip("/")
        self._encryption = _encryption(options)
        with self._explained():
            session = AioSession(profile=options.get("profile"))
            # The client would wait for a "100 Continue" without end, if a service hangs.
            session.register("before-call.s3", _expect_nothing)
            endpoint = options.get("endpoint_url") or _configured_endpoint(session)
            if endpoint is not None:
                self.options = {**options, "endpoint_url": endpoint}
                check_options(self.options, self.scheme, "AWS_ENDPOINT_URL")
            region = location.region or options.get("region")
            self.filesystem = _Objects(
                anon=options.get("anonymous") == "true",
                session=session,
                endpoint_url=endpoint,
                key=secrets.get("access_key_id"),
                secret=secrets.get("secret_access_key"),
                token=secrets.get("session_token"),
                client_kwargs={"region_name": region} if region else {},
                config_kwargs=self._config(self.options),
                use_listings_cache=False,
                skip_instance_cache=True,
            )
            # Asking again is left to `Patience` alone: policies within policies multiply.
            self.filesystem.retries = 1

    def _put_new(self, key: str, data: bytes, token: str) -> None:
        try:
            self.filesystem.pipe_file(
                key,
                data,
                mode="create",
                timeout=self._patience.transfer_s(len(data)),
                Metadata={WRITER: token},
                **self._encryption,
            )
        except OSError as error:
            if service_code(error) not in _CONFLICTS:
                raise
            raise FileExistsError(str(error)) from error

    def _put_over(self, key: str, data: bytes) -> None:
        timeout_s = self._patience.transfer_s(len(data))
        self.filesystem.pipe_file(key, data, timeout=timeout_s, **self._encryption)

    def _writer_of(self, key: str) -> str | None:
        metadata: Mapping[str, str] = self.filesystem.metadata(key, refresh=True)
        return metadata.get(WRITER) or metadata.get(WRITER.replace("-", "_"))

    def _refusal(self, error: Exception, where: str, said: str) -> StoreError | None:
        return s3_refusal(error, where, said)

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


class _Objects(S3FileSystem):  # type: ignore[misc]  # it has no types
    """The file system with listings that end."""

    async def _list_pages(self, method: str, **named: Any) -> AsyncIterator[Any]:
        pages = Pages(f"{named.get('Bucket')}/{named.get('Prefix')}")
        async for page in super()._list_pages(method, **named):
            yield page
            token = page.get("NextContinuationToken")
            if token and page.get("IsTruncated"):
                pages.ask(token)


def _encryption(options: Mapping[str, str]) -> dict[str, str]:
    """Arguments of PutObject and CreateMultipartUpload."""
    names = {"sse": "ServerSideEncryption", "sse_kms_key_id": "SSEKMSKeyId"}
    return {names[name]: options[name] for name in names if name in options}


def _expect_nothing(params: dict[str, Any], **_: object) -> None:
    params["headers"].pop("Expect", None)


def _configured_endpoint(session: AioSession) -> str | None:
    """The endpoint that the environment or a profile names for S3, in the order of the AWS SDKs.

    Source: AWS SDKs and Tools Reference Guide, "Service-specific endpoints".
    """
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
