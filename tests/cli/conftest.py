"""A command typed in a folder of its own."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tidemark.cli.main import main


@dataclass(frozen=True)
class Said:
    """What came of a command line."""

    status: int
    out: str
    err: str


@pytest.fixture
def command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., Said]:
    """Types `tidemark …` in an empty folder, where nothing is configured but a home in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("TIDEMARK_HOME", str(tmp_path / "home"))

    def typed(*arguments: str) -> Said:
        monkeypatch.setattr(sys, "argv", ["tidemark", *arguments])
        status = 0
        try:
            main()
        except SystemExit as stopped:
            status = int(stopped.code or 0)
        return Said(status, *capsys.readouterr())

    return typed
