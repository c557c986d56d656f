"""Where a run's results go: a location given as text, a saved store, or what is configured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from prefect.runtime import deployment

from blocks import ResultStore
from tidemark.config import Config
from tidemark.errors import ConfigError, RefusedError
from tidemark.results.locations import FileLocation, parse_location
from tidemark.results.options import resolved
from tidemark.results.redact import Redactor
from tidemark.results.store import Store, open_store

__all__ = ["Place", "place_of"]


@dataclass(frozen=True)
class Place:
    """A location, its options, and what opens it: references, and ids of keys."""

    uri: str
    options: Mapping[str, str] = field(default_factory=dict)
    credentials: Mapping[str, str] = field(default_factory=dict)

    def open(self, secrets: Mapping[str, str], redactor: Redactor, outbox: Path) -> Store:
        """The store there, which is not touched yet. `secrets` are those behind `credentials`."""
        return open_store(
            self.uri,
            options=self.options,
            credentials=resolved(self.credentials, lambda ref: secrets[str(ref)]),
            redactor=redactor,
            outbox=outbox,
        )


def place_of(store: str | None, saved: ResultStore | None, config: Config) -> Place:
    """The place that is meant.

    Raises RefusedError when two are given, ConfigError for one that would not outlive the run of
    a deployment, StoreError for one that cannot be read.
    """
    if store and saved is not None:
        raise RefusedError(
            "a location and a saved store are given", "store, result_store", "Keep one of the two"
        )
    if saved is None:
        uri = store or config.store
        place = Place(uri, config.options_for(uri), config.credentials_for(uri))
    else:
        place = Place(saved.uri, saved.options, saved.credentials)
    if deployment.id and _is_relative(place.uri):
        raise ConfigError(
            "is a folder relative to one that a worker makes for a run and removes after it",
            f"store {place.uri}",
            "Give an absolute path or a bucket, here or by TIDEMARK_STORE where the worker runs",
        )
    return place


def _is_relative(uri: str) -> bool:
    location = parse_location(uri)
    return isinstance(location, FileLocation) and not location.path.startswith(("/", "~"))
