"""Places with credentials, made up: files in memory, and services on the loopback interface."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from traceback import format_exception_only
from urllib.parse import urlsplit

from tidemark.alibaba.credential_sources import default_chain
from tidemark.alibaba.credentials import Credentials, CredentialSource
from tidemark.simulator.clock import VirtualClock

KEY_ID = "LTAIcanaryExampleKeyId01"
SECRET = "canarySecretExample0Example001"
TOKEN = "STS.canaryTokenExample0Example/+="
CANARIES = (KEY_ID, SECRET, TOKEN)
HOME = "/home/someone"
CLI = f"{HOME}/.aliyun/config.json"
INI = f"{HOME}/.alibabacloud/credentials.ini"


def reader(files: Mapping[str, str | Exception]) -> Callable[[str], str]:
    """Reads files that are in memory only."""

    def read(path: str) -> str:
        if path not in files:
            raise FileNotFoundError(2, "No such file or directory", path)
        found = files[path]
        if isinstance(found, Exception):
            raise found
        return found

    return read


def chain(
    environ: Mapping[str, str],
    files: Mapping[str, str | Exception] | None = None,
    clock: VirtualClock | None = None,
    sts_url: str | None = None,
) -> CredentialSource:
    """The default chain over an environment with a home, and with files in memory."""
    return default_chain(
        {"HOME": HOME, "ALIBABA_CLOUD_ECS_METADATA_DISABLED": "true", **environ},
        clock or VirtualClock(),
        read_file=reader(files or {}),
        sts_url=sts_url,
    )


def held_by(error: BaseException | None) -> str:
    """All that can be reached from an error: what a debugger or a collector of errors would show,
    its locals aside."""
    texts = []
    while error is not None:
        texts += [str(error), repr(error), repr(vars(error)), "".join(format_exception_only(error))]
        texts += [repr(getattr(error, name, "")) for name in ("doc", "object", "line", "_request")]
        error = error.__cause__ or error.__context__
    return "\n".join(texts)


def keys_of(found: Credentials) -> tuple[str, str, str | None]:
    return found.access_key_id, found.access_key_secret, found.security_token


def cli_file(*profiles: Mapping[str, object], current: str = "default") -> str:
    return json.dumps({"current": current, "profiles": [*profiles], "meta_path": ""})


def temporary(expiration: str, suffix: str = "", **changes: object) -> dict[str, object]:
    """What a machine's metadata, a URI and STS answer with."""
    return {
        "AccessKeyId": f"STS.exampleId{suffix}",
        "AccessKeySecret": f"{SECRET}{suffix}",
        "SecurityToken": f"{TOKEN}{suffix}",
        "Expiration": expiration,
        **changes,
    }


@dataclass
class Service:
    """An HTTP server: what it was asked, and what it answers, the same to all but by `bodies`."""

    url: str = ""
    status: int = 200
    body: bytes = b"{}"
    headers: tuple[str, ...] = ()
    bodies: dict[str, bytes] = field(default_factory=dict)  # by path
    requests: list[str] = field(default_factory=list)  # heads, as they were sent

    def says(self, document: object, status: int = 200) -> None:
        self.body, self.status = json.dumps(document).encode(), status


@asynccontextmanager
async def service() -> AsyncIterator[Service]:
    """A `Service` on a port of the loopback interface."""
    told = Service()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            asked = (await reader.readuntil(b"\r\n\r\n")).decode()
            told.requests.append(asked)
            body = told.bodies.get(urlsplit(asked.split(" ")[1]).path, told.body)
            lines = [f"HTTP/1.1 {told.status} X", f"content-length: {len(body)}"]
            head = "\r\n".join([*lines, "connection: close", *told.headers])
            writer.write(head.encode() + b"\r\n\r\n" + body)
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    told.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield told
