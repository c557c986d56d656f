"""Credentials that somebody answers with: a URI, and STS for the session of a role.

What they answer may hold keys even where it is wrong: an error has the host, the HTTP status and
the error's code, nothing else of it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from urllib.parse import urlencode, urlsplit

import httpx

from tidemark.alibaba.auth import Acs3Auth
from tidemark.alibaba.credential_recipes import Session
from tidemark.alibaba.credential_values import expiry_s, key_text
from tidemark.alibaba.credentials import Credentials, StaticCredentials
from tidemark.alibaba.errors import CredentialError
from tidemark.clock import Clock

__all__ = ["NewClient", "assume_role", "fetch_from_uri", "new_client"]

NewClient = Callable[[], httpx.AsyncClient]
MOST_BYTES = 65536
_CODE = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,40}(\.[A-Za-z0-9_-]{1,40}){0,3}")


def new_client() -> httpx.AsyncClient:
    """A client for one question: credentials over plain http never go through a proxy."""
    return httpx.AsyncClient(
        timeout=httpx.Timeout(10.0, connect=5.0), mounts={"http://": None}, follow_redirects=False
    )


async def fetch_from_uri(uri: str, where: str, client: NewClient) -> Credentials:
    """Temporary credentials from a URI that answers as the metadata of a machine does.

    The answer is `{"Code": "Success", "AccessKeyId", "AccessKeySecret", "SecurityToken",
    "Expiration"}`. `where` is what the URI was given in. Raises CredentialError.
    """
    try:
        parts = urlsplit(uri)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname)
        host = f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)
    except ValueError:
        usable, host = False, ""
    if not usable or "@" in parts.netloc or not uri.isascii() or not uri.isprintable():
        raise CredentialError(
            "is not an http:// or https:// URI without a user name", where, "Correct it"
        )
    async with client() as http:
        status, document = await _answer(http, http.build_request("GET", uri), host, None)
    if status != 200 or document.get("Code", "Success") != "Success":
        raise _refused(f"{where}: {host}", status, document)
    return _temporary(document, host, provider="credential_uri", origin=f"{where}: {host}")


async def assume_role(
    base: Credentials, session: Session, where: str, client: NewClient, clock: Clock, sts_url: str
) -> Credentials:
    """The temporary credentials of a role, taken with `base`. STS AssumeRole, 2015-04-01.

    `sts_url` is the service's base URL, `where` the profile that asks for it. Raises
    CredentialError.
    """
    query = {
        "RoleArn": session.role_arn,
        "RoleSessionName": session.name,
        "DurationSeconds": str(session.duration_s),
        "Policy": session.policy,
        "ExternalId": session.external_id,
    }
    auth = Acs3Auth(StaticCredentials(base), clock.time)
    async with client() as http:
        request = http.build_request(
            "POST",
            f"{sts_url}/?{urlencode({name: value for name, value in query.items() if value})}",
            headers={
                "accept": "application/json",
                "x-acs-action": "AssumeRole",
                "x-acs-version": "2015-04-01",
            },
        )
        host = urlsplit(sts_url).netloc
        status, document = await _answer(http, request, host, auth)
    found = document.get("Credentials")
    if status != 200 or not isinstance(found, dict):
        raise _refused(f"{where}: {host}", status, document)
    return _temporary(found, host, provider="ram_role_arn", origin=where)


async def _answer(
    http: httpx.AsyncClient, request: httpx.Request, host: str, auth: httpx.Auth | None
) -> tuple[int, Mapping[str, object]]:
    """The HTTP status and the JSON object, empty if it is none."""
    body = b""
    try:
        answer = await http.send(request, stream=True, auth=auth, follow_redirects=False)
        try:
            async for part in answer.aiter_bytes():
                body += part
                if len(body) > MOST_BYTES:
                    raise CredentialError(
                        f"answered with more than {MOST_BYTES} bytes, which are no credentials",
                        host,
                        "Correct the address",
                    )
        finally:
            await answer.aclose()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        # Its text and its request hold the URI.
        raise CredentialError(
            f"gave no credentials ({type(error).__name__})",
            host,
            "See that this machine reaches it",
        ) from None
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    return answer.status_code, document if isinstance(document, dict) else {}


def _refused(where: str, status: int, document: Mapping[str, object]) -> CredentialError:
    code = document.get("Code")
    said = f", code {code}" if isinstance(code, str) and _CODE.fullmatch(code) else ""
    return CredentialError(
        f"was answered without credentials (HTTP {status}{said})",
        where,
        "See that the address is right, and that who asks may have them",
    )


def _temporary(
    document: Mapping[str, object], host: str, *, provider: str, origin: str
) -> Credentials:
    def needed(name: str) -> object:
        if document.get(name) is None:
            raise CredentialError(
                f"answered without {name}", host, "See what the service there answers"
            )
        return document[name]

    def key(name: str) -> str:
        return key_text(needed(name), f"{host}: {name}")

    return Credentials(
        key("AccessKeyId"),
        key("AccessKeySecret"),
        key("SecurityToken"),
        expiry_s(needed("Expiration"), f"{host}: Expiration"),
        provider,
        origin,
    )
