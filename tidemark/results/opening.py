"""From a location to the files there."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from tidemark.errors import StoreError
from tidemark.results.files import Files, LocalFiles
from tidemark.results.locations import FileLocation, Location
from tidemark.results.options import check_credentials, check_options
from tidemark.results.patience import Patience
from tidemark.results.providers.provider import PROVIDERS, Provider

__all__ = ["files_at", "options_of"]


def files_at(
    location: Location,
    options: Mapping[str, str],
    credentials: Mapping[str, str] | None,
    patience: Patience | None,
) -> Files:
    """The files at a location.

    Raises StoreError for options or credentials that cannot be used there, or if the package that
    speaks with the service is not installed.
    """
    if isinstance(location, FileLocation):
        check_options(options, location.scheme)
        check_credentials(credentials or {}, options, location.scheme)
        return LocalFiles(location)
    opened: Files = _class_of(PROVIDERS[location.scheme], location)(
        location, options, credentials, patience
    )
    return opened


def options_of(files: Files) -> dict[str, str]:
    """The options that are really used, with an endpoint that the environment named."""
    return dict(getattr(files, "options", {}))


def _class_of(provider: Provider, location: Location) -> Any:
    module, _, name = provider.opened_by.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if provider.extra is None or missing not in provider.packages:
            raise
        raise StoreError(
            f"{provider.title} needs the package {missing}, which is not installed",
            str(location),
            f"Install tidemark with the extra {provider.extra}: pip install "
            f"'tidemark[{provider.extra}]'",
        ) from error
