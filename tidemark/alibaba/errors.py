"""What goes wrong between here and Alibaba Cloud.

TidemarkError
└── AlibabaError             a call that did not do what was asked
    ├── CredentialError      no credentials, or none that can be used
    ├── NoAnswerError        nothing came back, or nothing that can be read
    └── ServiceError         the service answered with an error: code, message, request id
        ├── ThrottledError   too many calls; asking later helps
        ├── ServerError      it failed on the service's side
        ├── SignatureError   clock, nonce or signature are not accepted
        ├── AccessError      these credentials may not do this
        │   └── ExpiredError   and were valid until a moment ago
        ├── NotFoundError    there is no such thing, or no such operation
        ├── CapacityError    no stock, no quota
        └── InvalidRequestError  the request itself

`effect_unknown` says whether a call that changes something may have had its effect: such a call is
never sent again by itself, the caller looks what is there. Classes follow the code and not the HTTP
status alone, since throttling mostly comes with 400.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from tidemark.alibaba.explanations import advice_for
from tidemark.errors import TidemarkError

__all__ = [
    "GAVE_UP",
    "AccessError",
    "AlibabaError",
    "CapacityError",
    "CredentialError",
    "ExpiredError",
    "InvalidRequestError",
    "NoAnswerError",
    "NotFoundError",
    "ServerError",
    "ServiceError",
    "SignatureError",
    "ThrottledError",
    "service_error",
]


class AlibabaError(TidemarkError):
    """A call to Alibaba Cloud that did not do what was asked.

    `effect_unknown`: whether it may have had its effect all the same. `retryable`: whether the
    same call may succeed in a moment.
    """

    effect_unknown = False
    retryable = False


class CredentialError(AlibabaError):
    """No credentials, or none that can be used."""


class NoAnswerError(AlibabaError):
    """Nothing came back, or nothing that can be read.

    `effect_unknown` is False when the request was never sent, for one that could not connect.
    """

    retryable = True

    def __init__(self, what: str, where: str, *, sent: bool) -> None:
        remedy = "Look whether it took effect before asking again"
        if not sent and re.match(r"(127\.|localhost|\[::1\])", where):
            remedy = (
                "Start the simulator there (tidemark simulate pai --port PORT), or correct the "
                "address (--endpoint, TIDEMARK_PAI_ENDPOINT)"
            )
        elif not sent:
            remedy = (
                "See that this machine reaches the service, directly or through the proxy that its "
                "variables name, or correct the address (--endpoint, TIDEMARK_PAI_ENDPOINT)"
            )
        if "WRONG_VERSION_NUMBER" in what:
            remedy = "There is no TLS at that address: write http:// in place of https://"
        super().__init__(what, where, remedy)
        self.effect_unknown = sent


class ServiceError(AlibabaError):
    """The service answered with an error.

    `status` is the HTTP status, `retry_after_s` what the service asked to wait, in seconds,
    `recommend` its own link, all None where it said nothing.
    """

    default_remedy = "See `tidemark explain` for the code, and the service's own page"

    def __init__(
        self,
        action: str,
        host: str,
        *,
        status: int,
        code: str,
        message: str,
        request_id: str | None = None,
        recommend: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        stated = "" if code.startswith("HTTP ") else f"HTTP {status}, "
        asked = f" ({stated}request {request_id or 'unknown'})"
        said = f": {message.rstrip('.')}" if message else ""
        remedy = advice_for(code) or self.default_remedy
        super().__init__(f"{action} was answered with {code}{said}{asked}", host, remedy)
        self.action = action
        self.status = status
        self.code = code
        self.message = message
        self.request_id = request_id
        self.recommend = recommend
        self.retry_after_s = retry_after_s


class ThrottledError(ServiceError):
    """Too many calls: nothing was done, and asking later helps."""

    retryable = True
    default_remedy = "Ask less often: lower the calls per second of this account"


class ServerError(ServiceError):
    """It failed on the service's side; whether it had an effect is not known."""

    retryable = True
    effect_unknown = True
    default_remedy = "Ask again in a moment; if it stays, give the request id to the provider"


class SignatureError(ServiceError):
    """Clock, nonce or signature are not accepted."""

    default_remedy = "Compare this machine's clock with the time, and the access key secret"


class AccessError(ServiceError):
    """These credentials may not do this."""

    default_remedy = "Grant the RAM permission for this operation, or use other credentials"


class ExpiredError(AccessError):
    """The credentials were valid until a moment ago."""

    default_remedy = "Renew the temporary credentials"


class NotFoundError(ServiceError):
    """There is no such thing, or no such operation."""

    default_remedy = "Compare the id, the region and the workspace"


class CapacityError(ServiceError):
    """No stock or no quota for what was asked."""

    default_remedy = "Choose another instance type or region, or try at another time"


class InvalidRequestError(ServiceError):
    """The request itself cannot be carried out as it is."""


GAVE_UP = (408, 499)
"""HTTP statuses of gateways that stopped waiting for a service which may be at work."""

# The first prefix that fits decides: longer ones stand before what they begin with.
_BY_CODE: tuple[tuple[str, type[ServiceError]], ...] = (
    ("Throttling", ThrottledError),
    ("ServiceThrottling", ThrottledError),
    ("FlowControl", ThrottledError),
    ("TooManyRequests", ThrottledError),
    ("ServiceUnavailable", ServerError),
    ("InternalError", ServerError),
    ("InternalFailure", ServerError),
    ("InternalServerError", ServerError),
    ("UnknownError", ServerError),
    ("OperationTimeout", ServerError),
    ("ReadTimeOut", ServerError),
    ("InvalidTimeStamp", SignatureError),
    ("SignatureNonceUsed", SignatureError),
    ("SignatureDoesNotMatch", SignatureError),
    ("IncompleteSignature", SignatureError),
    ("InvalidSecurityToken.Expired", ExpiredError),
    ("InvalidSecurityToken", AccessError),
    ("InvalidAccessKeyId", AccessError),
    ("Forbidden", AccessError),
    ("NoPermission", AccessError),
    ("OperationForbidden", AccessError),
    ("AccessDenied", AccessError),
    ("Unauthorized", AccessError),
    ("ResourceAllocateFailed", CapacityError),
    ("OperationDenied.NoStock", CapacityError),
    ("NoStock", CapacityError),
    ("QuotaExceed", CapacityError),
    ("InvalidAction.NotFound", NotFoundError),
    ("NotFound", NotFoundError),
    ("InvalidParameter", InvalidRequestError),
    ("MissingParameter", InvalidRequestError),
    ("BadRequest", InvalidRequestError),
)


def service_error(
    action: str,
    host: str,
    status: int,
    document: Mapping[str, object],
    *,
    retry_after_s: float | None = None,
) -> ServiceError:
    """The error that an answer is: its class by code first, by HTTP status for unknown codes.

    `document` is the answer's JSON object; PAI's services write its names with or without a
    capital. Without a code, `HTTP <status>` stands for it.
    """

    def said(*names: str) -> str:
        for name in names:
            value = document.get(name)
            if value is not None and value != "":
                return "".join(c if c.isprintable() else " " for c in str(value))[:2000]
        return ""

    code = said("Code", "code") or f"HTTP {status}"
    return _class_of(code, status)(
        action,
        host,
        status=status,
        code=code,
        message=said("Message", "message", "Description", "Detail"),
        request_id=said("RequestId", "requestId", "request_id") or None,
        recommend=said("Recommend", "recommend") or None,
        retry_after_s=retry_after_s,
    )


def _class_of(code: str, status: int) -> type[ServiceError]:
    for prefix, kind in _BY_CODE:
        if code.startswith(prefix):
            return kind
    if code.endswith(".NotFound") or (status == 404 and code.startswith("HTTP")):
        return NotFoundError
    if status == 429:
        return ThrottledError
    if status >= 500 or status in GAVE_UP:
        return ServerError
    if status in (401, 403):
        return AccessError
    return NotFoundError if status == 404 else InvalidRequestError
