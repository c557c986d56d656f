"""How the tests are shared out between processes that run at once (`make test`)."""

from __future__ import annotations

from typing import Any

import pytest

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
