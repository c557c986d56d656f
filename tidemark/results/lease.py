"""Who works on a round: one owner at a time, seen by all who can read the store.

    leases/<key>/<generation>.json          who took it; created exclusively
    leases/<key>/<generation>.beat.json     what the owner does, renewed every few seconds
    leases/<key>/<generation>.cancel.json   someone asks the owner to stop
    leases/<key>/<generation>.end.json      the owner is done

Generations only go up. An owner that finds a newer one than its own has lost the lease, and
writes nothing more. An owner is given up when its process is gone from this machine, or when its
beat has not changed for `LIFETIME_S` on the clock of whoever waits: no two clocks are compared.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import psutil

from tidemark.errors import AlreadyThere, StoreAway, StoreError
from tidemark.plan.canonical import sha256_hex
from tidemark.results.files import Files

__all__ = [
    "LIFETIME_S",
    "Lease",
    "LeaseLost",
    "LiveRun",
    "Process",
    "acquire",
    "ask_to_stop",
    "lease_key",
    "live_runs",
]

LIFETIME_S: Final = 60.0
POLL_S: Final = 1.0
_NEVER: Final = datetime(1970, 1, 1, tzinfo=UTC)

_FILE: Final = re.compile(
    r"leases/(?P<key>[0-9a-f]{32})/(?P<generation>\d{6})(?P<kind>\.beat|\.end|\.cancel)?\.json"
)


class LeaseLost(StoreError):
    """Another run has taken the round over: this one must write nothing more."""


@dataclass(frozen=True, slots=True)
class Process:
    """A process, so that others on the same machine can tell whether it still runs.

    `started` is when it began, in whatever the machine counts in since it was switched on: not on
    the clock, which may be set meanwhile.
    """

    machine: str
    pid: int
    started: str

    @classmethod
    def current(cls) -> Process:
        """This process."""
        return cls.of(os.getpid())

    @classmethod
    def of(cls, pid: int) -> Process:
        """A process of this machine. Raises psutil.NoSuchProcess."""
        return cls(_machine(), pid, _started(pid))

    def gone(self) -> bool:
        """Whether it surely ended; False for a process of another machine."""
        if self.machine != _machine():
            return False
        try:
            ended = psutil.Process(self.pid).status() == psutil.STATUS_ZOMBIE
            return ended or _started(self.pid) != self.started
        except psutil.NoSuchProcess:
            return True
        except psutil.AccessDenied:
            return False


def _started(pid: int) -> str:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except FileNotFoundError:
        return f"{psutil.Process(pid).create_time():.0f}"
    return stat.rpartition(")")[2].split()[19]  # "starttime" of proc(5), in clock ticks


def _machine() -> str:
    """This boot of this machine, and the process ids one sees in it: containers differ."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        return f"{boot}/{os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:
        return f"{os.uname().nodename}/{psutil.boot_time():.0f}"


def lease_key(round: str, system: Mapping[str, Any]) -> str:
    """What is leased: one round's measurements of one system."""
    return sha256_hex([round, dict(system)])[:32]


@dataclass(frozen=True, slots=True)
class LiveRun:
    """A run that holds a lease: who it is, what it does, and where one asks it to stop."""

    path: str
    owner: Mapping[str, Any]
    beat: Mapping[str, Any]
    process: Process
    asked_to_stop: bool

    @property
    def run_id(self) -> str:
        """The run's id."""
        return str(self.owner["run_id"])

    def silent_s(self, now: datetime) -> float:
        """How long ago it was last heard of, as far as the two machines' clocks agree."""
        return max(0.0, (now - self.heard_at).total_seconds())

    @property
    def heard_at(self) -> datetime:
        """When it was last heard of, on its own clock."""
        return _instant(self.beat.get("at")) or _instant(self.owner["taken_at"]) or _NEVER


@dataclass(slots=True)
class Lease:
    """A round that is ours, until another generation appears. Made by `acquire`."""

    files: Files
    key: str
    generation: int
    owner: Mapping[str, Any]
    _beats: int = field(default=0, init=False)

    def beat(self, progress: Mapping[str, Any]) -> bool:
        """Show that the owner lives and what it does; answers whether it is asked to stop.

        Raises LeaseLost when another run has taken the round over.
        """
        asked = self.check()
        self._beats += 1
        document = {**progress, "beat": self._beats, "at": datetime.now(UTC).isoformat()}
        self.files.replace(_path(self.key, self.generation, ".beat"), _bytes(document))
        return asked

    def check(self) -> bool:
        """Whether the owner is asked to stop. Raises LeaseLost when the lease is another's."""
        generations = _generations(self.files, self.key)
        if max(generations, default=0) != self.generation:
            raise LeaseLost(
                "another run has taken this round over",
                f"round {self.owner.get('round')}",
                "Leave it to that run; what this one had finished is kept",
            )
        return ".cancel" in generations[self.generation]

    def end(self) -> None:
        """Give the round back."""
        path = _path(self.key, self.generation, ".end")
        try:
            self.files.create(path, _bytes({"at": datetime.now(UTC).isoformat()}))
        except AlreadyThere:
            return


async def acquire(
    files: Files,
    key: str,
    owner: Mapping[str, Any],
    *,
    clock: Callable[[], float],
    sleep: Callable[[float], Awaitable[object]],
    in_thread: Callable[..., Awaitable[Any]],
    on_wait: Callable[[LiveRun], None] = lambda _: None,
    process: Process | None = None,
) -> Lease:
    """Take the lease `key`, waiting while another run that lives holds it.

    `owner` says who takes it, as JSON values with at least `run_id` and `round`. `on_wait` is told
    each time whose it is. `in_thread` runs what touches the store.
    """
    mine = process or Process.current()
    claim = {**owner, "process": asdict(mine), "taken_at": datetime.now(UTC).isoformat()}
    seen: tuple[Any, float] = (None, clock())
    while True:
        generations = await in_thread(_generations, files, key)
        newest = max(generations, default=0)
        holder = None
        if newest and ".end" not in generations[newest]:
            holder = await in_thread(_live, files, key, newest, generations[newest])
        if holder is not None and not holder.process.gone():
            sign = (newest, holder.beat.get("beat"))
            if sign != seen[0]:
                seen = (sign, clock())
            if clock() - seen[1] < LIFETIME_S:
                on_wait(holder)
                await sleep(POLL_S)
                continue
        try:
            await in_thread(files.create, _path(key, newest + 1), _bytes(claim))
        except AlreadyThere:
            continue
        return Lease(files, key, newest + 1, claim)


def live_runs(files: Files) -> list[LiveRun]:
    """The runs that hold a lease, the earliest first; also those that died holding it."""
    newest: dict[str, int] = {}
    kinds: dict[tuple[str, int], set[str]] = {}
    for path in files.list("leases"):
        if match := _FILE.fullmatch(path):
            key, generation = match["key"], int(match["generation"])
            newest[key] = max(newest.get(key, 0), generation)
            kinds.setdefault((key, generation), set()).add(match["kind"] or "")
    found = [
        _live(files, key, generation, kinds[key, generation])
        for key, generation in newest.items()
        if ".end" not in kinds[key, generation]
    ]
    return sorted(filter(None, found), key=lambda run: str(run.owner["taken_at"]))


def ask_to_stop(files: Files, run: LiveRun, reason: str) -> None:
    """Ask the owner of a lease to stop; it does so at its next beat."""
    path = run.path.removesuffix(".json") + ".cancel.json"
    document = {"at": datetime.now(UTC).isoformat(), "reason": reason}
    try:
        files.create(path, _bytes(document))
    except AlreadyThere:
        return


def _generations(files: Files, key: str) -> dict[int, set[str]]:
    found: dict[int, set[str]] = {}
    for path in files.list(f"leases/{key}"):
        if match := _FILE.fullmatch(path):
            found.setdefault(int(match["generation"]), set()).add(match["kind"] or "")
    return found


def _live(files: Files, key: str, generation: int, kinds: set[str]) -> LiveRun | None:
    """The owner of a generation; None where its files say nothing that can be read."""
    path = _path(key, generation)
    owner = _document(files, path)
    beat = _document(files, _path(key, generation, ".beat")) if ".beat" in kinds else {}
    process = owner.get("process")
    if not isinstance(process, dict) or not isinstance(process.get("pid"), int):
        return None
    if not all(isinstance(owner.get(name), str) for name in ("run_id", "round", "taken_at")):
        return None
    started = str(process.get("started"))
    return LiveRun(
        path,
        owner,
        beat,
        Process(str(process.get("machine")), process["pid"], started),
        ".cancel" in kinds,
    )


def _document(files: Files, path: str) -> dict[str, Any]:
    """What a file says; nothing if it is no JSON object, or no file."""
    try:
        document = json.loads(files.read(path))
    except StoreAway:
        raise
    except (ValueError, RecursionError, StoreError):
        return {}
    return document if isinstance(document, dict) else {}


def _instant(value: object) -> datetime | None:
    try:
        found = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return found if found.tzinfo is not None else None


def _path(key: str, generation: int, kind: str = "") -> str:
    return f"leases/{key}/{generation:06d}{kind}.json"


def _bytes(document: Mapping[str, Any]) -> bytes:
    return (json.dumps(document, indent=2, sort_keys=True, default=str) + "\n").encode()
