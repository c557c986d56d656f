"""What OCI Object Storage and its client answer, as a StoreError that says what to do."""

from __future__ import annotations

from typing import Final

from tidemark.errors import StoreAway, StoreBusy, StoreError
from tidemark.results.failures import ROOM, WAIT, of_status, unreachable

__all__ = ["oci_refusal"]

_RIGHTS: Final = (
    "Allow them OBJECT_CREATE, OBJECT_READ, OBJECT_INSPECT, OBJECT_OVERWRITE and OBJECT_DELETE in "
    "the bucket, or use others"
)
_AT_IT: Final = (StoreBusy, "another writer is at the same file", "Try again")
# The service answers the same to those who may not know.
_NO_BUCKET: Final = (
    StoreAway, "there is no such bucket, or these credentials may not use it",
    f"Create it, or correct namespace and name. {_RIGHTS}")  # fmt: skip
_BY_CODE: Final[dict[str, tuple[type[StoreError], str, str]]] = {
    "BucketNotFound": _NO_BUCKET,
    "NamespaceNotFound": _NO_BUCKET,
    "NotAuthorizedOrNotFound": _NO_BUCKET,
    "ObjectNotFound": (StoreError, "there is no such file", "Check the store's location"),
    "NotAuthorized": (StoreAway, "access is denied", _RIGHTS),
    "QuotaExceeded": (StoreAway, "the quota is used up", ROOM),
    "StorageQuotaExceeded": (StoreAway, "the quota is used up", ROOM),
    "LimitExceeded": (StoreAway, "a limit of the tenancy is reached", ROOM),
    "StorageLimitExceeded": (StoreAway, "a limit of the tenancy is reached", ROOM),
    "TooManyRequests": (StoreBusy, "the service asks for fewer requests", WAIT),
    "ConcurrentObjectUpdate": _AT_IT,
    "IfNoneMatchFailed": _AT_IT,
}  # fmt: skip


def oci_refusal(error: Exception, where: str, said: str, remedy: str) -> StoreError | None:
    """What the service answered, or its client could not do; None for what is neither's.

    `remedy` says what to do if the service does not know who asks.
    """
    if isinstance(error, FileNotFoundError | PermissionError) and error.__cause__ is not None:
        error = error.__cause__ if isinstance(error.__cause__, Exception) else error
    if type(error).__module__.partition(".")[0] not in ("oci", "ocifs"):
        return None
    status = getattr(error, "status", None)
    if isinstance(status, int):
        return _of_service(error, status, where, remedy)
    text = " ".join(said.split())
    if (
        type(error).__module__.startswith("oci.exceptions")
        and "Request" not in type(error).__name__
    ):
        if "Timeout" in type(error).__name__:
            return unreachable(text, where)
        return StoreError(f"{type(error).__name__}: {text}", where, "Check the options")
    return unreachable(text, where)


def _of_service(error: Exception, status: int, where: str, remedy: str) -> StoreError:
    """By its code or, where that says no more, by its HTTP status."""
    code = str(getattr(error, "code", "") or "")
    message = " ".join(str(getattr(error, "message", "") or "").split())[:300].rstrip(".")
    if code in _BY_CODE:
        kind, what, told = _BY_CODE[code]
        return kind(what, where, told)
    if "kms" in code.lower() or "kms" in message.lower() or "vault" in message.lower():
        what = f"the encryption key cannot be used: {message or code}"
        return StoreAway(what, where, "Check sse_kms_key_id, and allow Object Storage to use it")
    if status == 401:
        return StoreAway(f"the service does not know who asks: {message or code}", where, remedy)
    if status == 404:
        kind, what, told = _BY_CODE["ObjectNotFound" if "/o/" in _path(error) else "BucketNotFound"]
        return kind(what, where, told)
    return of_status(status, f"{code}: {message}", where, _RIGHTS)


def _path(error: Exception) -> str:
    """The address that was asked, as far as the error knows it."""
    return str(getattr(error, "request_endpoint", "") or "")
