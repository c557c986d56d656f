"""Requests to GitHub's REST API: each sent once, bounded in time, and none while it asks to wait.

The token goes to the address that was configured and to the one beside it that takes uploads, to
no other: what is downloaded lies at signed addresses of another host, which the log has to keep
from writing down.
"""

from __future__ import annotations

import json
import logging
import os
import random
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

import httpx

from tidemark import __version__
from tidemark.results.patience import Patience

__all__ = ["Answer", "GithubClient", "GithubRefusal"]

_ACCEPT: Final = "application/vnd.github+json"
_BYTES: Final = "application/octet-stream"
_API_VERSION: Final = "2022-11-28"
_PIECE_BYTES: Final = 2**16
_REDIRECTS: Final = 5
_WITHOUT_A_TIME_S: Final = 60.0
"""How long to wait where GitHub names no time. Source: its "Best practices for the REST API"."""


class GithubRefusal(OSError):
    """What GitHub answered instead of what was asked for.

    `wait_s` is how long it wants to be left alone, None if it does not; `errors` are those of a
    document that it found invalid, `needs_sso` an organization's that wants a single sign-on.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        errors: tuple[Mapping[str, Any], ...] = (),
        wait_s: float | None = None,
        needs_sso: bool = False,
        had_token: bool = True,
    ) -> None:
        details = [str(error.get("message") or error.get("code") or "") for error in errors]
        super().__init__(": ".join(filter(None, [f"HTTP {status}", message, *details])))
        self.status = status
        self.message = message
        self.errors = errors
        self.wait_s = wait_s
        self.needs_sso = needs_sso
        self.had_token = had_token

    def names(self, text: str) -> bool:
        """Whether it speaks of something: a field, a code, a word of its messages."""
        said = [self.message, *(str(part) for error in self.errors for part in error.values())]
        return any(text in one.lower() for one in said)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: a status below 400, headers, and the whole content."""

    status: int
    headers: Mapping[str, str]
    content: bytes = field(repr=False)

    def document(self) -> Any:
        """The content as JSON. Raises httpx.DecodingError for half of one, or another thing."""
        try:
            return json.loads(self.content)
        except ValueError:
            raise httpx.DecodingError("the answer is no JSON") from None

    @property
    def next_page(self) -> str | None:
        """The address of the page after this one; None on the last."""
        return httpx.Response(200, headers=dict(self.headers)).links.get("next", {}).get("url")


class GithubClient:
    """Sends requests to one address of the API. Safe for threads, and for processes by fork.

    `token` may be None: then public repositories can be read. Nothing is sent until `ask`.
    """

    def __init__(self, endpoint_url: str, token: str | None, patience: Patience) -> None:
        self.endpoint_url = endpoint_url.rstrip("/")
        self.has_token = token is not None
        self._authorization = _Authorization(token)
        self._patience = patience
        self._lock = threading.Lock()
        self._client: httpx.Client | None = None
        self._process = 0
        self._silent_until = 0.0  # on the clock of the patience
        self._now: datetime | None = None
        _keep_addresses_short()

    @property
    def now(self) -> datetime:
        """What time GitHub says it is; this machine's clock before the first answer."""
        return self._now or datetime.now(UTC)

    def ask(
        self,
        method: str,
        path: str,
        *,
        document: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request to the API, by a path or an address that it named itself.

        Redirects within the API are followed. Raises GithubRefusal for an answer from 400 on, and
        httpx.TransportError if none came in time.
        """
        content = None if document is None else json.dumps(document).encode()
        address = urljoin(f"{self.endpoint_url}/", path.removeprefix("/"))
        return self._follow(method, address, content, {"Accept": _ACCEPT, **(headers or {})})

    def upload(self, address: str, data: bytes, names: Mapping[str, str]) -> Answer:
        """Send an asset to the address for it, under the `name` and `label` in its query."""
        if not self._takes_uploads(address):
            raise httpx.UnsupportedProtocol("the address for uploads is that of another service")
        headers = {"Accept": _ACCEPT, "Content-Type": _BYTES}
        url = str(httpx.URL(address, params=dict(names)))
        return self._send("POST", url, data, headers, with_token=True)

    def download(self, path: str, begin: int, end: int, size_bytes: int) -> bytes:
        """The bytes from `begin` to `end` of an asset of some size."""
        headers = {"Accept": _BYTES, "Accept-Encoding": "identity"}
        if (begin, end) != (0, size_bytes):
            headers["Range"] = f"bytes={begin}-{end - 1}"
        address = urljoin(f"{self.endpoint_url}/", path)
        answer = self._follow("GET", address, None, headers)
        # A service between may not know ranges, and answer with everything.
        data = answer.content if answer.status == 206 else answer.content[begin:end]
        if len(data) != end - begin:
            raise httpx.ReadError(f"{len(data)} of {end - begin} bytes came")
        return data

    def _follow(
        self, method: str, address: str, content: bytes | None, headers: Mapping[str, str]
    ) -> Answer:
        own, with_token = _origin(self.endpoint_url), True
        for _ in range(_REDIRECTS):
            # Once elsewhere, it stays without a token wherever it is sent from there.
            with_token = with_token and _origin(address) == own
            answer = self._send(method, address, content, headers, with_token=with_token)
            if answer.status not in (301, 302, 303, 307, 308):
                return answer
            target = urljoin(address, answer.headers.get("location", ""))
            is_safe = _origin(target) == own or method == "GET"
            if not is_safe or (address.startswith("https:") and not target.startswith("https:")):
                raise httpx.UnsupportedProtocol("sent on to an address that is not safe to use")
            address = target
        raise httpx.TooManyRedirects(f"sent on more than {_REDIRECTS} times")

    def _send(
        self,
        method: str,
        address: str,
        content: bytes | None,
        headers: Mapping[str, str],
        *,
        with_token: bool,
    ) -> Answer:
        if with_token:
            self._wait_for_turn()
        clock, size = self._patience.clock, len(content or b"")
        ends_at = clock() + self._patience.transfer_s(size)
        sent = dict(headers)
        if content is not None:
            sent["Content-Length"] = str(size)
        pieces = None if content is None else self._pieces(content, ends_at)
        auth = self._authorization if with_token else None
        came = bytearray()
        with self._connections().stream(
            method, address, content=pieces, headers=sent, auth=auth
        ) as response:
            length = response.headers.get("content-length", "")
            coming = int(length) if length.isdecimal() else 0
            ends_at = clock() + self._patience.transfer_s(coming)
            for part in response.iter_bytes(_PIECE_BYTES):
                came += part
                if clock() > ends_at:
                    raise httpx.ReadTimeout("the answer does not end")
        answer = Answer(response.status_code, dict(response.headers), bytes(came))
        if not with_token:
            if answer.status >= 400:
                raise GithubRefusal(answer.status, "what was to be downloaded is not given")
            return answer
        self._note(answer)
        if answer.status >= 400:
            raise self._refusal(answer)
        return answer

    def _pieces(self, content: bytes, ends_at: float) -> Iterator[bytes]:
        """The content bit by bit, so that a service which takes it too slowly is given up on."""
        for begin in range(0, len(content), _PIECE_BYTES):
            if self._patience.clock() > ends_at:
                raise httpx.WriteTimeout("the service takes the file too slowly")
            yield content[begin : begin + _PIECE_BYTES]

    def _wait_for_turn(self) -> None:
        """Wait as long as GitHub asked for, if that is not long. Raises GithubRefusal if it is."""
        left_s = self._silent_until - self._patience.clock()
        if left_s <= 0:
            return
        if left_s > self._patience.longest_s:
            raise GithubRefusal(429, "asked to wait", wait_s=left_s)
        # Not all at the same moment.
        self._patience.sleep(left_s + random.uniform(0, self._patience.first_wait_s))

    def _note(self, answer: Answer) -> None:
        """Remember the service's time, and how long it wants to be left alone."""
        told = answer.headers.get("date")
        if told is not None:
            try:
                self._now = parsedate_to_datetime(told)
            except ValueError:
                self._now = None
        wait_s = _told_wait_s(answer, self.now)
        if wait_s is not None:
            with self._lock:
                until = self._patience.clock() + wait_s
                self._silent_until = max(self._silent_until, until)

    def _refusal(self, answer: Answer) -> GithubRefusal:
        try:
            document = answer.document()
        except httpx.DecodingError:  # the page of something in between
            document = None
        document = document if isinstance(document, dict) else {}
        errors = document.get("errors")
        found = [error for error in errors if isinstance(error, dict)] if errors else []
        return GithubRefusal(
            answer.status,
            str(document.get("message") or "no reason given")[:300],
            errors=tuple(found),
            wait_s=_told_wait_s(answer, self.now),
            needs_sso=answer.headers.get("x-github-sso", "").startswith("required"),
            had_token=self.has_token,
        )

    def _connections(self) -> httpx.Client:
        """The pool of this process: one from before a fork shares its connections with another."""
        with self._lock:
            if self._client is None or self._process != os.getpid():
                answer_s = self._patience.answer_s
                connect_s = self._patience.connect_s
                timeout = httpx.Timeout(answer_s, connect=connect_s, pool=connect_s + answer_s)
                self._client = httpx.Client(
                    timeout=timeout,
                    headers={
                        "User-Agent": f"tidemark/{__version__}",
                        "X-GitHub-Api-Version": _API_VERSION,
                    },
                )
                self._process = os.getpid()
                weakref.finalize(self, self._client.close)
            return self._client

    def _takes_uploads(self, address: str) -> bool:
        """Whether an address for uploads belongs to the service that is asked."""
        own, other = urlsplit(self.endpoint_url), urlsplit(address)
        beside = f"uploads.{(own.hostname or '').removeprefix('api.')}"
        return other.scheme == own.scheme and other.hostname in (own.hostname, beside)


class _Authorization(httpx.Auth):
    """Puts the token into a request, and into nothing that is shown."""

    def __init__(self, token: str | None) -> None:
        self._value: Callable[[], str | None] = lambda: token

    def auth_flow(self, request: httpx.Request) -> Iterator[httpx.Request]:  # type: ignore[override]
        token = self._value()
        if token is not None:
            request.headers["Authorization"] = f"Bearer {token}"
        yield request


def _told_wait_s(answer: Answer, now: datetime) -> float | None:
    """How long GitHub asks to wait: by a header, or because no request is left; None if not.

    Source: GitHub, "Rate limits for the REST API".
    """
    headers = answer.headers
    is_refusal = answer.status in (403, 429)
    if is_refusal and headers.get("retry-after", "").isdecimal():
        return float(headers["retry-after"])
    reset = headers.get("x-ratelimit-reset", "")
    if headers.get("x-ratelimit-remaining") == "0" and reset.isdecimal():
        return max(1.0, float(reset) - now.timestamp())
    if answer.status == 429 or (is_refusal and b"rate limit" in answer.content.lower()):
        return _WITHOUT_A_TIME_S
    return None


def _origin(address: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(address)
    return parts.scheme, parts.hostname, parts.port


class _ShortAddresses(logging.Filter):
    """Takes queries out of the addresses that httpx logs: they may be signed."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(
                arg.copy_with(query=None) if isinstance(arg, httpx.URL) else arg
                for arg in record.args
            )
        return True


_SHORT_ADDRESSES: Final = _ShortAddresses()


def _keep_addresses_short() -> None:
    logging.getLogger("httpx").addFilter(_SHORT_ADDRESSES)  # once, however often it is added
