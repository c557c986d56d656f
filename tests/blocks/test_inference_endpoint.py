"""A saved endpoint: the rules of a plan's endpoint, and no secret in it."""

from typing import Any

import pytest
from pydantic import ValidationError

from blocks import InferenceEndpoint
from tidemark.plan.endpoint import Endpoint

FULL: dict[str, Any] = {
    "url": "https://models.example.com/llama/v1",
    "model": "llama",
    "dialect": "sglang",
    "api_key": "prefect:service-key",
    "headers": {"X-Route": "canary", "X-Gateway-Key": "file:/run/secrets/gateway"},
    "ca_file": "/etc/ssl/ca.pem",
    "proxy": "http://proxy:3128",
    "inference_service": {"name": "llama", "namespace": "models"},
}


def test_it_is_the_endpoint_of_a_plan() -> None:
    assert {*FULL, "url_as_given"} == set(Endpoint.model_fields)
    endpoint = InferenceEndpoint(**FULL).endpoint()
    assert type(endpoint) is Endpoint
    assert endpoint == Endpoint.model_validate(FULL)
    assert [str(ref) for ref in endpoint.secrets] == [
        "prefect:service-key",
        "file:/run/secrets/gateway",
    ]


def test_it_survives_being_kept() -> None:
    saved = InferenceEndpoint(**FULL)
    assert InferenceEndpoint.model_validate(saved.model_dump(mode="json")) == saved


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"url": "localhost:8000"}, "scheme must be http or https"),
        ({"url": None, "inference_service": None}, "no service is named"),
        ({"api_key": "sk-pasted-canary-0123"}, "Write env:NAME"),
        ({"headers": {"X-Api-Key": "pasted-canary"}}, "must be a reference"),
        ({"dialect": "vlm"}, "dialect"),
        ({"modle": "llama"}, "modle"),
        ({"block_type_slug": "result-store"}, "Invalid block_type_slug"),
    ],
)
def test_what_a_plan_refuses_is_refused_without_being_repeated(
    changes: dict[str, Any], says: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        InferenceEndpoint.model_validate({**FULL, **changes})
    assert says in str(caught.value)
    assert "canary-0123" not in str(caught.value)
    assert "pasted-canary" not in str(caught.value)


def test_an_edited_url_forgets_the_one_before() -> None:
    kept = InferenceEndpoint(**FULL).model_dump(mode="json")
    assert kept["url_as_given"] == FULL["url"]
    edited = InferenceEndpoint.model_validate({**kept, "url": "http://other:8000"})
    assert edited.url == "http://other:8000"
    assert edited.url_as_given is None
