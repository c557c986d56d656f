"""No secret is kept, and nothing else is lost."""

from __future__ import annotations

import base64
import gzip
import json
import re
import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tidemark.results.redact import MASK, Redactor
from tidemark.results.store import Attempt, open_store

SECRET = 'cänary/"s3cret"+\\ 7'
REDACTOR = Redactor([SECRET, "k-secret-123", "4815162342"])

FORMS = {
    "as it is": SECRET,
    "json": json.dumps(SECRET),
    "json, not ascii": json.dumps(SECRET, ensure_ascii=False),
    "json in json": json.dumps(json.dumps({"x": SECRET})),
    "repr": repr([SECRET]),
    "url": quote(SECRET),
    "url, all": quote(SECRET, safe=""),
    "form": quote_plus(SECRET),
    "url, lower case": re.sub("%..", lambda code: code[0].lower(), quote(SECRET, safe="")),
    "shell": shlex.join(["tool", "--flag", SECRET]),
    "base64": base64.b64encode(SECRET.encode()).decode(),
    "base64, url": base64.urlsafe_b64encode(SECRET.encode()).decode(),
    "basic 1": base64.b64encode(f"u:{SECRET}".encode()).decode(),
    "basic 2": base64.b64encode(f"me:{SECRET}".encode()).decode(),
    "basic 3": base64.b64encode(f"you:{SECRET}:x".encode()).decode(),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_known_secret_is_found_in_every_form(form: str) -> None:
    text = REDACTOR.text(f"before {FORMS[form]} after")
    assert text.startswith("before ")
    assert text.endswith(" after")
    assert MASK in text
    for part in ("s3cret", "c%C3%A4nary"):
        assert part not in text
    assert FORMS[form].strip("='\"") not in text


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer c4nary-c4nary",
        "authorization: Basic Y2FuYXJ5OmNhbmFyeQ==",
        "{'Authorization': 'Bearer c4nary-c4nary'}",
        '{"headers": {"x-api-key": "c4nary"}}',
        "using bearer c4narytokenvalue for the request",
        "key sk-c4naryc4naryc4nary1234 used",
        "sk-proj-c4nary_c4nary-c4nary",
        "AKIAC4NARYC4NARYC4NA",
        "LTAI5tc4naryc4naryc4nary",
        "STS.c4naryc4naryc4nary",
        "ghp_c4naryc4naryc4naryc4naryc4naryc4na",
        "github_pat_c4naryc4naryc4naryc4nary",
        "hf_c4naryc4naryc4naryc4nary",
        "eyJc4naryc4nary.eyJc4naryc4nary.c4naryc4nary",
        "https://a.blob.core.windows.net/c?sv=2024&sig=c4nary%2Fc4nary&x=1",
        "https://b.s3.amazonaws.com/k?X-Amz-Signature=c4naryc4nary&X-Amz-Date=1",
        "http://proxy-user:c4nary@proxy.internal:3128/",
        "postgresql://tidemark:c4nary@db/ledger",
        "genai-bench --api-key c4nary --task text-to-text",
        "genai-bench --api-key=c4nary --task text-to-text",
        "genai-bench --api-key 'c4nary c4nary' --task x",
        "--storage-aws-secret-access-key c4nary/c4nary+c4nary",
        "--storage-azure-sas-token c4nary --github-token c4nary",
        "--aws-session-token c4nary",
        '["genai-bench", "--api-key", "c4nary", "--task"]',
        "['genai-bench', '--model-api-key', 'c4nary']",
        "MODEL_API_KEY=c4nary",
        "export AWS_SECRET_ACCESS_KEY='c4nary'",
        "GITHUB_TOKEN=c4nary",
        "api_key: c4nary",
        'api_key = "c4nary"',
        '{"aws_secret_access_key": "c4nary\\"c4nary"}',
        '"{\\"api_key\\": \\"c4nary\\"}"',
        "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=c4naryc4nary==;X=y",
        "password=c4nary",
        "-----BEGIN RSA PRIVATE KEY-----\nc4nary\nc4nary\n-----END RSA PRIVATE KEY-----",
        '"-----BEGIN PRIVATE KEY-----\\nc4nary\\nc4nary\\n-----END PRIVATE KEY-----\\n"',
        "-----BEGIN OPENSSH PRIVATE KEY-----\nc4naryc4naryc4nary\nc4naryc4naryc4",
    ],
)
def test_what_looks_like_a_secret_is_found_without_knowing_it(text: str) -> None:
    cleaned = Redactor().text(text)
    assert "c4nary" not in cleaned.lower()
    assert MASK in cleaned
    assert Redactor().text(cleaned) == cleaned


@pytest.mark.parametrize(
    "text",
    [
        "Missing option '--api-key'.",
        "--api-key is required for the openai backend",
        "bearer authentication failed: authorization header missing",
        '{"auth_type": "api_key", "has_api_key": true}',
        '{"num_input_tokens": 100, "tokens": 5, "token": " the", "max_tokens": 64}',
        "--max-tokens 64 --tokenizer /models/tokenizer --model-tokenizer org/model",
        '{"endpoint": {"api_key": "env:SERVICE_API_KEY"}, "password": "file:/run/secrets/p"}',
        "genai-bench --api-key $MODEL_API_KEY --github-token ${GITHUB_TOKEN}",
        "http://127.0.0.1:8000/v1/chat/completions",
        "s3://my-bucket@us-east-1/prefix",
        "ask-me-anything-about-this-task-12345678",
        "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "0.48151623421 148151623425 4815162342.5",
        "",
    ],
)
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert REDACTOR.text(text) == text


SAMPLES = [
    '{"cmd": "genai-bench --api-key k-secret-123 --task text-to-text"}',
    '{"a": 4815162342, "b": [4815162342, 1], "c": "4815162342", "d": 0.4815162342}',
    '{"api_key": 123456789, "x": 1}',
    '{"api_key": null, "password": true}',
    '{"api_key": ""}',
    '["--api-key", "k-secret-123"]',
    json.dumps({"nested": json.dumps({"api_key": "k-secret-123"})}),
    json.dumps({"log": "line\n--api-key k-secret-123\nAuthorization: Bearer k-secret-123\n"}),
    json.dumps({"a": SECRET, SECRET: 1}),
    '{"Usage: --api-key ": "x", "password=": "y", "api_key:": ["--api-key \'"]}',
    '{"api_key": {"a": 1}, "password": [1, 2], "access_key": "a\\"b", "x": "\'"}',
]


@pytest.mark.parametrize("text", SAMPLES)
def test_json_stays_json(text: str) -> None:
    json.loads(REDACTOR.text(text))
    assert "k-secret" not in REDACTOR.text(text)


def test_a_secret_that_is_a_number_becomes_null_only_where_it_is_one() -> None:
    assert json.loads(REDACTOR.text(SAMPLES[1])) == {
        "a": None,
        "b": [None, 1],
        "c": MASK,
        "d": 0.4815162342,
    }


def test_nested_json_is_cleaned_by_names_and_by_text() -> None:
    tree = {
        "api_key": "anything at all",
        "list": ["--api-key", "k", "--model", "m", {"password": ["deep", "k-secret-123"]}],
        "reference": {"api_key": "env:SERVICE_API_KEY"},
        "number": 4815162342,
        "k-secret-123": 1.5,
        "flag": True,
    }
    assert REDACTOR.tree(tree) == {
        "api_key": MASK,
        "list": ["--api-key", MASK, "--model", "m", {"password": ["deep", MASK]}],
        "reference": {"api_key": "env:SERVICE_API_KEY"},
        "number": None,
        MASK: 1.5,
        "flag": True,
    }


def test_a_part_of_a_secret_is_no_secret() -> None:
    assert REDACTOR.text("secret-12 81516234 k-secret k-secret-12 s3cret") == (
        "secret-12 81516234 k-secret k-secret-12 s3cret"
    )


def test_short_secrets_are_removed_by_name_only() -> None:
    redactor = Redactor(["k", ""])
    assert redactor.text("--api-key k --task kk") == f"--api-key {MASK} --task kk"


def test_a_redactor_does_not_show_what_it_looks_for() -> None:
    assert "secret" not in repr(REDACTOR)


PIECES = st.lists(
    st.sampled_from(
        [
            *FORMS.values(), "k-secret-123", "4815162342", "api_key", "--api-key", "Bearer", "sk-",
            "AKIAABCDEFGHIJKLMNOP", "://u:p@", "sig=", "&", "?", "=", ": ", '"', "'", "\\", " ",
            "\n", ",", "{", "}", "x", "0", "é", "\0", "-----BEGIN PRIVATE KEY-----", MASK, "[", "]",
        ]
    )
    | st.text(max_size=5),
    max_size=12,
).map("".join)  # fmt: skip


@given(PIECES)
@example("k-secret-123sk-abcdefghijklmnopqrst")
@example("k-secret-1234815162342")
def test_redacting_twice_changes_nothing_more(text: str) -> None:
    once = REDACTOR.text(text)
    assert REDACTOR.text(once) == once
    assert "k-secret-123" not in once


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | PIECES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(PIECES, inner, max_size=3),
    max_leaves=8,
))  # fmt: skip
@example({"api_key": float("-inf")})
def test_any_json_stays_json(value: object) -> None:
    for indent in (None, 4):
        json.loads(REDACTOR.text(json.dumps(value, indent=indent)))
    json.dumps(REDACTOR.tree(value))  # JSON by construction


@given(st.lists(st.binary(max_size=40) | PIECES.map(str.encode), max_size=8))
def test_a_stream_gives_what_the_whole_gives(chunks: list[bytes]) -> None:
    assert b"".join(REDACTOR.stream(chunks)) == REDACTOR.data(b"".join(chunks))


def test_a_large_stream_misses_no_secret_at_any_boundary() -> None:
    quiet = b"INFO nothing happened here, 100 requests in flight\n" * 20_000
    # wherever the stream is cut, it is inside or beside a secret
    text = quiet + b"--api-key k-secret-123." * 10_000 + quiet[:70_000] + b"k-secret-123"
    expected = REDACTOR.data(text)
    assert b"k-secret" not in expected
    chunks = [text[begin : begin + 65_537] for begin in range(0, len(text), 65_537)]
    assert b"".join(REDACTOR.stream(chunks)) == expected


def test_bytes_that_are_no_text_come_back_as_they_were() -> None:
    data = bytes(range(256)) * 4
    assert REDACTOR.data(data) == data


ENGINE_OUTPUT = sorted((Path(__file__).parent / "genai_bench_output").rglob("*.json"))


def test_there_is_engine_output_to_look_at() -> None:
    """Written by genai-bench 0.0.5, which puts its own command line, key and all, into a file."""
    assert len(ENGINE_OUTPUT) == 4
    assert sum("--api-key" in path.read_text() for path in ENGINE_OUTPUT) == 2


@pytest.mark.parametrize("secrets", [["k-secret-123"], ["k"], []], ids=["known", "short", "none"])
@pytest.mark.parametrize("path", ENGINE_OUTPUT, ids=lambda path: path.stem)
def test_engine_output_keeps_all_but_the_key(path: Path, secrets: list[str]) -> None:
    written = path.read_text()
    expected = re.sub("--api-key [^ ]+", f"--api-key {MASK}", written)
    assert Redactor(secrets).text(written) == expected
    assert Redactor(secrets).tree(json.loads(written)) == json.loads(expected)


def test_no_canary_is_in_any_file_of_a_store(
    tmp_path: Path, make_attempt: Callable[..., Attempt]
) -> None:
    attempt = make_attempt()
    attempt.row["reproduce"] = f"tidemark sweep --api-key {shlex.quote(SECRET)}"
    attempt.row["reasons"][0:0] = [
        {"code": "x", "level": "note", "evidence": f"key {SECRET}", "advice": "k-secret-123"}
    ]
    attempt.row["engine_claims"] = json.dumps({"cmd": SECRET})
    leaky = Attempt(
        row=attempt.row,
        requests=[replace(attempt.requests[0], error_message=f"401 for {SECRET}")],
        raw_files={
            "metadata.json": json.dumps({"cmd": f"--api-key {SECRET}", "k": SECRET}).encode(),
            "engine.log": f"{SECRET}\n{quote(SECRET, safe='')}\nk-secret-123\n".encode(),
            "summary.xlsx": SECRET.encode(),
        },
        raw_context={"argv": ["--api-key", SECRET], "note": f"saw {SECRET}"},
    )
    open_store(str(tmp_path), redactor=REDACTOR).put_cell(leaky)
    found = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(found) == 5
    for path in found:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        assert b"s3cret" not in data, path
        assert b"k-secret" not in data, path
    row = open_store(str(tmp_path)).cells().to_pylist()[0]
    assert MASK in row["reproduce"]
    assert MASK in json.loads(row["engine_claims"])["cmd"]
    assert "s3cret" not in json.dumps(row, default=str)
    requests = open_store(str(tmp_path)).requests().to_pylist()
    assert requests[0]["error_message"] == f"401 for {MASK}"
