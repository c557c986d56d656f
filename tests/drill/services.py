"""What a drill breaks: a small disk, an S3 server, and the road to it."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["FlakyRoad", "S3Server", "small_disk"]


@contextlib.contextmanager
def small_disk(folder: Path, *, size_bytes: int) -> Iterator[Path | None]:
    """A file system of its own in memory, that is soon full; None without the right to mount."""
    folder.mkdir(parents=True, exist_ok=True)
    options = ["-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", str(folder)]
    mounted = subprocess.run(["mount", *options], capture_output=True, check=False)
    if mounted.returncode != 0:
        yield None
        return
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=False)


@dataclass
class S3Server:
    """moto, in a process of its own."""

    port: int

    @property
    def environment(self) -> dict[str, str]:
        """Made-up credentials, which it accepts."""
        return {
            "AWS_ACCESS_KEY_ID": "made-up-key-id",
            "AWS_SECRET_ACCESS_KEY": "made-up-secret",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def create_bucket(self, name: str) -> None:
        url = f"http://127.0.0.1:{self.port}/{name}"
        with urllib.request.urlopen(urllib.request.Request(url, method="PUT"), timeout=30):
            return

    @classmethod
    @contextlib.contextmanager
    def running(cls) -> Iterator[S3Server]:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        process = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONWARNINGS": "ignore"},
        )
        assert process.stdout is not None
        try:
            for line in process.stdout:
                if b"Running on http" in line:
                    break
            else:
                raise RuntimeError("the S3 server did not start")
            # Nobody reads its log, but a full pipe would stop it.
            threading.Thread(target=process.stdout.read, daemon=True).start()
            yield cls(port)
        finally:
            process.terminate()
            process.wait(timeout=20)


class FlakyRoad:
    """A way to a port that can be cut: open connections break, new ones are refused at once."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._open = threading.Event()
        self._open.set()
        self._over = threading.Event()

    @classmethod
    @contextlib.contextmanager
    def to(cls, target: int) -> Iterator[FlakyRoad]:
        road = cls(target)
        threading.Thread(target=road._serve, daemon=True).start()
        try:
            yield road
        finally:
            road._over.set()
            road._listening.close()

    def cut(self) -> None:
        """Nothing passes any more."""
        self._open.clear()

    def mend(self) -> None:
        """All passes again."""
        self._open.set()

    def _serve(self) -> None:
        while not self._over.is_set():
            try:
                near, _ = self._listening.accept()
            except OSError:
                return
            if not self._open.is_set():
                near.close()
                continue
            threading.Thread(target=self._carry, args=(near,), daemon=True).start()

    def _carry(self, near: socket.socket) -> None:
        with near, socket.create_connection(("127.0.0.1", self._target)) as far:
            other = {near: far, far: near}
            while self._open.is_set() and not self._over.is_set():
                ready, _, _ = select.select([near, far], [], [], 0.05)
                for side in ready:
                    try:
                        block = side.recv(1 << 16)
                        if not block:
                            return
                        other[side].sendall(block)
                    except OSError:
                        return
