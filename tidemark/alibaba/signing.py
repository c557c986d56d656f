"""Signatures of Alibaba Cloud's APIs, each as a pure function over what goes over the wire.

ACS3-HMAC-SHA256 (signature version 3, ROA and RPC alike), the older HMAC-SHA1 of ROA services
(`acs <key id>:<signature>`), and the older HMAC-SHA1 of RPC services, which signs the query.
Source: "Request structure and signature", Alibaba Cloud SDK reference, V3 and V2.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterable, Mapping
from urllib.parse import parse_qsl, quote

__all__ = [
    "ACS3",
    "EMPTY_SHA256",
    "acs3_authorization",
    "canonical_query",
    "encode",
    "roa_sha1_authorization",
    "rpc_sha1_signature",
    "sha256_hex",
]

ACS3 = "ACS3-HMAC-SHA256"
EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()


def encode(text: str) -> str:
    """Percent-encoded as RFC 3986 has it: all but letters, digits and `-_.~`."""
    return quote(text, safe="-_.~")


def sha256_hex(body: bytes) -> str:
    """SHA-256 of a body, as the header `x-acs-content-sha256` has it."""
    return hashlib.sha256(body).hexdigest() if body else EMPTY_SHA256


def canonical_query(raw_query: str) -> str:
    """A query as it is signed: decoded, encoded by one rule, sorted by name and value."""
    return _query(parse_qsl(raw_query, keep_blank_values=True))


def acs3_authorization(
    access_key_id: str,
    access_key_secret: str,
    *,
    method: str,
    raw_path: str,
    raw_query: str,
    headers: Mapping[str, str],
    body_sha256: str,
) -> str:
    """The header `authorization` for signature version 3.

    `headers` are those to be signed, by lower-case name; `raw_path` and `raw_query` are as on
    the wire, percent-encoded once.
    """
    names = sorted(headers)
    signed = ";".join(names)
    canonical = "\n".join(
        (
            method.upper(),
            raw_path or "/",
            canonical_query(raw_query),
            "".join(f"{name}:{headers[name].strip()}\n" for name in names),
            signed,
            body_sha256,
        )
    )
    to_sign = f"{ACS3}\n{sha256_hex(canonical.encode())}"
    signature = hmac.new(access_key_secret.encode(), to_sign.encode(), hashlib.sha256).hexdigest()
    return f"{ACS3} Credential={access_key_id},SignedHeaders={signed},Signature={signature}"


def roa_sha1_authorization(
    access_key_id: str,
    access_key_secret: str,
    *,
    method: str,
    raw_path: str,
    raw_query: str,
    headers: Mapping[str, str],
) -> str:
    """The header `authorization` of the older ROA signature: `acs <key id>:<signature>`.

    `headers` are all headers of the request by lower-case name. The query is signed decoded.
    """
    lines = [method.upper()]
    lines += [headers.get(name, "") for name in ("accept", "content-md5", "content-type", "date")]
    lines += [f"{name}:{headers[name]}" for name in sorted(headers) if name.startswith("x-acs-")]
    pairs = sorted(parse_qsl(raw_query, keep_blank_values=True))
    query = "&".join(f"{name}={value}" if value else name for name, value in pairs)
    lines.append(f"{raw_path}?{query}" if query else raw_path)
    return f"acs {access_key_id}:{_sha1(access_key_secret, chr(10).join(lines))}"


def rpc_sha1_signature(
    access_key_secret: str, *, method: str, parameters: Iterable[tuple[str, str]]
) -> str:
    """The parameter `Signature` of the older RPC signature, over all others of the request."""
    to_sign = f"{method.upper()}&%2F&{encode(_query(parameters))}"
    return _sha1(f"{access_key_secret}&", to_sign)


def _query(pairs: Iterable[tuple[str, str]]) -> str:
    # By name and value before they are encoded: `a` stands before `a-b`.
    return "&".join(f"{encode(name)}={encode(value)}" for name, value in sorted(pairs))


def _sha1(key: str, text: str) -> str:
    digest = hmac.new(key.encode(), text.encode(), hashlib.sha1).digest()
    return base64.b64encode(digest).decode()
