"""A temporary Prefect server for one command: started early, and gone with the command.

Prefect starts one by itself when none is set up, but only once a flow is called, and leaves it
behind when the command is killed. This one starts while everything else is imported, and ends
when its standard input closes, as it does however the command ends.
"""

from __future__ import annotations

import atexit
import os
import socket
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tidemark.errors import ConfigError

__all__ = ["API_URL", "TemporaryServer", "read_block", "server_is_configured", "start_prefect"]

API_URL = "PREFECT_API_URL"
STARTUP_S = 120.0


def server_is_configured(environ: Mapping[str, str], directory: Path) -> bool:
    """Whether Prefect has been told of a server: by the environment, a profile or a file."""
    if environ.get(API_URL):
        return True
    home = Path(environ.get("PREFECT_HOME") or Path(environ.get("HOME", "/")) / ".prefect")
    profiles = Path(environ.get("PREFECT_PROFILES_PATH") or home / "profiles.toml")
    project = directory / "pyproject.toml"
    for path in (profiles, directory / "prefect.toml", directory / ".env", project):
        try:
            text = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError):
            continue
        table = "[tool.prefect.api]" if path == project else "[api]"
        if API_URL in text or table in text:
            return True
    return False


@dataclass(slots=True)
class TemporaryServer:
    """The server's process, and where it will answer."""

    process: subprocess.Popen[bytes]
    url: str
    words: IO[bytes]

    @classmethod
    def start(cls, environ: Mapping[str, str]) -> TemporaryServer:
        """Start it; it answers some seconds later, see `wait`."""
        listening = socket.create_server(("127.0.0.1", 0), backlog=64)
        words = tempfile.TemporaryFile()  # noqa: SIM115 (closed by stop)
        try:
            process = subprocess.Popen(
                [sys.executable, "-m", "tidemark.cli.prefect_server", str(listening.fileno())],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=words,
                pass_fds=[listening.fileno()],
                # Ctrl-C is for the command; the server has to record how it ends.
                start_new_session=True,
                env={
                    **environ,
                    "PREFECT_UI_ENABLED": "0",
                    "PREFECT__SERVER_EPHEMERAL": "1",
                    "PREFECT__SERVER_FINAL": "1",
                },
            )
            return cls(process, f"http://127.0.0.1:{listening.getsockname()[1]}/api", words)
        finally:
            listening.close()

    def wait(self) -> None:
        """Until it answers. Raises ConfigError with its last words when it does not."""
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=STARTUP_S):
                return
        except (urllib.error.URLError, OSError) as error:
            self.words.seek(0)
            lines = self.words.read().decode("utf-8", "replace").strip().splitlines()
            self.stop()
            raise ConfigError(
                f"the temporary Prefect server did not start: {lines[-1] if lines else error}",
                "prefect",
                "Start one (`prefect server start`) and set PREFECT_API_URL to its address",
            ) from error

    def stop(self) -> None:
        """End it, and see that it ended."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        try:
            self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.words.close()


def start_prefect() -> TemporaryServer | None:
    """Prefect without chatter; a server of this command's own where none is set up yet.

    To be called before Prefect is imported.
    """
    for name, value in (
        ("PREFECT_LOGGING_LEVEL", "WARNING"),
        ("PREFECT_SERVER_ANALYTICS_ENABLED", "false"),
        ("PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW", "ignore"),
        ("DO_NOT_TRACK", "1"),
    ):
        os.environ.setdefault(name, value)
    if server_is_configured(os.environ, Path.cwd()):
        return None
    server = TemporaryServer.start(os.environ)
    os.environ[API_URL] = server.url
    # Registered before Prefect's own, so it runs after them: they still speak to the server.
    atexit.register(server.stop)
    return server


def read_block(name: str) -> str:
    """The secret in a saved Secret block. Only who has such a reference waits for Prefect.

    Raises SecretError where there is no such block.
    """
    server = start_prefect()
    if server is not None:
        server.wait()
    from tasks.secrets import read_block as read

    return read(name)


def _end_with_input() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


def main() -> None:
    """Serve on the socket that was handed over, until standard input closes."""
    threading.Thread(target=_end_with_input, daemon=True).start()
    listening = socket.socket(fileno=int(sys.argv[1]))

    import uvicorn

    config = uvicorn.Config(
        "prefect.server.api.server:create_app", factory=True, log_level="error", lifespan="on"
    )
    uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main()
