"""Signatures and keys put on requests, as `httpx.Auth`: anew for every attempt."""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator, Callable
from datetime import UTC, datetime
from email.utils import formatdate

import httpx

from tidemark.alibaba.credentials import Credentials, CredentialSource
from tidemark.alibaba.signing import acs3_authorization, roa_sha1_authorization, sha256_hex

__all__ = ["Acs3Auth", "BearerAuth", "RoaSha1Auth"]

# What httpx adds to a request by itself and proxies may change: never signed.
_SIGNED = ("accept", "content-type", "host", "user-agent")


class _SigningAuth(httpx.Auth):
    """What both signatures share: credentials, time, and a nonce for each attempt."""

    requires_request_body = True

    def __init__(
        self,
        source: CredentialSource,
        time_s: Callable[[], float],
        nonce: Callable[[], str] = lambda: secrets.token_hex(16),
    ) -> None:
        self._source = source
        self._time_s = time_s
        self._nonce = nonce

    async def async_auth_flow(
        self, request: httpx.Request
    ) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """Sign a request with the credentials and at the time of this attempt."""
        self.sign(request, await self._source.credentials())
        yield request

    def sign(self, request: httpx.Request, credentials: Credentials) -> None:
        """Put the headers of the signature on a request whose body is complete."""
        raise NotImplementedError


class Acs3Auth(_SigningAuth):
    """Signature version 3, ACS3-HMAC-SHA256, for ROA and RPC operations alike.

    The request names its operation in `x-acs-action` and `x-acs-version`.
    """

    def sign(self, request: httpx.Request, credentials: Credentials) -> None:
        """Put date, nonce, body hash, token and signature on a request."""
        body_sha256 = sha256_hex(request.content)
        moment = datetime.fromtimestamp(self._time_s(), UTC)
        # Looked at and set once: each access to httpx's headers goes through all of them.
        headers = dict(request.headers.items())
        headers["x-acs-date"] = moment.strftime("%Y-%m-%dT%H:%M:%SZ")
        headers["x-acs-signature-nonce"] = self._nonce()
        headers["x-acs-content-sha256"] = body_sha256
        headers["x-acs-credentials-provider"] = credentials.provider
        if credentials.security_token:
            headers["x-acs-security-token"] = credentials.security_token
            headers["x-acs-accesskey-id"] = credentials.access_key_id
        raw_path, raw_query = _target(request)
        headers["authorization"] = acs3_authorization(
            credentials.access_key_id,
            credentials.access_key_secret,
            method=request.method,
            raw_path=raw_path,
            raw_query=raw_query,
            headers={
                name: value
                for name, value in headers.items()
                if name in _SIGNED or name.startswith("x-acs-")
            },
            body_sha256=body_sha256,
        )
        request.headers = httpx.Headers(headers)


class RoaSha1Auth(_SigningAuth):
    """The older signature of ROA services, HMAC-SHA1, as `acs <key id>:<signature>`."""

    def sign(self, request: httpx.Request, credentials: Credentials) -> None:
        """Put date, nonce, token and signature on a request."""
        headers = request.headers
        headers["date"] = formatdate(self._time_s(), usegmt=True)
        headers["x-acs-signature-method"] = "HMAC-SHA1"
        headers["x-acs-signature-version"] = "1.0"
        headers["x-acs-signature-nonce"] = self._nonce()
        if credentials.security_token:
            headers["x-acs-security-token"] = credentials.security_token
            headers["x-acs-accesskey-id"] = credentials.access_key_id
        raw_path, raw_query = _target(request)
        headers["authorization"] = roa_sha1_authorization(
            credentials.access_key_id,
            credentials.access_key_secret,
            method=request.method,
            raw_path=raw_path,
            raw_query=raw_query,
            headers=dict(headers),
        )


class BearerAuth(httpx.Auth):
    """A key as `Authorization: Bearer`, for the gateway form only."""

    def __init__(self, key: Callable[[], str]) -> None:
        self._key = key

    async def async_auth_flow(
        self, request: httpx.Request
    ) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """Put the key on a request."""
        request.headers["authorization"] = f"Bearer {self._key()}"
        yield request


def _target(request: httpx.Request) -> tuple[str, str]:
    path, _, query = request.url.raw_path.decode("ascii").partition("?")
    return path, query
