"""A prefix in a container of Azure Blob Storage, as files of a store."""

from __future__ import annotations

import base64
import binascii
import io
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final, TypeVar

from adlfs import AzureBlobFileSystem
from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential
from azure.core.exceptions import HttpResponseError
from azure.identity.aio import DefaultAzureCredential
from azure.storage.blob.aio import BlobServiceClient
from fsspec.asyn import sync

from tidemark.errors import StoreError
from tidemark.results.locations import AzureLocation
from tidemark.results.options import check_options
from tidemark.results.patience import Patience
from tidemark.results.providers.azure_failures import CREDENTIALS, azure_refusal, service_code
from tidemark.results.providers.objects import WRITER, ObjectFiles
from tidemark.results.providers.pages import Pages

__all__ = ["AzureFiles"]

Answer = TypeVar("Answer")

_WRITER: Final = WRITER.replace("-", "_")  # names of metadata are identifiers there
_TAKEN: Final = ("BlobAlreadyExists", "ConditionNotMet", "UnauthorizedBlobOverwrite")
_VARIABLES: Final = {
    "azure_account_key": "AZURE_STORAGE_ACCOUNT_KEY",
    "azure_connection_string": "AZURE_STORAGE_CONNECTION_STRING",
    "azure_sas_token": "AZURE_STORAGE_SAS_TOKEN",
}
_ACCOUNT: Final = "AZURE_STORAGE_ACCOUNT_NAME"
_PIECE: Final = 2**18
_CLOUD: Final = "core.windows.net"


class AzureFiles(ObjectFiles):
    """Blobs below a prefix, each created with `If-None-Match: *`.

    Of an account key, a connection string and a shared access signature one is used: the one
    given, else the one of the environment, else Azure AD as `DefaultAzureCredential` finds it.
    """

    scheme: ClassVar[str] = "az"
    talkative: ClassVar[tuple[str, ...]] = ("adlfs", "fsspec")

    def __init__(
        self,
        location: AzureLocation,
        options: Mapping[str, str],
        credentials: Mapping[str, str] | None = None,
        patience: Patience | None = None,
    ) -> None:
        super().__init__(location, options, credentials, patience)
        self.root = f"{location.container}/{location.prefix}".rstrip("/")
        account = _account(location, options, credentials or _of_environment(location))
        self._redactor = self._redactor.knowing(account.secrets)
        if account.endpoint_url is not None:
            self.options = {**options, "endpoint_url": account.endpoint_url}
            check_options(self.options, self.scheme, _VARIABLES["azure_connection_string"])
        self._encryption = {
            name: options[name] for name in ("encryption_scope",) if name in options
        }
        limits = {
            "retry_total": 0,  # asking again is left to `Patience` alone
            "connection_timeout": self._patience.connect_s,
            "read_timeout": self._patience.answer_s,
        }
        url = account.endpoint_url or f"https://{location.account}.blob.{_CLOUD}"
        if account.credential is None and url.startswith("http://"):
            what = "no credentials were found, and Azure AD's tokens go over https only"
            raise StoreError(what, str(location), CREDENTIALS)
        credential = account.credential or DefaultAzureCredential(**limits)
        self.filesystem = _Blobs(
            client=BlobServiceClient(
                url, credential=credential, raw_request_hook=_in_pieces, **limits
            ),
            credential=credential,
            account_name=location.account,
            use_listings_cache=False,
            skip_instance_cache=True,
        )

    def _put_new(self, key: str, data: bytes, token: str) -> None:
        try:
            self._upload(key, data, overwrite=False, metadata={_WRITER: token})
        except HttpResponseError as error:
            if service_code(error) not in _TAKEN:
                raise
            raise FileExistsError(key) from error

    def _put_over(self, key: str, data: bytes) -> None:
        self._upload(key, data, overwrite=True)

    def _writer_of(self, key: str) -> str | None:
        async def ask(blob: Any) -> Any:
            return await blob.get_blob_properties()

        found = self._at(key, ask, self._patience.transfer_s(0))
        writer: str | None = found.metadata.get(_WRITER)
        return writer

    def _refusal(self, error: Exception, where: str, said: str) -> StoreError | None:
        return azure_refusal(error, where, said)

    def _upload(self, key: str, data: bytes, **how: Any) -> None:
        # Waiting for the answer begins with the sending, so it may take as long as that.
        transfer_s = self._patience.transfer_s(len(data))

        async def put(blob: Any) -> None:
            await blob.upload_blob(data, read_timeout=transfer_s, **self._encryption, **how)

        self._at(key, put, transfer_s)

    def _at(self, key: str, ask: Callable[[Any], Awaitable[Answer]], timeout_s: float) -> Answer:
        """What a blob's client answers, from any thread."""
        container, _, name = key.partition("/")

        async def asked() -> Answer:
            async with self.filesystem.service_client.get_blob_client(container, name) as blob:
                return await ask(blob)

        answer: Answer = sync(self.filesystem.loop, asked, timeout=timeout_s)
        return answer


class _Blobs(AzureBlobFileSystem):  # type: ignore[misc]  # it has no types
    """The file system on a client that was made for it, with its time limits."""

    def __init__(self, *, client: BlobServiceClient, **named: Any) -> None:
        self._client = client
        super().__init__(**named)

    def do_connect(self) -> None:
        self.service_client = self._client

    async def _find(
        self, path: str, withdirs: bool = False, prefix: str = "", **named: Any
    ) -> list[str] | dict[str, Any]:
        if withdirs or prefix or named.get("maxdepth"):
            found: list[str] | dict[str, Any] = await super()._find(
                path, withdirs=withdirs, prefix=prefix, **named
            )
            return found
        # Its own takes a container that is not there for an empty one.
        container, _, folder = path.partition("/")
        async with self.service_client.get_container_client(container) as there:
            start = f"{folder}/" if folder else None
            listed = there.list_blobs(name_starts_with=start, include=["metadata"]).by_page()
            pages, told = Pages(path), []
            async for page in listed:
                told += [blob async for blob in page]
                if listed.continuation_token:
                    pages.ask(listed.continuation_token)
            blobs = await self._details(told)
        files = {blob["name"]: blob for blob in blobs if blob["type"] == "file"}
        return files if named.get("detail") else sorted(files)


def _in_pieces(request: Any) -> None:
    """Lets a large body be sent bit by bit: in one, it would keep all other requests waiting."""
    body = request.http_request.data
    if isinstance(body, bytes) and len(body) > _PIECE:
        request.http_request.data = io.BytesIO(body)


@dataclass(frozen=True, slots=True, repr=False)
class _Account:
    """Where the account is and what opens it: None for the public cloud, and for Azure AD."""

    endpoint_url: str | None
    credential: AzureNamedKeyCredential | AzureSasCredential | None = None
    secrets: tuple[str, ...] = ()


def _of_environment(location: AzureLocation) -> dict[str, str]:
    """The credentials that the environment names for this account."""
    found = {name: value for name, key in _VARIABLES.items() if (value := os.environ.get(key))}
    if len(found) > 1:
        also = " and ".join(_VARIABLES[name] for name in found)
        raise StoreError(f"{also} are set", "environment", "Keep one of them")
    account = os.environ.get(_ACCOUNT)
    if found and account and account != location.account:
        raise StoreError(
            f"the environment's credentials are for the account {account}",
            str(location),
            f"Correct {_ACCOUNT}, or give the credentials of {location.account}",
        )
    return found


def _account(
    location: AzureLocation, options: Mapping[str, str], secrets: Mapping[str, str]
) -> _Account:
    """The account as it is told. Raises StoreError for what contradicts itself."""
    named = options.get("azure_account_name", location.account)
    if named != location.account:
        remedy = "Name the same account in both, or leave the option out"
        raise StoreError(
            f"the option azure_account_name says {named}, the location {location.account}",
            str(location),
            remedy,
        )
    given = [name for name in _VARIABLES if secrets.get(name)]
    endpoint_url = options.get("endpoint_url")
    if not given:
        return _Account(endpoint_url)
    secret = secrets[given[0]]
    if given[0] == "azure_account_key":
        return _by_key(location.account, secret, endpoint_url)
    if given[0] == "azure_sas_token":
        return _by_signature(secret, endpoint_url)
    return _by_connection_string(location, secret, endpoint_url)


def _by_key(account: str, key: str, endpoint_url: str | None) -> _Account:
    try:
        base64.b64decode(key, validate=True)
    except binascii.Error:
        remedy = "Copy it again from the account's access keys"
        raise StoreError("azure_account_key cannot be one", "credentials", remedy) from None
    return _Account(endpoint_url, AzureNamedKeyCredential(account, key), (key,))


def _by_signature(token: str, endpoint_url: str | None) -> _Account:
    token = token.removeprefix("?")
    fields = dict(part.partition("=")[::2] for part in token.split("&"))
    if "sig" not in fields:
        remedy = "Copy the whole of what follows the question mark"
        raise StoreError("azure_sas_token cannot be one", "credentials", remedy)
    secrets = (token, fields["sig"])
    return _Account(endpoint_url, AzureSasCredential(token), secrets)


def _by_connection_string(location: AzureLocation, text: str, endpoint_url: str | None) -> _Account:
    parts = [part.strip().partition("=") for part in text.split(";") if part.strip()]
    told = {name.lower(): value for name, _, value in parts}
    key, token = told.get("accountkey"), told.get("sharedaccesssignature")
    account = told.get("accountname", location.account)
    if account != location.account:
        raise StoreError(
            f"the connection string is for the account {account}",
            str(location),
            f"Give that of {location.account}, or correct the location",
        )
    if endpoint_url is None and (endpoint_url := told.get("blobendpoint")) is None:
        protocol, cloud = told.get("defaultendpointsprotocol", "https"), told.get("endpointsuffix")
        if cloud is not None:
            endpoint_url = f"{protocol}://{account}.blob.{cloud}"
    if bool(key) == bool(token):
        remedy = "Copy it again; it has AccountKey=… or SharedAccessSignature=…"
        raise StoreError("azure_connection_string cannot be one", "credentials", remedy)
    endpoint_url = endpoint_url and endpoint_url.rstrip("/")
    found = _by_key(account, key, endpoint_url) if key else _by_signature(token or "", endpoint_url)
    return _Account(found.endpoint_url, found.credential, (*found.secrets, text))
