"""Files below a store's root: create exclusively, read, list, remove. Here: in a folder.

The lower half of `store.py`: bytes and paths, nothing of what they mean. Every failure becomes a
StoreError that says what to do.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import fsspec

from tidemark.errors import StoreError
from tidemark.results.failures import explained
from tidemark.results.locations import FileLocation

__all__ = ["Files", "LocalFiles", "sizes_found"]


class Files(Protocol):
    """What a store needs of a file system. Paths are relative to its root, with slashes."""

    root: str
    filesystem: Any  # an fsspec file system, for readers of whole data sets

    def create(self, path: str, data: bytes) -> None:
        """Put a file there, whole or not at all. Raises AlreadyThere if there is one."""

    def replace(self, path: str, data: bytes) -> None:
        """Put a file there, whole, in the place of one that may be there."""

    def read(self, path: str) -> bytes:
        """The bytes of a file. Raises StoreError if there is none."""

    def list(self, folder: str) -> list[str]:
        """Paths of all files below a folder, sorted; hidden ones are left out."""

    def sizes(self, folder: str = "") -> dict[str, int]:
        """The size in bytes of every file below a folder, by path; hidden ones are listed too."""

    def remove(self, path: str) -> None:
        """Remove one file."""


class LocalFiles:
    """A folder."""

    def __init__(self, location: FileLocation) -> None:
        self._folder = Path(location.path).expanduser().absolute()
        self.root = str(self._folder)
        self.filesystem = fsspec.filesystem("file", skip_instance_cache=True)

    def create(self, path: str, data: bytes) -> None:
        target = self._target(path)
        with explained(str(target)), _finished(target, data) as temporary:
            _name_exclusively(temporary, target)

    def replace(self, path: str, data: bytes) -> None:
        target = self._target(path)
        with explained(str(target)), _finished(target, data) as temporary:
            temporary.replace(target)

    def read(self, path: str) -> bytes:
        target = self._target(path)
        with explained(str(target)):
            if target.exists() and not target.is_file():  # a pipe would be waited for
                raise StoreError("this is no file", str(target), "Remove it, or move it elsewhere")
            return target.read_bytes()

    def list(self, folder: str) -> list[str]:
        top = self._folder / folder
        found: list[Path] = []
        with explained(str(top)):
            for place, folders, names in os.walk(top, onerror=_unless_missing):
                folders[:] = [name for name in folders if not name.startswith(".")]
                found += [Path(place, name) for name in names if not name.startswith(".")]
        return sorted(path.relative_to(self._folder).as_posix() for path in found)

    def sizes(self, folder: str = "") -> dict[str, int]:
        with explained(str(self._folder / folder)):
            return sizes_found(self, folder)

    def remove(self, path: str) -> None:
        target = self._target(path)
        with explained(str(target)):
            target.unlink()

    def _target(self, path: str) -> Path:
        """Where a file lies. A path may come from another store, where it can be any text."""
        if not {"", ".", ".."}.isdisjoint(path.split("/")):
            raise StoreError("leads out of the store", path, "Look where this name comes from")
        return self._folder / path


def sizes_found(files: Files, folder: str) -> dict[str, int]:
    """What a file system says of the sizes of files. Raises what it raises."""
    found = files.filesystem.find(f"{files.root}/{folder}".rstrip("/"), detail=True)
    return {
        name.removeprefix(f"{files.root}/"): int(known["size"])
        for name, known in sorted(found.items())
    }


@contextlib.contextmanager
def _finished(target: Path, data: bytes) -> Iterator[Path]:
    """A finished file beside the target, to be given its name; removed if it was not."""
    target.parent.mkdir(parents=True, exist_ok=True)
    # Readers of data sets pass over names that begin with a dot.
    temporary = target.parent / f".{uuid.uuid4().hex}.part"
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        with os.fdopen(descriptor, "wb") as opened:
            opened.write(data)
            opened.flush()
            os.fsync(opened.fileno())
        yield temporary
        _sync_folder(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _name_exclusively(temporary: Path, target: Path) -> None:
    """Give a finished file its final name, unless that is taken: then FileExistsError."""
    try:
        os.link(temporary, target)
        return
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK):
            raise
    # Some mounted object stores have no hard links, but can rename without replacing.
    flags = 1  # RENAME_NOREPLACE, linux/fs.h
    here = -100  # AT_FDCWD, linux/fcntl.h
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    code = errno.ENOSYS
    if rename is not None:
        if rename(here, os.fsencode(temporary), here, os.fsencode(target), flags) == 0:
            return
        code = ctypes.get_errno()
    if code in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
        raise StoreError(
            "this file system can neither link nor rename without replacing",
            str(target.parent),
            "Two runs could overwrite each other's results there: use another folder, or s3://",
        )
    raise OSError(code, os.strerror(code), str(target))


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unless_missing(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error
