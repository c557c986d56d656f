"""The digest behind an image's tag, asked of its registry (OCI distribution specification 1.1)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlencode

import httpx

__all__ = ["ImageDigest", "image_digest"]

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_TOKEN = re.compile(r"[!-~]+")
_MANIFESTS = ", ".join(
    (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)
_TIMEOUT = httpx.Timeout(3.0)


@dataclass(frozen=True, slots=True)
class ImageDigest:
    """`sha256:…` of an image, or None with the reason why it is not known."""

    digest: str | None
    reason: str | None = None


async def image_digest(uri: str, http: httpx.AsyncClient) -> ImageDigest:
    """The digest of an image, without credentials: of public images, where the registry is
    reachable. Registries named `…-vpc…` answer only inside their region's network."""
    pinned = _DIGEST.search(uri.partition("@")[2])
    if pinned:
        return ImageDigest(pinned[0])
    host, slash, rest = uri.partition("/")
    repository, colon, tag = rest.rpartition(":")
    if not slash or not colon or "/" in tag or "." not in host:
        return ImageDigest(None, "the image's URI names no registry and tag")
    url = f"https://{host}/v2/{repository}/manifests/{tag}"
    try:
        answer = await http.head(url, headers={"accept": _MANIFESTS}, timeout=_TIMEOUT)
        challenge = answer.headers.get("www-authenticate", "")
        if answer.status_code == 401 and challenge.lower().startswith("bearer"):
            token = await _anonymous_token(challenge, http)
            answer = await http.head(
                url,
                headers={"accept": _MANIFESTS, "authorization": f"Bearer {token}"},
                timeout=_TIMEOUT,
            )
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, RecursionError) as error:
        return ImageDigest(None, f"{host} did not answer from here ({type(error).__name__})")
    digest = answer.headers.get("docker-content-digest", "")
    if answer.is_success and _DIGEST.fullmatch(digest):
        return ImageDigest(digest)
    return ImageDigest(None, f"{host} did not say it (HTTP {answer.status_code})")


async def _anonymous_token(challenge: str, http: httpx.AsyncClient) -> str:
    """The token that a registry gives to anyone. Raises ValueError where it gives none."""
    told = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
    realm = told.pop("realm", "")
    if not realm.startswith("https://"):
        raise ValueError("no realm")
    answer = await http.get(f"{realm}?{urlencode(told)}", timeout=_TIMEOUT)
    document = answer.json()
    found = document if isinstance(document, dict) else {}
    token = found.get("token") or found.get("access_token")
    if not isinstance(token, str) or not _TOKEN.fullmatch(token):
        raise ValueError("no token")
    return token
