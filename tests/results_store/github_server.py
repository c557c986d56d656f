"""A server that speaks as GitHub does of releases and their assets, with faults on demand.

Three ports, as three hosts: the API, uploads, and what signed addresses lead to. `GithubServer`
runs it in a process of its own; this file is also that process. What it holds is lost when it
ends. Shapes and limits: GitHub's REST API, "Releases", "Release assets", "Rate limits".
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import re
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
import unicodedata
import urllib.request
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import psutil

MOST_ASSETS = 1_000
MOST_BYTES = 2**31
KEY = b"of this server only"


class GithubServer:
    """The server, in a process of its own that is stopped, killed and paused by its id.

    Tokens are `WRITER`, who may do everything, `READER`, who may read all repositories, and
    `STRANGER`, who sees the public ones; any other token is a bad one.
    """

    WRITER = "ghp_madeupcanarywriter000000000000000001"
    READER = "ghp_madeupcanaryreader000000000000000002"
    STRANGER = "ghp_madeupcanarystranger0000000000000003"

    def __init__(self) -> None:
        self.ports = _free_ports(3)
        self.endpoint_url = f"http://127.0.0.1:{self.ports[0]}/api/v3"
        self.storage_url = f"http://127.0.0.1:{self.ports[2]}"

    def start(self) -> None:
        """Start it, empty, and wait until it serves."""
        self.process = subprocess.Popen(
            [sys.executable, __file__, *map(str, self.ports)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"serving\n"

    def stop(self) -> None:
        """End it at once, also if it is paused; what it held is lost."""
        self.process.kill()
        self.process.wait(timeout=20)
        assert self.process.stdout is not None
        self.process.stdout.close()

    kill = stop

    def pause(self) -> None:
        """Let it hang: it is connected to, and never answers."""
        self.process.send_signal(signal.SIGSTOP)
        while psutil.Process(self.process.pid).status() != psutil.STATUS_STOPPED:
            time.sleep(0.001)

    def resume(self) -> None:
        """Let it go on."""
        self.process.send_signal(signal.SIGCONT)

    def create_repository(self, name: str, *, private: bool = False, empty: bool = False) -> None:
        """A repository `owner/name`, with a commit unless it is empty."""
        self.control("repository", name=name, private=private, empty=empty)

    def repository(self, name: str) -> dict[str, Any]:
        """All that it holds of a repository: releases, with their assets."""
        return dict(self.control("show", name=name))

    def fault(self, match: str, do: str, *, times: int = 1, after: int = 0, **told: Any) -> None:
        """Do something to the next requests, but the first `after`, that a pattern is found in.

        The pattern is for "METHOD /path". To `do`:

        status        answer with `status`, `body` and `headers`, and do nothing
        headers       do it, and answer with these `headers` too
        lose          do it, and close without an answer
        cut           an upload breaks off half-way and leaves an asset that is not finished
        hang          answer after a minute
        unlisted      what is created is not listed until `clear`
        remove-first  the first asset is removed before a list is answered
        whole         a range is not heeded
        """
        self.control("fault", match=match, do=do, times=times, after=after, told=told)

    def clear(self) -> None:
        """No more faults; what was not listed is; the clock is right; the log is empty."""
        self.control("clear")

    def advance(self, seconds: float) -> None:
        """Set its clock forward."""
        self.control("advance", seconds=seconds)

    def publish(self, name: str, tag: str) -> None:
        """Publish an ordinary release of a tag, as the project's own."""
        self.control("publish", name=name, tag=tag)

    def fill(self, name: str, tag: str, count: int) -> None:
        """Make a release of a tag have so many assets more."""
        self.control("fill", name=name, tag=tag, count=count)

    def requests(self) -> list[dict[str, Any]]:
        """What was asked of it: port (api, uploads, storage), method, path, token, status."""
        return list(self.control("requests"))

    def control(self, what: str, **arguments: Any) -> Any:
        """One order, to the process that serves."""
        address = f"http://127.0.0.1:{self.ports[0]}/_{what}"
        request = urllib.request.Request(address, json.dumps(arguments).encode(), method="POST")
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.loads(answer.read())


@dataclass
class Fault:
    match: str
    do: str
    times: int
    after: int
    told: dict[str, Any]


@dataclass
class World:
    """What the process holds, guarded by one lock."""

    lock: threading.RLock = field(default_factory=threading.RLock)
    repositories: dict[str, dict[str, Any]] = field(default_factory=dict)
    contents: dict[int, bytes] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    unlisted: set[int] = field(default_factory=set)
    requests: list[dict[str, Any]] = field(default_factory=list)
    ahead_s: float = 0.0
    next_id: int = 1000

    def now(self) -> float:
        return time.time() + self.ahead_s

    def new_id(self) -> int:
        self.next_id += 1
        return self.next_id


WORLD = World()


class Refused(Exception):
    def __init__(self, status: int, message: str, *errors: dict[str, Any]) -> None:
        super().__init__(message)
        self.status = status
        self.body: dict[str, Any] = {"message": message, "documentation_url": "https://docs"}
        if errors:
            self.body["errors"] = list(errors)


class Cut(Exception):
    """The connection is to be closed without an answer."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Host

    def do_GET(self) -> None:
        self.serve()

    def do_POST(self) -> None:
        self.serve()

    def do_DELETE(self) -> None:
        self.serve()

    def log_message(self, *_: object) -> None:
        pass

    def date_time_string(self, timestamp: float | None = None) -> str:
        return formatdate(WORLD.now() if timestamp is None else timestamp, usegmt=True)

    def serve(self) -> None:
        parts = urlsplit(self.path)
        self.query = dict(parse_qsl(parts.query, keep_blank_values=True))
        self.place = parts.path
        if self.place.startswith("/_") and self.server.name == "api":
            self.answer(200, control(self.place[2:], json.loads(self.body())))
            return
        note = {
            "port": self.server.name,
            "method": self.command,
            "path": self.place,
            "token": "Authorization" in self.headers,
            "etag": "If-None-Match" in self.headers,
            "range": self.headers.get("Range"),
            "status": None,
        }
        fault = self.fault()
        with WORLD.lock:
            WORLD.requests.append(note)
        try:
            if fault is not None and fault.do == "hang":
                time.sleep(60)
            if fault is not None and fault.do == "status":
                self.body()
                note["status"] = fault.told["status"]
                self.answer(
                    fault.told["status"], fault.told.get("body", {}), fault.told.get("headers", {})
                )
                return
            result = getattr(self, f"serve_{self.server.name}")(fault)
            if fault is not None and fault.do == "lose":
                raise Cut
            note["status"] = result[0]
            if fault is not None and fault.do == "headers":
                result = (*result, {})[:3]
                result = (*result[:2], {**result[2], **fault.told["headers"]})
            self.answer(*result)
        except Refused as refused:
            self.body()
            note["status"] = refused.status
            self.answer(refused.status, refused.body)
        except Cut:
            note["status"] = 0
            self.close_connection = True
            with contextlib.suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)

    def fault(self) -> Fault | None:
        line = f"{self.command} {self.place}"
        with WORLD.lock:
            for fault in WORLD.faults:
                if fault.times and re.search(fault.match, line):
                    if fault.after:
                        fault.after -= 1
                        continue
                    fault.times -= 1
                    return fault
        return None

    def body(self) -> bytes:
        length = int(self.headers.get("Content-Length") or 0)
        if getattr(self, "_taken", None) is not self.requestline:
            self._taken = self.requestline
            self._body = self.rfile.read(length)
        return self._body

    def answer(
        self, status: int, body: object = None, headers: dict[str, str] | None = None
    ) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        if status in (204, 304) or body is None:
            content = b""
        given = {"Content-Type": "application/json; charset=utf-8", **(headers or {})}
        self.send_response(status)
        for name, value in given.items():
            self.send_header(name, value)
        if status not in (204, 304):
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(content)

    # The API.

    def serve_api(self, fault: Fault | None) -> tuple[Any, ...]:
        path = self.place.removeprefix("/api/v3")
        match = re.fullmatch(r"/repos/([^/]+/[^/]+)(/.*)?", path)
        if match is None:
            raise Refused(404, "Not Found")
        repository, rest = self.seen(match[1]), match[2] or ""
        with WORLD.lock:
            if self.command == "GET" and not rest:
                return 200, {"full_name": match[1], "private": repository["private"]}
            if self.command == "GET" and rest == "/releases/latest":
                return 200, self.released(latest(repository))
            if self.command == "GET" and rest.startswith("/releases/tags/"):
                tag = unquote(rest.removeprefix("/releases/tags/"))
                found = [one for one in repository["releases"] if one["tag_name"] == tag]
                if not found or found[0]["draft"]:
                    raise Refused(404, "Not Found")
                return 200, self.released(found[0])
            if self.command == "POST" and rest == "/releases":
                return 201, self.released(self.create_release(repository, match[1]))
            if listing := re.fullmatch(r"/releases/(\d+)/assets", rest):
                release = release_of(repository, int(listing[1]))
                if fault is not None and fault.do == "remove-first":
                    del release["assets"][0]
                return self.list_assets(release)
            if one := re.fullmatch(r"/releases/assets/(\d+)", rest):
                return self.one_asset(repository, int(one[1]))
        raise Refused(404, "Not Found")

    def seen(self, name: str) -> dict[str, Any]:
        """A repository that the token may see, for a change one that it may change."""
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        known = {GithubServer.WRITER, GithubServer.READER, GithubServer.STRANGER}
        if token and token not in known:
            raise Refused(401, "Bad credentials")
        repository = WORLD.repositories.get(name)
        hidden = repository is None or (
            repository["private"] and token not in (GithubServer.WRITER, GithubServer.READER)
        )
        if repository is None or hidden or (not token and self.command != "GET"):
            raise Refused(404, "Not Found")
        if self.command != "GET" and token != GithubServer.WRITER:
            raise Refused(403, "Resource not accessible by personal access token")
        return repository

    def create_release(self, repository: dict[str, Any], name: str) -> dict[str, Any]:
        asked = json.loads(self.body())
        if repository["empty"]:
            error = {"resource": "Release", "code": "custom", "message": "Repository is empty."}
            raise Refused(422, "Validation Failed", error)
        if any(one["tag_name"] == asked["tag_name"] for one in repository["releases"]):
            error = {"resource": "Release", "code": "already_exists", "field": "tag_name"}
            raise Refused(422, "Validation Failed", error)
        return new_release(repository, name, asked)

    def released(self, release: dict[str, Any]) -> dict[str, Any]:
        place = f"/repos/{release['repository']}/releases/{release['id']}/assets"
        uploads = f"http://127.0.0.1:{PORTS[1]}/api/uploads{place}"
        shown = {name: release[name] for name in ("id", "tag_name", "name", "draft", "prerelease")}
        return {**shown, "upload_url": f"{uploads}{{?name,label}}"}

    def list_assets(self, release: dict[str, Any]) -> tuple[Any, ...]:
        size, page = int(self.query.get("per_page", "30")), int(self.query.get("page", "1"))
        size = min(size, 100)
        listed = [one for one in release["assets"] if one["id"] not in WORLD.unlisted]
        shown = listed[(page - 1) * size : page * size]
        etag = f'W/"{hashlib.sha256(json.dumps(shown).encode()).hexdigest()}"'
        headers = {"ETag": etag}
        if page * size < len(listed):
            here = f"http://127.0.0.1:{PORTS[0]}{self.place}?per_page={size}"
            last = -(-len(listed) // size)
            headers["Link"] = (
                f'<{here}&page={page + 1}>; rel="next", <{here}&page={last}>; rel="last"'
            )
        if self.headers.get("If-None-Match") == etag:
            return 304, None, headers
        return 200, shown, headers

    def one_asset(self, repository: dict[str, Any], asset_id: int) -> tuple[Any, ...]:
        for release in repository["releases"]:
            for asset in release["assets"]:
                if asset["id"] == asset_id:
                    break
            else:
                continue
            if self.command == "DELETE":
                release["assets"].remove(asset)
                WORLD.contents.pop(asset_id, None)
                return 204, None
            if "octet-stream" not in self.headers.get("Accept", ""):
                return 200, asset
            if asset["state"] != "uploaded":
                break
            place = f"/of-a-signed-address/{asset_id}"
            ends_at = str(int(WORLD.now()) + 300)
            url = f"http://127.0.0.1:{PORTS[2]}{place}?se={ends_at}&sig={signed(place, ends_at)}"
            return 302, b"", {"Location": url, "Content-Type": "text/html"}
        raise Refused(404, "Not Found")

    # Uploads.

    def serve_uploads(self, fault: Fault | None) -> tuple[Any, ...]:
        pattern = r"/api/uploads/repos/([^/]+/[^/]+)/releases/(\d+)/assets"
        match = re.fullmatch(pattern, self.place)
        if match is None or self.command != "POST":
            raise Refused(404, "Not Found")
        repository = self.seen(match[1])
        length = self.headers.get("Content-Length")
        if length is None or not length.isdecimal():
            raise Refused(400, "Bad Content-Length: ")
        with WORLD.lock:
            release = release_of(repository, int(match[2]))
            asset = self.begin_upload(repository, release, int(length))
            if fault is not None and fault.do == "unlisted":
                WORLD.unlisted.add(asset["id"])
        if fault is not None and fault.do == "cut":
            self.rfile.read(int(length) // 2)
            raise Cut
        content = self.body()
        with WORLD.lock:
            if asset not in release["assets"]:
                raise Refused(404, "Not Found")
            WORLD.contents[asset["id"]] = content
            digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
            asset.update(state="uploaded", size=len(content), digest=digest)
        return 201, asset

    def begin_upload(
        self, repository: dict[str, Any], release: dict[str, Any], size: int
    ) -> dict[str, Any]:
        name = kept_name(self.query["name"])
        if repository.get("immutable"):
            raise Refused(422, "Cannot upload assets to an immutable release.")
        if any(one["name"].lower() == name.lower() for one in release["assets"]):
            raise Refused(422, "Validation Failed", invalid("already_exists", "name"))
        if len(release["assets"]) >= MOST_ASSETS:
            message = "file_count limited to 1000 assets per release"
            raise Refused(422, "Validation Failed", invalid("custom", "file_count", message))
        if not 1 <= size <= MOST_BYTES:
            message = f"size must be {'greater than or equal to 1' if size < 1 else 'less'}"
            raise Refused(422, "Validation Failed", invalid("custom", "size", message))
        asset = new_asset(name, self.query.get("label", ""))
        release["assets"].append(asset)
        return asset

    # What signed addresses lead to.

    def serve_storage(self, fault: Fault | None) -> tuple[Any, ...]:
        if "Authorization" in self.headers:
            raise Refused(400, "Only one auth mechanism allowed")
        ends_at = self.query.get("se", "0")
        good = hmac.compare_digest(self.query.get("sig", ""), signed(self.place, ends_at))
        if not good or float(ends_at) < WORLD.now():
            raise Refused(403, "Signature not valid in the specified time frame")
        content = WORLD.contents.get(int(self.place.rpartition("/")[2]))
        if content is None:
            raise Refused(404, "The specified blob does not exist.")
        headers = {"Content-Type": "application/octet-stream"}
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if asked is None or (fault is not None and fault.do == "whole"):
            return 200, content, headers
        begin, end = int(asked[1]), int(asked[2]) + 1
        headers["Content-Range"] = f"bytes {begin}-{end - 1}/{len(content)}"
        return 206, content[begin:end], headers


class Host(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, name: str, port: int) -> None:
        self.name = name
        super().__init__(("127.0.0.1", port), Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        if not isinstance(sys.exc_info()[1], OSError):  # a client that has gone is no news
            super().handle_error(request, client_address)  # type: ignore[arg-type]


def kept_name(name: str) -> str:
    """What GitHub makes of an asset's name: special characters become dots, in runs only one."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "replace").decode()
    return re.sub(r"[^A-Za-z0-9_-]+", ".", plain).strip(".")


def invalid(code: str, field: str, message: str | None = None) -> dict[str, Any]:
    error = {"resource": "ReleaseAsset", "code": code, "field": field}
    return error if message is None else {**error, "message": message}


def new_asset(name: str, label: str) -> dict[str, Any]:
    created_at = datetime.fromtimestamp(WORLD.now(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "id": WORLD.new_id(),
        "name": name,
        "label": label,
        "state": "starter",
        "size": 0,
        "digest": None,
        "content_type": "application/octet-stream",
        "created_at": created_at,
        "updated_at": created_at,
    }


def new_release(repository: dict[str, Any], name: str, asked: dict[str, Any]) -> dict[str, Any]:
    release = {
        "id": WORLD.new_id(),
        "repository": name,
        "tag_name": asked["tag_name"],
        "name": asked.get("name"),
        "draft": asked.get("draft", False),
        "prerelease": asked.get("prerelease", False),
        "make_latest": asked.get("make_latest", "true"),
        "assets": [],
    }
    repository["releases"].append(release)
    return release


def release_of(repository: dict[str, Any], release_id: int) -> dict[str, Any]:
    for release in repository["releases"]:
        if release["id"] == release_id:
            found: dict[str, Any] = release
            return found
    raise Refused(404, "Not Found")


def latest(repository: dict[str, Any]) -> dict[str, Any]:
    """The release that GitHub shows as the project's latest: never a draft or a pre-release."""
    for release in reversed(repository["releases"]):
        if not (release["draft"] or release["prerelease"] or release["make_latest"] == "false"):
            found: dict[str, Any] = release
            return found
    raise Refused(404, "Not Found")


def signed(place: str, ends_at: str) -> str:
    digest = hmac.new(KEY, f"{place} {ends_at}".encode(), hashlib.sha256).hexdigest()
    return quote(digest)


def control(what: str, told: dict[str, Any]) -> object:
    """An order of the tests."""
    with WORLD.lock:
        if what == "repository":
            WORLD.repositories[told.pop("name")] = {**told, "releases": []}
        elif what == "show":
            return WORLD.repositories[told["name"]]
        elif what == "set":
            WORLD.repositories[told.pop("name")].update(told)
        elif what == "fault":
            WORLD.faults.append(Fault(**told))
        elif what == "clear":
            WORLD.faults, WORLD.unlisted, WORLD.requests = [], set(), []
            WORLD.ahead_s = 0.0
        elif what == "advance":
            WORLD.ahead_s += told["seconds"]
        elif what == "publish":
            new_release(WORLD.repositories[told["name"]], told["name"], {"tag_name": told["tag"]})
        elif what == "retag":
            releases = WORLD.repositories[told["name"]]["releases"]
            (release,) = [one for one in releases if one["tag_name"] == told["old"]]
            release["tag_name"] = told["new"]
        elif what == "fill":
            (release,) = [
                one
                for one in WORLD.repositories[told["name"]]["releases"]
                if one["tag_name"] == told["tag"]
            ]
            for _ in range(told["count"]):
                asset = new_asset(f"filled-{secrets.token_hex(8)}", "")
                asset.update(state="uploaded", size=1)
                WORLD.contents[asset["id"]] = b"x"
                release["assets"].append(asset)
        elif what == "requests":
            return WORLD.requests
    return {}


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


PORTS: list[int] = []


def main() -> None:
    PORTS[:] = [int(port) for port in sys.argv[1:4]]
    hosts = [Host(*pair) for pair in zip(("api", "uploads", "storage"), PORTS, strict=True)]
    for host in hosts[1:]:
        threading.Thread(target=host.serve_forever, args=(0.05,), daemon=True).start()
    print("serving", flush=True)
    hosts[0].serve_forever(0.05)


if __name__ == "__main__":
    main()
