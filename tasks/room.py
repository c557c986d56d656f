"""What all steps of one run share, made once before anything is started."""

from __future__ import annotations

import getpass
import hashlib
import os
import platform
import secrets as random_source
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil
from prefect.context import FlowRunContext
from prefect.runtime import deployment, flow_run

from blocks import InferenceEndpoint, ResultStore
from tasks.log import logger
from tasks.place import place_of
from tasks.secrets import read_block
from tasks.stop import STOP, Stop
from tidemark import __version__
from tidemark.config import Config, load_config, read_text
from tidemark.engines.genai_bench import GenaiBench
from tidemark.engines.install import LOCK, find
from tidemark.errors import StoreAway, StoreError
from tidemark.plan.advice import check_reuse, check_runnable
from tidemark.plan.cells import Cell, chosen
from tidemark.plan.secrets import lend
from tidemark.plan.sweep import SweepPlan, plan_hash, with_endpoint
from tidemark.results.context import Harness, RunContext
from tidemark.results.lease import Lease, LeaseLost
from tidemark.results.options import references
from tidemark.results.redact import Redactor
from tidemark.results.rounds import check_round
from tidemark.results.store import Store

__all__ = ["Room", "harness", "open_room", "plan_for", "remove_abandoned", "trigger"]

OWNER = "owner.pid"
"""Names the process that a folder of the spool belongs to, while it does."""


@dataclass(frozen=True)
class Room:
    """One run: its plan and cells, its engine, its store, and the secrets it was lent."""

    plan: SweepPlan
    cells: tuple[Cell, ...]
    context: RunContext
    config: Config
    engine: GenaiBench
    store: Store
    secrets: Mapping[str, str]
    redactor: Redactor
    directory: Path
    seed: int
    stop: Stop
    reuse_valid: bool = False
    lease: Lease | None = None

    @property
    def ended_by_others(self) -> bool:
        """Whether a run of a deployment was asked to stop."""
        return self.stop.asked and deployment.id is not None

    def check_owner(self) -> None:
        """Raises LeaseLost when another run owns the round by now: nothing more is written.

        A store that does not answer cannot tell; what is measured then waits in the outbox.
        """
        if self.lease is not None:
            with suppress(StoreAway):
                self.lease.check()

    @contextmanager
    def workspace(self) -> Iterator[None]:
        """The run's own folder, removed when the run is over, however it ends.

        Only where the store did not take what was measured it stays, without the secrets that a
        service may have sent back, and says where it is.
        """
        remove_abandoned(self.config.spool)
        self.directory.mkdir(parents=True, mode=0o700)
        (self.directory / OWNER).write_text(str(os.getpid()), "utf-8")
        try:
            yield
        except LeaseLost:
            shutil.rmtree(self.directory, ignore_errors=True)  # all that was finished is kept
            raise
        except StoreError:
            for path in self.directory.rglob("*"):
                if path.is_file() and path.name != OWNER:
                    path.write_bytes(self.redactor.data(path.read_bytes()))
            (self.directory / OWNER).unlink()
            if any(path.is_file() for path in self.directory.rglob("*")):
                logger().warning("what the store did not take lies in %s", self.directory)
            else:
                shutil.rmtree(self.directory, ignore_errors=True)
            raise
        except BaseException:
            shutil.rmtree(self.directory, ignore_errors=True)
            raise
        shutil.rmtree(self.directory, ignore_errors=True)

    def __repr__(self) -> str:
        return f"Room({self.context.run_id})"


def remove_abandoned(spool: Path) -> None:
    """Remove the folders of runs whose process is gone: what they had measured is in the store."""
    for owner in spool.glob(f"*/{OWNER}"):
        with suppress(OSError, ValueError):
            if not psutil.pid_exists(int(owner.read_text("utf-8"))):
                shutil.rmtree(owner.parent, ignore_errors=True)


def open_room(
    plan: SweepPlan,
    *,
    store: str | None,
    round: str | None,
    only: Sequence[str] | None = None,
    reuse_valid: bool = False,
    endpoint: InferenceEndpoint | None = None,
    result_store: ResultStore | None = None,
    environ: Mapping[str, str] | None = None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Room:
    """Resolve all that a plan names. Raises TidemarkError before anything is started."""
    environ = os.environ if environ is None else environ
    plan = plan_for(plan, endpoint)
    check_runnable(plan)
    check_reuse(plan, reuse_valid)
    if round:
        check_round(round)
    config = load_config(environ, Path.cwd())
    place = place_of(store, result_store, config)
    lent = lend(plan.endpoint.secrets, environ, read_text, read_block)
    # Apart: what opens the store is none of the engine's business.
    lent_for_store = lend(references(place.credentials), environ, read_text, read_block)
    created_at = now()
    run_id = f"{created_at:%Y%m%dT%H%M%S}-{random_source.token_hex(4)}"
    why, reference = trigger()
    redactor = Redactor((*lent.values(), *lent_for_store.values()))
    context = RunContext(
        run_id=run_id,
        round=round or _round(why, reference) or run_id,
        plan=plan,
        plan_hash=plan_hash(plan),
        created_at=created_at,
        harness=harness(),
        trigger=why,
        trigger_ref=reference,
        requested_by=_requested_by(),
        flow_run_id=flow_run.id or None,
        reproduce=f"tidemark sweep run:{run_id} --store {place.uri}",
    )
    return Room(
        plan=plan,
        cells=chosen(plan, only),
        context=context,
        config=config,
        engine=find(plan.engine.name, config.engines),
        store=place.open(lent_for_store, redactor, outbox=config.outbox),
        secrets=lent,
        redactor=redactor,
        directory=config.spool / run_id,
        seed=random_source.randbits(30),
        stop=STOP.get() or Stop(),
        reuse_valid=reuse_valid,
    )


def plan_for(plan: SweepPlan, endpoint: InferenceEndpoint | None) -> SweepPlan:
    """The plan for a saved endpoint, over the one in it; without one, the plan as it is."""
    return plan if endpoint is None else with_endpoint(plan, endpoint.endpoint())


def _round(why: str, reference: str | None) -> str | None:
    """The round of a run that was given none: its schedule's time, or the run of a deployment.

    A flow run that is tried again is the same occasion, and goes on where it stopped.
    """
    if why == "schedule":
        return reference
    return str(flow_run.id) if deployment.id else None


def trigger() -> tuple[str, str | None]:
    """Why this run exists: a schedule, an event or a person; and the schedule's time, or the
    automation's id."""
    context = FlowRunContext.get()
    made = context.flow_run.created_by if context and context.flow_run else None
    if made is not None and made.type == "AUTOMATION":
        return "event", str(made.id) if made.id else None
    scheduled = flow_run.scheduled_start_time if flow_run.id else None
    tags = flow_run.tags if flow_run.id else []
    if "auto-scheduled" in (tags or []):
        return "schedule", scheduled.isoformat() if scheduled else None
    return "manual", None


def _requested_by() -> str | None:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return None


def harness() -> Harness:
    """What measures: this project, its Python, its machine."""
    sha, dirty = _git()
    return Harness(
        tidemark_version=__version__,
        python_version=platform.python_version(),
        git_sha=sha,
        git_dirty=dirty,
        lockfile_hash=hashlib.sha256(LOCK.read_bytes()).hexdigest(),
        client_spec=client_spec(),
    )


def client_spec() -> str:
    """The machine the load comes from: processor, cores, memory, kernel."""
    memory_gib = psutil.virtual_memory().total / 2**30
    return (
        f"{_processor()}, {psutil.cpu_count()} cores, {memory_gib:.0f} GiB, "
        f"{platform.system()} {platform.release()}"
    )


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _git() -> tuple[str | None, bool | None]:
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return None, None

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, check=False
        )
        return done.stdout.strip()

    try:
        sha = git("rev-parse", "HEAD")
        return (sha or None), bool(git("status", "--porcelain")) if sha else None
    except OSError:
        return None, None
