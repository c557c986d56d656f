"""What each kind of store is tested against, in one form for all."""

from __future__ import annotations

import importlib.util
import itertools
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

HERE = Path(__file__).parent
OTHERS = HERE.parent / "results_store"
if str(OTHERS) not in sys.path:
    sys.path.append(str(OTHERS))  # their servers and their sweep
COUNTER = itertools.count()


@dataclass(frozen=True)
class Wrong:
    """Credentials that do not open a store, and words of what is said then."""

    words: str
    credentials: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)


class Service(Protocol):
    """A service that stores can be opened at, or none but this machine's file system.

    `keeps` says that what it holds is still there when it was killed and started again.
    """

    name: str
    keeps: bool
    endpoint_url: str | None
    secrets: tuple[str, ...]

    def start(self) -> None:
        """Begin to serve, and return once it does."""

    def stop(self) -> None:
        """End it at once, also if it is paused."""

    def create_bucket(self, name: str) -> None:
        """A place for stores; nothing if it is there."""

    def uri(self, bucket: str, prefix: str) -> str:
        """The location of a store."""

    def options(self, endpoint_url: str | None) -> dict[str, str]:
        """What a store has to be told to be opened at an address of the service."""

    def credentials(self) -> dict[str, str]:
        """What opens it, where that is given."""

    def environment(self) -> dict[str, str]:
        """What opens it, where that is in the environment."""

    def wrong(self) -> Sequence[Wrong]:
        """What does not open it."""


class Process:
    """A service in a process of its own, which is ended and paused by its id."""

    keeps = False
    secrets: tuple[str, ...] = ()
    ready = b"serving"
    variables: Mapping[str, str] = {}
    path = ""

    def __init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.endpoint_url: str | None = f"http://127.0.0.1:{self.port}{self.path}"

    def command(self) -> list[str]:
        """What is run."""
        raise NotImplementedError

    def start(self) -> None:
        self.process = subprocess.Popen(
            self.command(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONWARNINGS": "ignore", **self.variables},
        )
        assert self.process.stdout is not None
        said = []
        for line in self.process.stdout:
            said.append(line)
            if self.ready in line:
                break
        else:
            raise AssertionError(f"{self.command()[1]} did not start: {b''.join(said).decode()}")
        # Nobody reads what else it says, but a full pipe would stop it.
        self._reader = threading.Thread(target=self.process.stdout.read, daemon=True)
        self._reader.start()

    def stop(self) -> None:
        self.process.kill()
        self.process.wait(timeout=20)
        self._reader.join(timeout=20)
        assert self.process.stdout is not None
        self.process.stdout.close()

    def pause(self) -> None:
        """Let it hang: it is connected to, and never answers."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def options(self, endpoint_url: str | None) -> dict[str, str]:
        return {} if endpoint_url is None else {"endpoint_url": endpoint_url}

    def credentials(self) -> dict[str, str]:
        return {}

    def environment(self) -> dict[str, str]:
        return {}

    def wrong(self) -> Sequence[Wrong]:
        return ()

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> bytes:
        """What it answers to a request that prepares a test."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", body, named, method=method
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            content: bytes = answer.read()
            return content


class Folder:
    """A folder, or a claim that is mounted at one."""

    keeps = True
    endpoint_url: str | None = None
    secrets: tuple[str, ...] = ()

    def __init__(self, name: str, top: Path) -> None:
        self.name, self.top = name, top

    def start(self) -> None:
        self.top.mkdir(exist_ok=True)

    def stop(self) -> None:
        pass

    def create_bucket(self, name: str) -> None:
        (self.top / name).mkdir(exist_ok=True)

    def uri(self, bucket: str, prefix: str) -> str:
        if self.name == "pvc":
            return f"pvc://results/{bucket}/{prefix}"
        return f"{self.top}/{bucket}/{prefix}"

    def options(self, endpoint_url: str | None) -> dict[str, str]:  # noqa: ARG002
        return {"mount_path": str(self.top)} if self.name == "pvc" else {}

    def credentials(self) -> dict[str, str]:
        return {}

    environment = credentials

    def wrong(self) -> Sequence[Wrong]:
        return ()


class S3:
    """moto, of the tests of stores on S3; it knows users once it was asked to."""

    name, keeps = "s3", False
    secrets = ("canary/of/a/secret/access/key", "canary/of/a/wrong/secret/key")

    def __init__(self) -> None:
        self._service = fixtures_of("conftest").S3Service()
        self.endpoint_url: str | None = self._service.endpoint_url

    def start(self) -> None:
        self._service.start()

    def stop(self) -> None:
        self._service.stop()

    def create_bucket(self, name: str) -> None:
        self._service.create_bucket(name)

    def uri(self, bucket: str, prefix: str) -> str:
        return f"s3://{bucket}@us-east-1/{prefix}"

    def options(self, endpoint_url: str | None) -> dict[str, str]:
        return {} if endpoint_url is None else {"endpoint_url": endpoint_url}

    def credentials(self) -> dict[str, str]:
        return {"access_key_id": "AKIAMADEUPMADEUP0001", "secret_access_key": self.secrets[0]}

    def environment(self) -> dict[str, str]:
        return {
            "AWS_ACCESS_KEY_ID": "AKIAMADEUPMADEUP0001",
            "AWS_SECRET_ACCESS_KEY": self.secrets[0],
        }

    def wrong(self) -> Sequence[Wrong]:
        # It accepts everybody until it is told to check. What it says then, the tests of options
        # for S3 see.
        return (Wrong("secret_access_key is missing", {"access_key_id": "AKIAMADEUP"}),)


class Oss:
    """The simulated OSS, in a thread; it keeps what it holds."""

    name, keeps = "oss", True

    def __init__(self) -> None:
        import oss_service

        self._service = oss_service.OssService()
        self.endpoint_url: str | None = self._service.endpoint_url
        self.secrets = (oss_service.SECRET, "canary-of-another-secret")

    def start(self) -> None:
        self._service.start()

    def stop(self) -> None:
        self._service.stop()

    def create_bucket(self, name: str) -> None:
        if name not in self._service.simulator.state()["buckets"]:
            self._service.simulator.create_bucket(name)

    def uri(self, bucket: str, prefix: str) -> str:
        return f"oss://{bucket}@cn-hangzhou/{prefix}"

    def options(self, endpoint_url: str | None) -> dict[str, str]:
        return {} if endpoint_url is None else {"endpoint_url": endpoint_url}

    def credentials(self) -> dict[str, str]:
        return {"access_key_id": "LTAIsimulator", "access_key_secret": self.secrets[0]}

    def environment(self) -> dict[str, str]:
        return {
            "ALIBABA_CLOUD_ACCESS_KEY_ID": "LTAIsimulator",
            "ALIBABA_CLOUD_ACCESS_KEY_SECRET": self.secrets[0],
        }

    def wrong(self) -> Sequence[Wrong]:
        return (
            Wrong("secret", {**self.credentials(), "access_key_secret": self.secrets[1]}),
            Wrong("not known", {**self.credentials(), "access_key_id": "LTAInobody"}),
        )


class Github:
    """A server that speaks as GitHub does of releases; a bucket is a repository."""

    name, keeps = "github", False

    def __init__(self) -> None:
        import github_server

        self._service: Any = github_server.GithubServer()
        self.endpoint_url: str | None = self._service.endpoint_url
        self.secrets = (self._service.WRITER, "ghp_canaryofanobody0000000000000000000009")

    def start(self) -> None:
        self._service.start()

    def stop(self) -> None:
        self._service.stop()

    def create_bucket(self, name: str) -> None:
        self._service.create_repository(f"harbour/{name}")

    def uri(self, bucket: str, prefix: str) -> str:
        return f"github://harbour/{bucket}@{prefix.replace('/', '-')}"

    def options(self, endpoint_url: str | None) -> dict[str, str]:
        return {} if endpoint_url is None else {"endpoint_url": endpoint_url}

    def credentials(self) -> dict[str, str]:
        return {"github_token": self.secrets[0]}

    def environment(self) -> dict[str, str]:
        return {"GITHUB_TOKEN": self.secrets[0]}

    def wrong(self) -> Sequence[Wrong]:
        return (Wrong("token", {"github_token": self.secrets[1]}),)

    def lose_answer(self) -> None:
        """Let it keep the next asset, and answer to nobody."""
        self._service.fault(r"POST .*/assets", "lose")


def fixtures_of(module: str) -> ModuleType:
    """A module of the other tests of stores, whose name is taken here."""
    name = f"results_store_{module}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, OTHERS / f"{module}.py")
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]
