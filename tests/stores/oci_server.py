"""A server that speaks like OCI Object Storage, and refuses what was not signed by a known key.

    python oci_server.py PORT KEYS

KEYS is a JSON file: {"keys": {key id: public key in PEM}, "denied": [key id]}. What an instance
asks is answered too: of itself below /opc/v2, from files beside that file, and POST /v1/x509 gives
a token for the public key that is sent.
Source: OCI documentation, "Request Signatures" (version 1) and the Object Storage Service API.
"""

from __future__ import annotations

import base64
import email.utils
import hashlib
import json
import re
import sys
import threading
import time
import urllib.parse
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding

SKEW_S = 300
PAGE = 7  # names in one answer, so that lists have pages
FIELDS = re.compile(r'(\w+)="([^"]*)"')
OBJECT = re.compile(r"/n/([^/]+)/b/([^/]+)(?:/o(?:/(.+))?)?")


@dataclass
class Kept:
    """An object, with the headers it was put with."""

    data: bytes
    headers: dict[str, str]
    etag: str


@dataclass
class State:
    """What the server knows and holds."""

    keys: dict[str, str]
    denied: set[str]
    buckets: dict[str, dict[str, Kept]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)


class Refused(Exception):
    """Ends a request with a status and the service's own code."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(code)
        self.status, self.code, self.message = status, code, message


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def handle_one(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        try:
            self.answer(body)
        except Refused as refused:
            text = json.dumps({"code": refused.code, "message": refused.message}).encode()
            self.say(refused.status, text, {"content-type": "application/json"})

    do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = handle_one

    def say(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        named = {"opc-request-id": "made-up", "content-length": str(len(body)), **(headers or {})}
        for name, value in named.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def answer(self, body: bytes) -> None:
        state = self.server.state
        path, _, query = self.path.partition("?")
        if path == "/v1/x509":
            self.sign_in(body)
            return
        if path.startswith("/opc/v2/"):
            self.describe_instance(path.rpartition("/")[2])
            return
        match = OBJECT.fullmatch(path)
        if match is None:
            raise Refused(404, "NotFound", "no such operation")
        bucket, name = match[2], urllib.parse.unquote(match[3] or "")
        if self.command == "POST" and self.headers.get("x-test-setup"):
            state.buckets.setdefault(bucket, {})
            self.say(200)
            return
        key_id = self.signed_by(body)
        with state.lock:
            if bucket not in state.buckets or key_id in state.denied:
                what = f"Either the bucket named '{bucket}' does not exist in the namespace "
                what += f"'{match[1]}' or you are not authorized to access it"
                raise Refused(404, "BucketNotFound", what)
            held = state.buckets[bucket]
            if not name:
                self.listed(held, dict(urllib.parse.parse_qsl(query)))
            elif self.command == "PUT":
                self.put(held, name, body)
            elif name not in held:
                raise Refused(404, "ObjectNotFound", f"The object '{name}' was not found")
            elif self.command == "DELETE":
                del held[name]
                self.say(204)
            else:
                self.give(held[name])

    def describe_instance(self, name: str) -> None:
        """What an instance is told of itself; it lies beside the file of keys."""
        found = self.server.folder / name
        if self.headers.get("authorization") != "Bearer Oracle" or not found.is_file():
            raise Refused(404, "NotFound", "no such metadata")
        self.say(200, found.read_bytes(), {"content-type": "text/plain"})

    def sign_in(self, body: bytes) -> None:
        """A token for the session key that an instance sends, which its certificate vouches for."""
        state, request = self.server.state, json.loads(body)
        token = ".".join(
            base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")
            for part in ({"alg": "RS256"}, {"exp": int(time.time()) + 1200}, {"made": "up"})
        )
        pem = f"-----BEGIN PUBLIC KEY-----\n{request['publicKey']}\n-----END PUBLIC KEY-----\n"
        state.keys[f"ST${token}"] = pem
        self.say(200, json.dumps({"token": token}).encode(), {"content-type": "application/json"})

    def signed_by(self, body: bytes) -> str:
        """The id of the key that signed the request. Raises Refused if none that is known did."""
        scheme, _, told = (self.headers.get("authorization") or "").partition(" ")
        told_of = dict(FIELDS.findall(told))
        nobody = Refused(401, "NotAuthenticated", "The required information to complete "
                         "authentication was not provided or was incorrect.")  # fmt: skip
        if scheme != "Signature" or told_of.get("algorithm") != "rsa-sha256":
            raise nobody
        pem = self.server.state.keys.get(told_of.get("keyId", ""))
        signed = told_of.get("headers", "").split()
        if pem is None or not {"date", "(request-target)", "host"} <= {*signed}:
            raise nobody
        if told_of["keyId"].startswith("ST$") and "opc-obo-token" in self.headers:
            needed = "opc-obo-token" in signed and "revoked" not in self.headers["opc-obo-token"]
            if not needed:
                raise nobody
        sent = email.utils.parsedate_to_datetime(self.headers["date"]).timestamp()
        if abs(sent - time.time()) > SKEW_S:
            raise Refused(401, "NotAuthenticated", "The date of the request is too far from ours")
        if "x-content-sha256" in signed:
            digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
            if digest != self.headers["x-content-sha256"]:
                raise nobody
        target = f"{self.command.lower()} {self.path}"
        lines = [
            f"{name}: {target if name == '(request-target)' else self.headers.get(name)}"
            for name in signed
        ]
        key: Any = serialization.load_pem_public_key(pem.encode())
        try:
            key.verify(
                base64.b64decode(told_of["signature"]),
                "\n".join(lines).encode(),
                padding.PKCS1v15(),
                hashes.SHA256(),
            )
        except InvalidSignature:
            raise nobody from None
        return told_of["keyId"]

    def put(self, held: dict[str, Kept], name: str, body: bytes) -> None:
        if self.headers.get("if-none-match") == "*" and name in held:
            raise Refused(412, "IfNoneMatchFailed", "The object exists")
        digest = base64.b64encode(hashlib.md5(body).digest()).decode()
        if self.headers.get("content-md5", digest) != digest:
            raise Refused(400, "UnmatchedContentMD5", "The body has another digest")
        if "disabled" in (self.headers.get("opc-sse-kms-key-id") or ""):
            raise Refused(400, "KmsKeyDisabled", "The key is disabled")
        kept = {
            key.lower(): value
            for key, value in self.headers.items()
            if key.lower().startswith(("opc-meta-", "opc-sse-kms-key-id"))
        }
        held[name] = Kept(body, kept, hashlib.sha256(body).hexdigest()[:32])
        self.say(200, b"", {"etag": held[name].etag, "opc-content-md5": digest})

    def give(self, found: Kept) -> None:
        headers = {
            **found.headers,
            "etag": found.etag,
            "accept-ranges": "bytes",
            "version-id": "made-up",
            "storage-tier": "Standard",
            "content-type": "application/octet-stream",
            "last-modified": "Sat, 21 Nov 2026 00:00:00 GMT",
        }
        size = len(found.data)
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("range") or "")
        if asked and self.command == "GET":
            first, last = int(asked[1]), min(int(asked[2] or size - 1), size - 1)
            part = found.data[first : last + 1]
            self.say(206, part, {**headers, "content-range": f"bytes {first}-{last}/{size}"})
        elif self.command == "HEAD":
            self.say(200, b"", {**headers, "content-length": str(size)})
        else:
            self.say(200, found.data, headers)

    def listed(self, held: dict[str, Kept], query: dict[str, str]) -> None:
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter")
        begin, limit = query.get("start", ""), min(int(query.get("limit", PAGE)), PAGE)
        objects: list[dict[str, Any]] = []
        prefixes: set[str] = set()
        following = None
        for name in sorted(held):
            if not name.startswith(prefix) or name < begin:
                continue
            if len(objects) + len(prefixes) == limit:
                following = name
                break
            rest = name[len(prefix) :]
            if delimiter and delimiter in rest:
                prefixes.add(prefix + rest.partition(delimiter)[0] + delimiter)
            else:
                objects.append({"name": name, "size": len(held[name].data)})
        found = {"objects": objects, "prefixes": sorted(prefixes), "nextStartWith": following}
        body = json.dumps({key: value for key, value in found.items() if value is not None})
        self.say(200, body.encode(), {"content-type": "application/json"})

    def log_message(self, *_: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, port: int, keys: Path) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        told = json.loads(keys.read_text("utf-8"))
        self.folder = keys.parent
        self.state = State(told["keys"], set(told.get("denied", ())))


if __name__ == "__main__":
    server = Server(int(sys.argv[1]), Path(sys.argv[2]))
    print("serving", flush=True)
    server.serve_forever()
