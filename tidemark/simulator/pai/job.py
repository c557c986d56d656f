"""One job of the simulated DLC: what was asked, what became of it, its pods and its bill."""

from __future__ import annotations

import hashlib
import math
import uuid
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from tidemark.simulator.pai.bill import BillLine
from tidemark.simulator.pai.job_life import Conditions, Exit, JobLife, job_life
from tidemark.simulator.pai.job_request import JobRequest, Role
from tidemark.simulator.pai.job_script import JobScript
from tidemark.simulator.pai.pull_errors import pull_failure

__all__ = ["Incarnation", "Job", "Pod", "new_job_id"]

_MOST_LINES = 20_000
_LEADERS = ("Master", "Chief", "Head")
_BASE36 = "0123456789abcdefghijklmnopqrstuvwxyz"


def new_job_id() -> str:
    """A fresh id: `dlc` and thirteen digits or letters."""
    number, digits = uuid.uuid4().int, []
    for _ in range(13):
        number, digit = divmod(number, 36)
        digits.append(_BASE36[digit])
    return f"dlc{''.join(digits)}"


@dataclass(frozen=True, slots=True)
class Incarnation:
    """One life of a pod; a pod that is lost gets another. Times may be infinite.

    `node_s`: when it has a node, and is billed; `started_s`: when its container runs; `end_s`:
    when it is lost or the job ends. `fate` says how: `evicted`, `failed`, or empty for the job's
    own end.
    """

    uid: str
    created_s: float
    node_s: float
    started_s: float
    end_s: float
    fate: str = ""

    @property
    def address(self) -> str:
        """Its address in the cluster."""
        digest = hashlib.sha256(self.uid.encode()).digest()
        return f"10.{digest[0] % 200}.{digest[1]}.{1 + digest[2] % 254}"


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod in all its incarnations, the latest last."""

    pod_id: str
    kind: str
    role: Role
    incarnations: tuple[Incarnation, ...]

    def at(self, now_s: float) -> list[Incarnation]:
        """Those that have been created."""
        return [one for one in self.incarnations if one.created_s <= now_s]


@dataclass(slots=True)
class Job:
    """A job. `account_id` owns it; `deleted_s` is when it was taken from all lists; `output` holds
    the lines of a real command with their times."""

    job_id: str
    region: str
    account_id: str
    request: JobRequest
    script: JobScript
    created_s: float
    waits_for_exit: bool = False
    deleted_s: float | None = None
    changes: dict[str, Any] = field(default_factory=dict)
    output: deque[tuple[float, str]] = field(default_factory=lambda: deque(maxlen=_MOST_LINES))
    _stop_s: float | None = None
    _exited: Exit | None = None
    _life: JobLife | None = None

    @property
    def document(self) -> dict[str, Any]:
        """The body it was created with, and what UpdateJob made of it."""
        return {**self.request.document, **self.changes}

    @property
    def life(self) -> JobLife:
        """Its life as far as it is known."""
        if self._life is None:
            self._life = job_life(
                self.script,
                self._conditions(),
                stop_s=self._stop_s,
                waits_for_exit=self.waits_for_exit,
                exited=self._exited,
            )
        return self._life

    def status(self, now_s: float) -> str:
        """Its status at a moment."""
        return self.life.at(now_s).status

    def stop(self, now_s: float) -> None:
        """Tell it to stop."""
        self._stop_s, self._life = now_s, None

    def exit(self, now_s: float, code: int) -> None:
        """Its real command has ended."""
        self._exited, self._life = Exit(now_s, code), None

    def _conditions(self) -> Conditions:
        roles = self.request.roles
        return Conditions(
            created_s=self.created_s,
            out_of_stock=not all(role.in_stock for role in roles),
            bids=self.request.bids,
            checks_sanity=self.request.checks_sanity,
            reserved_s=self.request.reserved_s,
            limit_s=self.request.limit_s,
            may_restart=any(role.restart_policy != "Never" for role in roles),
            most_restarts=self.request.most_restarts,
            pods=sum(role.pods for role in roles),
            pull_failure=pull_failure(roles[0].image, self.script.image_pull.error),
        )

    def pods(self) -> tuple[Pod, ...]:
        """Its pods with all that becomes of them."""
        return tuple(
            Pod(pod_id := f"{self.job_id}-{kind.lower()}-{number}", kind, role, tuple(
                self._incarnations(pod_id, index)
            ))
            for index, (kind, number, role) in enumerate(self.request.pod_kinds)
        )  # fmt: skip

    def leader(self) -> Pod:
        """The pod that runs the command: the master, chief or head, else the first."""
        pods = self.pods()
        return next((pod for pod in pods if pod.kind in _LEADERS), pods[0])

    def _incarnations(self, pod_id: str, index: int) -> Iterator[Incarnation]:
        life = self.life
        if math.isinf(life.nodes_s):
            return
        created_s = node_s = life.nodes_s
        started_s = life.image_s
        for restart in [one for one in life.restarts if one.pod == index]:
            fate = "evicted" if restart.evicted else "failed"
            uid = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{pod_id}/{created_s}"))
            yield Incarnation(uid, created_s, node_s, started_s, restart.at_s, fate)
            created_s, node_s, started_s = restart.at_s, restart.node_s, restart.running_s
        uid = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{pod_id}/{created_s}"))
        yield Incarnation(uid, created_s, node_s, started_s, life.end_s)

    def bill_lines(self, now_s: float) -> Iterator[BillLine]:
        """What its nodes cost up to now. Pods of a quota are paid for with the quota."""
        for pod in self.pods():
            machine = pod.role.machine
            if machine is None:
                continue
            price = machine.price_per_hour
            if price is not None and pod.role.spot:
                price *= Decimal(str(machine.spot_discount))
            for one in pod.incarnations:
                end_s = min(one.end_s, now_s)
                if end_s > one.node_s:
                    yield BillLine(
                        product="dlc",
                        region=self.region,
                        resource=self.job_id,
                        name=self.request.name,
                        part=pod.pod_id,
                        machine=machine.instance_type,
                        start_s=one.node_s,
                        end_s=end_s,
                        price_per_hour=price,
                        spot=pod.role.spot,
                        goes_on=one.end_s > now_s,
                    )
