"""The plan of a job: all its models, its form, its YAML, its hash."""

from __future__ import annotations

import math
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, get_args

import pytest
from job_builders import FULL, QUOTA, SMALL, SWEEP, make_job
from prefect.utilities.schema_tools.validation import is_valid
from pydantic import BaseModel, ValidationError

from tidemark.plan.base import PlanModel
from tidemark.plan.job import JobPlan, Sum, job_warnings
from tidemark.plan.job_load import dump_job_plan, load_job_plan
from tidemark.plan.job_work import ANY_WORK, WORKS, WorkName
from tidemark.plan.sweep import SweepPlan, plan_hash

SCHEMA = JobPlan.model_json_schema(ref_template="#/definitions/{model}")
SCHEMA["definitions"] = SCHEMA.pop("$defs")


def models_of(model: type[BaseModel], seen: set[type[BaseModel]] | None = None) -> Any:
    """A model and all models in its fields, whatever they are wrapped in."""
    seen = set() if seen is None else seen
    if model not in seen:
        seen.add(model)
        for field in model.model_fields.values():
            for inside in classes_in(field.annotation):
                models_of(inside, seen)
    return seen


def classes_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from classes_in(argument)


MODELS = sorted(models_of(JobPlan) - models_of(SweepPlan), key=lambda model: model.__name__)


def test_every_part_of_a_job_s_plan_is_walked() -> None:
    assert {model.__name__ for model in MODELS} == {
        "JobPlan", "JobMachine", "JobLimits", "QuotaPart", "SpotLimit", "Mount", "Registry", "Vpc",
        "Sum",
    }  # fmt: skip


@pytest.mark.parametrize("model", MODELS)
def test_every_field_says_what_it_is_to_a_person_with_a_form(model: type[BaseModel]) -> None:
    assert issubclass(model, PlanModel)
    assert model.__doc__
    for name, info in model.model_fields.items():
        assert info.title, name
        assert info.description, name
        assert info.description.endswith("."), name
        assert info.examples, name


@pytest.mark.parametrize("model", MODELS)
def test_every_example_of_a_field_can_be_used(model: type[BaseModel]) -> None:
    for name, info in model.model_fields.items():
        for example in info.examples or ():
            problems = []
            try:
                model.model_validate({name: example})
            except ValidationError as error:
                problems = [one for one in error.errors() if one["loc"][:1] == (name,)]
            # Some have an effect only beside others, which is told at their own field.
            allowed = ("priority", "registry")
            assert not problems or name in allowed, (name, example, problems)


@pytest.mark.parametrize("model", MODELS)
def test_every_model_is_frozen_closed_and_finite(model: type[BaseModel]) -> None:
    assert model.model_config.get("frozen") is True
    assert model.model_config.get("extra") == "forbid"
    assert model.model_config.get("allow_inf_nan") is False
    assert model.model_config.get("hide_input_in_errors") is True


def numbers_of(schema: Any) -> Iterator[dict[str, Any]]:
    if isinstance(schema, dict):
        if schema.get("type") in ("number", "integer"):
            yield schema
        for value in schema.values():
            yield from numbers_of(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from numbers_of(value)


def test_every_number_has_both_bounds() -> None:
    numbers = list(numbers_of(SCHEMA))
    assert len(numbers) > 30
    for number in numbers:
        assert {"minimum", "exclusiveMinimum"} & set(number), number
        assert {"maximum", "exclusiveMaximum"} & set(number), number


def test_a_form_asks_first_what_is_to_run_on_what_up_to_what_sum() -> None:
    fields = SCHEMA["properties"]
    ordered = sorted(fields, key=lambda name: fields[name]["position"])
    assert ordered[:5] == ["sweep", "command", "machine", "cap", "limits"]
    machine = SCHEMA["definitions"]["JobMachine"]["properties"]
    assert sorted(machine, key=lambda name: machine[name]["position"])[0] == "work"


def test_no_plain_value_of_the_form_asks_for_its_type_first() -> None:
    for described in (SCHEMA, *SCHEMA["definitions"].values()):
        for name, field in described.get("properties", {}).items():
            types = [choice.get("type") for choice in field.get("anyOf", [])]
            assert "null" not in types or "$ref" in field["anyOf"][0], name


@pytest.mark.parametrize("plan", [FULL, QUOTA, SMALL, {"sweep": SWEEP}])
def test_a_plan_as_it_is_dumped_is_taken_by_prefect_s_server(plan: dict[str, Any]) -> None:
    dumped = JobPlan.model_validate(plan).model_dump(mode="json")
    assert is_valid(dumped, SCHEMA)
    assert not is_valid({**dumped, "workers": 0}, SCHEMA)
    assert not is_valid({**dumped, "worker": 1}, SCHEMA)
    assert not is_valid({**dumped, "cap": {"amount": 0, "currency": "CNY"}}, SCHEMA)
    assert not is_valid({**dumped, "registry": {"password": "pasted"}}, SCHEMA)


@pytest.mark.parametrize("plan", [FULL, QUOTA, SMALL, {"sweep": SWEEP}])
def test_a_plan_survives_yaml_and_json(plan: dict[str, Any]) -> None:
    made = JobPlan.model_validate(plan)
    again = load_job_plan(dump_job_plan(made))
    assert again == made
    assert plan_hash(again) == plan_hash(made)
    assert JobPlan.model_validate_json(made.model_dump_json()) == made
    assert JobPlan.model_validate(made.model_dump()) == made


def test_the_full_plan_has_every_field_but_those_that_exclude_each_other() -> None:
    assert set(JobPlan.model_fields) - set(FULL) == {"command", "priority"}


def test_what_is_not_said_is_not_written_out() -> None:
    assert dump_job_plan(make_job()) == "command: nvidia-smi\nmachine:\n  work: script\n"


def test_the_hash_follows_every_field() -> None:
    made = JobPlan.model_validate(FULL)
    hashes = {plan_hash(made)}
    changes: list[dict[str, Any]] = [
        {"name": "other"},
        {"sweep": {**FULL["sweep"], "repeats": 2}},
        {"machine": {"spec": "ecs.c6.large"}},
        {"image": "registry.example.com/team/bench:1.3"},
        {"libraries": []},
        {"environment": {}},
        {"role_arn": None},
        {"limits": {}},
        {"cap": {"amount": 20.5, "currency": "CNY"}},
        {"cap": {"amount": 20, "currency": "USD"}},
    ]
    hashes |= {plan_hash(JobPlan.model_validate({**FULL, **change})) for change in changes}
    assert len(hashes) == len(changes) + 1


def test_a_plan_never_changes() -> None:
    plan = make_job()
    with pytest.raises(ValidationError, match="frozen"):
        plan.workers = 2
    with pytest.raises(ValidationError, match="frozen"):
        plan.machine.spec = "ecs.c6.large"


@pytest.mark.parametrize(
    ("written", "exact"),
    [
        (20, "20"),
        (12.50, "12.5"),
        (0.1, "0.1"),
        (1e-4, "0.0001"),
        (999999999.9999, "999999999.9999"),
    ],
)
def test_an_amount_is_what_was_written(written: float, exact: str) -> None:
    cap = make_job(cap={"amount": written}).cap
    assert cap is not None
    assert cap.amount == Decimal(exact)
    assert str(cap) == f"{exact} CNY"
    again = load_job_plan(dump_job_plan(make_job(cap={"amount": written}))).cap
    assert again == cap


def test_one_amount_has_one_spelling() -> None:
    sums = [Sum(amount=Decimal(text)) for text in ("12.50", "12.5", "1.25E+1")]
    assert {str(one) for one in sums} == {"12.5 CNY"}


def test_a_form_that_leaves_the_kind_of_work_empty_means_any() -> None:
    assert make_job(machine={"work": None}).machine.work == ANY_WORK
    assert make_job(machine={}).machine.is_open
    assert not make_job(machine={"work": "script"}).machine.is_open


@pytest.mark.parametrize("bad", [math.nan, math.inf, 0, -1, 1e10, 0.00001, "12", True])
def test_what_is_no_amount_is_refused(bad: Any) -> None:
    with pytest.raises(ValidationError):
        JobPlan.model_validate({**SMALL, "cap": {"amount": bad}})


@pytest.mark.parametrize(
    ("limits", "minutes"),
    [
        ({}, 120),
        ({"total_s": 60}, 1),
        ({"total_s": 61}, 2),
        ({"total_s": 7200, "running_s": 1800.5}, 31),
    ],
)
def test_the_service_ends_a_job_after_whole_minutes(limits: dict[str, Any], minutes: int) -> None:
    assert make_job(limits=limits).limits.running_minutes == minutes


def test_every_kind_of_work_has_its_machine_and_what_it_needs() -> None:
    assert (ANY_WORK, *WORKS) == get_args(WorkName)
    for work in WORKS.values():
        assert work.usual_spec.startswith("ecs.")
        assert (work.gpu_count is not None) == work.gpu.needed
        assert (work.cpu_count is None) == work.gpu.needed
    assert not WORKS["script"].gpu.needed
    assert not WORKS["data-processing"].gpu.needed
    # As the service describes them: an ecs.gn7i-c32g1.8xlarge has one A10, the bare metal four.
    assert WORKS["large-model-fine-tuning"].gpu_count == 1
    assert WORKS["large-model-pre-training"].gpu_count == 4
    assert WORKS["large-model-pre-training"].gpu_memory_gib == 24


def test_a_person_is_told_what_a_valid_plan_may_not_do() -> None:
    assert job_warnings(make_job()) == ()
    short = JobPlan.model_validate({"sweep": SWEEP, "limits": {"total_s": 120}})
    told = "\n".join(job_warnings(short))
    assert "limits: the sweep may take 300 s, and the job ends after 120 s" in told
    endpoint = {"url": "http://127.0.0.1:8080", "model": "llama"}
    own = JobPlan.model_validate({"sweep": {**SWEEP, "endpoint": endpoint}})
    assert any("the job's own container" in one for one in job_warnings(own))
    unnamed = {"url": "http://my-service:8080"}
    plan = JobPlan.model_validate({"sweep": {**SWEEP, "endpoint": unnamed}})
    assert any(one.startswith("sweep.endpoint.model: is not given") for one in job_warnings(plan))
