"""Canonical JSON: what means the same has the same bytes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidemark.errors import PlanError
from tidemark.plan.canonical import canonical_json, sha256_hex


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        (1, 1.0),
        (0.0, -0.0),
        (2**60, float(2**60)),
        (("a",), ["a"]),
        ("\u00e9", "e\u0301"),
        ({"\u00e9": 1}, {"e\u0301": 1}),
    ],
)
def test_equal_meanings_hash_equal(one: Any, other: Any) -> None:
    assert canonical_json(one) == canonical_json(other)
    assert sha256_hex(one) == sha256_hex(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, True),
        (0, False),
        (0, None),
        ("1", 1),
        (0.1, 0.2),
        ([], {}),
        ("a", "A"),
        ([1, 2], [2, 1]),
    ],
)
def test_different_meanings_hash_differently(one: Any, other: Any) -> None:
    assert sha256_hex(one) != sha256_hex(other)


@pytest.mark.parametrize(
    ("value", "where"),
    [
        ({"a": [1, float("nan")]}, "value.a[1]"),
        (float("inf"), "value"),
        ({1: 2}, "value"),
        ({"a": {2}}, "value.a"),
        ({"a": "\ud800"}, "value.a"),
        ({"\u00e9": 1, "e\u0301": 2}, "value"),
    ],
)
def test_what_has_no_meaning_is_refused_with_its_place(value: Any, where: str) -> None:
    with pytest.raises(PlanError) as caught:
        canonical_json(value)
    assert caught.value.where == where
    assert caught.value.remedy


def test_the_text_has_no_spaces_and_only_ascii() -> None:
    assert (
        canonical_json({"b": [1, 2.5, None], "a": "\u00e9"}) == '{"a":"\\u00e9","b":[1,2.5,null]}'
    )


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=20,
)


# The machine may be busy; how long one example takes proves nothing.
@settings(deadline=None)
@given(json_values)
def test_canonical_json_is_json_and_reads_back_as_itself(value: Any) -> None:
    text = canonical_json(value)
    assert canonical_json(json.loads(text)) == text
