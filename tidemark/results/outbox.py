"""Where results wait while their store takes nothing, and are sent from when it does again.

An outbox is a folder on this machine, one per store:

    <digest of the store>/store.json      the store's URI and its options, none of them secret
    <digest of the store>/<path>          a file as it will lie in the store

Once one file had to go there, all that this process writes follows it, so that no cell can be seen
in the store before its evidence. `send` keeps the same order: evidence, cells, runs, manifests.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import logging
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tidemark.errors import AlreadyThere, StoreAway, StoreError
from tidemark.results.failures import explained
from tidemark.results.files import Files, LocalFiles
from tidemark.results.layout import PartName
from tidemark.results.locations import FileLocation, Location

__all__ = [
    "Label",
    "Left",
    "Outbox",
    "Sent",
    "Waiting",
    "outbox_folder",
    "outbox_name",
    "outboxes",
]

_logger = logging.getLogger(__name__)

_LABEL: Final = "store.json"

_ORDER: Final = ("jobs", "raw", "requests", "timeline", "cells", "runs", "manifests")
"""What waits, in the order in which it is written and sent. Anything else never waits."""


@dataclass(frozen=True, slots=True)
class Label:
    """Which store a folder of the outbox is for."""

    uri: str
    options: Mapping[str, str]
    folder: Path


@dataclass(frozen=True, slots=True)
class Waiting:
    """How much waits to be sent."""

    files: int = 0
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Left:
    """A file that could not be sent although the store took others, and why."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Sent:
    """What the store has now, and what was left in the outbox."""

    files: int = 0
    size_bytes: int = 0
    left: tuple[Left, ...] = ()


def outbox_name(location: Location) -> str:
    """What a store is called in the outbox: its URI, and of a folder the whole path, which means
    the same wherever it is read."""
    if not isinstance(location, FileLocation):
        return str(location)
    return str(FileLocation(str(Path(location.path).expanduser().absolute())))


def outbox_folder(outbox: Path, uri: str, options: Mapping[str, str]) -> Path:
    """The folder of one store: the same bucket name at another endpoint is another store."""
    endpoint = options.get("endpoint_url")
    named = uri if endpoint is None else f"{uri}\n{endpoint}"
    return outbox / hashlib.sha256(named.encode()).hexdigest()[:32]


def outboxes(outbox: Path) -> tuple[tuple[Label, ...], tuple[Left, ...]]:
    """Every store that something may wait for, sorted by URI, and labels that cannot be read.

    Raises StoreError for a folder that cannot be read.
    """
    found, unreadable = [], []
    with explained(str(outbox)):
        for label in sorted(outbox.glob(f"*/{_LABEL}")):
            try:
                document = json.loads(label.read_bytes())
                uri, options = str(document["uri"]), dict(document["options"])
                found.append(Label(uri, options, label.parent))
            except FileNotFoundError:
                pass  # another process has just sent it all
            except (ValueError, KeyError, TypeError, RecursionError):
                reason = "cannot be read; it names a store: correct it by hand"
                unreadable.append(Left(str(label), reason))
    return tuple(sorted(found, key=lambda label: label.uri)), tuple(unreadable)


class Outbox:
    """The files of a store, and those that wait for it. Safe for threads and processes.

    `remote` are the store's files, `folder` is `outbox_folder` of `uri` and `options`.
    """

    def __init__(
        self, remote: Files, folder: Path, uri: str, options: Mapping[str, str] | None = None
    ) -> None:
        self.root = remote.root
        self.filesystem: Any = remote.filesystem
        self._remote = remote
        self.folder = folder.absolute()
        self._kept = LocalFiles(FileLocation(str(self.folder)))
        self._label = {"uri": uri, "options": dict(options or {})}
        self._away: StoreAway | None = None
        self._lock = threading.Lock()  # between deciding where a file goes, and its being there

    def __repr__(self) -> str:
        return f"Outbox({self._label['uri']!r})"

    def create(self, path: str, data: bytes) -> None:
        """Put a file into the store or, while that takes nothing, into the outbox.

        Raises AlreadyThere if either has one, StoreError if it can go to neither.
        """
        if path.partition("/")[0] not in _ORDER:
            self._remote.create(path, data)
            return
        with self._lock:
            if self._away is not None:
                self._keep(path, data, self._away)
                return
        try:
            self._create_there(path, data)
        except StoreAway as error:
            self.keep(path, data, error)

    def keep(self, path: str, data: bytes, reason: StoreAway) -> None:
        """Put a file into the outbox, and all that follows too, until something is sent."""
        with self._lock:
            self._keep(path, data, reason)
            if self._away is None:
                _logger.warning("results wait in %s: %s", self.folder, reason)
                self._away = StoreAway(reason.what, reason.where, reason.remedy)

    def replace(self, path: str, data: bytes) -> None:
        """Put a file into the store in the place of one that may be there: no result, so it never
        waits."""
        self._remote.replace(path, data)

    def read(self, path: str) -> bytes:
        """The bytes of a file, as they wait or as the store has them."""
        data = self._local(path)
        return self._remote.read(path) if data is None else data

    def list(self, folder: str) -> list[str]:
        """Paths of all files below a folder, sorted: those of the store, and those that wait."""
        # First what waits: a file that is sent meanwhile is seen in one place or in both.
        waiting = [path for path in self._kept.list(folder) if path.partition("/")[0] in _ORDER]
        return sorted({*waiting, *self._remote.list(folder)})

    def sizes(self, folder: str = "") -> dict[str, int]:
        """The size in bytes of every file that the store has, by path."""
        return self._remote.sizes(folder)

    def remove(self, path: str) -> None:
        """Remove a file from the outbox if it waits there, else from the store."""
        if (self.folder / path).is_file():
            self._kept.remove(path)
        else:
            self._remote.remove(path)

    def waiting(self) -> Waiting:
        """How much waits to be sent to this store."""
        sizes = []
        with explained(str(self.folder)):
            for path in self._paths():
                with contextlib.suppress(FileNotFoundError):  # sent by another process
                    sizes.append((self.folder / path).stat().st_size)
        return Waiting(len(sizes), sum(sizes))

    def send(self) -> Sent:
        """Send what waits, each file removed here once the store has it.

        A file that the store has with the same bytes counts as sent. One that it has with other
        bytes, or does not want, is left, and so is what must not be seen without it. Raises
        StoreError if the store takes nothing; what was sent until then is sent. It may be ended at
        any instant, and done by several processes at once.
        """
        files = size_bytes = 0
        left: dict[str, str] = {}
        while True:
            batch = [path for path in self._paths() if path not in left]
            if not batch:
                with self._lock:  # so that nothing comes between looking and leaving the outbox
                    if all(path in left for path in self._paths()):
                        self._away = None
                        break
            for path in batch:
                data = self._local(path)
                if data is None:
                    continue  # sent by another process
                reason = _held_back(path, data, left) or self._send(path, data)
                if reason is None:
                    files, size_bytes = files + 1, size_bytes + len(data)
                else:
                    left[path] = reason
        self._tidy(empty=not left)
        return Sent(files, size_bytes, tuple(Left(*entry) for entry in left.items()))

    def _send(self, path: str, data: bytes) -> str | None:
        """Send one file; returns why it is left, if it is."""
        try:
            self._remote.create(path, data)
        except AlreadyThere:
            if self._remote.read(path) != data:
                return "the store has other bytes under this name"
        except StoreAway:
            raise
        except StoreError as error:
            return str(error)
        with explained(str(self.folder)):
            (self.folder / path).unlink(missing_ok=True)
        return None

    def _local(self, path: str) -> bytes | None:
        """The bytes of a file as it waits, None if it does not."""
        with explained(str(self.folder)):
            try:
                return (self.folder / path).read_bytes()
            except FileNotFoundError:
                return None

    def _paths(self) -> Sequence[str]:
        """All that waits, in the order of sending.

        Listed the other way round: whoever writes meanwhile puts evidence before its cell, so the
        evidence of each cell found is found too.
        """
        found = {folder: self._kept.list(folder) for folder in reversed(_ORDER)}
        return [path for folder in _ORDER for path in found[folder]]

    def _create_there(self, path: str, data: bytes) -> None:
        try:
            self._remote.create(path, data)
        except AlreadyThere:
            # Else the one that waits would be read and taken for the one in the store.
            if self._local(path) == data and self._remote.read(path) != data:
                raise StoreError(
                    "the store has other bytes under the name of a file that waits",
                    path,
                    f"Remove one of the two; the other lies in {self.folder}",
                ) from None
            raise

    def _keep(self, path: str, data: bytes, reason: StoreAway) -> None:
        try:
            with explained(str(self.folder)):
                self.folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                with self._locked(fcntl.LOCK_SH):
                    self._keep_label()
                    self._kept.create(path, data)
        except AlreadyThere:
            raise
        except StoreError as error:
            what = f"{reason.what}; and nothing can wait on this machine either: {error}"
            raise StoreError(what, reason.where, reason.remedy) from error

    def _keep_label(self) -> None:
        if not (self.folder / _LABEL).exists():
            label = json.dumps(self._label, indent=2, sort_keys=True) + "\n"
            with contextlib.suppress(AlreadyThere):
                self._kept.create(_LABEL, label.encode())

    def _tidy(self, *, empty: bool) -> None:
        """Remove empty folders and what killed writers left, unless someone is writing."""
        with contextlib.suppress(OSError), self._locked(fcntl.LOCK_EX | fcntl.LOCK_NB):
            if empty and not any(self._paths()):
                (self.folder / _LABEL).unlink(missing_ok=True)
            for place, _, names in os.walk(self.folder, topdown=False):
                for name in names:
                    if name.startswith(".") and name.endswith(".part"):
                        Path(place, name).unlink(missing_ok=True)
                with contextlib.suppress(OSError):  # not empty
                    Path(place).rmdir()

    @contextlib.contextmanager
    def _locked(self, kind: int) -> Iterator[None]:
        """Writers share the lock; who removes folders needs it alone. Raises OSError if not had."""
        with open(self.folder.parent / ".lock", "ab") as lock:
            try:
                fcntl.flock(lock, kind)
            except OSError:
                # A file system without locks: then nobody gets it alone, and nothing is removed.
                if kind & fcntl.LOCK_EX:
                    raise
            yield


def _held_back(path: str, data: bytes, left: Mapping[str, str]) -> str | None:
    """Why a file has to stay because of another that stays, if so."""
    if not left:
        return None
    folder = path.partition("/")[0]
    if folder == "cells" and (attempt := _attempt_of(path)) is not None:
        for other in left:
            if _attempt_of(other) == attempt:
                return f"its evidence is left: {other}"
    if folder == "manifests":
        try:
            document = json.loads(data)
        except (ValueError, RecursionError):
            return "it is no manifest"
        for named in (document.get("run_part"), *document.get("cell_parts", ())):
            if named in left:
                return f"a part it names is left: {named}"
    return None


def _attempt_of(path: str) -> tuple[str, ...] | None:
    """The cell and the attempt that a file belongs to, None if to none."""
    if path.startswith("raw/"):
        return tuple(path.split("/")[1:3])
    part = PartName.parse(path)
    return None if part is None else (part.cell_id, part.attempt_id)
