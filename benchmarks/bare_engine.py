"""genai-bench by its own command, as a careful person would call it, to compare with."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tidemark.engines.genai_bench_output import read_run_file
from tidemark.engines.install import find

RUN_FILE = "*_time_*s.json"


@dataclass(frozen=True, slots=True)
class BareEngine:
    """The installed genai-bench: nothing of ours around it."""

    command: str

    @classmethod
    def find(cls, engines: Path) -> BareEngine:
        """The engine in this folder; EngineError when it is not installed."""
        return cls(str(Path(find("genai-bench", engines).python).with_name("genai-bench")))

    def argv(
        self,
        *,
        url: str,
        tokenizer: Path,
        scenarios: Sequence[str],
        levels: Sequence[int],
        max_requests: int,
        directory: Path,
    ) -> list[str]:
        """The whole command. Without the last option the engine sums up anew at each request."""
        return [
            self.command, "benchmark",
            "--api-backend", "vllm", "--api-base", url, "--api-key", "sk-not-a-key",
            "--api-model-name", "simulated", "--task", "text-to-text",
            "--model-tokenizer", str(tokenizer),
            "--max-time-per-run", "1", "--max-requests-per-run", str(max_requests),
            *(part for scenario in scenarios for part in ("--traffic-scenario", scenario)),
            *(part for level in levels for part in ("--num-concurrency", str(level))),
            "--experiment-base-dir", str(directory), "--experiment-folder-name", "out",
            "--log-dir", str(directory),
            "--metrics-refresh-interval", "1000",
        ]  # fmt: skip

    def environment(self) -> dict[str, str]:
        """Without its screen, and offline."""
        return {
            **os.environ,
            "ENABLE_UI": "false",
            "GENAI_BENCH_LOGGING_LEVEL": "WARNING",
            "HF_HUB_OFFLINE": "1",
            "TOKENIZERS_PARALLELISM": "false",
        }

    def run(
        self,
        *,
        url: str,
        tokenizer: Path,
        scenario: str,
        levels: Sequence[int],
        max_requests: int,
        directory: Path,
        more: Sequence[str] = (),
    ) -> dict[int, dict[str, Any]]:
        """Run it and read its own aggregates, by level, in seconds; a level may be missing.

        `more` are further options.
        """
        directory.mkdir(parents=True)
        argv = self.argv(
            url=url,
            tokenizer=tokenizer,
            scenarios=[scenario],
            levels=levels,
            max_requests=max_requests,
            directory=directory,
        )
        with (directory / "output.txt").open("wb") as output:
            subprocess.run(
                [*argv, *more],
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
                timeout=150 * len(levels),
            )
        found: dict[int, dict[str, Any]] = {level: {} for level in levels}
        for path in sorted((directory / "out").glob(RUN_FILE)):
            claims = read_run_file(path.read_bytes())[1]
            found[int(json.loads(path.read_bytes())["aggregated_metrics"]["num_concurrency"])] = (
                claims
            )
        return found
