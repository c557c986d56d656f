"""Objects of a service as files of a store: what all services have in common."""

from __future__ import annotations

import abc
import contextlib
import errno
import logging
import uuid
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar

from tidemark.errors import StoreError
from tidemark.results.failures import explained
from tidemark.results.files import sizes_found
from tidemark.results.locations import Location
from tidemark.results.options import check_credentials, check_options
from tidemark.results.patience import Patience
from tidemark.results.redact import Redactor

__all__ = ["WRITER", "ObjectFiles"]

WRITER = "tidemark-writer"
"""Name of the metadata in which an object tells who created it."""


class ObjectFiles(abc.ABC):
    """Objects below a prefix of a bucket, each created only if there is none of its name.

    A service's own class opens `filesystem`, an fsspec file system that neither caches listings nor
    tries again by itself, sets `root`, the prefix as that file system names it, and says how
    an object is put. `options` are those that are really used, also where the environment names
    one. Credentials are given, or found as the service's own tools find them.
    """

    scheme: ClassVar[str]
    talkative: ClassVar[tuple[str, ...]] = ("fsspec",)
    """Loggers that at the level DEBUG write down the headers of requests, tokens among them."""

    root: str
    filesystem: Any
    options: Mapping[str, str]

    def __init__(
        self,
        location: Location,
        options: Mapping[str, str],
        credentials: Mapping[str, str] | None = None,
        patience: Patience | None = None,
    ) -> None:
        check_options(options, self.scheme)
        if credentials is not None:
            check_credentials(credentials, options, self.scheme)
        self._shown = str(location).rstrip("/")
        self._redactor = Redactor((credentials or {}).values())
        self._patience = patience or Patience()
        self.options = dict(options)
        for name in self.talkative:
            logger = logging.getLogger(name)
            if logger.level == logging.NOTSET:  # and as it was, where less is told anyway
                logger.setLevel(max(logging.INFO, logger.getEffectiveLevel()))

    @abc.abstractmethod
    def _put_new(self, key: str, data: bytes, token: str) -> None:
        """One request that puts an object if there is none, with `token` as its metadata `WRITER`.

        Raises FileExistsError if there is one.
        """

    @abc.abstractmethod
    def _put_over(self, key: str, data: bytes) -> None:
        """One request that puts an object, whatever is there."""

    @abc.abstractmethod
    def _writer_of(self, key: str) -> str | None:
        """The metadata `WRITER` of an object, None without."""

    @abc.abstractmethod
    def _refusal(self, error: Exception, where: str, said: str) -> StoreError | None:
        """What the service or its client raised, in words; None for what is not theirs.

        `said` is the error's text without secrets.
        """

    def create(self, path: str, data: bytes) -> None:
        # If an answer is lost and the put repeated, the service finds our own object in the way.
        # The token tells it from another writer's.
        token = uuid.uuid4().hex
        key = self._key(path)

        def put() -> None:
            with self._explained(path):
                try:
                    self._put_new(key, data, token)
                except FileExistsError as error:
                    if self._writer_of(key) != token:
                        raise FileExistsError(errno.EEXIST, "exists") from error

        self._patience.call(put)

    def replace(self, path: str, data: bytes) -> None:
        def put() -> None:
            with self._explained(path):
                self._put_over(self._key(path), data)

        self._patience.call(put)

    def read(self, path: str) -> bytes:
        def get() -> bytes:
            with self._explained(path):
                data: bytes = self.filesystem.cat_file(self._key(path))
                return data

        return self._patience.call(get)

    def list(self, folder: str) -> list[str]:
        def find() -> Iterable[str]:
            with self._explained(folder):
                return [*self.filesystem.find(self._key(folder))]

        names = (name.removeprefix(f"{self.root}/") for name in self._patience.call(find))
        return sorted(name for name in names if not name.rpartition("/")[2].startswith("."))

    def sizes(self, folder: str = "") -> dict[str, int]:
        def find() -> dict[str, int]:
            with self._explained(folder):
                return sizes_found(self, folder)

        return self._patience.call(find)

    def remove(self, path: str) -> None:
        def remove() -> None:
            with self._explained(path):
                self.filesystem.rm_file(self._key(path))

        self._patience.call(remove)

    def _key(self, path: str) -> str:
        return f"{self.root}/{path}"

    @contextlib.contextmanager
    def _explained(self, path: str = "") -> Iterator[None]:
        where = f"{self._shown}/{path}" if path else self._shown
        with explained(where, self._redactor, self._refusal):
            yield
