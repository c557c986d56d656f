"""How requests of httpx travel: over aiohttp, at half the processor time of httpx's own transport.

Every failure is told apart by one question, on which it depends whether a call that changes
something may be sent again: was it certainly never sent?
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
from urllib.request import (  # type: ignore[attr-defined]  # the stubs lack the second
    getproxies_environment,
    proxy_bypass_environment,
)

import aiohttp
import httpx
from yarl import URL

__all__ = ["AiohttpTransport", "AnswerTooLarge"]

MOST_BYTES = 64 * 2**20
_CONNECTIONS = 64
_IDLE_S = 15.0
_PART_BYTES = 2**16
# An answer that keeps coming in drops ends after so many times the patience for each of them.
_PATIENCE = 4
# Failures to connect, resolve, shake hands, or be let through by a proxy.
_NEVER_SENT = (
    aiohttp.ClientConnectorError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.ClientHttpProxyError,
    aiohttp.InvalidURL,
)
# aiohttp tells of it when it cannot connect, also where there is no TLS.
_TLS_SETTING = re.compile(r" ssl:(default|True|False|<[^>]*>)")
# What describes how the body came, which has been undone when it is read.
_OF_THE_WIRE = (b"content-encoding", b"content-length", b"transfer-encoding")


class AnswerTooLarge(httpx.ReadError):
    """An answer of more bytes than will be read."""


class AiohttpTransport(httpx.AsyncBaseTransport):
    """Carries each request once, over one pool of connections.

    What is not for this machine and is sent by https goes through the proxy of the environment
    (HTTPS_PROXY, but for NO_PROXY); plain http never goes through one. Names under `.simulator`
    are those of simulators in the caller's process, and never reach the network.

    Raises httpx.ConnectError for what was never sent; httpx.ReadTimeout, httpx.ReadError and
    AnswerTooLarge, for more than `most_bytes` after unpacking, for what may have arrived. An
    attempt takes at most four times its read timeout. No error holds the request. URLs and headers
    travel exactly as they were signed.
    """

    def __init__(self, *, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._session: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Carry one request, and read its answer whole.

        Raises RuntimeError where the connections were closed, or belong to another event loop.
        """
        if _is_in_process(request.url.host):
            raise httpx.ConnectError("no such host outside of a process with a simulator")
        session = self._session_here()
        proxy = _proxy_for(request.url)
        failure: Exception
        try:
            return await self._carry(session, request, proxy)
        except _NEVER_SENT as error:
            failure = httpx.ConnectError(_reason(error))
        except TimeoutError:
            failure = httpx.ReadTimeout("no answer in time")
        except httpx.ReadError as error:
            failure = error
        except Exception as error:
            # Whatever it was, it came after the request may have left.
            failure = httpx.ReadError(_reason(error))
        # Raised here, so that it does not lead to aiohttp's error, which holds the headers sent.
        raise failure

    async def _carry(
        self, session: aiohttp.ClientSession, request: httpx.Request, proxy: URL | None
    ) -> httpx.Response:
        limits = request.extensions.get("timeout", {})
        read_s = limits.get("read")
        async with session.request(
            request.method,
            URL(str(request.url), encoded=True),
            headers=request.headers.multi_items(),
            data=request.content or None,
            allow_redirects=False,
            proxy=proxy,
            timeout=aiohttp.ClientTimeout(
                total=None if read_s is None else _PATIENCE * read_s,
                connect=limits.get("pool"),
                sock_connect=limits.get("connect"),
                sock_read=read_s,
            ),
        ) as answer:
            content = bytearray()
            async for part in answer.content.iter_chunked(_PART_BYTES):
                content += part
                if len(content) > self._most_bytes:
                    raise AnswerTooLarge(f"answered with more than {self._most_bytes} bytes")
        # As bytes: a header need not be ASCII.
        headers = [pair for pair in answer.raw_headers if pair[0].lower() not in _OF_THE_WIRE]
        return httpx.Response(
            answer.status, headers=headers, content=bytes(content), request=request
        )

    def _session_here(self) -> aiohttp.ClientSession:
        loop = asyncio.get_running_loop()
        if self._session is None:
            self._loop = loop
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=_CONNECTIONS, keepalive_timeout=_IDLE_S, ssl=httpx.create_ssl_context()
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                middlewares=(_once,),
                # With it, aiohttp would take passwords from ~/.netrc.
                trust_env=False,
                skip_auto_headers=("accept", "accept-encoding", "content-type", "user-agent"),
            )
        if self._session.closed:
            raise RuntimeError("the connections have been closed: make a new account")
        if self._loop is not loop:
            raise RuntimeError("the connections belong to another event loop: make an account here")
        return self._session

    async def aclose(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()


async def _once(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Keeps aiohttp from sending a request a second time by itself when a connection breaks: it
    does so for PUT and DELETE, and the second time may even say that it could not connect."""
    broken: Exception
    try:
        return await handler(request)
    except _NEVER_SENT:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        broken = httpx.ReadError(_reason(error))
    raise broken


def _is_in_process(host: str) -> bool:
    name = host.lower().rstrip(".")
    return name == "simulator" or name.endswith(".simulator")


def _is_here(host: str) -> bool:
    name = host.lower().rstrip(".")
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def _proxy_for(url: httpx.URL) -> URL | None:
    """The proxy of a URL. What is plain http is for this machine, or holds keys in the clear."""
    if url.scheme != "https" or _is_here(url.host):
        return None
    proxies = getproxies_environment()
    proxy = proxies.get("https")
    if not proxy or proxy_bypass_environment(f"{url.host}:{url.port or 443}", proxies):
        return None
    try:
        found = URL(proxy if "://" in proxy else f"http://{proxy}")
    except ValueError:
        found = URL()
    if found.scheme not in ("http", "https") or not found.host:
        raise httpx.ConnectError("the proxy that HTTPS_PROXY names is no http:// address")
    return found


def _reason(error: Exception) -> str:
    """An error on one line of printable characters, without the URL that it may name."""
    said = error.message if isinstance(error, aiohttp.ClientResponseError) else str(error)
    text = " ".join("".join(c if c.isprintable() else " " for c in said).split())
    text = _TLS_SETTING.sub("", text)
    return text[:200] or type(error).__name__
