"""Does the truth lie within what a sweep prints? One run, four views of the same load.

    python benchmarks/truth.py [--levels 1,4,16] [--speeds slow] [--json FILE]

Against a fast (50 ms to the first token, 5 ms for each further one) and a slow (250 ms, 25 ms)
endpoint, 100 output tokens per answer, at 1 to 256 users:

    endpoint    its own record of what it really did in the sweep's windows: the truth
    tidemark    the cells of an ordinary `tidemark sweep`, with the client share of each metric
    bare        genai-bench's own aggregates, from its own command for one level
    plain       a plain asyncio client (`endpoint_truth.py`) that does nothing but read

Then every statistic of every cell is held against the record. It is `wrong` if it is called
valid, or a band, in a cell that is valid, and the truth lies more than 2 % outside what is
printed (`lo` to `hi`). Exit
status 1 if any is wrong, or if against the slow endpoint TTFT to 64 users, or TPOT and output
throughput to 128, are not usable. Client floors are measured anew. Takes about twenty minutes.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.bare_engine import BareEngine
from tidemark.config import load_config
from tidemark.engines.calibration import simulated_endpoint
from tidemark.results.metrics import CellMetrics, summarise
from tidemark.results.requests import CellRaw, RequestRow, Window

TOKENS = 100  # as the plain client asks for
SCENARIO = f"D(64,{TOKENS})"
LEVELS = (1, 4, 16, 64, 128, 256)
SPEEDS = {"fast": (0.05, 0.005, 10.0), "slow": (0.25, 0.025, 30.0)}
TOLERANCE = 0.02
USABLE = {"valid", "band"}
MUST_BE_USABLE = (("ttft_s", 64), ("tpot_s", 128), ("output_tput_tok_s", 128))
UNKNOWN_TO_THE_RECORD = {"input_tput_tok_s", "total_tput_tok_s", "error_rate"}
PLAIN_CLIENT = Path(__file__).with_name("endpoint_truth.py")


@dataclass(frozen=True)
class Level:
    """What the four said about one level: the cell's row, the truth, and the two others."""

    cell: Mapping[str, Any]
    truth: CellMetrics
    bare: Mapping[str, Any]
    plain: CellMetrics

    @property
    def stands(self) -> bool:
        """Whether the verdict on the cell lets its numbers stand."""
        return bool(self.cell["validity"] == "valid")

    def stat(self, metric: str, stat: str) -> Mapping[str, Any]:
        """One statistic of the cell, as it is kept."""
        for found in self.cell["metrics"]:
            if (found["metric"], found["stat"]) == (metric, stat):
                return dict(found)
        raise KeyError((metric, stat))


def sweep(
    url: str, levels: Sequence[int], max_time_s: float, home: Path, tokenizer: Path
) -> tuple[Path, list[dict[str, Any]]]:
    """An ordinary sweep by the command line; the store's folder and its rows of cells."""
    store, plan = home / "results", home / "plan.json"
    document = {
        "endpoint": {"url": url, "model": "simulated"},
        "scenarios": [SCENARIO],
        "concurrency": list(levels),
        "limits": {"max_time_s": max_time_s},
        "tokenizer": str(tokenizer),
    }
    plan.write_text(json.dumps(document), "utf-8")
    environment = {**os.environ, "TIDEMARK_HOME": str(home), "PREFECT_HOME": str(home / "prefect")}
    command = ["-m", "tidemark.cli", "sweep", str(plan), "--store", str(store), "--json"]
    done = subprocess.run(
        [sys.executable, *command], env=environment, stdout=subprocess.PIPE, check=False
    )
    if not done.stdout:
        raise SystemExit(f"the sweep failed with status {done.returncode}")
    rows = pandas.read_parquet(store / "cells").to_dict("records")
    return store, sorted(rows, key=lambda row: row["concurrency"])


def window_of(store: Path, cell: Mapping[str, Any]) -> Window:
    """The cell's window on the machine's clock, from what the engine's launcher wrote."""
    folder = store / "raw" / cell["cell_id"] / cell["attempt_id"]
    events = map(
        json.loads, gzip.decompress((folder / "events.jsonl.gz").read_bytes()).splitlines()
    )
    end = next(event for event in events if event["event"] == "run_end")
    return Window(end["full"], end["closed"])


def rows_of_record(lines: Iterable[str]) -> list[RequestRow]:
    """The endpoint's record as requests, on the machine's clock."""
    rows = []
    for number, line in enumerate(lines):
        truth = json.loads(line)
        arrival, first, end = truth["arrival_s"], truth["first_token_s"], truth["end_s"]
        rows.append(
            RequestRow(
                request_idx=number,
                start_s=arrival,
                first_token_s=first,
                end_s=truth["last_token_s"],
                status="ok" if truth["outcome"] == "ok" else "aborted",
                output_tokens=truth["written_tokens"],
                token_source="server",
                ttft_s=first - arrival if first is not None else None,
                e2e_s=end - arrival,
            )
        )
    return rows


def metrics_of(rows: Iterable[RequestRow], window: Window) -> CellMetrics:
    """Our own definitions, applied to what somebody else saw."""
    raw = CellRaw(rows=tuple(rows), window=window, wall_s=None)
    return summarise(raw, task="text-to-text")


def plain_client(port: int, users: int, service_s: float, span_s: float) -> CellMetrics:
    """The plain client at this many users, for about as long as the sweep's cell."""
    requests = max(2, round(span_s / service_s) - 1)
    asked = map(str, (port, users, requests, service_s))
    with tempfile.TemporaryFile() as told:
        subprocess.run(
            [sys.executable, str(PLAIN_CLIENT), "--client", *asked],
            stdout=told,
            check=True,
            timeout=120,
        )
        told.seek(0)
        seen = json.load(told)["seen"]
    rows = [
        RequestRow(
            request_idx=number,
            start_s=one["sent_s"],
            first_token_s=one["first_s"],
            end_s=one["last_s"],
            output_tokens=one["tokens"],
            token_source="server",
            ttft_s=one["first_s"] - one["sent_s"],
            e2e_s=one["last_s"] - one["sent_s"],
        )
        for number, one in enumerate(seen)
    ]
    begin = min(one["sent_s"] for one in seen)
    last_start = max(one["sent_s"] for one in seen)
    return metrics_of(rows, Window(begin + service_s, max(last_start, begin + 1.5 * service_s)))


def measure(
    speed: str, levels: Sequence[int], directory: Path, tokenizer: Path, engines: Path
) -> list[Level]:
    """All four views of all levels against one kind of endpoint."""
    ttft_s, tpot_s, max_time_s = SPEEDS[speed]
    service_s = ttft_s + (TOKENS - 1) * tpot_s
    options = ("--ttft-s", str(ttft_s), "--tpot-s", str(tpot_s), "--max-seconds", "1500")
    home = directory / speed
    home.mkdir()
    (home / "engines").symlink_to(engines)
    record = home / "record.jsonl"
    with simulated_endpoint(*options, record=record) as endpoint:
        print(f"{speed}: the sweep", file=sys.stderr, flush=True)
        store, cells = sweep(endpoint["url"], levels, max_time_s, home, tokenizer)
    rows = rows_of_record(record.read_text("utf-8").splitlines())
    found = []
    bare = BareEngine.find(load_config(os.environ, Path.cwd()).engines)
    with simulated_endpoint(*options) as endpoint:
        for cell in cells:
            users = int(cell["concurrency"])
            print(f"{speed}: the others at {users} users", file=sys.stderr, flush=True)
            window = window_of(store, cell)
            near = [
                row
                for row in rows
                if row.start_s is not None
                and row.end_s is not None
                and row.end_s > window.start_s
                and row.start_s < window.end_s
            ]
            claims = bare.run(
                url=endpoint["url"],
                tokenizer=tokenizer,
                scenario=SCENARIO,
                levels=[users],
                max_requests=int(cell["requests_attempted"]),
                directory=home / f"bare-{users}",
            )[users]
            plain = plain_client(int(endpoint["port"]), users, service_s, max_time_s)
            found.append(Level(cell, metrics_of(near, window), claims, plain))
    return found


def compare(level: Level) -> list[dict[str, Any]]:
    """Each statistic of the cell against the endpoint's record."""
    verdicts = []
    for stat in level.cell["metrics"]:
        metric, name = stat["metric"], stat["stat"]
        if stat["value"] is None or metric in UNKNOWN_TO_THE_RECORD or name == "stddev":
            continue
        truth = level.truth.get(metric, name).value
        if truth is None or stat["validity"] is None:
            continue
        within = (
            stat["lo"] is not None
            and stat["lo"] * (1 - TOLERANCE) <= truth
            and (stat["hi"] is None or truth <= stat["hi"] * (1 + TOLERANCE))
        )
        verdicts.append(
            {
                "concurrency": int(level.cell["concurrency"]),
                "metric": metric,
                "stat": name,
                "truth": truth,
                **{key: stat[key] for key in ("value", "lo", "hi", "client_share", "validity")},
                "within": within,
                "cell": level.cell["validity"],
                "wrong": stat["validity"] in USABLE and level.stands and not within,
            }
        )
    return verdicts


def missing(levels: Iterable[Level]) -> list[str]:
    """What should be usable against the slow endpoint and is not."""
    told = []
    for level in levels:
        for metric, highest in MUST_BE_USABLE:
            if level.cell["concurrency"] > highest:
                continue
            stat = level.stat(metric, "value" if metric.endswith("_tok_s") else "p50")
            if stat["validity"] not in USABLE or not level.stands:
                told.append(
                    f"{metric} at {level.cell['concurrency']} is {stat['validity']} "
                    f"in a cell that is {level.cell['validity']}"
                )
    return told


COLUMNS = (
    ("ttft_s", "p50", "TTFT p50 ms", 1e3, "{:.1f}", "ttft_p50"),
    ("tpot_s", "p50", "TPOT p50 ms", 1e3, "{:.2f}", "tpot_p50"),
    ("e2e_s", "p50", "E2E p50 ms", 1e3, "{:.0f}", "e2e_latency_p50"),
    ("output_tput_tok_s", "value", "tok/s", 1.0, "{:,.0f}", "mean_output_throughput_tokens_per_s"),
)  # fmt: skip


def show(speed: str, levels: Sequence[Level], console: Console) -> None:
    """The four views side by side; under each of ours its client share and validity."""
    for metric, stat, title, scale, form, claim in COLUMNS:
        table = Table(title=f"{speed} endpoint: {title}", title_justify="left")
        for heading in (
            "users",
            "endpoint",
            "tidemark",
            "band",
            "client share",
            "validity",
            "cell",
        ):
            table.add_column(heading, justify="right")
        table.add_column("bare", justify="right")
        table.add_column("plain", justify="right")
        for level in levels:
            ours = level.stat(metric, stat)

            def number(value: float | None, scale: float = scale, form: str = form) -> str:
                return "-" if value is None else form.format(value * scale)

            share = ours["client_share"]
            table.add_row(
                str(level.cell["concurrency"]),
                number(level.truth.value(metric, stat)),
                number(ours["value"]),
                f"{number(ours['lo'])} to {number(ours['hi'])}",
                "-" if share is None else f"{share:.1%}",
                str(ours["validity"]).replace("(", " (").split(" ")[0],
                str(level.cell["validity"]),
                number(level.bare.get(claim)),
                number(level.plain.value(metric, stat)),
            )
        console.print(table)


def main() -> int:
    """Measure, print, judge; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--levels", default=",".join(map(str, LEVELS)))
    parser.add_argument("--speeds", default=",".join(SPEEDS))
    parser.add_argument("--json", type=Path, help="write every comparison to this file")
    given = parser.parse_args()
    levels = [int(level) for level in given.levels.split(",")]
    console = Console(highlight=False, width=110)
    engines = load_config(os.environ, Path.cwd()).engines.resolve()
    verdicts, complaints = [], []
    with tempfile.TemporaryDirectory(prefix="truth-") as folder:
        tokenizer = Path(folder) / "tokenizer"
        subprocess.run(
            [sys.executable, "-m", "tidemark.simulator.tokenizer", str(tokenizer)],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        for speed in given.speeds.split(","):
            found = measure(speed, levels, Path(folder), tokenizer, engines)
            show(speed, found, console)
            judged = [{"speed": speed, **one} for level in found for one in compare(level)]
            verdicts += judged
            if speed == "slow":
                complaints += missing(found)
    wrong = [one for one in verdicts if one["wrong"]]
    counted = pandas.Series([one["validity"] for one in verdicts]).value_counts().to_dict()
    console.print(f"{len(verdicts)} statistics: {counted}; wrong and usable: {len(wrong)}")
    for one in wrong:
        console.print(f"  {one}")
    for complaint in complaints:
        console.print(f"not usable: {complaint}")
    if given.json:
        given.json.write_text(json.dumps(verdicts, indent=1, default=str), "utf-8")
    return 1 if wrong or complaints else 0


if __name__ == "__main__":
    raise SystemExit(main())
