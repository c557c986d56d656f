"""The assets of a release on GitHub, as files of a store.

The tag of a location is the name of a git tag, `latest` too, which is what stands there if none is
given: the store `github://owner/repository` is the release of the tag `latest`, and not whatever
release GitHub calls the project's latest at the moment, which would be another one with the next
that is published. Once found, the release is known by its id: a run's store stays where it is even
if the tag is moved.

The first file creates the release as a pre-release, and with it the git tag if there is none, on
the default branch: workflows that wait for tags or releases may start from it.

A release takes 1,000 assets of up to 2 GiB, and GitHub some 80 new files a minute and 500 an hour.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import ClassVar, Final
from urllib.parse import urlsplit, urlunsplit

from tidemark.errors import StoreAway, StoreError
from tidemark.results.locations import GithubLocation
from tidemark.results.options import check_options
from tidemark.results.patience import Patience
from tidemark.results.providers.github_client import GithubClient, GithubRefusal
from tidemark.results.providers.github_failures import github_refusal
from tidemark.results.providers.github_release import Release
from tidemark.results.providers.github_releases import ReleaseFileSystem
from tidemark.results.providers.objects import ObjectFiles

__all__ = ["GithubFiles"]

_GITHUB: Final = "https://api.github.com"
_TOKEN: Final = re.compile(r"[!-~]+")


class GithubFiles(ObjectFiles):
    """Assets of a release, each created under a name that is taken from then on.

    Without a credential, the token is that of GITHUB_TOKEN or GH_TOKEN; without one, public
    repositories can be read. The API is that of the option endpoint_url or of GITHUB_API_URL, else
    GitHub's own.
    """

    scheme: ClassVar[str] = "github"
    talkative: ClassVar[tuple[str, ...]] = ("httpx", "httpcore", "fsspec")
    filesystem: ReleaseFileSystem

    def __init__(
        self,
        location: GithubLocation,
        options: Mapping[str, str],
        credentials: Mapping[str, str] | None = None,
        patience: Patience | None = None,
    ) -> None:
        super().__init__(location, options, credentials, patience)
        token = (credentials or {}).get("github_token") or _configured_token()
        self._redactor = self._redactor.knowing([token or ""])
        endpoint = options.get("endpoint_url") or os.environ.get("GITHUB_API_URL") or _GITHUB
        if endpoint.rstrip("/") != _GITHUB:
            self.options = {**options, "endpoint_url": endpoint}
            check_options(self.options, self.scheme, "GITHUB_API_URL")
        client = GithubClient(_address_of_api(endpoint), token, self._patience)
        owner, repository, tag = location.owner, location.repository, location.tag
        self.root = f"{owner}/{repository}@{tag}"
        self.filesystem = ReleaseFileSystem(
            Release(client, owner, repository, tag, self._patience), self.root
        )

    def _put_new(self, key: str, data: bytes, token: str) -> None:
        self.filesystem.pipe_file(key, data, mode="create", token=token)

    def _put_over(self, key: str, data: bytes) -> None:
        self.filesystem.pipe_file(key, data)

    def _writer_of(self, key: str) -> str | None:
        return self.filesystem.writer_of(key)

    def _refusal(self, error: Exception, where: str, said: str) -> StoreError | None:
        return github_refusal(error, where, said) if isinstance(error, GithubRefusal) else None


def _configured_token() -> str | None:
    """The token that the environment gives, as GitHub's own tools and workflows name it."""
    for name in ("GITHUB_TOKEN", "GH_TOKEN"):
        token = os.environ.get(name, "").strip()
        if token and not _TOKEN.fullmatch(token):
            remedy = "Copy it again, without spaces or line breaks"
            raise StoreAway(f"{name} cannot be a token", name, remedy)
        if token:
            return token
    return None


def _address_of_api(url: str) -> str:
    """The address of the API: that of a GitHub Enterprise server, by its name alone, is /api/v3."""
    parts = urlsplit(url)
    is_server = parts.path in ("", "/") and not (parts.hostname or "").startswith("api.")
    return urlunsplit(parts._replace(path="/api/v3")) if is_server else url
