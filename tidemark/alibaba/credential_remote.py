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

from tidemark import __version__
from tidemark.alibaba.auth import Acs3Auth
from tidemark.alibaba.credential_recipes import Session
from tidemark.alibaba.credential_values import expiry_s, key_text
from tidemark.alibaba.credentials import Credentials, StaticCredentials
from tidemark.alibaba.errors import CredentialError
from tidemark.clock import Clock

__all__ = ["NewClient", "assume_role", "fetch_from_uri", "new_client"]

NewClient = Callable[[], httpx.AsyncBaseTransport]
MOST_BYTES = 65536
USER_AGENT = f"tidemark/{__version__}"
_TIMEOUT = httpx.Timeout(10.0, connect=5.0)
_CODE = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,40}(\.[A-Za-z0-9_-]{1,40}){0,3}")


def new_client() -> httpx.AsyncBaseTransport:
    """Carries one question: credentials over plain http never go through a proxy.

    A transport and not a client, since that would log URLs, and these may hold a token.
    """
    # Imported here: it takes a quarter of a second, which who only looks at help need not wait.
    from tidemark.alibaba.transport import AiohttpTransport

    return AiohttpTransport(most_bytes=MOST_BYTES)


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
    try:
        request = _request("GET", uri, {"accept": "*/*"})
    except (httpx.InvalidURL, ValueError):
        request = None  # the error holds the URI
    if request is None:
        raise CredentialError("is not a usable URI", where, "Correct it")
    status, document = await _answer(client, request, host)
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
    request = _request(
        "POST",
        f"{sts_url}/?{urlencode({name: value for name, value in query.items() if value})}",
        {
            "accept": "application/json",
            "x-acs-action": "AssumeRole",
            "x-acs-version": "2015-04-01",
        },
    )
    Acs3Auth(StaticCredentials(base), clock.time).sign(request, base)
    host = urlsplit(sts_url).netloc
    status, document = await _answer(client, request, host)
    found = document.get("Credentials")
    if status != 200 or not isinstance(found, dict):
        raise _refused(f"{where}: {host}", status, document)
    return _temporary(found, host, provider="ram_role_arn", origin=where)


def _request(method: str, url: str, headers: Mapping[str, str]) -> httpx.Request:
    return httpx.Request(
        method,
        url,
        headers={"user-agent": USER_AGENT, **headers},
        extensions={"timeout": _TIMEOUT.as_dict()},
    )


async def _answer(
    client: NewClient, request: httpx.Request, host: str
) -> tuple[int, Mapping[str, object]]:
    """The HTTP status and the JSON object, empty if it is none."""
    failure = ""
    async with client() as http:
        try:
            answer = await http.handle_async_request(request)
            await answer.aread()
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            failure = type(error).__name__
    if failure == "AnswerTooLarge":
        raise CredentialError(
            f"answered with more than {MOST_BYTES} bytes, which are no credentials",
            host,
            "Correct the address",
        )
    if failure:
        # Without the error, whose text may hold the URI.
        raise CredentialError(
            f"gave no credentials ({failure})", host, "See that this machine reaches it"
        )
    try:
        document = json.loads(answer.content)
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
