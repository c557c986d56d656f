"""What OSS and its client answer, as a StoreError that says what to do.

Codes: "Error codes", OSS API reference.
"""

from __future__ import annotations

from typing import Final

from alibabacloud_oss_v2 import exceptions

from tidemark.alibaba.errors import AlibabaError
from tidemark.errors import StoreAway, StoreBusy, StoreError
from tidemark.results.failures import BUSY, WAIT, of_status, unreachable

__all__ = ["EXPIRED", "oss_refusal"]

EXPIRED: Final = "SecurityTokenExpired"

_KEYS = "environment, profile, or what the store was given"
_RIGHTS = (
    "Allow these credentials oss:PutObject, oss:GetObject and oss:ListObjects there (with sse=KMS "
    "also kms:GenerateDataKey and kms:Decrypt), or use others"
)
_TOKEN = (StoreAway, "the security token is wrong", f"Check the security token ({_KEYS})")
_STYLE = (StoreError, "the bucket's name has to be in the host", "Set addressing_style=virtual")
_KMS = "the encryption key cannot be used"
_BY_CODE: Final[dict[str, tuple[type[StoreError], str, str]]] = {
    "NoSuchBucket": (StoreAway, "there is no such bucket", "Create it, or correct the name"),
    "InvalidAccessKeyId": (
        StoreAway, "the access key is not known there", f"Check the access key id ({_KEYS})"),
    "SignatureDoesNotMatch": (
        StoreAway, "the access key secret is wrong", f"Check the access key secret ({_KEYS})"),
    EXPIRED: (StoreAway, "the credentials have expired", "Log in again"),
    "InvalidSecurityToken": _TOKEN,
    "SecurityTokenNotSupported": _TOKEN,
    "RequestTimeTooSkewed": (StoreAway, "this machine's clock is wrong", "Set the clock"),
    "UserDisable": (
        StoreAway, "the account is disabled or in arrears", "Settle it with Alibaba Cloud"),
    "FileImmutable": (
        StoreError, "a retention policy of the bucket protects it", "Use another store"),
    "SecondLevelDomainForbidden": _STYLE,
    "InvalidDigest": (StoreBusy, "the bytes changed on the way", "Try again"),
    "RequestTimeout": (StoreBusy, BUSY, WAIT),
    "QpsLimitExceeded": (StoreBusy, "the service asks for fewer requests", WAIT),
}  # fmt: skip


def oss_refusal(error: Exception, where: str, said: str) -> StoreError | None:
    """What the service answered, or its client could not do; None for what is neither's."""
    if isinstance(error, exceptions.ServiceError):
        return _of_service(error, where)
    if isinstance(error, exceptions.CredentialsFetchError):
        cause = error.kwargs.get("error")
        if isinstance(cause, AlibabaError):
            place = f"{cause.where}: " if cause.where else ""
            return StoreAway(f"no credentials: {place}{cause.what}", where, cause.remedy)
        return StoreAway(f"no credentials: {said}", where, "Give an access key")
    if isinstance(error, exceptions.RequestError | exceptions.ResponseError):
        return unreachable(said, where)
    if isinstance(error, exceptions.BaseError):
        remedy = "Check the store's location and its options"
        return StoreError(f"{type(error).__name__}: {said}", where, remedy)
    return None


def _of_service(error: exceptions.ServiceError, where: str) -> StoreError:
    """By its code or, where that says no more, by its HTTP status."""
    code, message = str(error.code), str(error.message)
    if code in _BY_CODE:
        kind, what, remedy = _BY_CODE[code]
        return kind(what, where, remedy)
    # Two codes stand for much else too; these messages are the only sign of a wrong region.
    if "signing region" in message or "specified endpoint" in message:
        endpoint = (error.error_fileds or {}).get("Endpoint")
        found = f" ({endpoint})" if endpoint else ""
        remedy = "Name its region: oss://bucket@region/…, or the option region"
        return StoreError(f"the bucket is in another region{found}", where, remedy)
    said = f"{code}: {message}"[:300]
    if code.lower().startswith(("kms", "invalidkms")):
        return StoreAway(f"{_KMS}: {said}", where, "Check sse_kms_key_id, and that KMS is on")
    return of_status(int(error.status_code or 0), said, where, _RIGHTS)
