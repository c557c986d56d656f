"""Saved credentials: one way to them, which nothing of the environment replaces."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from blocks import AlibabaCloudCredentials
from tidemark.alibaba.errors import CredentialError
from tidemark.simulator.clock import VirtualClock

KEY_ID = "LTAIexampleBlock"
SECRET = "canary-secret-of-the-block"
TOKEN = "canary-token-of-the-block"
KEY = {"access_key_id": KEY_ID, "access_key_secret": SECRET}
# What the environment holds is another account's.
ELSEWHERE = {
    "ALIBABA_CLOUD_ACCESS_KEY_ID": "LTAIexampleEnv",
    "ALIBABA_CLOUD_ACCESS_KEY_SECRET": "secret-of-the-environment",
    "ALIBABA_CLOUD_CREDENTIALS_URI": "http://127.0.0.1:9/nobody",
    "ALIBABA_CLOUD_PROFILE": "another",
    "ALIBABA_CLOUD_ECS_METADATA_DISABLED": "true",
}


async def key_of(fields: dict[str, Any], environ: dict[str, str]) -> tuple[str, str, str | None]:
    found = await (
        AlibabaCloudCredentials(**fields)
        .source({**ELSEWHERE, **environ}, VirtualClock())
        .credentials()
    )
    return found.access_key_id, found.access_key_secret, found.security_token


def profiles(home: Path) -> dict[str, str]:
    """A home with two profiles of the command line tool, of which another one is current."""
    listed = [
        {
            "name": name,
            "mode": "AK",
            "access_key_id": f"LTAI{name}",
            "access_key_secret": f"s{name}",
        }
        for name in ("benchmarks", "another")
    ]
    (home / ".aliyun").mkdir()
    document = {"current": "another", "profiles": listed}
    (home / ".aliyun/config.json").write_text(json.dumps(document), "utf-8")
    return {"HOME": str(home)}


async def test_a_saved_key_is_used() -> None:
    assert await key_of(KEY, {}) == (KEY_ID, SECRET, None)
    assert await key_of({**KEY, "security_token": TOKEN}, {}) == (KEY_ID, SECRET, TOKEN)


async def test_an_empty_block_looks_where_the_run_is() -> None:
    assert await key_of({}, {}) == ("LTAIexampleEnv", "secret-of-the-environment", None)


async def test_a_saved_profile_is_used_whatever_the_environment_says(tmp_path: Path) -> None:
    home = profiles(tmp_path)
    assert await key_of({"profile": "benchmarks"}, home) == ("LTAIbenchmarks", "sbenchmarks", None)


async def test_a_saved_uri_is_asked_whatever_the_environment_says(tmp_path: Path) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await reader.readuntil(b"\r\n\r\n")).splitlines()[0].decode())
        body = json.dumps(
            {
                "AccessKeyId": KEY_ID,
                "AccessKeySecret": SECRET,
                "SecurityToken": TOKEN,
                "Expiration": "2099-01-01T00:00:00Z",
            }
        ).encode()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        writer.close()

    asked: list[str] = []
    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        uri = f"http://127.0.0.1:{port}/canary-path"
        found = await key_of({"credentials_uri": uri}, profiles(tmp_path))
    assert found == (KEY_ID, SECRET, TOKEN)
    assert asked == ["GET /canary-path HTTP/1.1"]


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"profile": "nobody-has-it"}, "profile: ALIBABA_CLOUD_PROFILE"),
        ({"machine_role": "no role"}, "machine_role: "),
        ({"credentials_uri": "ftp://canary"}, "credentials_uri: ALIBABA_CLOUD_CREDENTIALS_URI"),
    ],
)
async def test_a_way_that_leads_nowhere_is_named(
    fields: dict[str, Any], where: str, tmp_path: Path
) -> None:
    environ = profiles(tmp_path)
    if "machine_role" in fields:
        environ["ALIBABA_CLOUD_ECS_METADATA_DISABLED"] = "false"
    with pytest.raises(CredentialError) as caught:
        await key_of(fields, environ)
    assert caught.value.where is not None
    assert caught.value.where.startswith(f"Alibaba Cloud Credentials: {where}")
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("provider", [None, "acs:ram::1:oidc-provider/cluster"])
async def test_a_role_that_its_pod_says_nothing_about_is_never_replaced_by_other_credentials(
    provider: str | None, tmp_path: Path
) -> None:
    fields = {"oidc_role_arn": "acs:ram::1:role/bench", "oidc_provider_arn": provider}
    with pytest.raises(CredentialError, match="TOKEN_FILE, which the environment lacks"):
        await key_of(fields, profiles(tmp_path))


async def test_a_pods_environment_completes_its_role(tmp_path: Path) -> None:
    """No more is missing than a token, or the package that would take it to STS."""
    environ = {
        "ALIBABA_CLOUD_OIDC_PROVIDER_ARN": "acs:ram::1:oidc-provider/cluster",
        "ALIBABA_CLOUD_OIDC_TOKEN_FILE": str(tmp_path / "token"),
    }
    with pytest.raises(CredentialError) as caught:
        await key_of({"oidc_role_arn": "acs:ram::1:role/bench"}, environ)
    assert "is not set" not in caught.value.what


def test_secrets_are_known_to_what_hides_them_and_shown_to_nobody() -> None:
    uri = "http://127.0.0.1/canary-path"
    for block, secrets in (
        (AlibabaCloudCredentials(**KEY, security_token=TOKEN), (SECRET, TOKEN)),
        (AlibabaCloudCredentials(credentials_uri=uri), (uri,)),
        (AlibabaCloudCredentials(), ()),
    ):
        assert block.secrets == secrets
        assert "canary" not in repr(block) + str(block) + block.model_dump_json()
        assert "canary" not in repr(block.source({}, VirtualClock()))


def test_prefect_is_told_which_fields_are_secret() -> None:
    schema = AlibabaCloudCredentials.model_json_schema()
    assert set(schema["secret_fields"]) == {
        "access_key_secret",
        "security_token",
        "credentials_uri",
    }


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        (
            {**KEY, "profile": "canary"},
            "profile\n  is another way to credentials than access_key_id",
        ),
        (
            {"machine_role": "r", "credentials_uri": "http://canary"},
            "credentials_uri\n  is another",
        ),
        ({"access_key_id": KEY_ID}, "access_key_secret\n  is missing beside access_key_id"),
        ({"access_key_secret": SECRET}, "access_key_id\n  is missing beside access_key_secret"),
        ({"security_token": TOKEN}, "access_key_id\n  is missing beside security_token"),
        ({"oidc_token_file": "/x"}, "oidc_role_arn\n  is missing beside oidc_token_file"),
        ({**KEY, "access_key_secret": "two canary words"}, "access_key_secret\n  holds a space"),
        ({**KEY, "access_key_secret": "$CANARY"}, "the name of a shell variable"),
        ({**KEY, "access_key_secret": ""}, "access_key_secret\n  is empty"),
        ({"oidc_role_arn": "canary"}, "oidc_role_arn"),
        ({"acess_key_secret": SECRET}, "no such field. Did you mean access_key_secret?"),
        ({"block_type_slug": "result-store"}, "Invalid block_type_slug"),
    ],
)
def test_what_cannot_work_is_refused_without_being_repeated(
    fields: dict[str, Any], says: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        AlibabaCloudCredentials.model_validate(fields)
    assert says in str(caught.value)
    assert "canary" not in str(caught.value).lower()
