"""A saved store: a location, options that belong to it, credentials as references."""

from typing import Any

import pytest
from pydantic import ValidationError

from blocks import ResultStore
from blocks.result_store import CREDENTIALS, OPTIONS

S3: dict[str, Any] = {
    "uri": "s3://bucket/bench",
    "region": "eu-central-1",
    "endpoint_url": "http://minio:9000",
    "addressing_style": "path",
    "sse": "aws:kms",
    "sse_kms_key_id": "alias/bench",
    "access_key_id": "env:KEY_ID",
    "secret_access_key": "prefect:store-secret",
    "session_token": "file:/run/secrets/token",
}


def test_a_folder_has_nothing_else() -> None:
    store = ResultStore(uri="/data/results/")
    assert store.uri == "file:///data/results"
    assert store.options == {}
    assert store.credentials == {}


def test_options_and_credentials_are_those_that_a_store_is_opened_with() -> None:
    store = ResultStore(**S3)
    assert store.options == {
        "endpoint_url": "http://minio:9000",
        "region": "eu-central-1",
        "addressing_style": "path",
        "sse": "aws:kms",
        "sse_kms_key_id": "alias/bench",
    }
    assert store.credentials == {
        "access_key_id": "env:KEY_ID",
        "secret_access_key": "prefect:store-secret",
        "session_token": "file:/run/secrets/token",
    }
    assert ResultStore.model_validate(store.model_dump(mode="json")) == store


def test_every_option_and_credential_has_a_field() -> None:
    assert {"uri", *OPTIONS, *CREDENTIALS} == set(ResultStore.model_fields)


def without(*names: str) -> dict[str, Any]:
    return {name: value for name, value in S3.items() if name not in names}


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"uri": ""}, "uri"),
        ({"uri": "s3://"}, "bucket name is missing"),
        ({"uri": "s4://bucket"}, "s3"),
        ({"uri": "s3://me:pasted-canary@bucket/x"}, "uri"),
        ({"uri": "/data", "region": "eu"}, "no effect on a file:// store"),
        ({"uri": "/data", "access_key_id": "env:A"}, "no effect on a file:// store"),
        ({"uri": "s3://bucket@us-east-1/x", "region": "eu"}, "another than the"),
        ({**S3, "sse": "AES256"}, "is a key for aws:kms only"),
        ({**S3, "sse": "aes"}, "AES256"),
        (without("secret_access_key"), "is missing beside"),
        (without("access_key_id"), "is missing beside"),
        (without("access_key_id", "secret_access_key"), "is missing beside"),
        ({**S3, "profile": "bench"}, "given beside credentials"),
        ({**S3, "endpoint_url": "http://me:pasted-canary@minio"}, "endpoint_url"),
        ({**S3, "secret_access_key": "pasted-canary"}, "Write env:NAME"),
        ({**S3, "regoin": "eu"}, "regoin"),
    ],
)
def test_what_cannot_work_is_refused_without_being_repeated(
    fields: dict[str, Any], says: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        ResultStore.model_validate(fields)
    assert says in str(caught.value)
    assert "pasted-canary" not in str(caught.value)
