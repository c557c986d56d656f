"""Local servers of every kind of store, started for a benchmark."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tidemark.results.patience import Patience
from tidemark.results.store import Store, open_store

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "stores"))

from cloud_services import Azure, Gcs, Oci, azurite_missing
from proxy import Proxy
from services import S3, Folder, Github, Process

__all__ = ["PROVIDERS", "Served", "served"]

BUCKET = "results-of-a-benchmark"
PATIENT = Patience(answer_s=300.0)


class Oss(Process):
    """The simulated OSS in a process of its own, so that it does not wait for its client."""

    ready = b'"url"'

    def command(self) -> list[str]:
        server = [sys.executable, "-m", "tidemark.simulator.oss.server", "--port", str(self.port)]
        return [*server, "--bucket", BUCKET, "--max-seconds", "7200"]

    def create_bucket(self, name: str) -> None:
        """It has it from the beginning."""

    def uri(self, bucket: str, prefix: str) -> str:
        return f"oss://{bucket}@cn-hangzhou/{prefix}"

    def credentials(self) -> dict[str, str]:
        return {"access_key_id": "LTAIsimulator", "access_key_secret": "simulator-secret"}


_MADE: Final[dict[str, Callable[[Path], Any]]] = {
    "folder": lambda folder: Folder("folder", folder / "results"),
    "s3": lambda _: S3(),
    "oss": lambda _: Oss(),
    "azure": lambda _: Azure(),
    "gcs": Gcs,
    "oci": Oci,
    "github": lambda _: Github(),
}
PROVIDERS: Final = tuple(_MADE)


@dataclass(frozen=True)
class Served:
    """A service that is running."""

    provider: str
    service: Any
    proxy: Proxy | None

    def open(self, prefix: str, *, counted: bool = False) -> Store:
        """A store there; `calls` knows what it asks if it is to be counted."""
        address = self.service.endpoint_url
        if counted and self.proxy is not None:
            address = self.proxy.endpoint_url
        return open_store(
            self.service.uri(BUCKET, prefix),
            options=self.service.options(address),
            credentials=self.service.credentials() or None,
            patience=PATIENT,
        )

    def calls(self) -> int | None:
        """How many requests were made so far by stores that are counted; None for a folder."""
        return None if self.proxy is None else len(self.proxy.asked)


@contextlib.contextmanager
def served(provider: str, folder: Path) -> Iterator[Served]:
    """A service of this kind, and its end. Raises SystemExit if it cannot be had here."""
    if provider == "azure" and (why := azurite_missing()) is not None:
        raise SystemExit(f"azure: {why} (make test-stores installs it)")
    os.environ |= {"AWS_EC2_METADATA_DISABLED": "true", "NO_GCE_CHECK": "true"}
    folder.mkdir(parents=True, exist_ok=True)
    service = _MADE[provider](folder.resolve())
    service.start()
    proxy = None if service.endpoint_url is None else Proxy(service.endpoint_url)
    try:
        service.create_bucket(BUCKET)
        yield Served(provider, service, proxy)
    finally:
        if proxy is not None:
            proxy.close()
        service.stop()
