"""A benchmark from end to end, offline: a simulated endpoint, a real engine, a real flow."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from rich.console import Console

from tidemark.cli.run import run_sweep
from tidemark.engines.calibration import simulated_endpoint
from tidemark.errors import ConfigError
from tidemark.plan.load import load_document

__all__ = ["made_folder", "run_demo"]

MODEL = "simulated-llm"
# Slow enough that a small machine can be trusted to measure it, and at 16 users over its 12
# slots, so that the report has something to say.
ENDPOINT = ("--model", "queueing", "--slots", "12", "--ttft-s", "0.2", "--tpot-s", "0.02")
PLAN = """\
name: demo
endpoint:
  url: {url}
  model: {model}
task: text-to-text
scenarios: ["D(64,24)", "N(128,32)/(20,4)"]
concurrency: [1, 2, 4, 8, 16]
limits: {{max_time_s: 7, stall_timeout_s: 20}}
warmup: {{requests: 4, concurrency: 4}}
slo: {{ttft_s: 0.3, tpot_s: 0.03}}
tokenizer: {tokenizer}
"""


def run_demo(directory: Path) -> int:
    """Sweep a simulated endpoint, and leave plan, results and report in `directory`."""
    console = Console(highlight=False)
    directory = made_folder(directory)
    tokenizer = directory / "tokenizer"
    subprocess.run(
        [sys.executable, "-m", "tidemark.simulator.tokenizer", str(tokenizer)],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    with simulated_endpoint(*ENDPOINT, "--served-model", MODEL, "--max-seconds", "900") as ready:
        text = PLAN.format(url=ready["url"], model=MODEL, tokenizer=tokenizer)
        plan = directory / "plan.yaml"
        plan.write_text(text, "utf-8")
        console.print(
            f"A simulated LLM endpoint answers at {ready['url']}: 12 requests at once, 200 ms to "
            "the first token, 20 ms for each further one. genai-bench measures it now.",
            soft_wrap=True,
        )
        report = directory / "report.html"
        status = run_sweep(
            load_document(text, str(plan)),
            store=str(directory / "results"),
            round_name=None,
            html=report,
            as_json=False,
        )
    console.print(
        f"\nThe plan is {plan}, the report {report}.\n"
        f"Read the results with pandas: pandas.read_parquet({str(directory / 'results/cells')!r})",
        soft_wrap=True,
    )
    return status


def made_folder(directory: Path) -> Path:
    """The whole path of the folder of a demo, made with one for results in it where they are not
    there. Raises ConfigError."""
    try:
        whole = directory.resolve()
        (whole / "results").mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError) as error:  # RuntimeError: links that lead in a circle
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(
            f"the folder cannot be made ({reason})", f"--directory {directory}",
            "Name one that you may write in",
        ) from None  # fmt: skip
    return whole
