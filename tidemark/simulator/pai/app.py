"""The simulated cloud as one ASGI application, that Alibaba Cloud's own SDKs accept.

Which product is meant follows from the version and the action of a call; a region from the host
where it names one. `/_simulator/…` is for whoever runs it.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from starlette.types import ASGIApp

from tidemark.clock import Clock, SystemClock
from tidemark.simulator.clock import VirtualClock
from tidemark.simulator.pai.accounts import Account, Accounts
from tidemark.simulator.pai.asgi import Application
from tidemark.simulator.pai.asked import Answer, Asked
from tidemark.simulator.pai.bill import Bill
from tidemark.simulator.pai.dlc import DlcService
from tidemark.simulator.pai.job_request import JobRequest
from tidemark.simulator.pai.job_script import JobScript
from tidemark.simulator.pai.products import services
from tidemark.simulator.pai.router import Router
from tidemark.simulator.pai.signatures import Signatures
from tidemark.simulator.pai.wire import Call, Route, Service, WireError
from tidemark.simulator.pai.world import World

__all__ = ["PaiSimulator"]


class PaiSimulator:
    """A cloud of its own: its machines, its accounts, its clock, its bill.

    signature_clock: by which the time of signatures and the end of temporary keys is judged. By
    default a VirtualClock given as `clock`, which its callers share, else this machine's time.
    `app` is the ASGI application.
    """

    def __init__(
        self,
        *,
        world: World | None = None,
        clock: Clock | None = None,
        accounts: Sequence[Account] | None = None,
        bearer_keys: Sequence[str] = ("sk-simulator",),
        signature_clock: Clock | None = None,
    ) -> None:
        self.world = world or World()
        self.clock: Clock = clock or SystemClock()
        self.accounts = Accounts() if accounts is None else Accounts(accounts)
        if signature_clock is None:
            signature_clock = self.clock if isinstance(self.clock, VirtualClock) else SystemClock()
        self._signatures = Signatures(self.accounts, signature_clock, bearer_keys)
        self._bill = Bill(self.world.currency)
        self.dlc = DlcService(self.world, self._bill, self._script)
        self.services: list[Service] = [
            self.dlc,
            *services(self.world, self.clock, self.dlc, bill=self._bill),
        ]
        self.app: ASGIApp = Application(self)
        self._router = Router(route for service in self.services for route in service.routes())

    def _script(self, request: JobRequest) -> JobScript:  # noqa: ARG002
        return JobScript()

    def state(self) -> dict[str, Any]:
        """What every service holds, as JSON."""
        state: dict[str, Any] = {"now_s": self.clock.time()}
        for service in self.services:
            state |= service.state()
        return state

    def bill(self) -> dict[str, Any]:
        """Every billable second up to now, as JSON."""
        return self._bill.as_document(self.clock.time())

    def total(self) -> Decimal:
        """What all of it comes to up to now, in the world's currency."""
        return self._bill.total(self.clock.time())

    async def answer(self, asked: Asked) -> Answer:
        """Do what is asked, or refuse it."""
        request_id = str(uuid.uuid4()).upper()
        headers = {"x-acs-request-id": request_id}
        try:
            route, path = self._router.find(asked)
            account_id = self._account(route, asked)
            call = Call(
                action=route.action,
                version=route.version,
                method=asked.method,
                path=path,
                query=dict(asked.parameters),
                body=asked.body,
                region=asked.region(self.world.default_region),
                account_id=account_id,
                now_s=self.clock.time(),
                request_id=request_id,
            )
            document = {**route.handler(call), "RequestId": request_id}
            return Answer(200, _json(document), headers)
        except WireError as error:
            document = {
                "Code": error.code,
                "Message": error.message,
                "RequestId": request_id,
                "HostId": asked.header("host"),
                "Recommend": f"https://api.aliyun.com/troubleshoot?q={error.code}",
                **error.extra,
            }
            return Answer(error.status, _json(document), {**headers, **error.headers})

    def _account(self, route: Route, asked: Asked) -> str | None:
        if route.bearer:
            self._signatures.check_bearer(asked)
            return None
        return self._signatures.check(asked)


def _json(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
