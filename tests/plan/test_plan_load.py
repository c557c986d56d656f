"""Plans as YAML: read strictly, with line and column, and written so that they read back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plan_builders import PLAN, make_plan
from test_plan_scenario import scenario_texts

from tidemark.errors import PlanError
from tidemark.plan.cells import cells
from tidemark.plan.load import FIELD_SYNONYMS, dump_plan, load_document, load_plan
from tidemark.plan.sweep import SweepPlan, plan_hash, warnings
from tidemark.plan.yaml_text import MAX_CHARACTERS, read_yaml, write_yaml

GOOD = """\
# what we measure each night
endpoint:
  url: http://localhost:8000
  model: llama
scenarios:
  - D(100,100)
  - N(480,240)/(300,150)
concurrency: [1, 4]
limits:
  max_time_s: 3e1
system:
  serving_version: "0.9"
  precision: no
  revision: 2024-01-01
tokenizer: /models/llama
"""


def test_a_plan_is_read_from_yaml() -> None:
    plan = load_plan(GOOD, "nightly.yaml")
    assert plan.scenarios == ("D(100,100)", "N(480,240)/(300,150)")
    assert plan.concurrency == (1, 4)
    assert plan.limits.max_time_s == 30
    # Text stays text: neither false nor a date.
    assert plan.system.precision == "no"
    assert plan.system.revision == "2024-01-01"


def test_json_is_yaml() -> None:
    assert load_plan(json.dumps(PLAN)) == make_plan()


def test_a_plan_of_ours_comes_with_its_warnings_and_nothing_else() -> None:
    document = load_document(GOOD)
    assert document.store_uri is None
    assert document.notes == ()
    assert document.warnings == warnings(document.plan)


def test_environment_variables_are_not_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODEL", "from-the-environment")
    plan = load_plan(GOOD.replace("model: llama", "model: ${MODEL}"))
    assert plan.endpoint.model == "${MODEL}"


@pytest.mark.parametrize(
    ("text", "place", "says"),
    [
        ("endpoint:\n\turl: x", "line 2, column 1", "tabs"),
        ("a: b: c", "line 1, column 5", "colon"),
        ("a: [1, 2", "line 1", "missing quote"),
        ('a: "x', "line 1", "missing quote"),
        ("a: 1\nb: 2\na: 3", "line 3, column 1", "'a' is there twice"),
        ("a: {b: 1, b: 2}", "line 1, column 11", "'b' is there twice"),
        ("a: &x [1]\nb: *x", "line 2, column 4", "aliases"),
        ("a: {<<: {b: 1}}", "line 1", "merge keys"),
        ("a: !!python/object:os.system x", "line 1, column 4", "tags"),
        ("a: !secret x", "line 1", "tags"),
        ("a: !!int abc", "line 1", "tags"),
        ("a: !!set {x}", "line 1", "tags"),
        ("1: x", "line 1, column 1", "a key is not text"),
        ("? [a]\n: x", "line 1", "a key is not text"),
        ("a: 1\n---\nb: 2", "line 2", "second document"),
        ("a: " + "9" * 60, "line 1", "too many digits"),
        ("[" * 60 + "]" * 60, "line 1, column 41", "nested deeper"),
        ("a: 1\nb: \x07", "line 2, column 4", "U+0007"),
    ],
)
def test_what_is_not_our_yaml_is_refused_with_line_and_column(
    text: str, place: str, says: str
) -> None:
    with pytest.raises(PlanError) as caught:
        load_plan(text, "plan.yaml")
    assert (caught.value.where or "").startswith("plan.yaml, ")
    assert place in (caught.value.where or "")
    assert says in str(caught.value)
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is empty"),
        ("# nothing\n", "is empty"),
        ("- a\n- b", "not a mapping"),
        ("just text", "not a mapping"),
        ("a: " + "x" * MAX_CHARACTERS, "more than"),
    ],
)
def test_what_is_no_plan_at_all_is_refused(text: str, says: str) -> None:
    with pytest.raises(PlanError, match=says) as caught:
        load_plan(text, "plan.yaml")
    assert caught.value.where == "plan.yaml"
    assert caught.value.remedy


def test_a_small_text_cannot_stand_for_a_huge_value() -> None:
    bomb = "a0: &a0 [x]\n" + "".join(
        f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}, *a{n - 1}]\n" for n in range(1, 40)
    )
    with pytest.raises(PlanError, match="aliases"):
        load_plan(bomb)


def test_a_long_text_is_not_a_deep_one() -> None:
    value = read_yaml("[" + "[1], " * 100 + "{a: 1}]", "x").value
    assert len(value) == 101


def test_several_mistakes_are_all_listed_each_with_its_line() -> None:
    text = GOOD.replace("http://localhost", "ftp://localhost").replace(
        "N(480,240)/(300,150)", "N(480, 240)/(300,150)"
    )
    text += "repeats: 0\nconcurency: [1]\n"
    with pytest.raises(PlanError) as caught:
        load_plan(text, "plan.yaml")
    message = str(caught.value)
    assert message.startswith("plan.yaml: 4 problems\n")
    for line in (
        "endpoint.url (line 3): the scheme must be http or https. Write scheme",
        "scenarios[1] (line 7): ",
        "repeats (line 16): must be at least 1. Give 1 or more",
        "concurency (line 17): no such field. Did you mean concurrency?",
    ):
        assert f"\n  {line}" in message


def test_scenarios_that_a_flow_list_cut_apart_are_explained() -> None:
    with pytest.raises(PlanError, match="put each scenario in quotes"):
        load_plan(
            GOOD.replace("[1, 4]", "[1]")
            .replace("  - D(100,100)\n  - N(480,240)/(300,150)\n", "")
            .replace("scenarios:", "scenarios: [D(100,100)]")
        )


def test_every_synonym_names_a_field_that_exists() -> None:
    for target in FIELD_SYNONYMS.values():
        name = target.partition(",")[0]
        model: Any = SweepPlan
        for part in name.split("."):
            if model is SweepPlan and part not in SweepPlan.model_fields:
                # A field of the part the synonym was used in.
                assert part in ("url", "model", "dialect")
                break
            if model is dict or part == "temperature":
                break
            model = model.model_fields[part].annotation
            model = getattr(model, "__args__", (model,))[0]


text_values = st.text(
    st.characters(exclude_categories=["Cs", "Cc"]), min_size=0, max_size=30
) | st.sampled_from(["1e3", "no", "null", "~", "", "true", "0x1F", "1_000", "010", "a: b", ".inf"])
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**18), 10**18)
    | st.floats(allow_nan=False, allow_infinity=False)
    | text_values,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text_values, inner, max_size=3),
    max_leaves=12,
)


# The machine may be busy; how long one example takes proves nothing.
@settings(deadline=None)
@given(st.dictionaries(text_values.filter(lambda key: key != "<<"), json_values, max_size=4))
def test_yaml_reads_back_what_it_wrote(value: dict[str, Any]) -> None:
    assert read_yaml(write_yaml(value), "x").value == value


breaking = st.text(st.sampled_from("a b:#-'\"\\\n\r\t\x85\u2028\u2029\ufeff\0"), max_size=12)


@settings(deadline=None)
@given(st.dictionaries(breaking, breaking | st.lists(breaking, max_size=2), max_size=3))
def test_text_with_line_breaks_of_any_kind_is_read_back(value: dict[str, Any]) -> None:
    assert read_yaml(write_yaml(value), "x").value == value


names = st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=20)
plans = st.builds(
    lambda name, scenarios, levels, time_s, temperature, labels, ratio, repeats: (
        SweepPlan.model_validate(
            {
                "name": name,
                "endpoint": {"url": "http://localhost:8000/v1", "model": name},
                "scenarios": scenarios,
                "concurrency": levels,
                "limits": {"max_time_s": time_s},
                "warmup": None if repeats % 2 else {"requests": repeats},
                "request": {"temperature": temperature, "seed": repeats},
                "system": {"labels": labels, "serving_version": f"{ratio:.2f}"},
                "max_error_rate": ratio,
                "repeats": repeats,
            }
        )
    ),
    names,
    st.lists(scenario_texts.filter(lambda text: text[0] in "DNU"), min_size=1, max_size=4).map(
        lambda texts: list(dict.fromkeys(texts))
    ),
    st.lists(st.integers(1, 4096), min_size=1, max_size=6, unique=True),
    st.floats(1, 86_400) | st.integers(1, 86_400),
    st.floats(0, 2) | st.integers(0, 2),
    st.dictionaries(st.sampled_from(["team", "on", "1e3", "stage"]), st.sampled_from("abc")),
    st.floats(0, 1),
    st.integers(1, 5),
)


@settings(deadline=None)
@given(plans)
def test_a_plan_written_and_read_is_the_same_plan_with_the_same_cells(plan: SweepPlan) -> None:
    again = load_plan(dump_plan(plan))
    assert again == plan
    assert plan_hash(again) == plan_hash(plan)
    assert cells(again) == cells(plan)
    assert SweepPlan.model_validate_json(plan.model_dump_json()) == plan
