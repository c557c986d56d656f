"""The plan of a sweep: what to measure, complete and frozen.

`SweepPlan` is what people write, forms ask for and manifests are turned into. Whatever
can be known to fail before any load is refused here, at the field it is about.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar

from pydantic import BeforeValidator, Field, JsonValue, field_validator, model_validator

from tidemark.errors import PlanError
from tidemark.plan.advice import check_runnable, warnings
from tidemark.plan.base import Name, PlanModel, Real, Whole
from tidemark.plan.canonical import canonical_json, sha256_hex
from tidemark.plan.consistency import plan_problems, tokenizer_problem
from tidemark.plan.dataset import Dataset, Prefix
from tidemark.plan.endpoint import Endpoint, InferenceService
from tidemark.plan.estimate import CellEstimate, Estimate, estimate
from tidemark.plan.lengths import ScenarioText
from tidemark.plan.limits import MAX_CONCURRENCY, Limits, WarmUp
from tidemark.plan.objective import Slo
from tidemark.plan.problems import Problem, did_you_mean, refusal, refusals
from tidemark.plan.scenario import parse_scenario
from tidemark.plan.system import EngineRef, System
from tidemark.plan.tasks import (
    BATCH_TASKS,
    DEFAULT_BATCH_SIZES,
    DEFAULT_CONCURRENCY,
    DEFAULT_SCENARIOS,
    TASK_SYNONYMS,
    TASKS,
    UNSUPPORTED_TASKS,
    Task,
)

__all__ = [
    "CellEstimate",
    "Dataset",
    "Endpoint",
    "EngineRef",
    "Estimate",
    "InferenceService",
    "Limits",
    "Prefix",
    "Slo",
    "SweepPlan",
    "System",
    "WarmUp",
    "check_runnable",
    "estimate",
    "plan_hash",
    "warnings",
    "with_endpoint",
    "with_model",
    "with_tokenizer",
    "with_url",
]


def _known_task(value: Any) -> Any:
    if not isinstance(value, str) or value in TASKS:
        return value
    if value in UNSUPPORTED_TASKS:
        raise refusal(
            f"{value} cannot be measured: {UNSUPPORTED_TASKS[value]}",
            f"Choose one of {', '.join(TASKS)}",
        )
    raise refusal("unknown task", did_you_mean(value, TASKS, TASK_SYNONYMS))


Level = Annotated[Whole, Field(ge=1, le=MAX_CONCURRENCY)]


class SweepPlan(PlanModel):
    """What to measure: one service, some traffic scenarios, each at some levels of load."""

    form_order: ClassVar = (
        "endpoint",
        "tokenizer",
        "task",
        "scenarios",
        "concurrency",
        "batch_sizes",
        "limits",
        "slo",
        "repeats",
        "name",
        "system",
        "dataset",
    )
    form_needs: ClassVar = ("tokenizer",)

    name: Name | None = Field(
        default=None,
        title="Name",
        description="What to call this plan in reports, at most 256 characters. "
        "Part of no identity.",
        examples=["llama-3-1-70b nightly"],
    )
    endpoint: Endpoint = Field(
        default_factory=Endpoint,
        title="Endpoint",
        description="The service under test and how to reach it. Left out where a saved "
        "endpoint is chosen, or --url is given.",
        examples=[{"url": "http://my-service:8080", "model": "llama-3-1-70b-instruct"}],
    )
    task: Annotated[Task, BeforeValidator(_known_task)] = Field(
        default="text-to-text",
        title="Task",
        description="What the service does. Embeddings and rerank are swept over batch sizes at "
        "concurrency 1, all others over concurrency.",
        examples=list(TASKS),
    )
    dataset: Dataset | None = Field(
        default=None,
        title="Dataset",
        description="Texts or images to make requests of, instead of the load engine's own text. "
        "Needed for tasks with images.",
        examples=[{"path": "/data/prompts.txt"}],
    )
    scenarios: tuple[ScenarioText, ...] = Field(
        default_factory=tuple,
        title="Traffic scenarios",
        description="Lengths of inputs and outputs, 1 to 64 different ones: as numbers, or "
        "spelled D(input,output), N(mean_in,sd_in)/(mean_out,sd_out), "
        "U(min_in,max_in)/(min_out,max_out), E(tokens), R(document,query), I(width,height), "
        "A(characters), or dataset. Left out: the usual ones for the task, or dataset if one is "
        "given.",
        examples=[["D(100,100)", "N(480,240)/(300,150)"]],
        min_length=1,
        max_length=64,
    )
    concurrency: tuple[Level, ...] = Field(
        default_factory=tuple,
        title="Concurrency",
        description="Users that each send a request, wait for the answer, and send the next: 1 to "
        f"64 different levels from 1 to {MAX_CONCURRENCY}, measured in the order given. Left out: "
        "1, 2, 4 … 256.",
        examples=[[1, 4, 16, 64]],
        min_length=1,
        max_length=64,
    )
    batch_sizes: tuple[Level, ...] = Field(
        default_factory=tuple,
        title="Batch sizes",
        description="Documents per request, for embeddings and rerank only: 1 to 64 different "
        f"sizes from 1 to {MAX_CONCURRENCY}. Left out: 1, 2, 4, 8, 24, 48, 96.",
        examples=[[1, 8, 48]],
        min_length=1,
        max_length=64,
    )
    limits: Limits = Field(
        default_factory=Limits,
        title="Limits",
        description="When a cell ends, in seconds and requests.",
        examples=[{"max_time_s": 60, "max_requests": 1000}],
    )
    warmup: WarmUp | None = Field(
        default_factory=WarmUp,
        title="Warm-up",
        description="Load before the first cell that is thrown away. Off (null): none.",
        examples=[{"requests": 32, "concurrency": 16}],
    )
    repeats: Whole = Field(
        default=1,
        title="Repeats",
        description="How often the whole sweep is run, from 1 to 100. Repeats are interleaved: "
        "all cells once, then all cells again.",
        examples=[3],
        ge=1,
        le=100,
    )
    request: dict[str, JsonValue] = Field(
        default_factory=dict,
        title="Request parameters",
        description="Further parameters of each request, as JSON. Those that would break the "
        "measurement (stream, model, messages, max_tokens, ignore_eos false …) are refused.",
        examples=[{"temperature": 0.0, "top_p": 0.95}],
        max_length=64,
    )
    prefix: Prefix | None = Field(
        default=None,
        title="Shared prefix",
        description="The same beginning for all prompts, to measure prefix caching.",
        examples=[{"length": 1000}],
    )
    slo: Slo | None = Field(
        default=None,
        title="Service-level objectives",
        description="Bounds in seconds that make a request count as good. The report then names "
        "the best operating point that keeps them.",
        examples=[{"ttft_s": 0.5, "tpot_s": 0.05, "attainment": 0.99}],
    )
    max_error_rate: Real = Field(
        default=0.01,
        title="Error bound",
        description="Share of failed requests, from 0 to 1, up to which a cell may feed baselines.",
        examples=[0.01],
        ge=0,
        le=1,
    )
    token_counts: Literal["server", "tokenizer"] = Field(
        default="server",
        title="Token counts",
        description="Who counts tokens: the server (usage in its answers) or the tokenizer, for "
        "servers that report no usage. Tokens counted by a tokenizer are estimates.",
        examples=["server", "tokenizer"],
    )
    system: System = Field(
        default_factory=System,
        title="System under test",
        description="What is behind the endpoint. Results of different systems are never mixed.",
        examples=[{"serving_engine": "vLLM", "serving_version": "0.9.0", "gpu_type": "H100"}],
    )
    tokenizer: Name | None = Field(
        default=None,
        title="Tokenizer",
        description="With it prompts get their length: an absolute path of a directory, or a name "
        "on the Hugging Face hub with an optional @revision. A run needs it.",
        examples=["/models/llama-3/tokenizer", "org/model@main"],
    )
    engine: EngineRef = Field(
        default_factory=EngineRef,
        title="Load engine",
        description="What sends the requests, pinned to a version.",
        examples=[{"name": "genai-bench", "version": "0.0.5"}],
    )

    @model_validator(mode="before")
    @classmethod
    def _fill_defaults(cls, data: Any) -> Any:
        """What is swept when the plan does not say: it depends on the task, so it is filled in
        here and not by the fields."""
        if not isinstance(data, Mapping):
            return data
        # An unknown task is refused at its own field, not once more at these.
        task = next((known for known in TASKS if known == data.get("task")), TASKS[0])
        in_batches = task in BATCH_TASKS
        defaults: dict[str, Any] = {
            "scenarios": DEFAULT_SCENARIOS[task] if data.get("dataset") is None else ("dataset",),
            "concurrency": (1,) if in_batches else DEFAULT_CONCURRENCY,
            "batch_sizes": DEFAULT_BATCH_SIZES if in_batches else (1,),
        }
        missing_ones = {name: value for name, value in defaults.items() if data.get(name) is None}
        return {**data, **missing_ones}

    @field_validator("scenarios")
    @classmethod
    def _canonical_scenarios(cls, scenarios: tuple[str, ...]) -> tuple[str, ...]:
        canonical: list[str] = []
        problems = []
        for index, given in enumerate(scenarios):
            try:
                canonical.append(parse_scenario(given).text)
            except PlanError as error:
                problems.append(Problem((index,), error.what, error.remedy or ""))
        if problems:
            raise refusals("scenarios", problems)
        return _different(tuple(canonical))

    @field_validator("concurrency", "batch_sizes")
    @classmethod
    def _different_levels(cls, levels: tuple[int, ...]) -> tuple[int, ...]:
        return _different(levels)

    @field_validator("request", mode="before")
    @classmethod
    def _json_only(cls, request: Any) -> Any:
        if isinstance(request, Mapping):
            try:
                canonical_json(request)
            except PlanError as error:
                inside = (error.where or "").removeprefix("value").removeprefix(".")
                raise refusal(f"{inside}: {error.what}", error.remedy or "") from None
        return request

    @field_validator("tokenizer")
    @classmethod
    def _usable_tokenizer(cls, tokenizer: str | None) -> str | None:
        trouble = tokenizer_problem(tokenizer) if tokenizer is not None else None
        if trouble is not None:
            raise refusal(*trouble)
        return tokenizer

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        problems = plan_problems(self)
        if problems:
            raise refusals("plan", problems)
        return self


Item = TypeVar("Item")


def _different(items: tuple[Item, ...]) -> tuple[Item, ...]:
    for index, item in enumerate(items):
        if item in items[:index]:
            raise refusal(f"{item} is listed twice", "List each once; use repeats to repeat")
    return items


def plan_hash(plan: PlanModel) -> str:
    """What an approval is bound to: the SHA-256 of the plan's canonical JSON, in hex.

    Any change of any field gives another hash. References to secrets are part of it, the
    secrets are not known to it.
    """
    return sha256_hex(plan.model_dump(mode="json"))


def with_url(plan: SweepPlan, url: str) -> SweepPlan:
    """The same plan with the URL of its endpoint, for one that names an InferenceService.

    Raises pydantic's ValidationError for a URL that cannot be used.
    """
    return _changed(plan, endpoint=_changed_endpoint(plan, url=url, url_as_given=None))


def with_endpoint(plan: SweepPlan, endpoint: Endpoint) -> SweepPlan:
    """The same plan for another service, such as a saved one."""
    return _changed(plan, endpoint=endpoint.model_dump())


def with_model(plan: SweepPlan, model: str) -> SweepPlan:
    """The same plan with the name of the model, once the service has told it."""
    return _changed(plan, endpoint=_changed_endpoint(plan, model=model))


def with_tokenizer(plan: SweepPlan, tokenizer: str) -> SweepPlan:
    """The same plan with a tokenizer, for one that came without."""
    return _changed(plan, tokenizer=tokenizer)


def _changed_endpoint(plan: SweepPlan, **changes: str | None) -> dict[str, Any]:
    return {**plan.endpoint.model_dump(), **changes}


def _changed(plan: SweepPlan, **changes: Any) -> SweepPlan:
    # Through validation, not model_copy: a changed plan is checked like a new one.
    return SweepPlan.model_validate({**plan.model_dump(), **changes})
