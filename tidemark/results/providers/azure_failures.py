"""What Azure Blob Storage and its client answer, as a StoreError that says what to do."""

from __future__ import annotations

from typing import Final

from tidemark.errors import StoreAway, StoreBusy, StoreError
from tidemark.results.failures import BUSY, ROOM, WAIT, of_status, unreachable

__all__ = ["CREDENTIALS", "azure_refusal", "service_code"]

CREDENTIALS: Final = (
    "Give azure_account_key, azure_connection_string or azure_sas_token (environment: "
    "AZURE_STORAGE_ACCOUNT_KEY, AZURE_STORAGE_CONNECTION_STRING, AZURE_STORAGE_SAS_TOKEN), or run "
    "where Azure AD knows who this is"
)
"""What to do without credentials."""

_RIGHTS: Final = (
    "Check the credentials, and allow them to read, add, create, write, delete and list blobs "
    "there (the role Storage Blob Data Contributor), or use others"
)
_WRONG: Final = (
    StoreAway, "the account key or the signature is wrong",
    "Check azure_account_key, azure_connection_string or azure_sas_token, and the account's name",
)  # fmt: skip
_DENIED: Final = (StoreAway, "access is denied", _RIGHTS)
_NO_CONTAINER: Final = (
    StoreAway, "there is no such container", "Create it, or correct the name")  # fmt: skip
_NOBODY: Final = (StoreAway, "the service does not know who asks", CREDENTIALS)
_AT_IT: Final = (StoreBusy, "another writer is at the same file", "Try again")
_BY_CODE: Final[dict[str, tuple[type[StoreError], str, str]]] = {
    "AuthenticationFailed": _WRONG,
    "InvalidAuthenticationInfo": (
        StoreAway, "the credentials are malformed or have expired", CREDENTIALS),
    "NoAuthenticationInformation": _NOBODY,
    "AuthorizationFailure": _DENIED,
    "AuthorizationPermissionMismatch": _DENIED,
    "AuthorizationResourceTypeMismatch": _DENIED,
    "AuthorizationServiceMismatch": _DENIED,
    "AuthorizationSourceIPMismatch": (
        StoreAway, "the signature does not allow this machine's address",
        "Use another signature, or run where it is allowed"),
    "AuthorizationProtocolMismatch": (
        StoreAway, "the signature allows https only", "Use an endpoint_url with https"),
    "InsufficientAccountPermissions": _DENIED,
    "KeyBasedAuthenticationNotPermitted": (
        StoreAway, "the account allows no account keys", "Use Azure AD, or allow keys there"),
    "PublicAccessNotPermitted": _NOBODY,
    "AccountIsDisabled": (StoreAway, "the account is disabled", "Ask whoever runs the account"),
    "ContainerNotFound": _NO_CONTAINER,
    "ContainerDisabled": (StoreAway, "the container is disabled", "Ask whoever runs the account"),
    "ContainerBeingDeleted": (
        StoreAway, "the container is being deleted", "Use another container"),
    "BlobNotFound": (StoreError, "there is no such file", "Check the store's location"),
    "AccountStorageLimitExceeded": (StoreAway, "the account is full", ROOM),
    "AccountBeingCreated": (StoreBusy, BUSY, WAIT),
    "ServerBusy": (StoreBusy, "the service asks for fewer requests", WAIT),
    "OperationTimedOut": (StoreBusy, BUSY, WAIT),
    "BlobAlreadyExists": _AT_IT,
    "ConditionNotMet": _AT_IT,
}  # fmt: skip
_EXPIRED: Final = "not valid in the specified time frame"
_UNREACHABLE: Final = ("ServiceRequest", "ServiceResponse", "IncompleteRead", "Decode")


def service_code(error: BaseException) -> str | None:
    """The code the service answered with, such as ContainerNotFound; None without one."""
    code = getattr(error, "error_code", None)
    return None if code is None else str(getattr(code, "value", code))


def azure_refusal(error: Exception, where: str, said: str) -> StoreError | None:
    """What the service answered, or its client could not do; None for what is neither's."""
    if isinstance(error, FileNotFoundError) and isinstance(error.__cause__, Exception):
        error = error.__cause__  # which says what is missing
    if type(error).__module__.partition(".")[0] not in ("azure", "msal"):
        return None
    refused = "AADSTS" in said  # by Azure AD, in whatever line
    said = said[said.index("AADSTS") if refused else 0 :].partition("\n")[0]
    code, status = service_code(error), getattr(error, "status_code", None)
    if code is not None or status is not None:
        return _of_service(error, code or "", int(status or 0), where, said)
    return _of_client(type(error).__name__, where, said, refused=refused)


def _of_service(error: Exception, code: str, status: int, where: str, said: str) -> StoreError:
    """By its code or, where that says no more, by its HTTP status."""
    if code == "AuthenticationFailed" and _EXPIRED in str(error):
        remedy = "Ask for a new one; if it is one, check this machine's clock"
        return StoreAway("the shared access signature is not valid now", where, remedy)
    if code == "AuthenticationFailed" and "Bearer" in str(_challenge(error)):
        return StoreAway("the token of Azure AD is refused", where, CREDENTIALS)
    if code in _BY_CODE:
        kind, what, remedy = _BY_CODE[code]
        return kind(what, where, remedy)
    if "EncryptionScope" in code or code.startswith("KeyVault"):
        what = f"the encryption scope cannot be used: {code}"
        return StoreAway(what, where, "Check encryption_scope and its key")
    if status == 404:
        return StoreAway(f"there is no such account or container: {code or said}", where,
                         "Check the store's location")  # fmt: skip
    return of_status(status, f"{code}: {said}" if code else said, where, _RIGHTS)


def _challenge(error: Exception) -> str:
    headers = getattr(getattr(error, "response", None), "headers", None) or {}
    return str(headers.get("WWW-Authenticate", ""))


def _of_client(name: str, where: str, said: str, *, refused: bool) -> StoreError:
    if name == "CredentialUnavailableError":
        return StoreAway("no credentials were found", where, CREDENTIALS)
    if name == "ClientAuthenticationError":  # of Azure AD, or none of its sources had any
        what = f"Azure AD refuses the credentials: {said}"
        return StoreAway(what if refused else "no credentials were found", where, CREDENTIALS)
    if name.startswith(_UNREACHABLE):
        return unreachable(said, where)
    return StoreError(f"{name}: {said}", where, "Check the store's location and its options")
