"""Every kind of store, each against a service of its own."""

from __future__ import annotations

import gc
import importlib.util
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cloud_services import Azure, Gcs, Oci, azurite_missing
from proxy import Proxy
from services import COUNTER, S3, Folder, Github, Oss, Service, fixtures_of

from tidemark.results.patience import Patience
from tidemark.results.store import Store, open_store

others = fixtures_of("conftest")
plan, run, raw, cell = others.plan, others.run, others.raw, others.cell
make_context, make_row, make_attempt = others.make_context, others.make_row, others.make_attempt

HASTY = Patience(tries=2, connect_s=5.0, answer_s=20.0, sleep=lambda _: None)
LOCAL = ("folder", "pvc")
REMOTE = ("s3", "oss", "github", "azure", "gcs", "oci")
OF_CLOUDS = ("AWS_", "AZURE_", "GOOGLE_", "CLOUDSDK_", "OCI_", "OCIFS_", "ALIBABA_CLOUD_",
             "GITHUB_", "GH_", "STORAGE_EMULATOR_HOST", "TIDEMARK_", "HTTP_PROXY", "http_proxy",
             "HTTPS_PROXY", "https_proxy")  # fmt: skip


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """All tests of a kind of store go to one process, which has its server."""
    from xdist.scheduler import LoadScopeScheduling

    class Shares(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            place, _, parameters = nodeid.partition("[")
            kinds = [kind for kind in (*LOCAL, *REMOTE) if kind in parameters]
            return kinds[0] if kinds else place.partition("::")[0]

    return Shares(config, log)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Tests that take `service` are run for every kind; with `proxy`, for those with a network."""
    if "service" in metafunc.fixturenames:
        kinds = REMOTE if "proxy" in metafunc.fixturenames else (*LOCAL, *REMOTE)
        metafunc.parametrize("service", kinds, indirect=True, scope="session")


@pytest.fixture(scope="session")
def service(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    kind: str = request.param
    folder = tmp_path_factory.mktemp(kind)
    if kind == "azure" and (why := azurite_missing()) is not None:
        pytest.skip(f"NOT TESTED: Azure Blob Storage: {why}")
    if kind == "oss" and importlib.util.find_spec("tidemark.results.providers.oss") is None:
        pytest.skip("NOT TESTED: OSS")
    makers: dict[str, Callable[[], Service]] = {
        "folder": lambda: Folder("folder", folder / "results"),
        "pvc": lambda: Folder("pvc", folder / "mount"),
        "s3": S3,
        "oss": Oss,
        "github": Github,
        "azure": Azure,
        "gcs": lambda: Gcs(folder),
        "oci": lambda: Oci(folder),
    }
    made = makers[kind]()
    made.start()
    yield made
    made.stop()


@pytest.fixture
def proxy(service: Service) -> Iterator[Proxy]:
    assert service.endpoint_url is not None
    between = Proxy(service.endpoint_url)
    yield between
    between.close()


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing of this machine's own opens a store."""
    for name in [*os.environ]:
        if name.startswith(OF_CLOUDS):
            monkeypatch.delenv(name)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("ALIBABA_CLOUD_ECS_METADATA_DISABLED", "true")
    monkeypatch.setenv("NO_GCE_CHECK", "true")


@dataclass
class Place:
    """A store at a service, which others can open too."""

    service: Service
    bucket: str
    prefix: str = "nightly/runs"
    proxy: Proxy | None = None

    @property
    def uri(self) -> str:
        return self.service.uri(self.bucket, self.prefix)

    @property
    def options(self) -> dict[str, str]:
        between = self.service.endpoint_url if self.proxy is None else self.proxy.endpoint_url
        return self.service.options(between)

    def open(
        self,
        *,
        patience: Patience = HASTY,
        outbox: Path | None = None,
        options: dict[str, str] | None = None,
        credentials: dict[str, str] | None = None,
    ) -> Store:
        """The store, as another process would open it."""
        return open_store(
            self.uri,
            options={**self.options, **(options or {})},
            credentials=self.service.credentials() if credentials is None else credentials,
            patience=patience,
            outbox=outbox,
        )


@pytest.fixture
def place(service: Service, request: pytest.FixtureRequest) -> Place:
    bucket = f"results-{next(COUNTER)}"
    service.create_bucket(bucket)
    between = request.getfixturevalue("proxy") if "proxy" in request.fixturenames else None
    return Place(service, bucket, proxy=between)


@pytest.fixture
def store(place: Place) -> Store:
    return place.open()


@pytest.fixture(autouse=True)
def nothing_left_open() -> Iterator[None]:
    yield
    gc.collect()
