"""Credentials from a URI and for a role, over real sockets of the loopback interface."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import AsyncIterator, Iterator
from urllib.parse import parse_qsl, urlsplit

import pytest
from credential_builders import (
    CLI,
    INI,
    KEY_ID,
    SECRET,
    TOKEN,
    Service,
    chain,
    cli_file,
    held_by,
    keys_of,
    service,
    temporary,
)

from tidemark.alibaba.errors import CredentialError
from tidemark.alibaba.signing import acs3_authorization, sha256_hex
from tidemark.simulator.clock import NEW_YEAR_2026_S, VirtualClock

URI = "ALIBABA_CLOUD_CREDENTIALS_URI"
PATH = "/api/v1/credentials/0"
ROLE = "acs:ram::1:role/example"
SOON, LATER = "2026-01-01T01:00:00Z", "2026-01-01T02:00:00Z"


@pytest.fixture
async def server() -> AsyncIterator[Service]:
    async with service() as running:
        yield running


@pytest.fixture
def in_shanghai(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Asia/Shanghai")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


async def refused(
    environ: dict[str, str],
    files: dict[str, str | Exception] | None = None,
    sts_url: str | None = None,
) -> CredentialError:
    with pytest.raises(CredentialError) as caught:
        await chain(environ, files, sts_url=sts_url).credentials()
    shown = "".join(traceback.format_exception(caught.value)) + held_by(caught.value)
    for secret in (SECRET, TOKEN, "hidden-in-the-path"):
        assert secret not in shown
    return caught.value


async def test_a_uri_answers_with_temporary_credentials(server: Service) -> None:
    server.says(temporary(SOON, Code="Success", LastUpdated="2026-01-01T00:00:00Z"))
    found = await chain({URI: f"{server.url}{PATH}?a=b"}).credentials()
    assert keys_of(found) == ("STS.exampleId", SECRET, TOKEN)
    assert found.expires_at_s == NEW_YEAR_2026_S + 3600
    assert found.provider == "credential_uri"
    assert server.requests[0].startswith(f"GET {PATH}?a=b HTTP/1.1\r\n")


async def test_a_uri_is_asked_again_before_they_end(server: Service) -> None:
    clock = VirtualClock()
    server.says(temporary(SOON))
    source = chain({URI: f"{server.url}{PATH}"}, clock=clock)
    await source.credentials()
    server.says(temporary(LATER, "2"))
    clock.advance(3600 - 301)
    assert (await source.credentials()).access_key_id == "STS.exampleId"
    clock.advance(1)
    assert (await source.credentials()).access_key_id == "STS.exampleId2"
    assert len(server.requests) == 2


@pytest.mark.usefixtures("in_shanghai")
@pytest.mark.parametrize(
    ("expiration", "expires_at_s"),
    [
        ("2026-01-01T01:00:00.5Z", NEW_YEAR_2026_S + 3600.5),
        ("2026-01-01T09:00:00+08:00", NEW_YEAR_2026_S + 3600),
        ("2026-01-01T01:00:00", NEW_YEAR_2026_S + 3600),
    ],
)
async def test_moments_are_understood_as_they_are_written(
    server: Service, expiration: str, expires_at_s: float
) -> None:
    server.says(temporary(expiration))
    found = await chain({URI: f"{server.url}{PATH}"}).credentials()
    assert found.expires_at_s == expires_at_s


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"Code": "Failure.NoRole"}, "(HTTP 200, code Failure.NoRole)"),
        ({"Code": SECRET + " x"}, "(HTTP 200)"),
        ({"AccessKeyId": None}, "answered without AccessKeyId"),
        ({"AccessKeySecret": ""}, "is empty"),
        ({"SecurityToken": f"{TOKEN}\n{TOKEN}"}, "line break"),
        ({"SecurityToken": None}, "answered without SecurityToken"),
        ({"Expiration": None}, "answered without Expiration"),
        ({"Expiration": SECRET}, "is not a moment"),
        ({"Expiration": 1767229200}, "is not a moment"),
        ({"Expiration": "2025-12-31T23:59:59Z"}, "had ended when they came"),
    ],
)
async def test_an_answer_without_usable_credentials_is_an_error(
    server: Service, changes: dict[str, object], said: str
) -> None:
    server.says(temporary(SOON, **changes))
    error = await refused({URI: f"{server.url}/hidden-in-the-path"})
    assert said in error.what
    assert "127.0.0.1" in str(error.where)


@pytest.mark.parametrize("status", [201, 302, 403, 404, 500, 502])
async def test_only_a_whole_success_counts(server: Service, status: int) -> None:
    server.says(temporary(SOON), status)
    server.headers = ("location: http://127.0.0.1:9/elsewhere",)
    error = await refused({URI: f"{server.url}/hidden-in-the-path"})
    assert f"HTTP {status}" in error.what
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b"null", b"[" * 50_000, b"\xff\xfe", f'"{SECRET}'.encode()]
)
async def test_an_answer_that_is_no_object_is_an_error(server: Service, body: bytes) -> None:
    server.body = body
    await refused({URI: f"{server.url}{PATH}"})


async def test_an_endless_answer_is_not_read_to_its_end(server: Service) -> None:
    server.body = b"x" * 1_000_000
    assert "more than 65536 bytes" in (await refused({URI: f"{server.url}{PATH}"})).what


@pytest.mark.parametrize(
    "uri",
    [
        f"http://user:{SECRET}@127.0.0.1:9/",
        "ftp://127.0.0.1/hidden-in-the-path",
        "127.0.0.1:7002/hidden-in-the-path",
        "http:///hidden-in-the-path",
        "http://127.0.0.1:70000/hidden-in-the-path",
        "http://127.0.0.1:9/hidden-in-the-path\r\nx: y",
        "http://[::1/hidden-in-the-path",
        "http://exämple/hidden-in-the-path",
    ],
)
async def test_a_uri_that_is_none_is_refused(uri: str) -> None:
    assert (await refused({URI: uri})).where == URI


async def test_a_uri_where_nobody_answers_is_named_by_its_host() -> None:
    error = await refused({URI: "http://127.0.0.1:9/hidden-in-the-path"})
    assert error.where == "127.0.0.1:9"
    assert "ConnectError" in error.what


async def test_credentials_in_the_clear_go_through_no_proxy(
    server: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    server.says(temporary(SOON))
    assert await chain({URI: f"{server.url}{PATH}"}).credentials()


async def test_no_log_has_a_key_in_it(server: Service, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    server.says(temporary(SOON))
    await chain({URI: f"{server.url}{PATH}?token=hidden-in-the-query"}).credentials()
    profile = {
        "name": "default",
        "mode": "RamRoleArn",
        "access_key_id": KEY_ID,
        "access_key_secret": SECRET,
        "sts_token": TOKEN,
        "ram_role_arn": ROLE,
        "external_id": "hidden-external-id",
    }
    server.says({"Credentials": temporary(SOON)})
    await chain({}, {CLI: cli_file(profile)}, sts_url=server.url).credentials()
    assert "credentials from" in caplog.text
    for secret in (SECRET, TOKEN, "hidden-in-the-query", "hidden-external-id"):
        assert secret not in caplog.text


def asked_of(server: Service) -> tuple[dict[str, str], dict[str, str]]:
    """The query and the headers of the last request, whose signature holds."""
    head, *lines = server.requests[-1].split("\r\n")
    method, target, _ = head.split(" ")
    headers = {
        name.lower(): value for name, _, value in (line.partition(": ") for line in lines if line)
    }
    parts = urlsplit(target)
    signed = headers["authorization"].partition("SignedHeaders=")[2].partition(",")[0].split(";")
    expected = acs3_authorization(
        KEY_ID,
        SECRET,
        method=method,
        raw_path=parts.path,
        raw_query=parts.query,
        headers={name: headers[name] for name in signed},
        body_sha256=sha256_hex(b""),
    )
    assert headers["authorization"] == expected
    return dict(parse_qsl(parts.query)), headers


async def test_a_profile_takes_a_role(server: Service) -> None:
    profile = {
        "name": "default",
        "mode": "RamRoleArn",
        "access_key_id": KEY_ID,
        "access_key_secret": SECRET,
        "ram_role_arn": ROLE,
        "ram_session_name": "nightly",
        "expired_seconds": 900,
        "policy": '{"Version": "1",\n "Statement": []}',
        "external_id": "abc",
    }
    server.says({"Credentials": temporary(SOON), "RequestId": "R"})
    found = await chain({}, {CLI: cli_file(profile)}, sts_url=server.url).credentials()
    assert keys_of(found) == ("STS.exampleId", SECRET, TOKEN)
    assert found.provider == "ram_role_arn"
    query, headers = asked_of(server)
    assert query == {
        "RoleArn": ROLE,
        "RoleSessionName": "nightly",
        "DurationSeconds": "900",
        "Policy": profile["policy"],
        "ExternalId": "abc",
    }
    assert server.requests[-1].startswith("POST /?")
    assert headers["x-acs-action"] == "AssumeRole"
    assert headers["x-acs-version"] == "2015-04-01"
    assert headers["x-acs-date"] == "2026-01-01T00:00:00Z"
    assert "x-acs-security-token" not in headers


async def test_a_section_takes_a_role_with_temporary_credentials(server: Service) -> None:
    text = (
        f"[default]\ntype = ram_role_arn\naccess_key_id = {KEY_ID}\naccess_key_secret = {SECRET}\n"
        f"security_token = {TOKEN}\nrole_arn = {ROLE}\n"
    )
    server.says({"Credentials": temporary(SOON)})
    environ = {"ALIBABA_CLOUD_ROLE_SESSION_NAME": "from-environment"}
    await chain(environ, {INI: text}, sts_url=server.url).credentials()
    query, headers = asked_of(server)
    assert query == {
        "RoleArn": ROLE,
        "RoleSessionName": "from-environment",
        "DurationSeconds": "3600",
    }
    assert headers["x-acs-security-token"] == TOKEN


async def test_a_role_is_taken_by_another_profile(server: Service) -> None:
    profiles = [
        {
            "name": "default",
            "mode": "ChainableRamRoleArn",
            "source_profile": "base",
            "ram_role_arn": ROLE,
        },
        {
            "name": "base",
            "mode": "StsToken",
            "access_key_id": KEY_ID,
            "access_key_secret": SECRET,
            "sts_token": TOKEN,
        },
    ]
    server.says({"Credentials": temporary(SOON)})
    found = await chain({}, {CLI: cli_file(*profiles)}, sts_url=server.url).credentials()
    assert found.origin == f"{CLI}: profile default"
    query, headers = asked_of(server)
    assert query["RoleSessionName"] == "tidemark"
    assert headers["x-acs-security-token"] == TOKEN


@pytest.mark.parametrize(
    ("document", "status", "said"),
    [
        (
            {"Code": "NoPermission", "Message": f"for {SECRET}"},
            403,
            "(HTTP 403, code NoPermission)",
        ),
        (
            {"Code": "SignatureDoesNotMatch", "Message": TOKEN},
            400,
            "(HTTP 400, code SignatureDoesNotMatch)",
        ),
        ({"Code": {"x": SECRET}}, 500, "(HTTP 500)"),
        ({"RequestId": "R"}, 200, "(HTTP 200)"),
        ({"Credentials": [SECRET]}, 200, "(HTTP 200)"),
        ({"Credentials": temporary(SOON)}, 500, "(HTTP 500)"),
        ({"Credentials": {}}, 200, "answered without AccessKeyId"),
    ],
)
async def test_a_role_that_is_not_given_says_why(
    server: Service, document: object, status: int, said: str
) -> None:
    profile = {
        "name": "default",
        "mode": "RamRoleArn",
        "access_key_id": KEY_ID,
        "access_key_secret": SECRET,
        "ram_role_arn": ROLE,
    }
    server.says(document, status)
    error = await refused({}, {CLI: cli_file(profile)}, server.url)
    assert said in error.what


@pytest.mark.parametrize(
    ("fields", "environ", "host"),
    [
        ({}, {}, "sts.aliyuncs.com"),
        ({"sts_region": "cn-beijing"}, {}, "sts.cn-beijing.aliyuncs.com"),
        (
            {"sts_region": "cn-beijing", "enable_vpc": True},
            {},
            "sts-vpc.cn-beijing.aliyuncs.com",
        ),
        (
            {},
            {
                "ALIBABA_CLOUD_STS_REGION": "cn-shanghai",
                "ALIBABA_CLOUD_VPC_ENDPOINT_ENABLED": "true",
            },
            "sts-vpc.cn-shanghai.aliyuncs.com",
        ),
        (
            {"enable_vpc": False},
            {
                "ALIBABA_CLOUD_STS_REGION": "cn-shanghai",
                "ALIBABA_CLOUD_VPC_ENDPOINT_ENABLED": "true",
            },
            "sts.cn-shanghai.aliyuncs.com",
        ),
    ],
)
async def test_sts_is_asked_where_the_profile_or_the_environment_says(
    fields: dict[str, object],
    environ: dict[str, str],
    host: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Nobody answers at that proxy, so that nothing leaves this machine.
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    profile = {
        "name": "default",
        "mode": "RamRoleArn",
        "access_key_id": KEY_ID,
        "access_key_secret": SECRET,
        "ram_role_arn": ROLE,
        **fields,
    }
    assert (await refused(environ, {CLI: cli_file(profile)})).where == host
