"""Carries operations to a service and back: pace, signature, attempts, and errors in one place.

`Channel` knows how; `Account` and `Gateway` know where to and with which credentials.
"""

from __future__ import annotations

import json
import logging
import random
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import httpx
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception

from tidemark import __version__
from tidemark.alibaba.errors import (
    GAVE_UP,
    AlibabaError,
    ExpiredError,
    NoAnswerError,
    ServiceError,
    SignatureError,
    service_error,
)
from tidemark.alibaba.operations import JsonObject, Operation, Parameter
from tidemark.alibaba.pacing import Pace
from tidemark.alibaba.retrying import RetryPolicy
from tidemark.authorization import Authorization, Creation, check_authorization
from tidemark.clock import Clock, SystemClock
from tidemark.errors import ConfigError

__all__ = ["Channel", "ChannelSettings", "Target"]

LOG = logging.getLogger("tidemark.alibaba")
USER_AGENT = f"tidemark/{__version__}"
MASK = "***"
MOST_BYTES = 64 * 2**20
"""The most of one answer that is read, unpacked."""
SHORTEST_SECRET = 6
_NEVER_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
)


@dataclass(frozen=True, slots=True)
class ChannelSettings:
    """How calls are carried: attempts, calls per second, patience.

    `calls_per_s` holds for each product of an account by itself; up to `burst` calls go at once
    after a pause. Timeouts are of one attempt.
    """

    retry: RetryPolicy = field(default_factory=RetryPolicy)
    calls_per_s: float = 20.0
    burst: int = 10
    connect_timeout_s: float = 5.0
    read_timeout_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Target:
    """Where one call goes: the service's base URL, the encoded path and query."""

    base_url: str
    path: str
    query: str

    @property
    def url(self) -> str:
        """The whole URL."""
        return f"{self.base_url}{self.path}{'?' if self.query else ''}{self.query}"


def _new_http_client(
    settings: ChannelSettings, transport: httpx.AsyncBaseTransport
) -> httpx.AsyncClient:
    """A client over the connections that all products of an account share."""
    return httpx.AsyncClient(
        transport=transport, timeout=_timeout(settings), headers={"user-agent": USER_AGENT}
    )


def _network() -> httpx.AsyncBaseTransport:
    # Imported here: it takes a quarter of a second, which who only looks at help need not wait.
    from tidemark.alibaba.transport import AiohttpTransport

    return AiohttpTransport()


def _timeout(settings: ChannelSettings) -> httpx.Timeout:
    return httpx.Timeout(settings.read_timeout_s, connect=settings.connect_timeout_s)


class Channel(ABC):
    """Calls operations, one attempt after another, and answers with their JSON object.

    `http` is the pool of connections; what is sent through it directly is not signed.
    """

    def __init__(
        self,
        region: str,
        *,
        settings: ChannelSettings | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        clock: Clock | None = None,
        draw: random.Random | None = None,
    ) -> None:
        self.region = region
        self.settings = settings or ChannelSettings()
        self.clock: Clock = clock or SystemClock()
        self._draw = draw or random.Random()
        self._transport = transport or _network()
        self.http = _new_http_client(self.settings, self._transport)
        self._extensions = {"timeout": _timeout(self.settings).as_dict()}
        self._paces: dict[str, Pace] = {}
        self._skew_s = 0.0
        self._ahead_s: float | None = None

    @abstractmethod
    def target(
        self, operation: Operation, parts: Mapping[str, str], query: Mapping[str, Parameter]
    ) -> Target:
        """Where a call goes. Raises ConfigError for a region that the product does not serve."""

    @abstractmethod
    def auth(self, operation: Operation) -> httpx.Auth:
        """What signs a call."""

    @abstractmethod
    def renew_credentials(self) -> None:
        """The service called them expired."""

    def time_s(self) -> float:
        """Seconds since 1970-01-01 UTC, corrected by what a service said of this clock."""
        return self.clock.time() + self._skew_s

    @property
    def clock_ahead_s(self) -> float | None:
        """By how many seconds at least this machine's clock is ahead of the service's, below 0 for
        one that is behind; by the date of the last answer that told one, None before it."""
        return self._ahead_s

    async def call(
        self,
        operation: Operation,
        *,
        parts: Mapping[str, str] | None = None,
        query: Mapping[str, Parameter] | None = None,
        body: Mapping[str, object] | None = None,
        authorization: Authorization | None = None,
        secrets: Sequence[str] = (),
    ) -> JsonObject:
        """Call an operation and return its answer.

        What reads is tried again after any failure that may pass, what changes something only
        after one that certainly had no effect. `secrets` are values in `body` that no error may
        repeat. Raises AlibabaError, and RefusedError where leave to create is missing.
        """
        try:
            target = self.target(operation, parts or {}, query or {})
            content = b"" if body is None else _json(body)
        except ValueError as error:
            raise _unwritable(operation, error) from None
        if operation.effect == "creates":
            check_authorization(
                authorization,
                Creation(target.base_url, operation.action, body or {}),
            )
        begun_s = self.clock.monotonic()
        repaired: set[type[ServiceError]] = set()

        async def attempt() -> JsonObject:
            return await self._repaired(operation, target, content, secrets, repaired)

        try:
            return await attempt()
        except AlibabaError as error:
            if not _may_repeat(operation, error):
                raise
            return await self._try_again(operation, attempt, error, begun_s)

    async def _try_again(
        self,
        operation: Operation,
        attempt: Callable[[], Awaitable[JsonObject]],
        failed: AlibabaError,
        begun_s: float,
    ) -> JsonObject:
        """Attempts after the first, which `failed`, as the policy has them."""
        policy = self.settings.retry
        first: list[AlibabaError] = [failed]

        async def next_attempt() -> JsonObject:
            if first:
                raise first.pop()  # it has been made
            return await attempt()

        def enough(state: RetryCallState) -> bool:
            spent_s = self.clock.monotonic() - begun_s + state.upcoming_sleep
            return state.attempt_number >= policy.attempts or spent_s > policy.total_s

        def wait_s(state: RetryCallState) -> float:
            error = state.outcome.exception() if state.outcome else None
            hint_s = getattr(error, "retry_after_s", None)
            return policy.wait_s(state.attempt_number, hint_s, self._draw)

        retrying = AsyncRetrying(
            retry=retry_if_exception(lambda error: _may_repeat(operation, error)),
            stop=enough,
            wait=wait_s,
            sleep=self.clock.sleep,
            reraise=True,
        )
        return await retrying(next_attempt)

    async def _repaired(
        self,
        operation: Operation,
        target: Target,
        content: bytes,
        secrets: Sequence[str],
        repaired: set[type[ServiceError]],
    ) -> JsonObject:
        """One attempt, and one more for a clock or credentials that could be put right."""
        while True:
            try:
                return await self._attempt(operation, target, content, secrets)
            except (SignatureError, ExpiredError) as error:
                kind = type(error)
                if error.code.startswith("SignatureNonceUsed") and operation.effect != "reads":
                    # This very request was taken already, by way of something that repeated it.
                    error.effect_unknown = True
                    raise
                mendable = error.code.startswith(
                    ("InvalidTimeStamp.Expired", "SignatureNonceUsed", "InvalidSecurityToken")
                )
                if kind in repaired or not mendable:
                    raise
                repaired.add(kind)
                if isinstance(error, ExpiredError):
                    self.renew_credentials()

    async def _attempt(
        self, operation: Operation, target: Target, content: bytes, secrets: Sequence[str]
    ) -> JsonObject:
        pace = self._pace(operation)
        await pace.turn()
        request = self._request(operation, target, content)
        host = urlsplit(target.base_url).netloc
        begun, sent_s = self.clock.monotonic(), self.clock.time()
        failed: NoAnswerError | None = None
        try:
            answer = await self._send(request, self.auth(operation))
        except _NEVER_SENT as error:
            failed = self._unanswered(operation, host, error, sent=False)
        except (httpx.TransportError, httpx.DecodingError) as error:
            failed = self._unanswered(operation, host, error, sent=True)
        if failed is not None:
            raise failed  # by itself: its cause holds the request, and what it is signed with
        LOG.debug(
            "%s at %s: HTTP %d in %.3f s",
            operation.action,
            host,
            answer.status_code,
            self.clock.monotonic() - begun,
        )
        document = _object(answer)
        if answer.is_success and document is not None:
            self._compare_clocks(answer, sent_s)
            return document
        if answer.is_success:
            what = f"{operation.action} was answered with something that is no JSON object"
            raise NoAnswerError(what, host, sent=True)
        hint_s = _retry_after_s(answer)
        hidden = [*secrets, *_sent_secrets(request)]
        refused = service_error(
            operation.action,
            host,
            answer.status_code,
            _without(document or {}, hidden),
            retry_after_s=hint_s,
        )
        if answer.status_code >= 500 or answer.status_code in GAVE_UP or answer.is_redirect:
            refused.effect_unknown = True  # whatever the code says: it may be the gateway's
        if hint_s is not None and refused.retryable:
            pace.hold(min(hint_s, self.settings.retry.total_s))
        if isinstance(refused, SignatureError):
            self._set_skew(answer)
        raise refused

    def _request(self, operation: Operation, target: Target, content: bytes) -> httpx.Request:
        headers = {
            "accept": "application/json",
            "user-agent": USER_AGENT,
            "x-acs-action": operation.action,
            "x-acs-version": operation.product.version,
        }
        if content:
            headers["content-type"] = "application/json; charset=utf-8"
        try:
            return httpx.Request(
                operation.method,
                target.url,
                headers=headers,
                content=content or None,
                extensions=self._extensions,
            )
        except httpx.InvalidURL as error:
            raise _unwritable(operation, error) from None

    async def _send(self, request: httpx.Request, auth: httpx.Auth) -> httpx.Response:
        # A client would also look for cookies and redirects in each answer, which no service has.
        async for signed in auth.async_auth_flow(request):
            answer = await self._transport.handle_async_request(signed)
            try:
                return await _read(answer)
            finally:
                await answer.aclose()
        raise AssertionError("a signature sends one request")

    def _unanswered(
        self, operation: Operation, host: str, error: Exception, *, sent: bool
    ) -> NoAnswerError:
        from tidemark.alibaba.transport import AnswerTooLarge  # where it is needed, as above

        reason = str(error) or type(error).__name__
        if isinstance(error, AnswerTooLarge):
            too_large = NoAnswerError(f"{operation.action} was {reason}", host, sent=sent)
            too_large.retryable = False  # the next one would be no smaller
            if operation.effect == "reads":
                too_large.remedy = "See what stands between here and the service"
            return too_large
        did = "got no answer" if sent else "could not be sent"
        return NoAnswerError(f"{operation.action} {did} ({reason})", host, sent=sent)

    def _pace(self, operation: Operation) -> Pace:
        name = operation.product.name
        if name not in self._paces:
            settings = self.settings
            self._paces[name] = Pace(settings.calls_per_s, self.clock, settings.burst)
        return self._paces[name]

    def _set_skew(self, answer: httpx.Response) -> None:
        told_s = _told_s(answer)
        if told_s is not None:
            self._skew_s = told_s - self.clock.time()

    def _compare_clocks(self, answer: httpx.Response, sent_s: float) -> None:
        told_s = _told_s(answer)
        if told_s is None:
            return
        # It was told in whole seconds, at some moment between the request and the answer.
        least_s, most_s = sent_s - told_s - 1, self.clock.time() - told_s
        self._ahead_s = max(least_s, 0.0) or min(most_s, 0.0)

    async def aclose(self) -> None:
        """Close the connections."""
        await self.http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()


async def _read(answer: httpx.Response) -> httpx.Response:
    """The answer with its body. Raises AnswerTooLarge as soon as that is more than MOST_BYTES."""
    if answer.is_closed:
        return answer  # its transport has read it, and has a bound of its own
    content = bytearray()
    async for part in answer.aiter_bytes():
        content += part
        if len(content) > MOST_BYTES:
            from tidemark.alibaba.transport import AnswerTooLarge  # where it is needed, as above

            raise AnswerTooLarge(f"answered with more than {MOST_BYTES} bytes")
    # What describes how the body came has been undone.
    wire = ("content-encoding", "content-length", "transfer-encoding")
    headers = [pair for pair in answer.headers.multi_items() if pair[0].lower() not in wire]
    return httpx.Response(answer.status_code, headers=headers, content=bytes(content))


def _unwritable(operation: Operation, error: Exception) -> ConfigError:
    return ConfigError(
        f"cannot be written as a request ({error})",
        operation.action,
        "Correct the names and texts that it is called with",
    )


def _may_repeat(operation: Operation, error: BaseException) -> bool:
    if not isinstance(error, AlibabaError) or not error.retryable:
        return False
    return operation.effect == "reads" or not error.effect_unknown


def _json(body: Mapping[str, object]) -> bytes:
    return json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def _object(answer: httpx.Response) -> JsonObject | None:
    try:
        document = json.loads(answer.content)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _told_s(answer: httpx.Response) -> float | None:
    """The service's time in seconds since 1970-01-01 UTC, as its answer is dated."""
    try:
        # A server in front may add its own before it.
        return parsedate_to_datetime(answer.headers.get_list("date")[-1]).timestamp()
    except (IndexError, ValueError, TypeError, OverflowError):
        return None


def _retry_after_s(answer: httpx.Response) -> float | None:
    """What the service asks to wait: its own header in milliseconds first, then the common one."""
    for name, unit_s in (("x-acs-retry-after", 0.001), ("retry-after", 1.0)):
        try:
            value = float(answer.headers[name]) * unit_s
        except (KeyError, ValueError):
            continue
        if 0 <= value < float("inf"):
            return value
    return None


def _sent_secrets(request: httpx.Request) -> list[str]:
    """What a service could repeat of the headers it got."""
    found = [
        request.headers.get(name, "")
        for name in ("authorization", "x-acs-security-token", "x-acs-accesskey-id")
    ]
    for value in found[:1]:
        found += [value.partition("Credential=")[2].partition(",")[0]]
        found += [part for part in value.replace(":", " ").split(" ") if len(part) > 6]
        found += [value.partition("Signature=")[2]]
    return [value for value in found if value]


def _without(document: JsonObject, hidden: Sequence[str]) -> JsonObject:
    # Taking every "k" out of a message would leave no message.
    known = sorted({each for each in hidden if len(each) >= SHORTEST_SECRET}, key=len, reverse=True)

    def clean(value: object) -> object:
        if isinstance(value, str):
            for secret in known:
                value = value.replace(secret, MASK)
        elif isinstance(value, dict):
            return {clean(name): clean(each) for name, each in value.items()}
        elif isinstance(value, list):
            return [clean(each) for each in value]
        return value

    return {name: clean(value) for name, value in document.items()}
