"""References to secrets: what is one, what is refused, what they lead to."""

from __future__ import annotations

import re

import pytest
from pydantic import TypeAdapter, ValidationError

from tidemark.errors import SecretError
from tidemark.plan.secrets import SecretRef, is_sensitive_name, looks_like_secret, resolve

REFERENCE = TypeAdapter(SecretRef)


def no_file(path: str) -> str:
    raise FileNotFoundError(2, "No such file or directory", path)


@pytest.mark.parametrize(
    "text",
    [
        "env:KEY",
        "env:_k9",
        "env:SERVICE_API_KEY",
        "file:/run/secrets/key",
        "file:/a/b.c/d e",
        "prefect:service-api-key",
        "prefect:k9",
    ],
)
def test_references_are_accepted_and_stay_text(text: str) -> None:
    found = REFERENCE.validate_python(text)
    assert isinstance(found, SecretRef)
    assert found == text
    assert REFERENCE.dump_python(found, mode="json") == text
    assert REFERENCE.json_schema()["type"] == "string"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "plain-literal-value",
        "env:",
        "env:9KEY",
        "env:A-B",
        "env:KEY\n",
        "env:" + "A" * 200,
        "env:AKIAIOSFODNN7EXAMPLE",
        "env:d41d8cd98f00b204e9800998ecf8427e",
        "file:",
        "file:relative/path",
        "file:/a/../b",
        "file:/a\nb",
        "file:/keys/sk-0123456789",
        "ENV:KEY",
        "prefect:",
        "prefect:My-Key",
        "prefect:my_key",
        "prefect:-key",
        "prefect:a/b",
        "prefect:key\n",
        "prefect:sk-0123456789",
        "prefect:" + "a" * 200,
        "https://vault/secret",
        5,
    ],
)
def test_anything_else_is_refused_without_being_repeated(text: object) -> None:
    with pytest.raises(ValidationError) as caught:
        REFERENCE.validate_python(text)
    (detail,) = caught.value.errors(include_input=False)
    assert "env:NAME" in detail["msg"]
    value = str(text).partition(":")[2]
    if len(value) > 3:
        assert value not in detail["msg"]


def test_a_reference_leads_to_the_secret() -> None:
    assert resolve("env:KEY", {"KEY": "one"}, no_file) == "one"
    assert resolve(SecretRef("file:/k"), {}, {"/k": "two\r\n"}.__getitem__) == "two"
    assert resolve("prefect:k", {}, no_file, {"k": "three\n"}.__getitem__) == "three"


def test_a_block_is_not_looked_for_where_prefect_is_not_asked() -> None:
    with pytest.raises(SecretError, match=r"prefect:k: Prefect keeps this secret"):
        resolve("prefect:k", {"k": "no"}, no_file)
    assert SecretRef("prefect:k").is_block
    assert not SecretRef("env:prefect").is_block


def test_the_form_s_pattern_says_the_same() -> None:
    pattern = REFERENCE.json_schema()["pattern"]
    for text in ("env:KEY", "file:/a", "prefect:a-1"):
        assert re.search(pattern, text)
    for text in ("KEY", "file:a", "prefect:A", "prefect:", "xprefect:a"):
        assert not re.search(pattern, text)


@pytest.mark.parametrize(
    ("reference", "says"),
    [
        ("env:MISSING", "MISSING is not set"),
        ("env:EMPTY", "empty value"),
        ("env:BLANK", "empty value"),
        ("env:LINES", "line break"),
        ("file:/missing", "No such file"),
        ("literal-secret", "not a reference"),
    ],
)
def test_a_reference_that_leads_nowhere_says_so_and_repeats_no_secret(
    reference: str, says: str
) -> None:
    environment = {"EMPTY": "", "BLANK": " \n", "LINES": "canary-one\ncanary-two"}
    with pytest.raises(SecretError, match=says) as caught:
        resolve(reference, environment, no_file)
    assert caught.value.remedy
    assert "canary" not in str(caught.value)
    assert "literal-secret" not in str(caught.value)


@pytest.mark.parametrize(
    "name",
    [
        "Authorization",
        "Proxy-Authorization",
        "Cookie",
        "X-Api-Key",
        "apikey",
        "X-ApiKey",
        "Ocp-Apim-Subscription-Key",
        "X-Amz-Security-Token",
        "X-Auth",
        "client_secret",
        "Password",
        "X-Signature",
        "MYSQL_PWD",
        "DB_PASS",
        "db.pass",
        "Pass",
        "SSH_PASSPHRASE",
        "AWS_CREDS",
    ],
)
def test_names_that_carry_secrets(name: str) -> None:
    assert is_sensitive_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "X-Route",
        "Accept",
        "X-Request-Id",
        "Monkey",
        "X-Author",
        "keys",
        "tests_passed",
        "Compass",
        "bypass",
        "OLDPWD",
        "sacreds",
    ],
)
def test_names_that_do_not(name: str) -> None:
    assert not is_sensitive_name(name)


@pytest.mark.parametrize(
    "text",
    [
        "sk-proj-abcdefgh",
        "ghp_0123456789abcdef",
        "hf_abcdefghij",
        "AKIAIOSFODNN7EXAMPLE",
        "eyJhbGciOiJIUzI1NiJ9.e30.x",
        "Bearer abc",
        "Basic dXNlcjpwYXNz",
        "-----BEGIN PRIVATE KEY-----",
        "d41d8cd98f00b204e9800998ecf8427e",
        "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY+x",
    ],
)
def test_shapes_of_secrets(text: str) -> None:
    assert looks_like_secret(text)


@pytest.mark.parametrize(
    "text",
    [
        "canary",
        "meta-llama/Llama-3.1-70B-Instruct",
        "5f0b02c75b57c5855da9ae460ce51323ea669d8a",
        "Basic rules of a polite answer",
        "/models/a/very/long/path/of/many/parts/to/a/directory",
        "risk-assessment-of-the-model",
        "123e4567-e89b-12d3-a456-426614174000",
    ],
)
def test_shapes_of_other_things(text: str) -> None:
    assert not looks_like_secret(text)
