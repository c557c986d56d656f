"""Configuration: one `tidemark.toml` and TIDEMARK_* variables, the variables first.

| key             | variable                 | meaning                                             |
|-----------------|--------------------------|-----------------------------------------------------|
| store           | TIDEMARK_STORE           | URI of the result store; default `results` here     |
| store_options   | TIDEMARK_STORE_OPTIONS   | how stores are used and opened: a table, or         |
|                 |                          | `name=value,…`                                      |
| home            | TIDEMARK_HOME            | engines, measured client floors, unfinished and     |
|                 |                          | unsent results                                      |
| ledger          | TIDEMARK_LEDGER          | URL of the ledger of money and leases; default a    |
|                 |                          | SQLite file in home                                 |
| installation    | TIDEMARK_INSTALLATION    | id that what is started carries; default made once, |
|                 |                          | in home                                             |
| region          | TIDEMARK_REGION          | region of Alibaba Cloud; default `cn-hangzhou`      |
|                 | ALIBABA_CLOUD_REGION_ID  | the same, where the former is not set               |
| network         | TIDEMARK_NETWORK         | `public`, or `vpc` from within the region           |
| pai_endpoint    | TIDEMARK_PAI_ENDPOINT    | address in place of the services' own: a simulator, |
|                 |                          | a proxy                                             |
| pai_calls_per_s | TIDEMARK_PAI_CALLS_PER_S | most calls a second to each product; default 20     |

A variable replaces the key of the file, the options as a whole. Their names are those of
`plan/store_parameters.py`, and meant for stores like the configured one (s3 if that is a folder);
those of another kind stand in a table of its scheme, `[store_options.oss]`, or begin with it,
`oss.region=cn-beijing`. Credentials are references: `env:NAME`, `file:/path`, `prefect:NAME`.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tidemark.errors import ConfigError, StoreError

__all__ = ["Config", "load_config", "read_text"]

OPTIONS = "store_options"
DEFAULTS = {
    "store": "results",
    "ledger": "",
    "installation": "",
    "region": "cn-hangzhou",
    "network": "public",
    "pai_endpoint": "",
    "pai_calls_per_s": "20",
}
# Read by Alibaba Cloud's own tools; ours goes before it.
_OFFICIAL_REGION = "ALIBABA_CLOUD_REGION_ID"
KEYS = (
    "store",
    "home",
    OPTIONS,
    "ledger",
    "installation",
    "region",
    "network",
    "pai_endpoint",
    "pai_calls_per_s",
)


@dataclass(frozen=True, slots=True)
class Config:
    """What is configured, and where each value came from ("default", a file, a variable)."""

    store: str
    home: Path
    origins: Mapping[str, str]
    store_options: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    store_credentials: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    # It may hold a password.
    ledger_url: str | None = field(default=None, repr=False)
    installation: str | None = None
    region: str = DEFAULTS["region"]
    network: Literal["public", "vpc"] = "public"
    pai_endpoint: str | None = None
    pai_calls_per_s: float = 20.0

    @property
    def engines(self) -> Path:
        """Where load engines are installed."""
        return self.home / "engines"

    @property
    def ledger(self) -> str:
        """The URL of the ledger."""
        return self.ledger_url or f"sqlite:///{(self.home / 'ledger.db').absolute()}"

    @property
    def floors(self) -> Path:
        """Where measured client floors are cached."""
        return self.home / "floors"

    @property
    def spool(self) -> Path:
        """Where raw output lies until it is kept."""
        return self.home / "spool"

    @property
    def outbox(self) -> Path:
        """Where results wait for a store that takes nothing."""
        return self.home / "outbox"

    def options_for(self, store: str) -> dict[str, str]:
        """The options to open a store with, by its URI."""
        return dict(self.store_options.get(_scheme(store), {}))

    def credentials_for(self, store: str) -> dict[str, str]:
        """What opens a store, by its URI: references (SecretRef), and ids of keys."""
        return dict(self.store_credentials.get(_scheme(store), {}))


def load_config(environ: Mapping[str, str], directory: Path) -> Config:
    """Read `tidemark.toml` in `directory`, and the environment over it.

    Raises ConfigError for a file that is no TOML, an unknown key or a value that is no text, and
    for options that a store on S3 cannot have.
    """
    data = environ.get("XDG_DATA_HOME") or str(Path(environ.get("HOME", "/")) / ".local/share")
    values = {**DEFAULTS, "home": str(Path(data) / "tidemark")}
    options: dict[str, Any] = {}
    origins = dict.fromkeys(KEYS, "default")
    path = directory / "tidemark.toml"
    if path.exists():
        for key, value in _read(path).items():
            origins[key] = str(path)
            if isinstance(value, dict):
                options = value
            else:
                values[key] = value
    for key in KEYS:
        variable = f"TIDEMARK_{key.upper()}"
        if environ.get(variable):
            origins[key] = variable
            if key == OPTIONS:
                options = _listed(environ[variable], variable)
            else:
                values[key] = environ[variable]
    sorted_options = _by_scheme(options, values["store"], f"{origins[OPTIONS]}: {OPTIONS}")
    if origins["region"] == "default" and environ.get(_OFFICIAL_REGION):
        values["region"], origins["region"] = environ[_OFFICIAL_REGION], _OFFICIAL_REGION
    for variable in sorted(environ):
        key = variable.removeprefix("TIDEMARK_").lower()
        near = difflib.get_close_matches(key, KEYS, n=1, cutoff=0.8)
        if variable.startswith("TIDEMARK_") and key not in KEYS and near:
            raise ConfigError(
                "no such setting", variable, f"Did you mean TIDEMARK_{near[0].upper()}?"
            )
    home = Path(values["home"]).expanduser()
    home = home if home.is_absolute() else directory / home
    return Config(
        values["store"],
        home,
        origins,
        {scheme: found[0] for scheme, found in sorted_options.items() if found[0]},
        {scheme: found[1] for scheme, found in sorted_options.items() if found[1]},
        ledger_url=values["ledger"] or None,
        installation=_installation(values["installation"], origins["installation"]),
        region=values["region"],
        network=_network(values["network"], origins["network"]),
        pai_endpoint=values["pai_endpoint"] or None,
        pai_calls_per_s=_rate(values["pai_calls_per_s"], origins["pai_calls_per_s"]),
    )


def _scheme(store: str) -> str:
    scheme, separator, _ = store.partition("://")
    return scheme.lower() if separator else "file"


def _by_scheme(
    given: Mapping[str, Any], store: str, where: str
) -> dict[str, tuple[dict[str, str], dict[str, str]]]:
    """Options and credentials by the scheme of the stores that they are for."""
    if not given:  # whoever asks for help does not wait for what checks them
        return {}
    from tidemark.plan.problems import did_you_mean
    from tidemark.plan.store_parameters import PARAMETERS
    from tidemark.results.options import sort_parameters

    usual = _scheme(store) if PARAMETERS.get(_scheme(store)) else "s3"
    others = [scheme for scheme in PARAMETERS if PARAMETERS[scheme] and scheme != usual]
    by_scheme: dict[str, dict[str, str]] = {usual: {}}
    for name, value in given.items():
        scheme, dot, rest = name.partition(".")
        if isinstance(value, dict):
            by_scheme.setdefault(name, {}).update(value)
        elif dot:
            by_scheme.setdefault(scheme, {})[rest] = value
        else:
            by_scheme[usual][name] = value
    found = {}
    for scheme, parameters in by_scheme.items():
        if scheme not in PARAMETERS:
            raise ConfigError(
                f"no store is called {scheme}://", where, did_you_mean(scheme, PARAMETERS)
            )
        try:
            found[scheme] = sort_parameters(scheme, parameters, where)
        except StoreError as error:
            remedy = error.remedy
            if scheme == usual:
                example = f"{others[0]}.NAME or [{OPTIONS}.{others[0]}]"
                remedy = f"{remedy}. These are taken for {usual}://; for others write {example}"
            raise ConfigError(error.what, where, remedy) from None
    return found


def _network(value: str, origin: str) -> Literal["public", "vpc"]:
    if value == "public":
        return "public"
    if value == "vpc":
        return "vpc"
    raise ConfigError("is neither public nor vpc", f"{origin}: network", "Write one of them")


def _installation(value: str, origin: str) -> str | None:
    # It becomes a part of names, of at most 256 characters, and of tags.
    # What scripts start carries "script" in its place.
    if value and (value == "script" or not re.fullmatch(r"[a-z0-9]{4,32}", value)):
        raise ConfigError(
            "is no id of an installation", f"{origin}: installation",
            "Write 4 to 32 small letters and digits, or leave it out: one is made",
        )  # fmt: skip
    return value or None


def _rate(value: str, origin: str) -> float:
    try:
        rate = float(value)
    except ValueError:
        rate = 0.0
    if 0 < rate < float("inf"):
        return rate
    raise ConfigError(
        "is no number above 0", f"{origin}: pai_calls_per_s", "Write a number of calls, such as 20"
    )


def read_text(path: str) -> str:
    """A file's text, for whoever must not read files itself."""
    return Path(path).read_text("utf-8")


def _listed(text: str, variable: str) -> dict[str, str]:
    """Options as a variable has them: `name=value`, with commas between."""
    options: dict[str, str] = {}
    for part in text.split(","):
        name, equals, value = part.strip().partition("=")
        if not equals or name in options:
            what = "is given twice" if name in options else "has no value"
            where = f"{variable}: option {len(options) + 1}"
            raise ConfigError(what, where, "Write name=value,name=value")
        options[name] = value
    return options


def _read(path: Path) -> dict[str, str | dict[str, Any]]:
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise ConfigError(f"cannot be read ({error})", str(path), "Correct the file") from error
    for key, value in document.items():
        if key not in KEYS:
            near = difflib.get_close_matches(key, KEYS, n=1)
            hint = f"Did you mean {near[0]}?" if near else f"There are: {', '.join(KEYS)}"
            raise ConfigError("no such setting", f"{path}: {key}", hint)
        if key == OPTIONS:
            document[key] = _table(value, f"{path}: {key}")
        elif key == "pai_calls_per_s" and isinstance(value, int | float):
            document[key] = str(value)
        elif not isinstance(value, str):
            raise ConfigError("is not text", f"{path}: {key}", "Put the value in quotes")
    return document


def _table(value: object, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ConfigError("is not a table", where, f"Write [{OPTIONS}], then name = value")
    spelled: dict[str, Any] = {}
    for name, each in value.items():
        if isinstance(each, dict) and where.endswith(OPTIONS):
            spelled[name] = _table(each, f"{where}.{name}")
        elif isinstance(each, bool):
            spelled[name] = str(each).lower()
        elif isinstance(each, str):
            spelled[name] = each
        else:
            raise ConfigError("is not text", f"{where}.{name}", "Put the value in quotes")
    return spelled
