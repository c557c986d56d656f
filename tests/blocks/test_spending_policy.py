"""A saved policy: the library's rules, and no others."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from prefect.utilities.schema_tools.validation import is_valid
from pydantic import ValidationError

from blocks import SpendingPolicy
from tidemark.money.policy import SpendingRules

FULL: dict[str, Any] = {
    "currency": "CNY",
    "per_run": "0.1",
    "per_night": 50,
    "per_month": "123456789.12345678",
    "per_person": 200.5,
    "allowed_specs": ["ecs.gn6i-*"],
    "quiet_hours": ["22:00-06:00"],
    "timezone": "Europe/Berlin",
    "allow_unpriced": True,
}


def test_it_has_the_rules_and_nothing_else() -> None:
    assert set(FULL) == set(SpendingRules.model_fields) == set(SpendingPolicy.model_fields)
    rules = SpendingPolicy(**FULL).rules()
    assert type(rules) is SpendingRules
    assert rules == SpendingRules.model_validate(FULL)


def test_amounts_are_kept_exactly_and_as_the_form_has_them() -> None:
    policy = SpendingPolicy(**FULL)
    kept = json.loads(policy.model_dump_json())
    assert SpendingPolicy.model_validate(kept) == policy
    assert policy.per_month == Decimal("123456789.12345678")
    assert (kept["per_run"], kept["per_night"], kept["per_person"]) == (0.1, 50.0, 200.5)
    schema = SpendingPolicy.model_json_schema()
    shown = {name: value for name, value in kept.items() if name in schema["properties"]}
    assert is_valid(shown, schema)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"per_runs": 5}, "no such field. Did you mean per_run?"),
        ({"per_run": -1}, "per_run"),
        ({"per_run": True}, "is not a number"),
        ({"currency": "yuan"}, "is no code of a currency"),
        ({"quiet_hours": ["22-6"]}, "is no span of the day"),
        ({"timezone": "Asia/Shangai"}, "Did you mean Asia/Shanghai?"),
        ({"per_run": None, "per_night": None, "per_month": None}, "has no limit"),
    ],
)
def test_what_the_rules_refuse_is_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError) as caught:
        SpendingPolicy.model_validate({**FULL, **changes})
    assert says in str(caught.value)
