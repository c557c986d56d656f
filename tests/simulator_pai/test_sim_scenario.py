"""Scenarios that make no sense say where and why, before anything starts."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from tidemark.errors import ConfigError
from tidemark.simulator.pai.scenario import load_scenario, scenario_from_text


@pytest.mark.parametrize(
    ("text", "where", "says"),
    [
        ("call: []", "call", "Did you mean calls?"),
        ("calls: [{then: {throtle: {}}}]", "calls[0].then.throtle", "Did you mean throttle?"),
        ("calls: [{when: {actoin: A}, then: {slow_s: 1}}]", "when.actoin", "Did you mean action?"),
        ("calls: [{when: {action: A}}]", "calls[0].then", "is missing"),
        ("calls: [{then: {}}]", "calls[0].then", "does nothing"),
        ("calls: [{then: {html: 502, lost: answer}}]", "calls[0].then", "takes one of"),
        ("calls: [{then: {html: 404}}]", "calls[0].then.html", "502"),
        ("calls: [{when: {nth: 0}, then: {slow_s: 1}}]", "calls[0].when.nth", "greater"),
        ("calls: [{when: {probability: 2}, then: {slow_s: 1}}]", "probability", "less"),
        ("jobs: [{then: {runing_s: 3}}]", "jobs[0].then.runing_s", "Did you mean running_s?"),
        ("jobs: [{then: {running_s: '3'}}]", "jobs[0].then.running_s", "without quotes"),
        ("jobs: [{then: {running_s: nevr}}]", "jobs[0].then.running_s", "or never"),
        ("jobs: [{then: {image_pull: {pull_s: []}}}]", "image_pull.pull_s", "or never"),
        ("calls: [{then: {throttle: true}}]", "calls[0].then.throttle", "is not a mapping"),
        ("calls: [{then: {throttle: 429}}]", "throttle", "status, code, retry_after_ms"),
        ("calls: [slow]", "calls[0]", "is not a mapping. Write when, then, or"),
        ("calls: {then: {slow_s: 1}}", "calls", "is not a list"),
        ("jobs: [{then: {running_s: -1}}]", "jobs[0].then.running_s", "greater"),
        ("jobs: [{then: {running_s: .nan}}]", "jobs[0].then.running_s", "greater"),
        ("jobs: [{then: {visible_after_s: never}}]", "visible_after_s", "valid number"),
        (
            "jobs: [{then: {interruptions: [{after_s: 1, pods: 2}]}}]",
            "jobs[0].then.interruptions[0].pods",
            "Did you mean pod?",
        ),
        ("jobs: [{then: {detours: [{status: X, before: Runing}]}}]", "before", "'Running'"),
        ("jobs: [{then: {stock_out: {recovers_after_s: 1, fails_after_s: 2}}}]", "", "not both"),
        ("jobs: [{then: {image_pull: {recovers_after_s: 2}}}]", "image_pull", "must fail"),
        ("jobs: [{then: {image_pull: {in_sub_status: true}}}]", "image_pull", "fails_after_s"),
        (
            "jobs: [{then: {image_pull: "
            "{fails_after_s: 1, recovers_after_s: 2, gives_up_after_s: 3}}}]",
            "image_pull",
            "not both",
        ),
        ("- a\n- b", "test", "is not a mapping"),
        ("calls: [", "test: line", "is not YAML"),
        ("calls: &a []\njobs: *a", "test: line 2", "holds an alias"),
        ("seed: &a [*a]", "test: line 1", "holds an alias"),
        ("calls: " + "[" * 3000, "test", "is nested too deeply"),
        ("seed: " + "9" * 5000, "test", "a number or a date"),
        ("seed: 1" + ":1" * 50, "test", "a number or a date"),
        ("seed: 2024-99-99", "test", "a number or a date"),
        ("seed: 99999999999999999999", "seed", "less"),
        ('seed: "\\ud800"', "seed", ""),
        ("? [a]\n: b", "test", "is not YAML"),
        ("1: 2", "test", ""),
        ("calls: [{then: {slow_s: 1.0e+300}}]", "slow_s", "less"),
        ("#" * (1024 * 1024 + 1), "test", "longer than 1 MiB"),
    ],
)
def test_what_is_wrong_with_a_scenario(text: str, where: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        scenario_from_text(text, "test")
    assert where in str(caught.value.where)
    assert says in str(caught.value)


def test_a_file_in_yaml_or_json(tmp_path: Path) -> None:
    yaml, json = tmp_path / "night.yaml", tmp_path / "night.json"
    yaml.write_text("jobs:\n  - when: {name: 'a-*'}\n    then: {running_s: never}\n")
    json.write_text('{"jobs": [{"when": {"name": "a-*"}, "then": {"running_s": "never"}}]}')
    assert load_scenario(yaml) == load_scenario(json)
    assert load_scenario(yaml).jobs[0].then.running_s == float("inf")
    (tmp_path / "empty.yaml").write_text("")
    assert load_scenario(tmp_path / "empty.yaml").calls == ()
    with pytest.raises(ConfigError, match="cannot be read"):
        load_scenario(tmp_path / "none.yaml")
    (tmp_path / "long.yaml").write_text("#" * 2_000_000)
    with pytest.raises(ConfigError, match="longer than 1 MiB"):
        load_scenario(tmp_path / "long.yaml")


def test_lines_that_stand_for_millions_are_refused_at_once() -> None:
    names = "abcdefghij"
    bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in pairwise(names)
    )
    with pytest.raises(ConfigError, match="Write out what it stands for"):
        scenario_from_text(bomb, "test")
