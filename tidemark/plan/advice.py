"""What a valid plan should still be told: warnings, and what is missing before it can run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tidemark.errors import RefusedError
from tidemark.plan.endpoint import URL_REMEDY
from tidemark.plan.identity import identity_known
from tidemark.plan.problems import Problem, path_text, plan_error
from tidemark.plan.request import request_warnings
from tidemark.plan.scenario import parse_scenario
from tidemark.plan.secrets import SecretRef
from tidemark.plan.tasks import API_PATHS, BATCH_TASKS, IMAGE_INPUT_TASKS

if TYPE_CHECKING:
    from tidemark.plan.sweep import SweepPlan

__all__ = ["check_reuse", "check_runnable", "warnings"]

# Ends of a path that are an API's, not a service's: the engine's own path follows them.
_API_ENDS = frozenset(
    {"completions", "embeddings", "rerank", "generate", "generations", "speech", "chat", "messages"}
)
_WHAT = {
    "/v1/chat/completions": "chat completions",
    "/v1/embeddings": "embeddings",
    "/v1/rerank": "rerank",
    "/v1/images/generations": "image generation",
    "/v1/audio/speech": "speech",
}


def warnings(plan: SweepPlan) -> tuple[str, ...]:
    """Sentences about what a plan will not measure, or measure differently than it seems.

    Each begins with the field it is about. In a fixed order, none twice.
    """
    found = [
        *(
            f"{path_text(problem.where)}: {problem.what}. {problem.remedy}"
            for problem in _missing(plan)
        ),
        *_endpoint_warnings(plan),
        *_workload_warnings(plan),
        *_sample_size_warnings(plan),
        *_identity_warnings(plan),
    ]
    return tuple(dict.fromkeys(found))


def check_runnable(plan: SweepPlan) -> None:
    """See that nothing is missing that a plan may leave open until it runs.

    Raises PlanError naming all of it: the URL of an InferenceService, the tokenizer.
    """
    problems = list(_missing(plan))
    if problems:
        raise plan_error(problems, None)


def check_reuse(plan: SweepPlan, reuse_valid: bool) -> None:
    """See that results of other rounds may stand for this plan's. Raises RefusedError if not."""
    if reuse_valid and not identity_known(plan):
        raise RefusedError(
            "what is behind the endpoint may have changed since an earlier round",
            "reuse_valid",
            "Give endpoint.model and system.image_digest in the plan, or measure anew",
        )


def _missing(plan: SweepPlan) -> Iterator[Problem]:
    if plan.endpoint.url is None and plan.endpoint.inference_service is None:
        yield Problem(
            ("endpoint", "url"), "no service is named", f"{URL_REMEDY}, or an inference_service"
        )
    if plan.endpoint.url is None and plan.endpoint.inference_service is not None:
        service = plan.endpoint.inference_service
        yield Problem(
            ("endpoint", "url"),
            f"the address of InferenceService {service.namespace}/{service.name} is not known",
            "Give the URL beside the plan, as seen from where the load is sent",
        )
    if plan.tokenizer is None:
        yield Problem(
            ("tokenizer",),
            "is not given, and prompts get their length with it",
            "Give the path of the model's tokenizer, or its name on the hub",
        )


def _endpoint_warnings(plan: SweepPlan) -> Iterator[str]:
    endpoint = plan.endpoint
    api_path = API_PATHS[plan.task]
    if endpoint.url is not None and endpoint.url_as_given is not None:
        suffix = endpoint.url_as_given.rstrip("/")[len(endpoint.url) :]
        yield (
            f"endpoint.url: {suffix} was cut off; requests go to {endpoint.url}{api_path}, so "
            f"{_WHAT[api_path]} will be measured"
        )
    elif endpoint.url is not None:
        path = urlsplit(endpoint.url).path
        if path.rpartition("/")[2] in _API_ENDS:
            yield (
                f"endpoint.url: ends like the path of an API, but requests go to "
                f"{endpoint.url}{api_path}"
            )
    if endpoint.url is not None and endpoint.url.startswith("http://") and _sends_secret(plan):
        host = urlsplit(endpoint.url).hostname or ""
        if host not in ("localhost", "::1") and not host.startswith("127."):
            yield "endpoint.url: http sends the key unencrypted; use https if the service has it"
    if endpoint.model is None:
        yield (
            "endpoint.model: is not given; the run can go on only if the service lists exactly "
            "one model"
        )
    if endpoint.dialect == "openai" and plan.task == "text-to-text":
        yield (
            "endpoint.dialect: with openai the output length is not controlled, only bounded, so "
            "results are comparable only with themselves; set vllm or sglang if the server is one"
        )


def _sends_secret(plan: SweepPlan) -> bool:
    return plan.endpoint.api_key is not None or any(
        isinstance(value, SecretRef) for value in plan.endpoint.headers.values()
    )


def _workload_warnings(plan: SweepPlan) -> Iterator[str]:
    scenarios = [parse_scenario(text) for text in plan.scenarios]
    for scenario in scenarios:
        for sentence in scenario.warnings:
            yield f"scenarios: {sentence}"
        asks_tpot = plan.slo is not None and plan.slo.tpot_s is not None
        if asks_tpot and scenario.mean_output_tokens == 1:
            yield f"slo.tpot_s: no request of {scenario.text} has a TPOT, so none can keep it"
    if (
        any(not scenario.controls_output_length for scenario in scenarios)
        and plan.task in ("text-to-text", *IMAGE_INPUT_TASKS)
        and "max_tokens" not in plan.request
    ):
        yield (
            "scenarios: the output length is the server's choice; "
            "set request.max_tokens to bound it"
        )
    if plan.dataset is not None and plan.dataset.sha256 is None:
        yield (
            "dataset.sha256: is not given, so results cannot tell one content of the dataset "
            "from another"
        )
    yield from request_warnings(plan.request, plan.task, plan.endpoint.dialect, scenarios)
    if plan.token_counts == "tokenizer":
        yield (
            "token_counts: tokens counted by the tokenizer are estimates; "
            "use server if it reports usage"
        )


def _sample_size_warnings(plan: SweepPlan) -> Iterator[str]:
    limits = plan.limits
    highest = max(plan.concurrency)
    least = limits.min_requests_per_user * highest
    if limits.max_requests is not None and limits.max_requests < least:
        yield (
            f"limits.max_requests: {limits.max_requests} requests at concurrency {highest} are "
            f"less than {limits.min_requests_per_user} per user, so the start and the end of a "
            f"cell weigh too much; allow {least} or more"
        )
    if plan.slo is not None:
        yield from _slo_warnings(plan)
    asked = "stall_timeout_s" in limits.model_fields_set
    if asked and limits.stall_timeout_s >= limits.max_time_s + limits.drain_s:
        yield (
            "limits.stall_timeout_s: is longer than a cell can take, so a service that hangs is "
            "noticed only at the end of each cell"
        )


def _slo_warnings(plan: SweepPlan) -> Iterator[str]:
    assert plan.slo is not None
    needed = plan.slo.requests_needed
    if needed is None:
        yield (
            "slo.attainment: no number of requests proves that all keep a bound; "
            "0.999 can be shown with 10000"
        )
        return
    too_few = [level for level in plan.concurrency if plan.limits.requests_at(level) < needed]
    if too_few:
        which = "batch size" if plan.task in BATCH_TASKS else "concurrency"
        levels = "each " + which if plan.task in BATCH_TASKS else _list_of(which, too_few)
        yield (
            f"slo.attainment: p{plan.slo.attainment * 100:g} needs {needed} requests, and cells "
            f"at {levels} end before; set limits.max_requests to {needed} or more, and "
            "limits.max_time_s long enough"
        )


def _list_of(which: str, levels: list[int]) -> str:
    return f"{which} {', '.join(str(level) for level in levels)}"


def _identity_warnings(plan: SweepPlan) -> Iterator[str]:
    on_hub = plan.tokenizer is not None and not plan.tokenizer.startswith("/")
    if on_hub and "@" not in (plan.tokenizer or ""):
        yield (
            "tokenizer: has no revision, so prompts may change when the hub does; "
            "write name@revision"
        )
