"""The models of a plan, all of them: frozen, closed, finite, and fit to make a form of."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest
from plan_builders import PLAN, make_plan
from pydantic import BaseModel, ValidationError

from tidemark.errors import PlanError
from tidemark.plan.advice import check_runnable
from tidemark.plan.base import PlanModel
from tidemark.plan.endpoint import Endpoint
from tidemark.plan.load import dump_plan, load_plan
from tidemark.plan.scenario import DEFAULT_SCENARIOS
from tidemark.plan.sweep import (
    SweepPlan,
    plan_hash,
    with_endpoint,
    with_model,
    with_tokenizer,
    with_url,
)

FULL: dict[str, Any] = {
    "name": "nightly",
    "endpoint": {
        "url": "https://models.example.com/llama/v1",
        "model": "llama",
        "dialect": "sglang",
        "api_key": "env:SERVICE_KEY",
        "headers": {"X-Route": "canary", "X-Gateway-Key": "file:/run/secrets/gateway"},
        "ca_file": "/etc/ssl/ca.pem",
        "proxy": "http://proxy:3128",
        "inference_service": {"name": "llama", "namespace": "models"},
    },
    "task": "text-to-text",
    "dataset": {"path": "/data/prompts.csv", "prompt_column": "q", "sha256": "ab" * 32},
    "scenarios": ["D(100,100)", "N(480,100)/(300,150)"],
    "concurrency": [4, 1],
    "batch_sizes": [1],
    "limits": {"max_time_s": 30.5, "max_requests": 1000},
    "warmup": {"requests": 10, "concurrency": 2},
    "repeats": 2,
    "request": {"temperature": 0.5, "extra": {"a": [1, None, True, "x"]}},
    "prefix": {"length": 50},
    "slo": {"ttft_s": 0.5, "tpot_s": 0.05, "e2e_s": 9, "attainment": 0.95},
    "max_error_rate": 0.05,
    "token_counts": "tokenizer",
    "system": {
        "revision": "5f0b02c75b57c5855da9ae460ce51323ea669d8a",
        "image": "vllm/vllm-openai:v0.9.0",
        "image_digest": "sha256:" + "0" * 64,
        "precision": "fp8",
        "serving_engine": "vLLM",
        "serving_version": "0.9",
        "gpu_type": "A100",
        "gpu_count": 8,
        "labels": {"commit": "5f0b02c75b57c5855da9ae460ce51323ea669d8a", "on": "no"},
    },
    "tokenizer": "org/llama@main",
    "engine": {"name": "genai-bench", "version": "0.0.5"},
}


def all_models(model: type[BaseModel] = PlanModel) -> Iterator[type[BaseModel]]:
    for below in model.__subclasses__():
        yield below
        yield from all_models(below)


MODELS = sorted(all_models(), key=lambda model: model.__name__)


def test_there_are_models_to_walk() -> None:
    assert {"SweepPlan", "Endpoint", "Limits", "System"} <= {model.__name__ for model in MODELS}


@pytest.mark.parametrize("model", MODELS)
def test_every_field_says_what_it_is_to_a_person_with_a_form(model: type[BaseModel]) -> None:
    assert model.__doc__
    for name, info in model.model_fields.items():
        assert info.title, name
        assert info.description, name
        assert info.description.endswith("."), name
        assert info.examples, name


@pytest.mark.parametrize("model", MODELS)
def test_every_model_is_frozen_closed_and_finite(model: type[BaseModel]) -> None:
    assert model.model_config.get("frozen") is True
    assert model.model_config.get("extra") == "forbid"
    assert model.model_config.get("allow_inf_nan") is False
    assert model.model_config.get("hide_input_in_errors") is True


def numbers_of(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if schema.get("type") in ("number", "integer"):
        yield schema
    for value in schema.values():
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, dict):
                yield from numbers_of(item)


def test_every_number_has_both_bounds() -> None:
    schema = SweepPlan.model_json_schema()
    numbers = list(numbers_of(schema))
    assert len(numbers) > 15
    for number in numbers:
        assert {"minimum", "exclusiveMinimum"} & set(number), number
        assert {"maximum", "exclusiveMaximum"} & set(number), number


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    "path",
    [
        ("limits", "max_time_s"),
        ("limits", "stall_timeout_s"),
        ("limits", "drain_s"),
        ("slo", "ttft_s"),
        ("slo", "tpot_s"),
        ("slo", "e2e_s"),
        ("slo", "attainment"),
        ("prefix", "ratio"),
    ],
)
def test_no_float_may_be_infinite_or_not_a_number(path: tuple[str, str], bad: float) -> None:
    with pytest.raises(ValidationError):
        SweepPlan.model_validate({**PLAN, path[0]: {path[1]: bad}})
    with pytest.raises(ValidationError):
        SweepPlan.model_validate({**PLAN, "max_error_rate": bad})


def test_a_plan_never_changes() -> None:
    plan = make_plan()
    with pytest.raises(ValidationError, match="frozen"):
        plan.repeats = 2
    with pytest.raises(ValidationError, match="frozen"):
        plan.endpoint.model = "x"


def test_every_field_of_the_full_plan_survives_yaml() -> None:
    plan = SweepPlan.model_validate(FULL)
    assert set(FULL) == set(SweepPlan.model_fields)
    again = load_plan(dump_plan(plan))
    assert again == plan
    assert plan_hash(again) == plan_hash(plan)


def test_the_hash_follows_every_field() -> None:
    plain = SweepPlan.model_validate(FULL)
    assert len(plan_hash(plain)) == 64
    changes: list[dict[str, Any]] = [
        {"name": "other"},
        {"endpoint": {**FULL["endpoint"], "api_key": "env:OTHER_KEY"}},
        {"scenarios": ["D(100,100)"]},
        {"concurrency": [1, 4]},
        {"limits": {**FULL["limits"], "max_time_s": 30}},
        {"warmup": None},
        {"repeats": 3},
        {"request": {}},
        {"slo": None},
        {"max_error_rate": 0.06},
        {"tokenizer": "org/llama"},
    ]
    hashes = {plan_hash(SweepPlan.model_validate({**FULL, **change})) for change in changes}
    assert len(hashes | {plan_hash(plain)}) == len(changes) + 1


def test_defaults_written_out_are_the_same_plan() -> None:
    assert plan_hash(make_plan()) == plan_hash(
        make_plan(
            task="text-to-text",
            repeats=1,
            limits={"max_time_s": 60, "drain_s": 30.0},
            engine={"name": "genai-bench"},
        )
    )


def test_what_is_swept_by_default_depends_on_the_task() -> None:
    endpoint = {"url": "http://h"}
    chat = SweepPlan.model_validate({"endpoint": endpoint})
    assert chat.scenarios == DEFAULT_SCENARIOS["text-to-text"]
    assert chat.concurrency == (1, 2, 4, 8, 16, 32, 64, 128, 256)
    assert chat.batch_sizes == (1,)
    rerank = SweepPlan.model_validate({"endpoint": endpoint, "task": "text-to-rerank"})
    assert rerank.scenarios == DEFAULT_SCENARIOS["text-to-rerank"]
    assert rerank.concurrency == (1,)
    assert rerank.batch_sizes == (1, 2, 4, 8, 24, 48, 96)
    rows = SweepPlan.model_validate({"endpoint": endpoint, "dataset": {"path": "prompts.txt"}})
    assert rows.scenarios == ("dataset",)


def test_scenarios_are_kept_in_their_canonical_spelling() -> None:
    plan = make_plan(
        task="text-to-image", scenarios=["I(512,512,1)"], concurrency=[8, 1], request={}
    )
    assert plan.scenarios == ("I(512,512)",)
    assert plan.concurrency == (8, 1)


@pytest.mark.parametrize(
    ("written", "base"),
    [
        ("http://h:8000/v1", "http://h:8000"),
        ("http://h:8000/v1/", "http://h:8000"),
        ("http://h:8000/v1/completions", "http://h:8000"),
        ("http://h:8000/v1/chat/completions", "http://h:8000"),
        ("http://h:8000/v1/embeddings", "http://h:8000"),
        ("https://h/api/predict/svc/v1", "https://h/api/predict/svc"),
        ("https://[::1]:8000/v1", "https://[::1]:8000"),
    ],
)
def test_a_known_api_path_is_cut_off_and_remembered(written: str, base: str) -> None:
    endpoint = make_plan(endpoint={"url": written}).endpoint
    assert endpoint.url == base
    assert endpoint.url_as_given == written


@pytest.mark.parametrize("url", ["http://h:8000", "http://h/v2", "http://h/my/v1beta"])
def test_other_paths_stay(url: str) -> None:
    endpoint = make_plan(endpoint={"url": url + "/"}).endpoint
    assert endpoint.url == url
    assert endpoint.url_as_given is None


def test_a_prefix_may_be_as_long_as_the_shortest_input() -> None:
    assert make_plan(prefix={"length": 100}).prefix is not None
    assert make_plan(scenarios=["N(400,100)/(9,1)"], prefix={"length": 100}).prefix is not None


def test_the_output_of_a_dataset_may_be_bounded() -> None:
    plan = make_plan(scenarios=None, dataset={"path": "a.txt"}, request={"max_tokens": 2})
    assert plan.request == {"max_tokens": 2}


def test_an_image_with_a_digest_gives_the_digest() -> None:
    digest = "sha256:" + "ab" * 32
    assert make_plan(system={"image": f"vllm@{digest}"}).system.image_digest == digest


def test_what_was_open_can_be_given_later_and_is_checked() -> None:
    service = {"name": "llama", "namespace": "models"}
    plan = SweepPlan.model_validate({"endpoint": {"inference_service": service}})
    assert plan.endpoint.url is None
    given = with_tokenizer(with_model(with_url(plan, "http://h:1/v1"), "llama"), "/tok")
    assert given.endpoint.url == "http://h:1"
    assert given.endpoint.model == "llama"
    assert given.endpoint.inference_service == plan.endpoint.inference_service
    assert given.tokenizer == "/tok"
    assert with_url(given, "http://other").endpoint.url_as_given is None
    with pytest.raises(ValidationError, match="scheme must be"):
        with_url(plan, "ftp://h")


@pytest.mark.parametrize("endpoint", [{}, {"endpoint": {"model": "m"}}])
def test_a_plan_without_a_service_can_be_kept_but_not_run(endpoint: dict[str, Any]) -> None:
    workload = {name: value for name, value in PLAN.items() if name != "endpoint"}
    plan = SweepPlan.model_validate({**workload, **endpoint})
    with pytest.raises(PlanError, match="no service is named") as caught:
        check_runnable(plan)
    assert caught.value.where == "endpoint.url"
    assert "http://my-service:8080" in (caught.value.remedy or "")
    check_runnable(with_url(plan, "http://h"))


def test_a_saved_endpoint_takes_the_place_of_the_plan_s() -> None:
    plan = make_plan()
    saved = Endpoint.model_validate({"url": "http://h/v1", "headers": {"x-k": "env:K"}})
    assert plan_hash(with_endpoint(plan, saved)) == plan_hash(
        make_plan(endpoint={"url": "http://h/v1", "model": None, "headers": {"x-k": "env:K"}})
    )


def test_an_error_of_the_models_themselves_repeats_no_input() -> None:
    canary = "canary-a-pasted-key"
    with pytest.raises(ValidationError) as caught:
        SweepPlan.model_validate({**PLAN, "endpoint": {"url": "http://h", "api_key": canary}})
    assert canary not in str(caught.value)
    assert "env:NAME" in str(caught.value)
