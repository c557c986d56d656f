"""One release and its assets: found, created, listed, put and removed, by many at once.

What it relies on: an asset's name is taken from the moment its upload begins, for everybody, and
under one id the content never changes. It does not rely on lists, which may lag for seconds:
whether a name is free is decided by the attempt to upload, what this process wrote or removed is
known to it before any list shows it, and an asset that is remembered is read by its id, which is
gone once it was removed or replaced.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

import httpx

from tidemark.errors import StoreBusy, StoreError
from tidemark.results.patience import Patience
from tidemark.results.providers.github_assets import (
    EMPTY,
    LARGEST_BYTES,
    Asset,
    asset_label,
    asset_name,
)
from tidemark.results.providers.github_client import Answer, GithubClient, GithubRefusal
from tidemark.results.providers.pages import Pages

__all__ = ["Release"]

_LAG_S: Final = 60.0
"""For how long a list may not show yet what was written or removed."""

_ROUNDS: Final = 4
_PAGE: Final = 100

_NOTES: Final = (
    "Results of benchmarks, kept by Tidemark as assets. Nothing here is meant to be installed; "
    "renaming or editing an asset damages the results."
)


@dataclass(frozen=True, slots=True)
class _Found:
    release_id: int
    upload_url: str


@dataclass(frozen=True, slots=True)
class _Page:
    etag: str | None
    assets: tuple[Asset, ...]
    next_page: str | None


class Release:
    """The release of one tag. Safe for threads.

    It is found by its tag once, and then known by its id: it does not move with the tag. It is
    created with the first asset, as a pre-release that is never the latest, since whoever looks
    for the project's latest release must not be given results; a draft would be hidden from
    readers, and there could be two. All methods raise GithubRefusal for what GitHub refuses, and
    httpx.TransportError if it does not answer.
    """

    def __init__(
        self, client: GithubClient, owner: str, repository: str, tag: str, patience: Patience
    ) -> None:
        self._client = client
        self._repository = f"repos/{owner}/{repository}"
        self._tag = tag
        self._patience = patience
        self._lock = threading.Lock()
        self._release: _Found | None = None
        self._pages: dict[str, _Page] = {}
        self._known: dict[str, Asset] = {}  # by name; read by id, so it need not be true any more
        self._written: dict[str, tuple[Asset, float]] = {}  # by name, and when
        self._removed: dict[int, float] = {}  # by id, when
        self._to_remove: set[int] = set()  # by id, until an answer came

    def known(self, name: str) -> Asset | None:
        """The asset that had a name when it was last looked at; None if none was seen."""
        with self._lock:
            return self._known.get(name)

    def upload(self, path: str, data: bytes, token: str) -> None:
        """Put an asset. Raises FileExistsError if its name is taken."""
        if not self._client.has_token:
            raise GithubRefusal(403, "writing needs a token", had_token=False)
        names = {"name": asset_name(path), "label": asset_label(path, token, len(data))}
        release = self._found() or self._created()
        try:
            answer = self._client.upload(release.upload_url, data or EMPTY, names)
        except GithubRefusal as error:
            if error.status == 404:
                raise self._why_not_found(release) from error
            if error.status == 422 and error.names("already_exists"):
                raise FileExistsError(path) from error
            raise
        asset = _asset(answer)
        if asset.name != names["name"]:
            self.delete(asset)
            what = "GitHub calls the file by another name than it was given"
            raise StoreError(what, path, "Use another store")
        if not asset.uploaded or asset.size_bytes != len(data):
            self.delete(asset)
            raise StoreBusy("GitHub did not keep the whole file", path, "Try again")
        with self._lock:
            self._known[asset.name] = asset
            self._written[asset.name] = (asset, self._patience.clock())

    def read(self, asset: Asset, begin: int, end: int) -> bytes:
        """The bytes from `begin` to `end` of an asset. Raises FileNotFoundError if it is gone."""
        if begin >= end:
            return b""
        try:
            return self._client.download(self._path_of(asset), begin, end, asset.size_bytes)
        except GithubRefusal as error:
            if error.status == 404:
                raise FileNotFoundError(asset.name) from error
            raise

    def delete(self, asset: Asset) -> bool:
        """Remove an asset; False if it was gone already."""
        if not self._client.has_token:
            raise GithubRefusal(403, "writing needs a token", had_token=False)
        with self._lock:
            is_again = asset.asset_id in self._to_remove
            self._to_remove.add(asset.asset_id)
        is_gone_already = False
        try:
            self._client.ask("DELETE", self._path_of(asset))
        except GithubRefusal as error:
            if error.status != 404:
                raise
            is_gone_already = not is_again  # else the answer to our own request was lost
        self._forget(asset)
        with self._lock:
            self._to_remove.discard(asset.asset_id)
            self._removed[asset.asset_id] = self._patience.clock()
        return not is_gone_already

    def remove_unfinished(self, asset: Asset, token: str, data: bytes) -> None:
        """Remove what an upload that broke off has left. Raises StoreBusy if it may still go on.

        It is removed by its id, so of two that do, neither removes what the other then uploads.
        """
        # Nobody counts on our own: the try before this one, whose answer was lost.
        if asset.writer != token:
            size = asset.size_bytes if asset.writer else LARGEST_BYTES
            # Every writer gives up after its patience; twice that, for one with more of it.
            longest_s = 2 * self._patience.transfer_s(max(size, len(data))) + 60
            left_s = longest_s - (self._client.now - asset.created_at).total_seconds()
            if left_s > 0:
                raise StoreBusy(
                    "another upload of the same file is under way, or broke off",
                    asset.path or asset.name,
                    f"Try again; in {left_s:.0f} s it counts as broken off, and is removed then",
                )
        self.delete(asset)

    def there(self, name: str) -> Asset:
        """The asset that has a name already. Raises StoreBusy if no list shows it yet."""
        asset = self.assets().get(name)
        if asset is None:
            what = "another writer's file is not listed yet"
            raise StoreBusy(what, name, "Try again")
        return asset

    def _found(self) -> _Found | None:
        """The release of the tag; None if there is none yet. Raises GithubRefusal."""
        with self._lock:
            if self._release is not None:
                return self._release
        tag = quote(self._tag, safe="")
        try:
            answer = self._client.ask("GET", f"{self._repository}/releases/tags/{tag}")
        except GithubRefusal as error:
            if error.status != 404:
                raise
            self._client.ask("GET", self._repository)  # 404 again if it cannot be seen at all
            return None
        return self._hold(answer)

    def _created(self) -> _Found:
        document = {
            "tag_name": self._tag,
            "name": f"Benchmark results ({self._tag})",
            "body": _NOTES,
            "prerelease": True,
            "make_latest": "false",
        }
        try:
            answer = self._client.ask("POST", f"{self._repository}/releases", document=document)
        except GithubRefusal as error:
            if error.status == 404:  # of a repository that has just been seen
                raise GithubRefusal(403, "a release cannot be created") from error
            if error.status != 422 or not error.names("already_exists"):
                raise
            if (release := self._found()) is None:
                where = self._repository
                raise StoreBusy("the release is just being created", where, "Try again") from error
            return release
        return self._hold(answer)

    def _hold(self, answer: Answer) -> _Found:
        document = answer.document()
        try:
            # The address ends in a template of its query: {?name,label}
            upload_url = str(document["upload_url"]).partition("{")[0]
            release = _Found(int(document["id"]), upload_url)
        except (KeyError, TypeError, ValueError):
            raise httpx.DecodingError("the answer is no release") from None
        with self._lock:
            self._release = self._release or release
            return self._release

    def _why_not_found(self, release: _Found) -> GithubRefusal:
        """Why there is nothing to upload to where a release was."""
        self._leave(release)
        again = self._found()
        if again is not None and again.release_id == release.release_id:
            return GithubRefusal(403, "nothing can be uploaded")
        return GithubRefusal(404, "the release is gone")

    def _leave(self, release: _Found) -> None:
        with self._lock:
            if self._release == release:
                self._release = None
                self._pages, self._known, self._written = {}, {}, {}

    def assets(self) -> dict[str, Asset]:
        """All assets by name, as GitHub lists them, with what this process knows better."""
        release = self._found()
        if release is None:
            return {}
        try:
            listed = self._listed(release)
        except GithubRefusal as error:
            if error.status != 404:
                raise
            self._leave(release)
            return self._assets_of_another(release)
        return self._corrected(listed)

    def _assets_of_another(self, gone: _Found) -> dict[str, Asset]:
        """The assets of the release that has the tag now, where the one before was removed."""
        release = self._found()
        if release is None or release == gone:
            return {}
        return self._corrected(self._listed(release))

    def _listed(self, release: _Found) -> list[Asset]:
        """What the pages of the list have, looked at until they hold still.

        An asset that is removed meanwhile moves those after it to the page before, where they are
        looked for no more; so more than one page is only believed if two looks agree.
        """
        before: set[int] | None = None
        seen: dict[int, Asset] = {}
        for _ in range(_ROUNDS):
            pages = self._look(release)
            now = {asset.asset_id: asset for page in pages for asset in page.assets}
            if len(pages) == 1 or now.keys() == before:
                return [*now.values()]
            before, seen = {*now}, {**seen, **now}
        return [*seen.values()]

    def _look(self, release: _Found) -> list[_Page]:
        address: str | None = f"{self._repository}/releases/{release.release_id}/assets"
        address = f"{address}?per_page={_PAGE}"
        pages: list[_Page] = []
        asked = Pages(f"{self._repository}, release {self._tag}")
        while address is not None:
            asked.ask(address)
            with self._lock:
                known = self._pages.get(address)
            # A page that is as it was costs nothing of the limit of requests; but a full one
            # would be as it was when another page follows it now.
            is_last = known is not None and known.next_page is None
            is_sure = known is not None and not (is_last and len(known.assets) >= _PAGE)
            headers = {"If-None-Match": known.etag} if known and known.etag and is_sure else {}
            answer = self._client.ask("GET", address, headers=headers)
            if answer.status != 304 or known is None:
                known = _page(answer)
                with self._lock:
                    self._pages[address] = known
            pages.append(known)
            address = known.next_page
        return pages

    def _corrected(self, listed: Iterable[Asset]) -> dict[str, Asset]:
        now = self._patience.clock()
        with self._lock:
            self._removed = {
                asset_id: when for asset_id, when in self._removed.items() if now - when < _LAG_S
            }
            self._written = {
                name: (asset, when)
                for name, (asset, when) in self._written.items()
                if now - when < _LAG_S
            }
            written, removed = dict(self._written), {*self._removed}
        assets = {asset.name: asset for asset in listed if asset.asset_id not in removed}
        for name, (asset, _) in written.items():
            missing = name not in assets or assets[name].asset_id < asset.asset_id
            if missing and (found := self.asked(asset)) is not None:
                assets[name] = found
        with self._lock:
            self._known = {name: asset for name, asset in assets.items() if asset.uploaded}
        return assets

    def asked(self, asset: Asset) -> Asset | None:
        """An asset as it is now, by its id; None if it is gone."""
        try:
            answer = self._client.ask("GET", self._path_of(asset))
        except GithubRefusal as error:
            if error.status != 404:
                raise
            self._forget(asset)
            return None
        return _asset(answer)

    def _forget(self, asset: Asset) -> None:
        with self._lock:
            if self._known.get(asset.name) == asset:
                del self._known[asset.name]
            if asset.name in self._written and self._written[asset.name][0] == asset:
                del self._written[asset.name]

    def _path_of(self, asset: Asset) -> str:
        return f"{self._repository}/releases/assets/{asset.asset_id}"


def _asset(answer: Answer) -> Asset:
    return _parsed(answer.document())


def _page(answer: Answer) -> _Page:
    document = answer.document()
    if not isinstance(document, list):
        raise httpx.DecodingError("the answer is no list of assets")
    assets = tuple(_parsed(one) for one in document)
    return _Page(answer.headers.get("etag"), assets, answer.next_page)


def _parsed(document: object) -> Asset:
    try:
        if not isinstance(document, dict):
            raise TypeError
        return Asset.parse(document)
    except (KeyError, TypeError, ValueError):
        raise httpx.DecodingError("the answer is no asset") from None
