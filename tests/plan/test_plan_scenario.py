"""Scenario strings: what each kind means, and which spelling the engine is given."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidemark.errors import PlanError
from tidemark.plan.scenario import DEFAULT_SCENARIOS, parse_scenario
from tidemark.plan.tasks import TASKS

# The patterns of genai-bench 0.0.5, by type.
ENGINE_PATTERNS = {
    "D": r"^D\(\d+,\d+\)$",
    "N": r"^N\(\d+,\d+\)\/\(\d+,\d+\)$",
    "U": r"^U\(\d+,\d+\)(?:\/\(\d+,\d+\))?$",
    "E": r"^E\(\d+\)$",
    "R": r"^R\(\d+,\d+\)$",
    "I": r"^I\(\d+,\d+(?:,\d+)?\)$",
    "A": r"^A\(\d+\)$",
    "dataset": r"^dataset$",
}


@pytest.mark.parametrize(
    ("text", "kind", "tasks", "inputs", "outputs"),
    [
        ("D(100,200)", "deterministic", ("text-to-text",), 100, 200),
        ("N(480,240)/(300,150)", "normal", ("text-to-text",), 480, 300),
        ("U(50,100)/(200,250)", "uniform", ("text-to-text",), 75, 225),
        ("U(99,199)", "uniform", ("text-to-text",), 50, 100.5),
        ("E(1024)", "embedding", ("text-to-embeddings",), 1024, None),
        ("R(1024,100)", "rerank", ("text-to-rerank",), 1124, None),
        ("I(512,512)", "image", ("image-text-to-text", "text-to-image"), None, None),
        ("I(2048,1024,2)", "image", ("image-text-to-text", "text-to-image"), None, None),
        ("A(500)", "audio", ("text-to-speech",), None, None),
        ("dataset", "dataset", TASKS, None, None),
    ],
)
def test_every_kind_says_its_tasks_and_means(
    text: str, kind: str, tasks: tuple[str, ...], inputs: float | None, outputs: float | None
) -> None:
    scenario = parse_scenario(text)
    assert scenario.text == text
    assert scenario.kind == kind
    assert scenario.tasks == tasks
    assert scenario.mean_input_tokens == inputs
    assert scenario.mean_output_tokens == outputs


def test_one_image_is_written_without_its_count() -> None:
    assert parse_scenario("I(512,512,1)").text == "I(512,512)"


def test_one_output_token_is_allowed_with_a_warning_about_tpot() -> None:
    (warning,) = parse_scenario("D(100,1)").warnings
    assert "TPOT" in warning
    assert parse_scenario("D(100,2)").warnings == ()


@pytest.mark.parametrize("text", ["N(100,0)/(1,0)", "U(100,1)", "U(5,9)/(1,1)"])
def test_sampled_outputs_of_one_token_are_known_not_to_happen(text: str) -> None:
    (warning,) = parse_scenario(text).warnings
    assert "raises sampled outputs to 2" in warning


def test_the_least_input_is_what_a_shared_prefix_is_checked_against() -> None:
    assert parse_scenario("D(70,9)").min_input_tokens == 70
    assert parse_scenario("N(480,100)/(300,150)").min_input_tokens == 180
    assert parse_scenario("N(480,240)/(300,150)").min_input_tokens == 1
    assert parse_scenario("U(50,100)/(200,250)").min_input_tokens == 50
    assert parse_scenario("U(100,200)").min_input_tokens == 1


def test_the_defaults_of_every_task_are_scenarios_of_that_task() -> None:
    assert set(DEFAULT_SCENARIOS) == set(TASKS)
    for task, scenarios in DEFAULT_SCENARIOS.items():
        for text in scenarios:
            scenario = parse_scenario(text)
            assert scenario.text == text
            assert task in scenario.tasks


def test_the_place_of_an_error_can_be_given() -> None:
    with pytest.raises(PlanError) as caught:
        parse_scenario("D(1)", "--scenario")
    assert caught.value.where == "--scenario"


sizes = st.integers(1, 5000)
scenario_texts = st.one_of(
    st.builds("D({},{})".format, sizes, sizes),
    st.builds(
        lambda a, b, c, d: f"N({max(a, b)},{min(a, b)})/({max(c, d)},{min(c, d)})",
        sizes,
        sizes,
        sizes,
        sizes,
    ),
    st.builds(
        lambda a, b, c, d: f"U({min(a, b)},{max(a, b)})/({min(c, d)},{max(c, d)})",
        sizes,
        sizes,
        sizes,
        sizes,
    ),
    st.builds("U({},{})".format, sizes, sizes),
    st.builds("E({})".format, sizes),
    st.builds("R({},{})".format, sizes, sizes),
    st.builds("I({},{},{})".format, sizes, sizes, st.integers(1, 64)),
    st.builds("A({})".format, sizes),
    st.just("dataset"),
)


# The machine may be busy; how long one example takes proves nothing.
@settings(deadline=None)
@given(scenario_texts)
def test_the_canonical_text_reads_as_itself_and_the_engine_reads_it(text: str) -> None:
    scenario = parse_scenario(text)
    assert parse_scenario(scenario.text) == scenario
    letter = re.match("[A-Za-z]+", scenario.text)
    assert letter is not None
    assert re.match(ENGINE_PATTERNS[letter[0]], scenario.text)


@settings(deadline=None)
@given(scenario_texts, st.integers(0, 30), st.sampled_from(" \t\n"))
def test_a_scenario_with_a_space_is_refused_with_the_spelling_without(
    text: str, place: int, space: str
) -> None:
    place = min(place, len(text))
    with pytest.raises(PlanError) as caught:
        parse_scenario(text[:place] + space + text[place:])
    assert caught.value.remedy == f"Write {parse_scenario(text).text}"


@settings(deadline=None)
@given(st.text(max_size=80) | st.from_regex(r"\A[DNUERIA]\([0-9, -]{0,12}\)(/\([0-9,]{0,9}\))?"))
def test_anything_else_is_refused_with_a_remedy_and_never_crashes(text: str) -> None:
    refused: PlanError | None = None
    try:
        parse_scenario(text)
    except PlanError as error:
        refused = error
    if refused is not None:
        assert refused.remedy
        assert len(str(refused)) < 600
