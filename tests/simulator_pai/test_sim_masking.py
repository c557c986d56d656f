"""What is kept of a call says what was sent, and no secret."""

from __future__ import annotations

import json
import time

import pytest

from tidemark.simulator.pai.masking import masked

CANARY = "canary-0123456789"


@pytest.mark.parametrize(
    "value",
    [
        {name: CANARY}
        for name in (
            "MYSQL_PWD", "DB_PASS", "OPENAI_KEY", "openaiKey", "HF_TOKEN", "passphrase", "AK",
            "PGPASSWORD", "Auth", "AccessKeyId", "x-oss-signature", "Set-Cookie", "jwt",
        )
    ]
    + [
        {"Credentials": {"a": [CANARY]}},
        {"Password": [CANARY]},
        {"token": 123456, "x": {"Secrets": [{"inner": CANARY}]}},
        {"x": [{"Name": "API_KEY", "Value": CANARY}, {"name": "DB_PASS", "value": {"a": CANARY}}]},
        {"Labels": [{"Key": "HF_TOKEN", "Value": CANARY}]},
        {"CredentialConfig": {"Items": [{"SecurityToken": CANARY}]}},
        {"headers": [f"Authorization: {CANARY}"]},
        {"UserCommand": f"curl -H 'Authorization: Bearer {CANARY}' -H 'Accept: text/plain'"},
        {"UserCommand": f"HF_TOKEN={CANARY} run --api-key {CANARY} --password='{CANARY}'"},
        {"UserCommand": f'run \'{{"api_key": "{CANARY}"}}\''},
        {"Uri": f"https://bucket.example.com/o?Expires=1&OSSAccessKeyId=a&Signature={CANARY}"},
        {"Uri": f"get https://bucket.example.com/o?X-Amz-Signature={CANARY}#top"},
        {"Uri": f"https://user:{CANARY}@host.example.com/path"},
    ],
)  # fmt: skip
def test_secrets_are_not_shown(value: object) -> None:
    shown = json.dumps(masked(value))
    assert CANARY not in shown
    assert "123456" not in shown
    assert "***" in shown


@pytest.mark.parametrize(
    "value",
    [
        {"CustomEnvs": [{"Key": "ROUND", "Value": "3"}, {"Name": "LEVEL", "Value": 5}]},
        {"CredentialConfig": {"EnableCredentialInject": True, "AliyunEnvRoleKey": ""}},
        {"UserCommand": "genai-bench --tokenizer /models/llama --max-tokens 12 # monkey: tree"},
        {"max_tokens": 12, "tokenizer": "llama", "Keyboard": "x", "Compass": "n", "Token": None},
        {"Uri": "oss://bucket.oss-cn-hangzhou.aliyuncs.com/data/?versionId=3&page=2"},
    ],
)
def test_what_is_none_stays(value: object) -> None:
    assert masked(value) == value


def test_of_a_signed_address_the_place_stays() -> None:
    address = "https://bucket.example.com/o.tgz?Expires=1&Signature=abc"
    assert masked(address) == "https://bucket.example.com/o.tgz?***"


@pytest.mark.parametrize(
    "part", ["key", "key=", "--key ", "http://", "x:", 'token: "', "-", "k ey"]
)
def test_a_long_text_takes_no_long_time(part: str) -> None:
    text = part * (60_000 // len(part))
    begun_s = time.process_time()
    masked({text: text, "UserCommand": text})
    assert time.process_time() - begun_s < 2
