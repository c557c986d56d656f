"""Whatever is written into a plan or manifest: a plan, or an error with field and remedy."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plan_builders import GONE, MANIFEST, PLAN, changed
from test_plan_models import FULL

from tidemark.errors import PlanError
from tidemark.plan.load import dump_plan, load_document, load_plan
from tidemark.plan.sweep import plan_hash

CANARY = "canary-77f1c0de5eed4b1d9a2f"

MANIFEST_WITH_ALL = changed(
    MANIFEST,
    {
        "spec.additionalRequestParams": {"temperature": "0.5"},
        "spec.dataset": {
            "storageUri": "hf://org/prompts",
            "parameters": {"prompt_column": "q"},
        },
        "spec.outputLocation.parameters": {"aws_profile": "p", "aws_region": "r"},
        "spec.serviceMetadata": {"engine": "vLLM", "version": "1", "gpuType": "H100"},
        "spec.podOverride": {"image": "x", "env": [{"name": "A", "value": "b"}]},
        "spec.huggingFaceSecretReference": {"name": "hf"},
        "spec.resultFolderName": "folder",
    },
)


def places(value: Any, here: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if here:
        yield here
    if isinstance(value, dict):
        for key, item in value.items():
            yield from places(item, (*here, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from places(item, (*here, index))


def planted(document: dict[str, Any], place: tuple[Any, ...], value: Any) -> str:
    result: Any = copy.deepcopy(document)
    inside = result
    for part in place[:-1]:
        inside = inside[part]
    if value is GONE:
        del inside[place[-1]]
    else:
        inside[place[-1]] = value
    return json.dumps(result)


DOCUMENTS = {"plan": FULL, "small plan": PLAN, "manifest": MANIFEST_WITH_ALL}
PLACES = [(name, place) for name, document in DOCUMENTS.items() for place in places(document)]

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**6), 10**9)
    | st.floats(-1e6, 1e6)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
    | st.sampled_from(["env:KEY", "http://h/v1?x", "D(1,1)", "dataset", "openai", "s3://b"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=3), inner, max_size=3)
    ),
    max_leaves=5,
)


# The machine may be busy; how long one example takes proves nothing.
@settings(deadline=None)
@given(st.sampled_from(PLACES), values | st.just(GONE))
def test_any_value_anywhere_gives_a_plan_or_says_what_to_do(
    target: tuple[str, tuple[Any, ...]], value: Any
) -> None:
    name, place = target
    refused: PlanError | None = None
    try:
        document = load_document(planted(DOCUMENTS[name], place, value), "x.yaml")
    except PlanError as error:
        refused = error
    if refused is not None:
        assert (refused.where or "").startswith("x.yaml")
        # Several problems carry a remedy each, in the listing.
        assert refused.remedy or "problems\n" in refused.what
        for line in refused.what.split("\n  ")[1:]:
            assert ". " in line
    else:
        again = load_plan(dump_plan(document.plan))
        assert plan_hash(again) == plan_hash(document.plan)


@pytest.mark.parametrize(("name", "place"), PLACES, ids=str)
def test_a_secret_in_the_wrong_place_is_in_no_message(name: str, place: tuple[Any, ...]) -> None:
    for value in (CANARY, [CANARY], {"a": CANARY}):
        told = ""
        try:
            load_document(planted(DOCUMENTS[name], place, value), "x.yaml")
        except PlanError as error:
            told = str(error)
        assert CANARY not in told
