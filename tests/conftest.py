"""How the tests are shared out between processes that run at once (`make test`), and a home with
the installed engines."""

from __future__ import annotations

import os
from collections.abc import Iterator
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
