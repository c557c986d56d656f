"""What genai-bench says of an experiment: its metadata, without the secrets it writes there.

The metadata of the last writer is all that survives where several experiments share a folder, so
it is believed of a level file only as far as nothing in either contradicts the other.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from tidemark.engines.genai_bench_import_level import RELEASES, Level
from tidemark.engines.genai_bench_output import LARGEST_COUNT
from tidemark.errors import EngineError, PlanError
from tidemark.plan.scenario import parse_scenario
from tidemark.results.redact import MASK, SHORTEST_SECRET, Redactor

__all__ = ["METADATA_FILE", "Metadata", "contradictions", "read_metadata", "secrets_in"]

METADATA_FILE: Final = "experiment_metadata.json"

_TEXTS: Final = ("benchmark_version", "api_backend", "task")
_LISTS: Final = ("num_concurrency", "batch_size", "traffic_scenario")
_DAMAGED: Final = "Copy it again from where it was written"
_RELEASED: Final = {release for releases in RELEASES.values() for release in releases}
_HALF_A_PAIR: Final = re.compile("[\ud800-\udfff]")
_SECRETIVE: Final = re.compile(r"(?i)(?:\Aauth_config|headers)\Z")
_SECRET_NAME: Final = re.compile(
    r"(?i)(?:key|token|secret|pass(?:word|phrase|wd)?|signature|sig|credentials?|authorization"
    r"|auth|cookie)\Z"
)
"""Names of secrets where nothing else is named so: in authentication, headers, connections."""
_SHAPES_ONLY: Final = Redactor()


@dataclass(frozen=True, slots=True)
class Metadata:
    """The metadata of one experiment.

    `fields` are those of the engine, redacted; `options` are the command line's, by name without
    dashes. `time_unit` is None for releases that have no such option. `source` says where this
    was read, when that is no metadata file.
    """

    path: str
    fields: Mapping[str, Any]
    options: Mapping[str, tuple[str, ...]]
    scenarios: tuple[str, ...]
    levels: tuple[int, ...]
    source: str | None = None

    @property
    def version(self) -> str:
        """The version of genai-bench."""
        return str(self.fields["benchmark_version"])

    @property
    def task(self) -> str:
        """The task, as the engine names it."""
        return str(self.fields["task"])

    @property
    def iteration(self) -> str:
        """What was swept: `num_concurrency` or `batch_size`."""
        return str(self.fields.get("iteration_type") or "num_concurrency")

    @property
    def time_unit(self) -> str | None:
        """The unit that times were to be written in."""
        unit = self.fields.get("metrics_time_unit")
        return unit if isinstance(unit, str) else None

    @property
    def model(self) -> str | None:
        """The model that was asked for."""
        model = self.fields.get("api_model_name")
        return model if isinstance(model, str) else None

    def option(self, name: str) -> str | None:
        """The last value of an option, if it was given."""
        given = self.options.get(name)
        return given[-1] if given else None


def read_metadata(path: str, content: bytes, source: str | None = None) -> Metadata:
    """The metadata in a file, best redacted. Raises EngineError, which names the file."""

    def refused(what: str) -> EngineError:
        return EngineError(f"it is no genai-bench metadata: {what}", path, _DAMAGED)

    if not content.strip():
        raise refused("it is empty")
    try:
        fields = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise refused(f"it is no JSON ({type(error).__name__})") from error
    if not isinstance(fields, dict):
        raise refused("it is no object")
    for name, value in fields.items():
        if problem := _problem(value):
            raise refused(f"{str(name)[:100]} {problem}".encode("utf-8", "replace").decode())
    _without_credentials(fields)
    for name in _TEXTS:
        if not isinstance(fields.get(name), str):
            raise refused(f"{name} is no text")
    for name in _LISTS:
        kind = str if name == "traffic_scenario" else int
        if not isinstance(fields.get(name), list) or not all(
            isinstance(item, kind) and not isinstance(item, bool) for item in fields[name]
        ):
            raise refused(f"{name} is no list of {'texts' if kind is str else 'whole numbers'}")
    by_batch = fields.get("iteration_type") == "batch_size"
    return Metadata(
        path=path,
        fields=fields,
        options=_options(str(fields.get("cmd") or "")),
        scenarios=tuple(dict.fromkeys(map(_canonical, fields["traffic_scenario"]))),
        levels=tuple(dict.fromkeys(fields["batch_size" if by_batch else "num_concurrency"])),
        source=source,
    )


def secrets_in(content: bytes) -> set[str]:
    """The secrets that stand in metadata in clear, for finding them wherever else they are.

    They are what a redactor masks in the words of the file, the values of secret options whole,
    with the keys that connection strings hold, and what authentication and headers name a secret.
    """
    found = set(_named_secrets(content))
    for line in content.decode("utf-8", "replace").splitlines():
        words, masked = line.split(), _SHAPES_ONLY.text(line).split()
        if len(words) != len(masked):
            continue
        for word, hidden in zip(words, masked, strict=True):
            before, mask, after = hidden.partition(MASK)
            if mask and MASK not in after and word.startswith(before) and word.endswith(after):
                found.add(word[len(before) : len(word) - len(after)])
    return {secret for secret in found if len(secret) >= SHORTEST_SECRET}


def _named_secrets(content: bytes) -> Iterator[str]:
    """Secrets that metadata names: in its command line, its authentication, its headers."""
    try:
        fields = json.loads(content)
    except (ValueError, RecursionError):
        return
    if not isinstance(fields, dict):
        return
    for word, following in pairwise([*str(fields.get("cmd") or "").split(), ""]):
        option, equals, value = word.partition("=")
        secret = value if equals else following
        if secret and _SHAPES_ONLY.tree([option, secret]) == [option, MASK]:
            yield secret
            for part in re.split("[;,]", secret):
                name, equals, value = part.partition("=")
                if equals and _SECRET_NAME.search(name):
                    yield value
    for _, _, value in _credentials(fields):
        if isinstance(value, str) and value and _masked(value) == MASK:
            yield value
            yield value.split()[-1]  # of `Bearer …`


def _credentials(fields: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str, Any]]:
    """What authentication and headers name a secret: the object it stands in, its name, it."""
    rest: list[tuple[Any, bool]] = [(fields, False)]
    while rest:
        one, secretive = rest.pop()
        if isinstance(one, list):
            rest += [(item, secretive) for item in one]
        elif isinstance(one, dict):
            for name, value in one.items():
                if isinstance(value, dict | list):
                    rest.append((value, secretive or _SECRETIVE.search(name) is not None))
                elif secretive and _SECRET_NAME.search(name):
                    yield one, name, value


def _without_credentials(fields: dict[str, Any]) -> None:
    """Mask, in place, what authentication and headers name a secret, however short it is."""
    for holder, name, value in list(_credentials(fields)):
        if isinstance(value, str):
            holder[name] = _masked(value)
        elif not isinstance(value, bool):
            holder[name] = None


def _masked(value: str) -> str:
    """A text that is a secret, masked; as it is where it only says where one lies."""
    return MASK if _SHAPES_ONLY.tree(["--password", value]) == ["--password", MASK] else value


def contradictions(level: Level, metadata: Metadata) -> Iterator[str]:
    """In what a level file cannot be of the experiment that this metadata describes."""
    if level.task != metadata.task:
        yield f"task {level.task}, not {metadata.task}"
    if level.iteration != metadata.iteration:
        yield f"swept over {level.iteration}, not over {metadata.iteration}"
    elif level.level not in metadata.levels:
        told = ", ".join(map(str, metadata.levels))
        yield f"{level.iteration} {level.level}, which is none of {told}"
    if level.scenario.text not in metadata.scenarios:
        told = ", ".join(metadata.scenarios)
        yield f"scenario {level.scenario.text}, which is none of {told}"
    if metadata.time_unit is not None and level.unit != metadata.time_unit:
        yield f"times written in {level.unit}, not in {metadata.time_unit}"
    if metadata.version in _RELEASED and metadata.version not in level.releases:
        yield f"fields of genai-bench {' or '.join(level.releases)}, not {metadata.version}"


def _problem(value: Any) -> str | None:
    """Why a value cannot be kept in a row, wherever in it the reason lies; None if it can."""
    rest = [value]
    while rest:
        one = rest.pop()
        if isinstance(one, dict):
            rest += [*one, *one.values()]
        elif isinstance(one, list):
            rest += one
        elif isinstance(one, str) and _HALF_A_PAIR.search(one):
            return "is no text that can be written as UTF-8"
        elif isinstance(one, int) and abs(one) > LARGEST_COUNT:
            return "is larger than any count can be"
        elif isinstance(one, float) and not math.isfinite(one):
            return f"is {one}, which no option can be"
    return None


def _canonical(scenario: str) -> str:
    try:
        return parse_scenario(scenario).text
    except PlanError:
        return scenario


def _options(command: str) -> Mapping[str, tuple[str, ...]]:
    """The options of a command line that was joined without quotes; flags have no value."""
    options: dict[str, list[str]] = {}
    words = command.split()
    for word, following in zip(words, [*words[1:], "--"], strict=True):
        if word.startswith("--") and not following.startswith("--"):
            options.setdefault(word[2:], []).append(following)
    return {name: tuple(values) for name, values in options.items()}
