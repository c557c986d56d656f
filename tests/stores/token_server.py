"""Where Azure AD gives out tokens of the kind that its emulator of storage accepts.

    python token_server.py PORT CERTIFICATE KEY SEEN

What it was asked for is added to the file SEEN, a line of JSON each. The client called `refused`
is refused. Source: Microsoft identity platform, "OAuth 2.0 client credentials flow".
"""

from __future__ import annotations

import base64
import json
import ssl
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0)).decode()
        asked = dict(parse_qsl(body))
        with Path(sys.argv[4]).open("a", encoding="utf-8") as seen:
            seen.write(json.dumps(asked) + "\n")
        if asked["client_id"] == "refused":
            said = {"error": "unauthorized_client", "error_description": "AADSTS700016: not found"}
            self.say(400, said)
            return
        tenant, now = self.path.split("/")[1], int(time.time())
        claims = {
            "aud": "https://storage.azure.com",
            "iss": f"https://sts.windows.net/{tenant}/",
            "iat": now,
            "nbf": now - 60,
            "exp": now + 3600,
        }
        parts = ({"alg": "none", "typ": "JWT"}, claims, {"made": "up"})
        token = ".".join(
            base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")
            for part in parts
        )
        self.say(200, {"token_type": "Bearer", "expires_in": 3600, "access_token": token})

    def say(self, status: int, document: object) -> None:
        text = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        pass


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[2], sys.argv[3])
    server.socket = context.wrap_socket(server.socket, server_side=True)
    print("serving", flush=True)
    server.serve_forever()
