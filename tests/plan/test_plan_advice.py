"""Warnings: what a valid plan will not measure, said before it is run."""

from __future__ import annotations

from typing import Any

import pytest
from plan_builders import PLAN, changed

from tidemark.plan.load import plan_from_mapping
from tidemark.plan.objective import Slo
from tidemark.plan.sweep import warnings

QUIET = changed(PLAN, {"system.image_digest": "sha256:" + "0" * 64})


def told(changes: dict[str, Any]) -> tuple[str, ...]:
    return warnings(plan_from_mapping(changed(QUIET, changes)))


def test_a_plan_with_nothing_to_say_about_it_has_no_warnings() -> None:
    assert told({}) == ()


@pytest.mark.parametrize(
    ("changes", "field", "says"),
    [
        ({"endpoint.url": "http://localhost/v1/completions"}, "endpoint.url", "chat completions"),
        ({"endpoint.url": "http://localhost/v2/chat/completions"}, "endpoint.url", "like the path"),
        (
            {"endpoint.url": "http://far.example", "endpoint.api_key": "env:K"},
            "endpoint.url",
            "unencrypted",
        ),
        ({"endpoint.model": None}, "endpoint.model", "exactly one model"),
        ({"endpoint.dialect": "openai"}, "endpoint.dialect", "output length is not controlled"),
        ({"tokenizer": None}, "tokenizer", "is not given"),
        ({"tokenizer": "org/model"}, "tokenizer", "name@revision"),
        ({"scenarios": ["D(100,1)"]}, "scenarios", "TPOT is not defined"),
        ({"dataset": {"path": "p.txt"}, "scenarios": None}, "dataset.sha256", "content"),
        ({"dataset": {"path": "p.txt"}, "scenarios": None}, "scenarios", "request.max_tokens"),
        ({"limits.max_requests": 39}, "limits.max_requests", "allow 40 or more"),
        ({"limits.stall_timeout_s": 90}, "limits.stall_timeout_s", "only at the end"),
        ({"slo": {"ttft_s": 1, "attainment": 1}}, "slo.attainment", "no number of requests"),
        ({"token_counts": "tokenizer"}, "token_counts", "estimates"),
        ({"request": {"stop": ["x"]}}, "request.stop", "end before the length"),
        ({"request": {"system_message": "Be kind."}}, "request.system_message", "adds its tokens"),
        ({"request": {"temprature": 1}}, "request.temprature", "did you mean temperature?"),
        (
            {"request": {"ignore_eos": True}, "endpoint.dialect": "openai"},
            "request.ignore_eos",
            "removed by the load engine",
        ),
    ],
    ids=str,
)
def test_each_warning_names_its_field(changes: dict[str, Any], field: str, says: str) -> None:
    matching = [each for each in told(changes) if each.startswith(f"{field}: ")]
    assert any(says in each for each in matching), told(changes)


def test_just_enough_requests_are_enough() -> None:
    assert told({"limits.max_requests": 40}) == ()


def test_percentiles_that_the_requests_cannot_give_are_named() -> None:
    slo = {"ttft_s": 1, "attainment": 0.95}
    (warning,) = told({"slo": slo, "concurrency": [1, 4, 5, 16]})
    assert "p95 needs 200 requests" in warning
    assert "concurrency 1, 4, 5 end before" in warning
    assert told({"slo": slo, "concurrency": [1, 4], "limits.max_requests": 200}) == ()


@pytest.mark.parametrize(
    ("attainment", "needed"), [(0.5, 20), (0.9, 100), (0.95, 200), (0.99, 1000), (0.999, 10_000)]
)
def test_a_percentile_needs_ten_requests_beyond_it(attainment: float, needed: int) -> None:
    assert Slo(e2e_s=1, attainment=attainment).requests_needed == needed


def test_a_slo_on_tpot_that_no_request_can_keep_is_named() -> None:
    given = told({"scenarios": ["D(9,1)"], "slo": {"tpot_s": 1}, "limits.max_requests": 1000})
    assert any(each.startswith("slo.tpot_s: no request of D(9,1)") for each in given)


def test_a_key_over_http_to_this_machine_is_no_news() -> None:
    assert told({"endpoint.api_key": "env:K"}) == ()
    assert told({"endpoint.url": "http://127.0.0.1:9", "endpoint.api_key": "env:K"}) == ()
    assert told({"endpoint.url": "https://far.example", "endpoint.api_key": "env:K"}) == ()


def test_no_warning_is_given_twice() -> None:
    given = told({"scenarios": ["D(9,1)", "D(8,1)"], "slo": {"tpot_s": 1}})
    assert len(given) == len(set(given))
