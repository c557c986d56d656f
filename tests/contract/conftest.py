"""The official SDKs and our own clients against simulated services, over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
from alike import Both
from contract_cloud import Cloud, Recorder, accepting, client_account, served
from contract_cloud import cloud as simulated
from official import Official

# What the SDKs do that Python warns of.
_SDK_WARNINGS = (
    "ignore:datetime.datetime.utcnow:DeprecationWarning",
    "ignore:unclosed <socket.socket:ResourceWarning",
    "ignore:unclosed transport:ResourceWarning",
)


def pytest_configure(config: pytest.Config) -> None:
    """Know the marker, and let the SDKs be as they are."""
    config.addinivalue_line("markers", "drives(*operations): calls these by an official SDK")
    for warning in _SDK_WARNINGS:
        config.addinivalue_line("filterwarnings", warning)


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    # The SDKs would ask a proxy for 127.0.0.1 too.
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def cloud(request: pytest.FixtureRequest) -> Iterator[Cloud]:
    """A simulated cloud; at the end, that the operations a test is marked with were driven."""
    with simulated() as running:
        yield running
    done = {one.action for one in running.requests if one.by_sdk and one.status == 200}
    for mark in request.node.iter_markers("drives"):
        missing = {operation.action for operation in mark.args} - done
        assert not missing, f"no SDK was answered: {missing}"


@pytest.fixture
def sdk(cloud: Cloud) -> Official:
    """The official SDKs, pointed at the simulated cloud."""
    return Official(cloud.port)


@pytest.fixture(scope="session")
async def both() -> AsyncIterator[Both]:
    """An SDK and our client, and what a service that accepts everything got from them."""
    kept = Recorder(accepting)
    with served(kept, lifespan="off") as port:
        async with client_account(port) as account:
            yield Both(kept, Official(port), account)
