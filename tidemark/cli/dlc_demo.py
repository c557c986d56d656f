"""A benchmark in a job of PAI-DLC from end to end, offline: a simulated account, a real engine.

The simulated account runs the job's command on this machine, with the clock at real speed while it
does. So what it bills is what the command really took.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

from rich.console import Console

from tidemark import __version__
from tidemark.cli.alibaba_session import Session
from tidemark.cli.demo import made_folder
from tidemark.cli.dlc_run import run_job
from tidemark.cli.job_plans import read_job_plan
from tidemark.cli.ledger import show_noted
from tidemark.cli.ledgers import opened_ledger
from tidemark.config import load_config
from tidemark.engines.calibration import simulated_endpoint
from tidemark.engines.install import find
from tidemark.errors import TidemarkError
from tidemark.money.amounts import sum_text
from tidemark.money.installation import read_or_make

__all__ = ["run_demo"]

FAILED = 1
MODEL = "simulated-llm"
ENDPOINT = ("--model", "queueing", "--slots", "12", "--ttft-s", "0.2", "--tpot-s", "0.02")
LONGEST_S = "900"
UP_TO = "1CNY"
# The key that the simulator publishes; whoever has it can do nothing anywhere else.
PUBLISHED = {
    "ALIBABA_CLOUD_ACCESS_KEY_ID": "LTAIsimulator",
    "ALIBABA_CLOUD_ACCESS_KEY_SECRET": "simulator-secret",
}
# The folder of results stands for one that a real job would mount.
PLAN = """\
name: demo
sweep:
  name: demo
  endpoint:
    url: {url}
    model: {model}
  task: text-to-text
  scenarios: ["D(64,24)"]
  concurrency: [2, 4, 8]
  limits: {{max_time_s: 5, stall_timeout_s: 20}}
  warmup: {{requests: 2, concurrency: 2}}
  tokenizer: {tokenizer}
machine: {{work: data-processing}}
image: localhost/tidemark:{version}
mounts:
  - {{uri: "nas://demo.example.com/results/", mount_path: {results}, read_only: false}}
expected_s: 120
limits: {{total_s: 1200, poll_interval_s: 1}}
cap: {{amount: 1, currency: CNY}}
"""


def run_demo(directory: Path) -> int:
    """Quote, approve, run, collect and release a job in a simulated account; leaves plan, results,
    report and ledger in `directory`. Returns the exit status: that of the run, or 1 where the
    account still runs something at the end."""
    console = Console(highlight=False)
    directory = made_folder(directory)
    results = directory / "results"
    find("genai-bench", load_config(os.environ, Path.cwd()).engines)
    tokenizer = directory / "tokenizer"
    subprocess.run(
        [sys.executable, "-m", "tidemark.simulator.tokenizer", str(tokenizer)],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    with ExitStack() as stack:
        ready = stack.enter_context(
            simulated_endpoint(*ENDPOINT, "--served-model", MODEL, "--max-seconds", LONGEST_S)
        )
        account = stack.enter_context(_simulated_account())
        stack.enter_context(_environment(directory, account))
        plan = directory / "job.yaml"
        plan.write_text(
            PLAN.format(
                url=ready["url"],
                model=MODEL,
                tokenizer=tokenizer,
                version=__version__,
                results=results,
            ),
            "utf-8",
        )
        _say(
            console,
            f"1. A simulated account of PAI answers at {account}, and a simulated LLM endpoint at "
            f"{ready['url']}. Nothing leaves this machine, nothing is billed.\n"
            f"2. The plan of a job is {plan}: genai-bench measures the endpoint from inside the "
            f"job. It is quoted now, and approved up to {UP_TO}.",
        )
        report = directory / "report.html"
        status = run_job(
            read_job_plan(str(plan)),
            store=str(results),
            session=Session(endpoint=account),
            workspace=None,
            approve_up_to=UP_TO,
            html=report,
            as_json=False,
        )
        _say(console, "\n3. What the ledger has noted of it (tidemark ledger --run RUN):\n")
        left = _settled(console, account)
    _say(
        console,
        f"\nThe plan is {plan},\nthe report {report},\nthe ledger {directory / 'ledger.db'}.\n"
        f"Read the results with pandas: pandas.read_parquet({str(results / 'cells')!r})",
    )
    return FAILED if left else status


def _settled(console: Console, account: str) -> bool:
    """Say what our ledger and the account's own bill have; whether something is still billed."""
    with opened_ledger() as ledger:
        run = ledger.runs(limit=1)[0]
        taken = ledger.reservation(run.run_id)
        open_leases = ledger.leases(unreleased=True)
    show_noted(run.run_id, as_json=False)
    bill = _bill(account)
    ours = "nothing" if taken.currency is None else sum_text(taken.metered, taken.currency)
    left = [*bill["still_billed"], *(lease.lease_id for lease in open_leases)]
    _say(
        console,
        f"\n4. Metered by us: {ours}. Billed by the simulated account: "
        f"{sum_text(Decimal(bill['total']), bill['currency'])} "
        f"for {float(bill['billable_seconds']):.0f} s of machines.\n"
        f"   Still running there: {', '.join(left) or 'nothing'}.",
    )
    return bool(left)


def _say(console: Console, text: str) -> None:
    console.print(text, markup=False, soft_wrap=True)


def _bill(account: str) -> dict[str, Any]:
    # This machine's own address: no proxy is asked.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"{account}/_simulator/bill", timeout=10) as answer:
        bill: dict[str, Any] = json.load(answer)
    return bill


@contextmanager
def _simulated_account() -> Iterator[str]:
    """Run the simulated services, which run the commands of jobs; gives their address.

    Raises TidemarkError when they do not start. They end with the block, and with this process.
    """
    environ = {
        **os.environ,
        # The job finds the same `tidemark` as this process.
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
        "TIDEMARK_HOME": str(load_config(os.environ, Path.cwd()).home.absolute()),
    }
    argv = [sys.executable, "-m", "tidemark.simulator.pai.server", "--execute", "--port", "0"]
    argv += ["--inherit", "TIDEMARK_HOME", "--inherit", "PREFECT_HOME"]
    argv += ["--max-seconds", LONGEST_S, "--parent-pid", str(os.getpid())]
    process = subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=environ, start_new_session=True
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        if not line:
            raise TidemarkError(
                "the simulated account did not start", "tidemark.simulator.pai.server",
                "Run it by hand: tidemark simulate pai",
            )  # fmt: skip
        yield str(json.loads(line)["url"])
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


@contextmanager
def _environment(directory: Path, account: str) -> Iterator[None]:
    """The variables of a demo that leaves all that is configured alone: its own account, ledger
    and installation."""
    before = dict(os.environ)
    given: Mapping[str, str] = {
        **PUBLISHED,
        "TIDEMARK_PAI_ENDPOINT": account,
        "TIDEMARK_REGION": "cn-hangzhou",
        "TIDEMARK_LEDGER": f"sqlite:///{directory / 'ledger.db'}",
        "TIDEMARK_INSTALLATION": read_or_make(directory),
        "NO_PROXY": ",".join(filter(None, [before.get("NO_PROXY"), "127.0.0.1", "localhost"])),
    }
    for name in [name for name in before if name.startswith("ALIBABA_CLOUD_")]:
        del os.environ[name]
    os.environ.update(given)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
