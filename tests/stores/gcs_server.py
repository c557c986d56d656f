"""The emulator of Google Cloud Storage, held to what the service does besides.

    python gcs_server.py PORT KEYS

`ifGenerationMatch=0` creates an object only if there is none, also at the end of a resumable
upload, and requests need a token that `POST /token` gave to a service account whose key is known.
KEYS is a JSON file: {"keys": {client_email: public key in PEM}, "denied": [client_email]}.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
import urllib.parse
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

from gcp_storage_emulator.server import RequestHandler
from gcp_storage_emulator.storage import Storage
from google.auth import jwt

ONLY_IF_ABSENT = threading.local()


class Taken(Exception):
    """There is an object of this name."""


class Kept(Storage):
    """Objects in memory; one that must be new is refused where there is one."""

    def create_file(self, bucket: str, name: str, *rest: Any, **named: Any) -> Any:
        self.demand_absent(bucket, name)
        return super().create_file(bucket, name, *rest, **named)

    def create_resumable_upload(self, bucket: str, name: str, *rest: Any) -> Any:
        self.demand_absent(bucket, name)
        return super().create_resumable_upload(bucket, name, *rest)

    def demand_absent(self, bucket: str, name: str) -> None:
        there = any(one["name"] == name for one in self.get_file_list(bucket, name)[0])
        if there and ONLY_IF_ABSENT.wanted:
            raise Taken(name)


class Handler(RequestHandler):
    """One request at a time, as one by who is known."""

    protocol_version = "HTTP/1.1"
    lock = threading.Lock()
    keys: dict[str, str] = {}  # noqa: RUF012  (filled once, before it serves)
    denied: tuple[str, ...] = ()

    def allowed(self) -> bool:
        path, _, query = self.path.partition("?")
        ONLY_IF_ABSENT.wanted = "ifGenerationMatch=0" in query.split("&")
        if path == "/token":
            self.give_token()
            return False
        if self.headers.get("x-test-setup") or path == "/":
            return True
        scheme, _, token = (self.headers.get("authorization") or "").partition(" ")
        who = token.removeprefix("canary-token-of-")
        if scheme != "Bearer" or who == token:
            self.refuse(401, "Invalid Credentials", "authError")
        elif who in self.denied:
            self.refuse(403, f"{who} does not have storage.objects access", "forbidden")
        elif "kmsKeyName=" in query and "disabled" in query:
            self.refuse(400, "The Cloud KMS key is disabled", "invalid")
        else:
            return True
        return False

    def give_token(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0)).decode()
        assertion = urllib.parse.parse_qs(body)["assertion"][0]
        who = str(jwt.decode(assertion, verify=False)["iss"])
        try:
            jwt.decode(assertion, certs=self.keys[who])
        except (KeyError, ValueError):
            error = {"error": "invalid_grant", "error_description": "Invalid JWT Signature."}
            self.say(400, error)
            return
        token = {"access_token": f"canary-token-of-{who}", "expires_in": 3600}
        self.say(200, {**token, "token_type": "Bearer"})

    def refuse(self, status: int, message: str, reason: str) -> None:
        self.rfile.read(int(self.headers.get("content-length") or 0))
        errors = [{"domain": "global", "reason": reason, "message": message}]
        self.say(status, {"error": {"code": status, "message": message, "errors": errors}})

    def say(self, status: int, document: object) -> None:
        text = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def one(self, answer: Any) -> None:
        with self.lock:
            if not self.allowed():
                return
            try:
                answer(self)
            except Taken:
                self.refuse_taken()

    def refuse_taken(self) -> None:
        message = "At least one of the pre-conditions you specified did not hold."
        errors = [{"domain": "global", "reason": "conditionNotMet", "message": message}]
        self.say(412, {"error": {"code": 412, "message": message, "errors": errors}})

    def do_GET(self) -> None:
        self.one(RequestHandler.do_GET)

    def do_POST(self) -> None:
        self.one(RequestHandler.do_POST)

    def do_PUT(self) -> None:
        self.one(RequestHandler.do_PUT)

    def do_DELETE(self) -> None:
        self.one(RequestHandler.do_DELETE)


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    told = json.loads(Path(sys.argv[2]).read_text("utf-8"))
    Handler.keys, Handler.denied = told["keys"], tuple(told.get("denied", ()))
    storage = Kept(use_memory_fs=True)
    server = Server(("127.0.0.1", int(sys.argv[1])), partial(Handler, storage))
    print("serving", flush=True)
    server.serve_forever()
