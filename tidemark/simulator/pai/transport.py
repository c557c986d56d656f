"""The simulator without a network: an httpx transport that loses calls as a network does."""

from __future__ import annotations

import httpx
from starlette.types import Receive, Scope, Send

from tidemark.simulator.pai.asgi import IN_PROCESS, Application, Lost

__all__ = ["SimulatorTransport"]


class SimulatorTransport(httpx.AsyncBaseTransport):
    """Carries requests to a simulator in this process.

    A lost answer raises httpx.ReadError, a lost request httpx.ConnectError, and an answer that is
    later than the request's read timeout, by the simulator's clock, httpx.ReadTimeout.
    """

    def __init__(self, app: Application) -> None:
        self._app = app

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Carry one request."""
        patience_s = (request.extensions.get("timeout") or {}).get("read")

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            scope["extensions"] = {IN_PROCESS: {"patience_s": patience_s}}
            await self._app(scope, receive, send)

        try:
            return await httpx.ASGITransport(app=app).handle_async_request(request)
        except Lost as error:
            if error.late:
                raise httpx.ReadTimeout("no answer in time", request=request) from None
            if error.reached:
                raise httpx.ReadError("the connection broke", request=request) from None
            raise httpx.ConnectError("no connection", request=request) from None
