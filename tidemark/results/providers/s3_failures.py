"""What Amazon S3 and its client answer, as a StoreError that says what to do."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from tidemark.errors import StoreAway, StoreBusy, StoreError
from tidemark.results.failures import BUSY, ROOM, WAIT, of_status, unreachable

__all__ = ["s3_refusal", "service_code"]

_KEYS = "environment, profile, or what the store was given"
_CREDENTIALS = (
    "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or run where a role is given"
)
_RIGHTS = (
    "Allow these credentials s3:PutObject, s3:GetObject and s3:ListBucket there (with sse=aws:kms "
    "also the use of the key), or use others"
)
_EXPIRED = (StoreAway, "the credentials have expired", "Log in again")
_ANOTHER_REGION = (
    StoreError, "the bucket is in another region", "Name it: s3://bucket@region/…")  # fmt: skip
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
    "QuotaExceeded": (StoreAway, "the quota is used up", ROOM),
    "XMinioAdminBucketQuotaExceeded": (StoreAway, "the quota is used up", ROOM),
    "XMinioStorageFull": (StoreAway, "the service's disk is full", ROOM),
    "ConditionalRequestConflict": (StoreBusy, "another writer is at the same file", "Try again"),
    "OperationAborted": (StoreBusy, "another writer is at the same file", "Try again"),
    "409": (StoreBusy, "another writer is at the same file", "Try again"),
    "RequestTimeout": (StoreBusy, BUSY, WAIT),
    "SlowDown": (StoreBusy, "the service asks for fewer requests", WAIT),
    "NotImplemented": (
        StoreError, "the service does not know this request",
        "Use a service that creates objects only if absent (If-None-Match), or a folder"),
    "PermanentRedirect": _ANOTHER_REGION,
    "AuthorizationHeaderMalformed": _ANOTHER_REGION,
    "301": _ANOTHER_REGION,
}  # fmt: skip

_CLIENT: Final = ("botocore", "aiobotocore")
_UNREACHABLE: Final = (
    "Connect", "Timeout", "HTTPClient", "Stream", "Payload", "IncompleteRead", "SSL",
)  # fmt: skip


def service_code(error: BaseException) -> str | None:
    """The code a service answered with, such as NoSuchBucket; None if none answered."""
    response = _response(error)
    return None if response is None else str(response.get("Error", {}).get("Code"))


def s3_refusal(error: Exception, where: str, said: str) -> StoreError | None:
    """What the service answered, or its client could not do; None for what is neither's."""
    if (code := service_code(error)) is not None:
        return _of_service(error, code, where, f"{code}: {said}")
    if isinstance(error, json.JSONDecodeError | UnicodeDecodeError):
        # S3 itself speaks no JSON: it is what the client asks for credentials.
        return StoreAway(
            "the credentials cannot be read: what gives them answers no JSON",
            where,
            "Check the credential_process of the profile: run it, and look at what it prints",
        )
    if type(error).__module__.partition(".")[0] in _CLIENT:
        return _of_client(type(error).__name__, where, said)
    return None


def _response(error: BaseException) -> Mapping[str, Any] | None:
    seen: BaseException | None = error
    while seen is not None:
        response = getattr(seen, "response", None)
        if isinstance(response, Mapping):
            return response
        seen = seen.__cause__
    return None


def _of_service(error: Exception, code: str, where: str, said: str) -> StoreError:
    """By its code or, where that says no more, by its HTTP status."""
    if code in _BY_CODE:
        kind, what, remedy = _BY_CODE[code]
        return kind(what, where, remedy)
    if isinstance(error, FileNotFoundError):
        return StoreError("there is no such file", where, "Check the store's location")
    if code.startswith("KMS."):
        return StoreAway(
            f"the encryption key cannot be used: {said}", where, "Check sse_kms_key_id"
        )
    if isinstance(error, PermissionError):
        return StoreAway(f"access is denied: {said}", where, _RIGHTS)
    response = _response(error) or {}
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    if not isinstance(status, int):
        status = int(code) if code.isdecimal() else 0
    return of_status(status, said, where, _RIGHTS)


def _of_client(name: str, where: str, said: str) -> StoreError:
    if "Credential" in name:
        return StoreAway("no credentials were found", where, _CREDENTIALS)
    if "Token" in name or "SSO" in name:
        return StoreAway(f"the credentials have expired: {said}", where, "Log in again")
    if name == "ProfileNotFound":
        return StoreError("there is no such profile", where, "Check AWS_PROFILE or the option")
    if any(word in name for word in _UNREACHABLE):
        return unreachable(said, where)
    if name == "ResponseParserError":  # half an answer, or the page of something in between
        return StoreBusy(f"{BUSY}: {said}", where, WAIT)
    return StoreError(f"{name}: {said}", where, "Check the store's location and its options")
