"""How the tests are shared out between processes that run at once (`make test`), a home with the
installed engines, and a command typed in a folder of its own."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tidemark.config import load_config

# They take longest, so they come first, and each of the two is for one process: the flows share
# one Prefect server, and no more than two engines put load on endpoints at once.
FIRST = {"tests/flows/": "flows", "tests/drill/": "engines", "tests/engines/": "engines"}


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Whole files go to whoever is free; the rooms named above go as one."""
    from xdist.scheduler import LoadFileScheduling

    class Shares(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return _share(nodeid) or super()._split_scope(nodeid)

    config.option.loadscopereorder = False  # by time, below, rather than by the number of tests
    return Shares(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: _share(item.nodeid) is None)


def _share(nodeid: str) -> str | None:
    return next((share for room, share in FIRST.items() if nodeid.startswith(room)), None)


@pytest.fixture(scope="module")
def tidemark_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home of its own, with the installed engines in it."""
    engines = load_config(os.environ, Path.cwd()).engines.resolve()
    home = tmp_path_factory.mktemp("home")
    (home / "engines").symlink_to(engines)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIDEMARK_HOME", str(home))
        yield home


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

    from tidemark.cli.main import main

    def typed(*arguments: str) -> Said:
        monkeypatch.setattr(sys, "argv", ["tidemark", *arguments])
        status = 0
        try:
            main()
        except SystemExit as stopped:
            status = int(stopped.code or 0)
        return Said(status, *capsys.readouterr())

    return typed
