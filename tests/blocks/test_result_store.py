"""A saved store: a location, options that belong to it, credentials as references."""

from typing import Any

import pytest
from pydantic import ValidationError

from blocks import ResultStore
from tidemark.errors import StoreError
from tidemark.plan.store_parameters import PARAMETERS

OPTIONS: dict[str, Any] = {
    "region": "eu-central-1",
    "endpoint_url": "http://minio:9000",
    "addressing_style": "path",
    "sse": "aws:kms",
    "sse_kms_key_id": "alias/bench",
}
CREDENTIALS: dict[str, Any] = {
    "access_key_id": "env:KEY_ID",
    "secret_access_key": "prefect:store-secret",
    "session_token": "file:/run/secrets/token",
}
S3 = {**OPTIONS, **CREDENTIALS}
BUCKET = "s3://bucket/bench"


def test_a_folder_has_nothing_else() -> None:
    store = ResultStore(uri="/data/results/")
    assert store.uri == "file:///data/results"
    assert store.options == {}
    assert store.credentials == {}


def test_options_and_credentials_are_those_that_a_store_is_opened_with() -> None:
    store = ResultStore(uri=BUCKET, s3=S3)
    assert store.options == OPTIONS
    assert store.credentials == CREDENTIALS
    assert ResultStore.model_validate(store.model_dump(mode="json")) == store


@pytest.mark.parametrize("scheme", [scheme for scheme in PARAMETERS if PARAMETERS[scheme]])
def test_every_option_and_credential_has_a_field(scheme: str) -> None:
    group = ResultStore.model_json_schema()["definitions"][f"{scheme.capitalize()}Settings"]
    known = {each.name for each in PARAMETERS[scheme]} - {"anonymous"}
    assert set(group["properties"]) == known
    for name, field in group["properties"].items():
        assert field["title"], name
        assert field["description"], name


@pytest.mark.parametrize(
    ("uri", "parameters", "options", "credentials"),
    [
        (
            "oci://n/ns/b/bucket/o/path",
            {"auth": "security_token", "security_token": "env:T", "region": "us-phoenix-1"},
            {"auth": "security_token", "region": "us-phoenix-1"},
            {"security_token": "env:T"},
        ),
        (
            BUCKET,
            {"aws_access_key_id": "AKIAIOSFODNN7EXAMPLE", "aws_secret_access_key": "env:S"},
            {},
            {"access_key_id": "AKIAIOSFODNN7EXAMPLE", "secret_access_key": "env:S"},
        ),
        (BUCKET, {"aws_profile": "production", "aws_region": "eu-1"},
         {"profile": "production", "region": "eu-1"}, {}),
        ("az://account/container", {"azure_connection_string": "prefect:azure"}, {},
         {"azure_connection_string": "prefect:azure"}),
        ("gs://bucket", {"gcp_project_id": "p", "gcp_credentials_path": "/sa.json"},
         {"gcp_project_id": "p", "gcp_credentials_path": "/sa.json"}, {}),
        ("github://owner/repo", {"github_token": "env:T"}, {}, {"github_token": "env:T"}),
        ("pvc://claim/results", {}, {}, {}),
    ],
)  # fmt: skip
def test_parameters_of_a_benchmark_job_are_understood(
    uri: str, parameters: dict[str, str], options: dict[str, str], credentials: dict[str, str]
) -> None:
    store = ResultStore.of(uri, parameters)
    assert (store.options, store.credentials) == (options, credentials)


def test_parameters_of_another_kind_are_refused() -> None:
    with pytest.raises(StoreError, match="no option 'auth'"):
        ResultStore.of(BUCKET, {"auth": "instance_principal"})


def without(*names: str) -> dict[str, Any]:
    return {name: value for name, value in S3.items() if name not in names}


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"uri": ""}, "uri"),
        ({"uri": "s3://"}, "bucket name is missing"),
        ({"uri": "s4://bucket"}, "s3"),
        ({"uri": "s3://me:pasted-canary@bucket/x"}, "uri"),
        ({"uri": "/data", "s3": {"region": "eu"}}, "no effect on a file:// store"),
        ({"uri": "/data", "s3": {"access_key_id": "env:A"}}, "no effect on a file:// store"),
        ({"uri": "oss://bucket", "s3": {"region": "eu"}}, "no effect on a oss:// store"),
        ({"uri": "s3://bucket@us-east-1/x", "s3": {"region": "eu"}}, "another than the"),
        ({"uri": BUCKET, "s3": {**S3, "sse": "AES256"}}, "is used with sse=aws:kms only"),
        ({"uri": BUCKET, "s3": {**S3, "sse": "aes"}}, "AES256"),
        ({"uri": BUCKET, "s3": without("secret_access_key")}, "secret_access_key is missing"),
        ({"uri": BUCKET, "s3": without("access_key_id")}, "access_key_id is missing"),
        (
            {"uri": BUCKET, "s3": without("access_key_id", "secret_access_key")},
            "access_key_id is missing",
        ),
        ({"uri": BUCKET, "s3": {**S3, "profile": "bench"}}, "profile is given as well"),
        (
            {"uri": BUCKET, "s3": {**S3, "endpoint_url": "http://me:pasted-canary@minio"}},
            "endpoint_url",
        ),
        ({"uri": BUCKET, "s3": {**S3, "secret_access_key": "pasted-canary"}}, "Write env:NAME"),
        ({"uri": BUCKET, "s3": {**S3, "regoin": "eu"}}, "regoin"),
        ({"uri": BUCKET, "region": "eu"}, "region"),
        (
            {"uri": "az://account/cont", "az": {
                "azure_account_key": "env:A", "azure_sas_token": "env:B"}},
            "azure_account_key and azure_sas_token are given",
        ),
        (
            {"uri": "oci://n/ns/b/bucket/o/p", "oci": {"security_token": "env:A"}},
            "with auth=security_token only",
        ),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused_without_being_repeated(
    fields: dict[str, Any], says: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        ResultStore.model_validate(fields)
    assert says in str(caught.value)
    assert "pasted-canary" not in str(caught.value)
