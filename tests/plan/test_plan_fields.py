"""What a person learns of a plan's fields from the command line, without a form."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, get_args

import pytest
from pydantic import BaseModel
from test_job_models import models_of

from tidemark.cli.plan_fields import KINDS, PlanKind, example_of, fields_of
from tidemark.plan.job import JobPlan
from tidemark.plan.job_load import load_job_plan
from tidemark.plan.load import load_plan
from tidemark.plan.sweep import SweepPlan
from tidemark.plan.yaml_text import read_yaml

LOAD: dict[PlanKind, Callable[[str], Any]] = {"job": load_job_plan, "sweep": load_plan}


def own_models(kind: PlanKind) -> set[type[BaseModel]]:
    models = models_of(KINDS[kind])
    return set(models) - models_of(SweepPlan) if kind == "job" else set(models)


@pytest.mark.parametrize("kind", get_args(PlanKind))
def test_every_field_is_listed_with_its_meaning(kind: PlanKind) -> None:
    listed = fields_of(kind)
    names = {re.split(r"[.\]]", one.path)[-1] for one in listed}
    for model in own_models(kind):
        asked = {
            name
            for name, info in model.model_fields.items()
            if not (info.json_schema_extra or {}).get("readOnly")  # type: ignore[union-attr]
        }
        assert asked <= names, model
    assert len({one.path for one in listed}) == len(listed)
    assert all(one.description and one.kind != "anything" for one in listed)


def test_defaults_are_those_of_the_models() -> None:
    listed = {one.path: one for one in fields_of("job")}
    assert listed["limits.total_s"].default == JobPlan(command="x").limits.total_s
    assert listed["mounts[].read_only"].default is True
    assert listed["mounts[].uri"].needed
    assert not listed["cap"].needed
    assert "seconds" in listed["limits.queueing_s"].description.casefold()


@pytest.mark.parametrize("kind", get_args(PlanKind))
def test_an_example_is_a_plan_with_all_else_as_comments(kind: PlanKind) -> None:
    text = example_of(kind)
    LOAD[kind](text)
    for one in fields_of(kind):
        assert re.search(rf"(?m)^[ #]*{one.path.rpartition('.')[2]}:", text), one.path
    assert max(map(len, text.splitlines())) <= 100


@pytest.mark.parametrize("kind", get_args(PlanKind))
def test_a_comment_of_an_example_is_a_field_once_its_mark_is_gone(kind: PlanKind) -> None:
    whole = re.sub(r"(?m)^#(?! \S)", "", example_of(kind))
    value = read_yaml(whole, "x").value
    assert set(value) == {one.path for one in fields_of(kind) if "." not in one.path}
