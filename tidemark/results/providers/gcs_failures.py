"""What Google Cloud Storage and its client answer, as a StoreError that says what to do."""

from __future__ import annotations

import json
from typing import Final

from tidemark.errors import StoreAway, StoreBusy, StoreError
from tidemark.results.failures import BUSY, ROOM, WAIT, of_status, unreachable

__all__ = ["GcsAnswer", "gcs_refusal"]

_CREDENTIALS: Final = (
    "Give gcp_credentials_path, set GOOGLE_APPLICATION_CREDENTIALS, run "
    "'gcloud auth application-default login', or run where a service account is given"
)
_RIGHTS: Final = (
    "Allow these credentials storage.objects.create, get, list and delete there (the role Storage "
    "Object User), or use others"
)
_BY_REASON: Final[dict[str, tuple[type[StoreError], str, str]]] = {
    "rateLimitExceeded": (StoreBusy, "the service asks for fewer requests", WAIT),
    "userRateLimitExceeded": (StoreBusy, "the service asks for fewer requests", WAIT),
    "quotaExceeded": (StoreAway, "the quota is used up", ROOM),
    "accountDisabled": (StoreAway, "the account is disabled", "Ask whoever runs the project"),
    "userProjectMissing": (
        StoreAway, "the bucket has whoever asks pay", "Name a project: gcp_project_id"),
    "userProjectAccessDenied": (
        StoreAway, "the project may not be used", "Check gcp_project_id, and the rights there"),
    "conflict": (StoreBusy, "another writer is at the same file", "Try again"),
}  # fmt: skip


class GcsAnswer(Exception):
    """What the service answered to a request it did not fulfil.

    `status` is that of HTTP, `reason` the service's word such as notFound, `names_object` says
    that the request was for one object that should be there.
    """

    def __init__(self, status: int, reason: str, message: str, names_object: bool) -> None:
        super().__init__(status, reason, message, names_object)
        self.status = status
        self.reason = reason
        self.message = message
        self.names_object = names_object

    @classmethod
    def of(cls, status: int, content: bytes, names_object: bool) -> GcsAnswer:
        """The answer whose body is `content`: the service's JSON, or anything."""
        text = content[:4000].decode("utf-8", "replace")
        try:
            error = json.loads(content)["error"]
            message = str(error.get("message", ""))
            reason = str(error["errors"][0]["reason"]) if error.get("errors") else ""
        except (ValueError, TypeError, KeyError, IndexError, AttributeError):
            return cls(status, "", text.strip(), names_object)
        return cls(status, reason, message, names_object)


def gcs_refusal(error: Exception, where: str, said: str) -> StoreError | None:
    """What the service answered, or its client could not do; None for what is neither's."""
    if (answer := _answer(error)) is not None:
        return _of_service(answer, where, said)
    module = type(error).__module__
    if module.startswith("google.auth."):
        return _of_sign_in(error, where, said)
    if module.startswith(("gcsfs.", "google.")):
        remedy = "Check the store's location and its options"
        return StoreError(f"{type(error).__name__}: {said}", where, remedy)
    return None


def _answer(error: BaseException) -> GcsAnswer | None:
    seen: BaseException | None = error
    while seen is not None and not isinstance(seen, GcsAnswer):
        seen = seen.__cause__
    return seen


def _of_service(answer: GcsAnswer, where: str, said: str) -> StoreError:
    """By the word for its reason or, where that says no more, by its HTTP status."""
    if answer.reason in _BY_REASON:
        kind, what, remedy = _BY_REASON[answer.reason]
        return kind(what, where, remedy)
    said = said.partition("\n")[2] or said  # the first line only repeats the address
    if "cloudkms" in answer.message or "KMS" in answer.message:
        return StoreAway(
            f"the encryption key cannot be used: {said}",
            where,
            "Check kms_key_name, and allow the project's storage service agent to use the key",
        )
    if answer.status == 404:
        if answer.names_object and "bucket does not exist" not in answer.message:
            return StoreError("there is no such file", where, "Check the store's location")
        return StoreAway("there is no such bucket", where, "Create it, or correct the name")
    if answer.status == 401:
        return StoreAway("the credentials are refused", where, _CREDENTIALS)
    if answer.status == 408:
        return StoreBusy(f"{BUSY}: {said}", where, WAIT)
    return of_status(answer.status, said, where, _RIGHTS)


def _of_sign_in(error: Exception, where: str, said: str) -> StoreError:
    """What the place that gives out tokens answered."""
    name = type(error).__name__
    if name == "DefaultCredentialsError":
        return StoreAway("no credentials were found", where, _CREDENTIALS)
    if name == "TransportError" or getattr(error, "retryable", False):
        return unreachable(said, where)
    if "invalid_grant" in said:
        remedy = (
            "Check that the key of the service account is still there, and this machine's clock"
        )
        return StoreAway(f"the credentials are refused: {said}", where, remedy)
    return StoreAway(f"signing in failed: {said}", where, _CREDENTIALS)
