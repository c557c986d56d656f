"""The plan behind level files: what their experiment asked for, as far as its metadata says.

What is not known is None in the plan where a plan has a way to leave it open; where it has none,
the column is NULL in every row, and a note says why.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError

from tidemark.engines.genai_bench_import_level import Level
from tidemark.engines.genai_bench_import_metadata import Metadata
from tidemark.errors import EngineError, PlanError
from tidemark.plan.canonical import canonical_json
from tidemark.plan.cells import Cell, cells
from tidemark.plan.problems import problems_of
from tidemark.plan.scenario import parse_scenario
from tidemark.plan.sweep import SweepPlan
from tidemark.plan.tasks import BATCH_TASKS

__all__ = ["Planned", "made_name", "planned"]

_DIALECTS: Final = ("vllm", "sglang", "openai")
_LONGEST_S: Final = 86_400.0
_LONGEST_NAME: Final = 256
_MOST_REQUESTS: Final = 10_000_000

# Where a plan may refuse what the engine took: the field, and the columns that keep it anyway.
_OPTIONAL: Final[Mapping[tuple[str, ...], tuple[str, ...]]] = {
    ("endpoint", "url"): ("endpoint_url",),
    ("endpoint", "model"): ("model_name",),
    ("limits", "max_time_s"): ("max_time_s",),
    ("limits", "max_requests"): ("max_requests",),
    ("system", "serving_engine"): ("serving_engine",),
    ("system", "serving_version"): ("serving_version",),
    ("system", "gpu_type"): ("gpu_type",),
    ("system", "gpu_count"): ("gpu_count",),
    ("tokenizer",): ("tokenizer",),
    ("request",): ("request_json",),
    ("prefix",): (),
    ("dataset",): ("dataset_id",),
    ("engine", "version"): ("engine_version",),
}


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan made of metadata and level files.

    `columns` replace those that follow from the plan, in every row; `notes` say why. `planned`
    counts the cells that the experiment asked for, repeats counted. `cells` are those of the level
    files, in their order.
    """

    plan: SweepPlan
    cells: tuple[Cell, ...]
    planned: int
    columns: Mapping[str, Any]
    notes: tuple[str, ...]


def planned(
    levels: Sequence[Level], metadata: Metadata | None, *, name: str | None, version: str | None
) -> Planned:
    """The plan of level files of one experiment, and each one's cell.

    Files of the same level are repeats, in the order given. `version` is genai-bench's, where no
    metadata tells it. Raises EngineError for what no plan can say.
    """
    repeats = Counter[tuple[str, str, int]]()
    numbers = []
    for level in levels:
        numbers.append(repeats[level.place])
        repeats[level.place] += 1
    fields: dict[str, Any] = {
        "task": levels[0].task,
        "warmup": None,
        "repeats": max(repeats.values()),
        "token_counts": "tokenizer",
        **_grid(levels, metadata),
    }
    if name is not None:
        fields["name"] = name
    columns: dict[str, Any] = {}
    notes: list[str] = []
    if metadata is None:
        _unknown(fields, columns, notes, levels[0], version)
    else:
        _known(fields, columns, notes, metadata)
    plan = _accepted(fields, columns, notes, levels[0].path)
    by_place = {
        (cell.scenario, cell.concurrency, cell.batch_size, cell.repeat_idx): cell
        for cell in cells(plan)
    }
    found = tuple(
        by_place[level.scenario.text, level.concurrency, level.batch_size, number]
        for level, number in zip(levels, numbers, strict=True)
    )
    once = len(plan.scenarios) * len(plan.concurrency) * len(plan.batch_sizes)
    if metadata is None:
        once = len(repeats)  # what else was asked for, nobody knows
    return Planned(plan, found, once + len(levels) - len(repeats), columns, tuple(notes))


def made_name(source: str, folder: str, metadata: Metadata | None) -> str:
    """What to call the plan of an experiment: what tells it from the others of its source.

    `folder` is what the paths of its files below the source begin with. It is always a name that a
    plan can have.
    """
    last = source.rstrip("/").rpartition("/")[2]
    place = "/".join(part for part in (last, folder.rstrip("/-")) if part)
    model = metadata.model if metadata is not None else None
    name = f"import of {place}" + (f": {model}" if model else "")
    printable = "".join(letter if letter.isprintable() else "?" for letter in name)
    return printable[:_LONGEST_NAME].rstrip()


def _grid(levels: Sequence[Level], metadata: Metadata | None) -> dict[str, Any]:
    """Scenarios and levels: those asked for, or those found."""
    scenarios = [level.scenario.text for level in levels]
    steps = sorted({level.level for level in levels})
    if metadata is not None:
        scenarios = [text for text in metadata.scenarios if _parses(text)] + scenarios
        steps = [*(step for step in metadata.levels if step >= 1), *steps]
    batches = levels[0].task in BATCH_TASKS
    steps = list(dict.fromkeys(steps))
    return {
        "scenarios": list(dict.fromkeys(scenarios)),
        "concurrency": [1] if batches else steps,
        "batch_sizes": steps if batches else [1],
    }


def _parses(scenario: str) -> bool:
    try:
        parse_scenario(scenario)
    except PlanError:
        return False
    return True


def _unknown(
    fields: dict[str, Any],
    columns: dict[str, Any],
    notes: list[str],
    level: Level,
    version: str | None,
) -> None:
    """No metadata: which service was measured, and how long it was meant to be, is not known."""
    fields["limits"] = {"max_time_s": _LONGEST_S, "max_requests": _MOST_REQUESTS, "drain_s": 0.0}
    columns |= dict.fromkeys(("max_time_s", "max_requests", "dialect", "request_json"))
    notes.append(
        "model, endpoint, tokenizer, request parameters, limits and the system under test are not "
        "known: no metadata tells them"
    )
    if version is None and len(level.releases) == 1:
        version = level.releases[0]
        notes.append(
            f"genai-bench {version}: of the releases up to 0.0.5 only this one writes such fields"
        )
    if version is None:
        columns["engine_version"] = None
        told = " or ".join(level.releases)
        notes.append(f"which genai-bench wrote it is not known: {told} write such fields")
    else:
        fields["engine"] = {"version": version}


def _known(
    fields: dict[str, Any], columns: dict[str, Any], notes: list[str], metadata: Metadata
) -> None:
    said = metadata.fields
    backend = str(said["api_backend"])
    dialect = backend if backend in _DIALECTS else "openai"
    if dialect != backend:
        columns["dialect"] = backend
    fields["endpoint"] = _given(
        url=metadata.option("api-base"), model=metadata.model, dialect=dialect
    )
    fields["limits"] = {
        "drain_s": 0.0,
        **_given(
            max_time_s=_real(said.get("max_time_per_run_s")),
            max_requests=said.get("max_requests_per_run"),
        ),
    }
    for column, field in (
        ("max_time_s", "max_time_per_run_s"),
        ("max_requests", "max_requests_per_run"),
    ):
        if said.get(field) is None:
            columns[column] = None
            notes.append(f"{column} is not known: the metadata has no {field}")
    gpu_count = said.get("server_gpu_count")
    if isinstance(gpu_count, str) and gpu_count.isdecimal():
        gpu_count = int(gpu_count)
    fields["system"] = _given(
        serving_engine=said.get("server_engine"),
        serving_version=said.get("server_version"),
        gpu_type=said.get("server_gpu_type"),
        gpu_count=gpu_count,
    )
    fields |= _given(
        tokenizer=said.get("server_model_tokenizer"),
        request=said.get("additional_request_params") or None,
        dataset=_dataset(metadata),
        prefix=_prefix(metadata),
    )
    fields["engine"] = {"version": metadata.version}
    for side in ("warmup", "cooldown"):
        ratio = metadata.option(f"{side}-ratio")
        if ratio is not None:
            notes.append(
                f"the engine was told to leave a {side} of {ratio} out of its own sums; the rows "
                "and the numbers here hold all requests"
            )


def _dataset(metadata: Metadata) -> dict[str, Any] | None:
    path = metadata.fields.get("dataset_path")
    found = _given(
        config=metadata.option("dataset-config"),
        path=path if path != "None" and not metadata.option("dataset-config") else None,
        prompt_column=metadata.option("dataset-prompt-column"),
        image_column=metadata.option("dataset-image-column"),
    )
    return found if "path" in found or "config" in found else None


def _prefix(metadata: Metadata) -> dict[str, Any] | None:
    try:
        length = metadata.option("prefix-len")
        ratio = metadata.option("prefix-ratio")
        return _given(
            length=int(length) if length else None, ratio=float(ratio) if ratio else None
        ) or None  # fmt: skip
    except ValueError:
        return None


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _real(value: Any) -> Any:
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _accepted(
    fields: dict[str, Any], columns: dict[str, Any], notes: list[str], path: str
) -> SweepPlan:
    """The plan of these fields; what it refuses is left out of it and kept in its column."""
    for _ in range(len(_OPTIONAL) + 1):
        try:
            return SweepPlan.model_validate(fields)
        except ValidationError as error:
            problems = problems_of(error, SweepPlan)
        dropped = False
        for problem in problems:
            for field, kept in _OPTIONAL.items():
                if tuple(problem.where[: len(field)]) != field or not _has(fields, field):
                    continue
                value = _take(fields, field)
                columns |= {column: _kept(column, value) for column in kept}
                notes.append(f"{'.'.join(field)} is no part of the plan: {problem.what}")
                dropped = True
        if not dropped:
            break
    first = problems[0]
    place = ".".join(map(str, first.where))
    raise EngineError(
        f"no plan can say what was measured: {place}: {first.what}", path, first.remedy
    )


def _has(fields: Mapping[str, Any], field: Sequence[str]) -> bool:
    for part in field[:-1]:
        fields = fields.get(part, {})
    return field[-1] in fields


def _take(fields: dict[str, Any], field: Sequence[str]) -> Any:
    for part in field[:-1]:
        fields = fields[part]
    return fields.pop(field[-1])


def _kept(column: str, value: Any) -> Any:
    """A refused value as its column takes it; None for one of another kind."""
    if column == "request_json":
        return canonical_json(value)
    if column == "dataset_id":
        value = value.get("path") or value.get("config")
    kind = {"gpu_count": int, "max_requests": int, "max_time_s": float}.get(column, str)
    return value if isinstance(value, kind) and not isinstance(value, bool) else None
