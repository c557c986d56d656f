"""The JSON schema of a plan: what a form drawn from it can leave empty, and what it asks first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from plan_builders import PLAN
from prefect.utilities.schema_tools.validation import is_valid
from pydantic import BaseModel
from test_plan_models import FULL

from tidemark.errors import PlanError
from tidemark.plan.load import plan_from_mapping
from tidemark.plan.sweep import SweepPlan

SCHEMA = SweepPlan.model_json_schema(ref_template="#/definitions/{model}")
SCHEMA["definitions"] = SCHEMA.pop("$defs")


def objects(schema: Any) -> Iterator[dict[str, Any]]:
    if isinstance(schema, dict):
        if schema.get("type") == "object":
            yield schema
        for value in schema.values():
            yield from objects(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from objects(value)


def test_no_plain_value_asks_for_its_type_first() -> None:
    asked = [
        (described.get("title"), name)
        for described in objects(SCHEMA)
        for name, field in described.get("properties", {}).items()
        if "null" in [choice.get("type") for choice in field.get("anyOf", [])]
        and "$ref" not in field["anyOf"][0]
    ]
    assert not asked


def test_nothing_but_groups_starts_out_as_null() -> None:
    nulls = {
        name
        for described in objects(SCHEMA)
        for name, field in described.get("properties", {}).items()
        if "default" in field and field["default"] is None
    }
    assert nulls == {"dataset", "prefix", "slo", "inference_service"}


def test_the_order_is_that_of_a_person_with_a_service() -> None:
    fields = SCHEMA["properties"]
    ordered = sorted(fields, key=lambda name: fields[name]["position"])
    assert ordered[:5] == ["endpoint", "tokenizer", "task", "scenarios", "concurrency"]
    assert ordered[-1] == "engine"
    for described in objects(SCHEMA):
        positions = [field["position"] for field in described.get("properties", {}).values()]
        assert len(set(positions)) == len(positions)


def test_what_the_plan_fills_in_itself_is_not_asked_for() -> None:
    assert "url_as_given" not in SCHEMA["definitions"]["Endpoint"]["properties"]


@pytest.mark.parametrize("plan", [PLAN, FULL])
def test_a_plan_as_it_is_dumped_is_taken_by_prefect_s_server(plan: dict[str, Any]) -> None:
    dumped = SweepPlan.model_validate(plan).model_dump(mode="json")
    assert is_valid(dumped, SCHEMA)
    assert not is_valid({**dumped, "repeats": 0}, SCHEMA)
    assert not is_valid({**dumped, "repeat": 1}, SCHEMA)
    assert not is_valid({**dumped, "endpoint": {**dumped["endpoint"], "api_key": "x"}}, SCHEMA)


@pytest.mark.parametrize(
    ("lengths", "text"),
    [
        ({"input_tokens": 100, "output_tokens": 50}, "D(100,50)"),
        ({"input_tokens": 100, "output_tokens": 50, "input_stddev_tokens": 0}, "D(100,50)"),
        (
            {"input_tokens": 480, "input_stddev_tokens": 240, "output_tokens": 300},
            "N(480,240)/(300,0)",
        ),
    ],
)
def test_scenarios_can_be_given_in_numbers(lengths: dict[str, int], text: str) -> None:
    given = {**PLAN, "scenarios": [lengths]}
    assert is_valid(given, SCHEMA)
    assert SweepPlan.model_validate(given) == SweepPlan.model_validate(
        {**PLAN, "scenarios": [text]}
    )


def test_lengths_without_answers_are_those_of_embeddings() -> None:
    plan = SweepPlan.model_validate(
        {
            "endpoint": PLAN["endpoint"],
            "task": "text-to-embeddings",
            "scenarios": [{"input_tokens": 9}],
        }
    )
    assert plan.scenarios == ("E(9)",)


@pytest.mark.parametrize(
    ("lengths", "where", "remedy"),
    [
        ({"output_tokens": 5}, "scenarios[0].input_tokens", "Add it"),
        ({"input_tokens": 0, "output_tokens": 5}, "scenarios[0].input_tokens", "1 or more"),
        ({"input_tokens": 9, "input_stddev_tokens": 3}, "scenarios[0].output_tokens", "Give it"),
        ({"input_tokens": 9, "outputs": 3}, "scenarios[0].outputs", "Did you mean output_tokens"),
    ],
)
def test_wrong_numbers_are_refused_at_their_place(
    lengths: dict[str, int], where: str, remedy: str
) -> None:
    with pytest.raises(PlanError) as caught:
        plan_from_mapping({**PLAN, "scenarios": [lengths]})
    assert where in str(caught.value)
    assert remedy in str(caught.value)


def test_examples_stand_where_a_form_shows_them() -> None:
    endpoint = SCHEMA["definitions"]["Endpoint"]["properties"]
    assert endpoint["url"]["description"].endswith("Example: http://my-service:8080")
    assert '{"X-Route": "canary"' in endpoint["headers"]["description"]


def test_a_form_demands_the_tokenizer_that_a_run_needs() -> None:
    assert SCHEMA["required"] == ["tokenizer"]
    assert SweepPlan.model_validate({}).tokenizer is None


@pytest.mark.parametrize(
    "endpoint",
    [
        {"url": "http://me:pasted@h"},
        {"url": "http://h?key=pasted"},
        {"proxy": "http://me:pasted@h"},
        {"api_key": "pasted"},
        {"headers": {"Authorization": "Bearer pasted"}},
        {"headers": {"X-Api-Key": "pasted"}},
    ],
)
def test_a_secret_in_the_wrong_place_is_refused_before_prefect_keeps_it(
    endpoint: dict[str, Any],
) -> None:
    assert not is_valid({**PLAN, "endpoint": endpoint}, SCHEMA)
    good = {"url": "https://h:1/a/v1", "headers": {"X-Api-Key": "env:K", "X-Route": "canary"}}
    assert is_valid({**PLAN, "endpoint": good}, SCHEMA)


def test_every_choice_is_a_list_of_choices() -> None:
    assert SCHEMA["definitions"]["EngineRef"]["properties"]["name"]["enum"] == ["genai-bench"]
    assert issubclass(SweepPlan, BaseModel)
