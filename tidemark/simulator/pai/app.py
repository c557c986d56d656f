"""The simulated cloud as one ASGI application, that Alibaba Cloud's own SDKs accept.

Which product is meant follows from the version and the action of a call; a region from the host
where it names one. `/_simulator/…` is for whoever runs it.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from email.utils import formatdate
from typing import Any

from tidemark.clock import Clock, SystemClock
from tidemark.simulator.clock import VirtualClock
from tidemark.simulator.pai.accounts import API_KEY, Account, Accounts
from tidemark.simulator.pai.admin import PREFIX, Admin
from tidemark.simulator.pai.answers import affected, done, failure, lost, refusal
from tidemark.simulator.pai.asgi import Application
from tidemark.simulator.pai.asked import Answer, Asked
from tidemark.simulator.pai.bill import Bill
from tidemark.simulator.pai.callers import check_caller
from tidemark.simulator.pai.dlc import DlcService
from tidemark.simulator.pai.eas_benchmarks import EasBenchmarks
from tidemark.simulator.pai.ecs import EcsPrices
from tidemark.simulator.pai.execute import Commands
from tidemark.simulator.pai.products import services
from tidemark.simulator.pai.router import Router
from tidemark.simulator.pai.rules import Rules, check_actions
from tidemark.simulator.pai.scenario import CallEffect, Scenario
from tidemark.simulator.pai.seen import Seen
from tidemark.simulator.pai.signatures import Signatures
from tidemark.simulator.pai.transport import SimulatorTransport
from tidemark.simulator.pai.wire import Call, Route, Service, WireError
from tidemark.simulator.pai.world import World

__all__ = ["PaiSimulator"]


class PaiSimulator:
    """A cloud of its own: its machines, its accounts, its clock, its bill.

    signature_clock: by which answers are dated, and the time of signatures and the end of temporary
    keys are judged. By default a VirtualClock given as `clock`, which its callers share, else this
    machine's time.
    execute: run the commands of running jobs for real, with the variables named by `inherit`.
    sorts_specs: let ListEcsSpecs sort by CPU and GPU. products: what makes the other services,
    `partial(services, workspaces=…)` for other ones. any_host: answer to whatever Host a call
    names. `app` is the ASGI application.
    Raises ConfigError when commands cannot run by this clock, and for a rule of the scenario for
    an operation that there is none.
    """

    def __init__(
        self,
        *,
        world: World | None = None,
        clock: Clock | None = None,
        accounts: Sequence[Account] | None = None,
        bearer_keys: Sequence[str] = (API_KEY,),
        signature_clock: Clock | None = None,
        scenario: Scenario | None = None,
        execute: bool = False,
        inherit: Sequence[str] = (),
        sorts_specs: bool = False,
        products: Callable[..., list[Service]] = services,
        any_host: bool = False,
    ) -> None:
        self.world = world or World()
        self.clock: Clock = clock or SystemClock()
        self.accounts = Accounts() if accounts is None else Accounts(accounts)
        if signature_clock is None:
            signature_clock = self.clock if isinstance(self.clock, VirtualClock) else SystemClock()
        self._dates = signature_clock
        self._signatures = Signatures(self.accounts, signature_clock, bearer_keys)
        self._commands = Commands(self.clock, inherit=inherit) if execute else None
        self._any_host = any_host
        self._rules = Rules(scenario or Scenario())
        self._bill = Bill(self.world.currency)
        self._seen = Seen()
        self._admin = Admin(self)
        self.dlc = DlcService(
            self.world,
            self._bill,
            lambda name: self._rules.script(name),
            runs_commands=execute,
            sorts_specs=sorts_specs,
        )
        self.services: list[Service] = [
            self.dlc,
            *products(self.world, self.clock, self.dlc, bill=self._bill),
        ]
        self._script_products()
        routes = [route for service in self.services for route in service.routes()]
        self._actions = {route.action for route in routes}
        check_actions(self.scenario, self._actions)
        self._router = Router(routes)
        self.app = Application(self)

    def transport(self) -> SimulatorTransport:
        """For an httpx.AsyncClient in this process: no network, and losses as one has them."""
        return SimulatorTransport(self.app)

    @property
    def scenario(self) -> Scenario:
        """The rules in force."""
        return self._rules.scenario

    def play(self, scenario: Scenario) -> None:
        """Put other rules in force, with fresh counts. Jobs and tasks keep the life they were
        given. Raises ConfigError for a rule of an operation that there is none."""
        check_actions(scenario, self._actions)
        self._rules = Rules(scenario)
        self._script_products()

    def _script_products(self) -> None:
        for service in self.services:
            if isinstance(service, EasBenchmarks):
                service.script(*self.scenario.tasks)
            if isinstance(service, EcsPrices):
                service.script(*self.scenario.prices)

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

    def requests(self) -> list[dict[str, Any]]:
        """The calls that came, without secrets."""
        return self._seen.as_list()

    def look(self) -> None:
        """See to the commands that run. A server calls it many times a second."""
        if self._commands is not None:
            self._commands.look(self.dlc.jobs)

    def close(self) -> None:
        """End the commands that run."""
        if self._commands is not None:
            self._commands.close()

    def answer(self, asked: Asked) -> Answer:
        """Do what is asked, or refuse it."""
        date = formatdate(self._dates.time(), usegmt=True)
        answer = self._answer(asked)
        return replace(answer, headers={"date": date, **answer.headers})

    def _answer(self, asked: Asked) -> Answer:
        self.look()
        request_id = str(uuid.uuid4()).upper()
        try:
            check_caller(asked, any_host=self._any_host)
        except WireError as error:
            return refusal(error, asked, request_id)
        if asked.raw_path.startswith(PREFIX):
            return self._admin.answer(asked)
        region = asked.region(self.world.default_region)
        now_s = self.clock.time()
        action, effect, signed = asked.header("x-acs-action"), None, False
        try:
            route, path = self._router.find(asked)
            action = route.action
            effect = self._rules.effect(action, asked.method)
            if effect is not None and effect.lost == "request":
                answer = lost(request_id, reached=False)
            else:
                account_id = self._signer(asked, route)
                signed = True
                answer = self._carry(
                    asked, route, path, effect, request_id, region, now_s, account_id
                )
        except WireError as error:
            answer = refusal(error, asked, request_id)
        answer = affected(answer, effect, request_id)
        self._seen.add(asked, answer, at_s=now_s, action=action, region=region, signed=signed)
        return answer

    def _signer(self, asked: Asked, route: Route) -> str | None:
        """The account that signed, None for a key that is of none. Refuses any other call."""
        if route.bearer:
            self._signatures.check_bearer(asked)
            return None
        return self._signatures.check(asked)

    def _carry(
        self,
        asked: Asked,
        route: Route,
        path: Mapping[str, str],
        effect: CallEffect | None,
        request_id: str,
        region: str,
        now_s: float,
        account_id: str | None,
    ) -> Answer:
        instead = failure(effect, request_id) if effect is not None else None
        if instead is not None:
            return instead
        call = Call(
            action=route.action,
            version=route.version,
            method=asked.method,
            path=path,
            query=dict(asked.parameters),
            body=asked.body,
            region=region,
            account_id=account_id,
            now_s=now_s,
            request_id=request_id,
        )
        return done(route.handler(call), request_id)
