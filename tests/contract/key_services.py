"""STS, a machine's metadata and a URI with credentials, on ports of the loopback interface."""

from __future__ import annotations

import datetime
import ipaddress
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from contract_cloud import KEY, TEMPORARY, Recorder
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from starlette.types import Receive, Scope, Send

from tidemark.clock import SystemClock
from tidemark.simulator.pai.accounts import Accounts
from tidemark.simulator.pai.asked import Asked
from tidemark.simulator.pai.signatures import Signatures
from tidemark.simulator.pai.wire import WireError

__all__ = ["IDENTITY", "METADATA", "KeyService", "certificate"]

EXPIRATION = "2099-01-01T00:00:00Z"
IDENTITY = "example.identity.token"
METADATA = "/latest/meta-data/ram/security-credentials/"
_KEYS = {
    "AccessKeyId": TEMPORARY.access_key_id,
    "AccessKeySecret": TEMPORARY.access_key_secret,
    "SecurityToken": TEMPORARY.security_token,
    "Expiration": EXPIRATION,
}


class KeyService:
    """Gives the temporary keys to who asks as is documented.

    `role` is the machine's role, "" for none. `knows_tokens`: whether the metadata service has
    the tokens of its second version; `wants_tokens`: whether it answers to nobody without one.
    """

    def __init__(self) -> None:
        self.role = "example-role"
        self.knows_tokens = True
        self.wants_tokens = True
        self.recorder = Recorder(self._answer)
        self._signatures = Signatures(Accounts([KEY]), SystemClock(), ())

    async def _answer(self, _: Scope, __: Receive, send: Send) -> None:
        status, body = self._answered(self.recorder.requests[-1])
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = [(b"content-length", b"%d" % len(data)), (b"connection", b"close")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": data})

    def _answered(self, one: Any) -> tuple[int, Any]:
        path = urlsplit(one.raw_path).path  # a proxy is asked for whole URLs
        if path == "/keys":
            return 200, {"Code": "Success", **_KEYS}
        if path == "/latest/api/token" and one.method == "PUT":
            return (200, b"metadata-token") if self.knows_tokens else (404, b"")
        if path.startswith(METADATA) and self.role:
            if self.wants_tokens and one.headers.get("x-aliyun-ecs-metadata-token") is None:
                return 403, b""
            if path == METADATA:
                return 200, self.role.encode()
            return (
                (200, {"Code": "Success", **_KEYS}) if path == METADATA + self.role else (404, b"")
            )
        if one.action == "AssumeRoleWithOIDC":
            if one.query["OIDCToken"] != IDENTITY:
                message = f"The token {one.query['OIDCToken']} is expired."
                return 400, {"Code": "AuthenticationFail.OIDCToken.Expired", "Message": message}
            return 200, {"Credentials": _KEYS}
        if one.action == "AssumeRole":
            asked = Asked(one.method, path, one.raw_query, one.headers, one.body)
            try:
                self._signatures.check(asked)
            except WireError as error:
                return error.status, {"Code": error.code, "Message": error.message}
            return 200, {"Credentials": _KEYS}
        return 404, b""


def certificate(directory: Path) -> tuple[str, str]:
    """The files of a certificate for 127.0.0.1, and of its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    files = directory / "certificate.pem", directory / "key.pem"
    files[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return str(files[0]), str(files[1])
