"""What is configured, and where each value comes from."""

from __future__ import annotations

import typer

from tidemark.config import Config

__all__ = ["show_config"]


def show_config(found: Config) -> None:
    """Print each value with where it comes from, and no password."""
    options = ",".join(
        f"{scheme}.{name}={value}"
        for of_scheme in (found.store_options, found.store_credentials)
        for scheme, parameters in of_scheme.items()
        for name, value in parameters.items()
    )
    for key, value in (
        ("store", found.store),
        ("store_options", options or "none"),
        ("home", str(found.home)),
        ("ledger", _without_password(found.ledger)),
        ("installation", found.installation or "made when first needed"),
        ("region", found.region),
        ("network", found.network),
        ("pai_endpoint", found.pai_endpoint or "none"),
        ("pai_calls_per_s", f"{found.pai_calls_per_s:g}"),
    ):
        typer.echo(f"{key} = {value}  ({found.origins[key]})")


def _without_password(url: str) -> str:
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        shown = make_url(url)
        if "@" in (shown.host or ""):
            return "a URL with more than one @"
        return shown.render_as_string(hide_password=True)
    except (ArgumentError, ValueError):
        return "no URL of a database"
