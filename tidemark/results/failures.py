"""What file systems and services raise, as a StoreError that says what to do.

The class tells what may help: StoreBusy asking again in a moment, StoreAway writing the same file
there later, any other StoreError something else than waiting.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator, Mapping
from typing import Any, Final

from tidemark.errors import AlreadyThere, StoreAway, StoreBusy, StoreError
from tidemark.results.redact import Redactor

__all__ = ["explained", "service_code"]

_SHAPES_ONLY = Redactor()

_KEYS = "environment, profile, or what the store was given"
_CREDENTIALS = (
    "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or run where a role is given"
)
_RIGHTS = (
    "Allow these credentials s3:PutObject, s3:GetObject and s3:ListBucket there (with sse=aws:kms "
    "also the use of the key), or use others"
)
_PERMISSION = "Give this user the right to read and write there, or use another store"
_ROOM = "Make room, or use another store"
_EXPIRED = (StoreAway, "the credentials have expired", "Log in again")
_ANOTHER_REGION = (
    StoreError, "the bucket is in another region", "Name it: s3://bucket@region/…")  # fmt: skip
_BUSY = "the service cannot do it now"
_WAIT = "Wait, or ask whoever runs the service"

_BY_CODE: Final[dict[str, tuple[type[StoreError], str, str]]] = {
    "NoSuchBucket": (StoreAway, "there is no such bucket", "Create it, or correct the name"),
    "InvalidAccessKeyId": (
        StoreAway, "the access key is not known there", f"Check the access key id ({_KEYS})"),
    "SignatureDoesNotMatch": (
        StoreAway, "the secret key is wrong", f"Check the secret access key ({_KEYS})"),
    "AccessDenied": (StoreAway, "access is denied", _RIGHTS),
    "AllAccessDisabled": (StoreAway, "access is denied", _RIGHTS),
    "403": (StoreAway, "access is denied", _RIGHTS),
    "ExpiredToken": _EXPIRED,
    "TokenRefreshRequired": _EXPIRED,
    "InvalidToken": (
        StoreAway, "the session token is wrong", f"Check the session token ({_KEYS})"),
    "RequestTimeTooSkewed": (StoreAway, "this machine's clock is wrong", "Set the clock"),
    "QuotaExceeded": (StoreAway, "the quota is used up", _ROOM),
    "XMinioAdminBucketQuotaExceeded": (StoreAway, "the quota is used up", _ROOM),
    "XMinioStorageFull": (StoreAway, "the service's disk is full", _ROOM),
    "ConditionalRequestConflict": (StoreBusy, "another writer is at the same file", "Try again"),
    "OperationAborted": (StoreBusy, "another writer is at the same file", "Try again"),
    "409": (StoreBusy, "another writer is at the same file", "Try again"),
    "RequestTimeout": (StoreBusy, _BUSY, _WAIT),
    "SlowDown": (StoreBusy, "the service asks for fewer requests", _WAIT),
    "NotImplemented": (
        StoreError, "the service does not know this request",
        "Use a service that creates objects only if absent (If-None-Match), or a folder"),
    "PermanentRedirect": _ANOTHER_REGION,
    "AuthorizationHeaderMalformed": _ANOTHER_REGION,
    "301": _ANOTHER_REGION,
}  # fmt: skip

_DEVICE = "Check the disk or the mount"
_BY_ERRNO: Final[dict[int, tuple[type[StoreError], str, str]]] = {
    errno.ENOSPC: (StoreAway, "the disk is full", _ROOM),
    errno.EDQUOT: (StoreAway, "the quota is used up", _ROOM),
    errno.EROFS: (
        StoreAway, "the file system is read-only", "Mount it writable, or use another store"),
    errno.EMFILE: (StoreAway, "too many files are open", "Raise the limit: ulimit -n"),
    errno.EIO: (StoreAway, "reading or writing failed: input/output error", _DEVICE),
    errno.ESTALE: (StoreAway, "the mount has gone", _DEVICE),
    errno.ENOTCONN: (StoreAway, "the mount has gone", _DEVICE),
    errno.EHOSTDOWN: (StoreAway, "the mount does not answer", _DEVICE),
    errno.ENOTDIR: (StoreError, "a file is where a folder should be", "Name a folder"),
    errno.EISDIR: (
        StoreError, "a folder is where a file should be", "Remove it, or use another store"),
    errno.ENAMETOOLONG: (StoreError, "the path is too long", "Use a folder with a shorter path"),
}  # fmt: skip

_NETWORK_PACKAGES: Final = ("botocore", "aiobotocore", "aiohttp", "urllib3")
_NOT_IMPLEMENTED = 501


def service_code(error: BaseException) -> str | None:
    """The code a service answered with, such as NoSuchBucket; None if none answered."""
    response = _response(error)
    return None if response is None else str(response.get("Error", {}).get("Code"))


@contextlib.contextmanager
def explained(where: str, redactor: Redactor = _SHAPES_ONLY) -> Iterator[None]:
    """Turns what file systems and services raise into a StoreError with a remedy."""
    try:
        yield
    except StoreError:
        raise
    except FileExistsError as error:
        remedy = "Another writer was first; what it wrote stays"
        raise AlreadyThere("there is a file of this name", where, remedy) from error
    except OSError as error:
        raise _of_os(error, where, redactor) from error
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in _NETWORK_PACKAGES:
            raise
        raise _of_network(error, where, redactor) from error


def _response(error: BaseException) -> Mapping[str, Any] | None:
    seen: BaseException | None = error
    while seen is not None:
        response = getattr(seen, "response", None)
        if isinstance(response, Mapping):
            return response
        seen = seen.__cause__
    return None


def _of_os(error: OSError, where: str, redactor: Redactor) -> StoreError:
    code, detail = service_code(error), redactor.text(str(error))[:300]
    if code in _BY_CODE:
        kind, what, remedy = _BY_CODE[code]
        return kind(what, where, remedy)
    if code is not None:
        return _of_status(error, code, detail, where)
    if isinstance(error, PermissionError):
        return StoreAway("access is denied", where, _PERMISSION)
    if isinstance(error, FileNotFoundError):
        return StoreError("there is no such file", where, "Check the store's location")
    if isinstance(error, ConnectionError | TimeoutError):
        return _unreachable(detail, where)
    if error.errno in _BY_ERRNO:
        kind, what, remedy = _BY_ERRNO[error.errno]
        return kind(what, where, remedy)
    return StoreError(f"reading or writing failed: {detail}", where, "Try again")


def _of_status(error: OSError, code: str, detail: str, where: str) -> StoreError:
    """A service's answer by its HTTP status, for codes that need no word of their own."""
    if isinstance(error, FileNotFoundError):
        return StoreError("there is no such file", where, "Check the store's location")
    response = _response(error) or {}
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    if not isinstance(status, int):
        status = int(code) if code.isdecimal() else 0
    said = f"{code}: {detail}"
    if status == 429 or (status >= 500 and status != _NOT_IMPLEMENTED):
        return StoreBusy(f"{_BUSY}: {said}", where, _WAIT)
    if code.startswith("KMS."):
        return StoreAway(
            f"the encryption key cannot be used: {said}", where, "Check sse_kms_key_id"
        )
    if status in (401, 403) or isinstance(error, PermissionError):
        return StoreAway(f"access is denied: {said}", where, _RIGHTS)
    remedy = "Check the store's location and its options"
    return StoreError(f"the service refuses it: {said}", where, remedy)


def _of_network(error: Exception, where: str, redactor: Redactor) -> StoreError:
    name = type(error).__name__
    detail = redactor.text(str(error))[:300]
    if "Credential" in name:
        return StoreAway("no credentials were found", where, _CREDENTIALS)
    if "Token" in name or "SSO" in name:
        return StoreAway(f"the credentials have expired: {detail}", where, "Log in again")
    if name == "ProfileNotFound":
        return StoreError("there is no such profile", where, "Check AWS_PROFILE or the option")
    network = ("Connect", "Timeout", "HTTPClient", "Stream", "Payload", "IncompleteRead", "SSL")
    if any(word in name for word in network):
        return _unreachable(detail, where)
    if name == "ResponseParserError":  # half an answer, or the page of something in between
        return StoreBusy(f"{_BUSY}: {detail}", where, _WAIT)
    return StoreError(f"{name}: {detail}", where, "Check the store's location and its options")


def _unreachable(detail: str, where: str) -> StoreError:
    remedy = "Check the network and the option endpoint_url"
    return StoreBusy(f"the service cannot be reached: {detail}", where, remedy)
