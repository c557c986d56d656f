"""Configuration: one `tidemark.toml` and TIDEMARK_* variables, the variables first.

| key   | variable       | meaning                                             |
|-------|----------------|-----------------------------------------------------|
| store | TIDEMARK_STORE | URI of the result store; default `results` here     |
| home  | TIDEMARK_HOME  | engines, measured client floors, unfinished results |
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tidemark.errors import ConfigError

__all__ = ["Config", "load_config", "read_text"]

DEFAULT_STORE = "results"
KEYS = ("store", "home")


@dataclass(frozen=True, slots=True)
class Config:
    """What is configured, and where each value came from ("default", a file, a variable)."""

    store: str
    home: Path
    origins: Mapping[str, str]

    @property
    def engines(self) -> Path:
        """Where load engines are installed."""
        return self.home / "engines"

    @property
    def floors(self) -> Path:
        """Where measured client floors are cached."""
        return self.home / "floors"

    @property
    def spool(self) -> Path:
        """Where raw output lies until it is kept."""
        return self.home / "spool"


def load_config(environ: Mapping[str, str], directory: Path) -> Config:
    """Read `tidemark.toml` in `directory`, and the environment over it.

    Raises ConfigError for a file that is no TOML, an unknown key or a value that is no text.
    """
    data = environ.get("XDG_DATA_HOME") or str(Path(environ.get("HOME", "/")) / ".local/share")
    values = {"store": DEFAULT_STORE, "home": str(Path(data) / "tidemark")}
    origins = dict.fromkeys(values, "default")
    path = directory / "tidemark.toml"
    if path.exists():
        for key, value in _read(path).items():
            values[key], origins[key] = value, str(path)
    for key in KEYS:
        variable = f"TIDEMARK_{key.upper()}"
        if environ.get(variable):
            values[key], origins[key] = environ[variable], variable
    for variable in sorted(environ):
        key = variable.removeprefix("TIDEMARK_").lower()
        near = difflib.get_close_matches(key, KEYS, n=1, cutoff=0.8)
        if variable.startswith("TIDEMARK_") and key not in KEYS and near:
            raise ConfigError(
                "no such setting", variable, f"Did you mean TIDEMARK_{near[0].upper()}?"
            )
    home = Path(values["home"]).expanduser()
    return Config(values["store"], home if home.is_absolute() else directory / home, origins)


def read_text(path: str) -> str:
    """A file's text, for whoever must not read files itself."""
    return Path(path).read_text("utf-8")


def _read(path: Path) -> dict[str, str]:
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise ConfigError(f"cannot be read ({error})", str(path), "Correct the file") from error
    for key, value in document.items():
        if key not in KEYS:
            near = difflib.get_close_matches(key, KEYS, n=1)
            hint = f"Did you mean {near[0]}?" if near else f"There are: {', '.join(KEYS)}"
            raise ConfigError("no such setting", f"{path}: {key}", hint)
        if not isinstance(value, str):
            raise ConfigError("is not text", f"{path}: {key}", "Put the value in quotes")
    return document
