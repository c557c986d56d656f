"""The assets of a release as an fsspec file system."""

from __future__ import annotations

from typing import Any, Final

from fsspec import AbstractFileSystem
from fsspec.spec import AbstractBufferedFile

from tidemark.errors import StoreBusy
from tidemark.results.providers.github_assets import LARGEST_BYTES, Asset, asset_name
from tidemark.results.providers.github_client import GithubRefusal
from tidemark.results.providers.github_release import Release

__all__ = ["ReleaseFileSystem"]

_WHOLE_BYTES: Final = 8 * 2**20
"""Files up to this are read with one request, larger ones in blocks of as much."""


class ReleaseFileSystem(AbstractFileSystem):  # type: ignore[misc]  # fsspec has no types
    """Files in a release, below a root such as `owner/repository@tag`.

    Whole files are written, by `pipe_file`. No list is kept: each look asks GitHub, whose answer
    that nothing has changed costs nothing of its limit of requests. Safe for threads.
    """

    protocol = "github-release"
    cachable = False

    def __init__(self, release: Release, root: str) -> None:
        super().__init__()
        self.root = root
        self._release = release

    def pipe_file(
        self, path: str, value: bytes, mode: str = "overwrite", token: str = "0", **_: Any
    ) -> None:
        """Write a whole file; with the mode `create` only if there is none.

        `token`, of hexadecimal digits, tells this writer from others. Raises FileExistsError.
        """
        relative, data = self._relative(path), bytes(value)
        if len(data) > LARGEST_BYTES:
            raise GithubRefusal(422, f"size must be at most {LARGEST_BYTES}")
        if mode == "create":
            self._create(relative, data, token)
        else:
            self._replace(relative, data, token)

    def writer_of(self, path: str) -> str | None:
        """The token of who wrote a file that was found in the way; None for what is not ours."""
        name = asset_name(self._relative(path))
        return (self._release.known(name) or self._release.there(name)).writer

    def cat_file(
        self, path: str, start: int | None = None, end: int | None = None, **_: Any
    ) -> bytes:
        """The bytes of a file, or those from `start` to `end`."""
        name = asset_name(self._relative(path))
        asset = self._release.known(name)
        if asset is not None:
            try:
                return self._release.read(asset, *_limits(asset, start, end))
            except FileNotFoundError:
                pass  # removed or replaced by another
        asset = self._release.assets().get(name)
        if asset is None or not asset.uploaded:
            raise FileNotFoundError(path)
        return self._release.read(asset, *_limits(asset, start, end))

    def rm_file(self, path: str) -> None:
        """Remove a file. Raises FileNotFoundError."""
        name = asset_name(self._relative(path))
        asset = self._release.known(name)
        if asset is not None and self._release.delete(asset):
            return
        asset = self._release.assets().get(name)
        if asset is None or not self._release.delete(asset):
            raise FileNotFoundError(path)

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """Name, size in bytes and type of a file or folder. Raises FileNotFoundError."""
        relative = self._relative(path)
        if not relative:
            return _folder(self.root)
        asset = self._release.known(asset_name(relative))
        if asset is not None and (asset := self._release.asked(asset)) is not None:
            return self._file(relative, asset)
        files = self._files()
        if relative in files:
            return self._file(relative, files[relative])
        if any(other.startswith(f"{relative}/") for other in files):
            return _folder(f"{self.root}/{relative}")
        raise FileNotFoundError(path)

    def find(
        self,
        path: str,
        maxdepth: int | None = None,
        withdirs: bool = False,
        detail: bool = False,
        **_: Any,
    ) -> Any:
        """All files below a folder, sorted, by one look at the list of assets."""
        top = self._relative(path)
        above = f"{self.root}/{top}".rstrip("/")
        found: dict[str, dict[str, Any]] = {}
        for relative, asset in self._files().items():
            if top and relative != top and not relative.startswith(f"{top}/"):
                continue
            found_at = f"{self.root}/{relative}"
            parts = found_at.removeprefix(above).strip("/").split("/")
            for depth in range(1, len(parts)):
                if withdirs and (maxdepth is None or depth <= maxdepth):
                    folder = f"{above}/{'/'.join(parts[:depth])}"
                    found[folder] = _folder(folder)
            if maxdepth is None or len(parts) <= maxdepth:
                found[found_at] = self._file(relative, asset)
        names = sorted(found)
        return {name: found[name] for name in names} if detail else names

    def ls(self, path: str, detail: bool = True, **_: Any) -> Any:
        """What lies in a folder. Raises FileNotFoundError."""
        found = self.find(path, maxdepth=1, withdirs=True, detail=True)
        if not found and self._relative(path):
            raise FileNotFoundError(path)
        return [*found.values()] if detail else [*found]

    def _open(self, path: str, mode: str = "rb", **_: Any) -> _AssetFile:
        if mode != "rb":
            raise NotImplementedError("files of a release are written whole, by pipe_file")
        info = self.info(path)
        if info["type"] != "file":
            raise IsADirectoryError(path)
        return _AssetFile(self, path, self._release, info["asset"])

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        if isinstance(path, list):
            return [cls._strip_protocol(one) for one in path]
        return str(path).removeprefix(f"{cls.protocol}://").rstrip("/")

    def _relative(self, path: str) -> str:
        """A path below the root. Raises FileNotFoundError for one elsewhere."""
        plain = str(self._strip_protocol(path))
        if plain != self.root and not plain.startswith(f"{self.root}/"):
            raise FileNotFoundError(path)
        return plain.removeprefix(self.root).strip("/")

    def _files(self) -> dict[str, Asset]:
        """The files that can be read, by their path."""
        assets = [asset for asset in self._release.assets().values() if asset.uploaded]
        return {path: asset for asset in assets if (path := asset.path) is not None}

    def _file(self, relative: str, asset: Asset) -> dict[str, Any]:
        return {
            "name": f"{self.root}/{relative}",
            "size": asset.size_bytes,
            "type": "file",
            "created": asset.created_at,
            "asset": asset,
        }

    def _create(self, path: str, data: bytes, token: str) -> None:
        for _ in range(2):
            try:
                self._release.upload(path, data, token)
                return
            except FileExistsError:
                asset = self._release.there(asset_name(path))
                if asset.uploaded:
                    raise
                self._release.remove_unfinished(asset, token, data)
        raise StoreBusy("another writer is at the same file", path, "Try again")

    def _replace(self, path: str, data: bytes, token: str) -> None:
        name = asset_name(path)
        asset = self._release.known(name)
        for _ in range(3):
            if asset is not None:
                self._release.delete(asset)
            try:
                self._release.upload(path, data, token)
                return
            except FileExistsError:
                asset = self._release.there(name)
        raise StoreBusy("another writer is at the same file", path, "Try again")


class _AssetFile(AbstractBufferedFile):  # type: ignore[misc]  # fsspec has no types
    """An asset that is read: the same bytes to the end, or FileNotFoundError once it is gone."""

    def __init__(
        self, filesystem: ReleaseFileSystem, path: str, release: Release, asset: Asset
    ) -> None:
        self._release = release
        self._asset = asset
        super().__init__(
            filesystem,
            path,
            "rb",
            block_size=_WHOLE_BYTES,
            cache_type="all" if asset.size_bytes <= _WHOLE_BYTES else "readahead",
            size=asset.size_bytes,
        )

    def _fetch_range(self, start: int, end: int) -> bytes:
        return self._release.read(self._asset, start, min(end, self._asset.size_bytes))


def _limits(asset: Asset, start: int | None, end: int | None) -> tuple[int, int]:
    """The range of bytes that is meant; what is negative counts from the end."""
    begin, stop, _ = slice(start, end).indices(asset.size_bytes)
    return begin, stop


def _folder(name: str) -> dict[str, Any]:
    return {"name": name, "size": 0, "type": "directory"}
