"""Signatures against vectors: the documentation's own, and ones that the official SDK made."""

from __future__ import annotations

from urllib.parse import urlencode

import httpx
import pytest

from tidemark.alibaba.auth import Acs3Auth, RoaSha1Auth
from tidemark.alibaba.credentials import StaticCredentials
from tidemark.alibaba.signing import (
    EMPTY_SHA256,
    acs3_authorization,
    canonical_query,
    roa_sha1_authorization,
    sha256_hex,
)

NONCE = "0123456789abcdef0123456789abcdef"
COMMON = {
    "accept": "application/json",
    "user-agent": "pai-bench/0",
    "x-acs-date": "2026-01-02T03:04:05Z",
    "x-acs-signature-nonce": NONCE,
    "x-acs-credentials-provider": "static_ak",
}
BODY = (
    '{"DisplayName":"bench","JobType":"PyTorchJob","UserCommand":"echo 中",'
    '"JobSpecs":[{"Type":"Worker","PodCount":1,"Image":"i","EcsSpec":"ecs.g6.large"}]}'
).encode()


def signature(authorization: str) -> str:
    return authorization.rpartition("Signature=")[2]


def test_documentation_example() -> None:
    query = {"ImageId": "win2019_1809_x64_dtc_zh-cn_40G_alibase_20230811.vhd"}
    query |= {"RegionId": "cn-shanghai"}
    headers = {
        "host": "ecs.cn-shanghai.aliyuncs.com",
        "x-acs-action": "RunInstances",
        "x-acs-content-sha256": EMPTY_SHA256,
        "x-acs-date": "2023-10-26T10:22:32Z",
        "x-acs-signature-nonce": "3156853299f313e23d1673dc12e1703d",
        "x-acs-version": "2014-05-26",
    }
    made = acs3_authorization(
        "YourAccessKeyId",
        "YourAccessKeySecret",
        method="POST",
        raw_path="/",
        raw_query=urlencode(query),
        headers=headers,
        body_sha256=EMPTY_SHA256,
    )
    assert signature(made) == "06563a9e1b43f5dfe96b81484da74bceab24a1d853912eee15083a6f0f3283c0"


def test_roa_list_jobs() -> None:
    query = {
        "WorkspaceId": "268",
        "DisplayName": "a b/c~*中",
        "ShowOwn": "true",
        "PageSize": "10",
        "Tags": '{"k":"v"}',
    }
    made = acs3_authorization(
        "LTAItestid",
        "testsecret",
        method="GET",
        raw_path="/api/v1/jobs",
        raw_query=urlencode(query),
        headers={
            **COMMON,
            "host": "pai-dlc.cn-hangzhou.aliyuncs.com",
            "x-acs-action": "ListJobs",
            "x-acs-version": "2020-12-03",
            "x-acs-content-sha256": EMPTY_SHA256,
        },
        body_sha256=EMPTY_SHA256,
    )
    assert made == (
        "ACS3-HMAC-SHA256 Credential=LTAItestid,SignedHeaders=accept;host;user-agent;x-acs-action;"
        "x-acs-content-sha256;x-acs-credentials-provider;x-acs-date;x-acs-signature-nonce;"
        "x-acs-version,"
        "Signature=28c77afb403e38f9efc986dc9f2699e9210c6cec71b517c255337c6c41b3c553"
    )


def test_roa_create_job_with_a_temporary_token() -> None:
    assert sha256_hex(BODY).startswith("33c5e7ee")
    made = acs3_authorization(
        "LTAItestid",
        "testsecret",
        method="POST",
        raw_path="/api/v1/jobs",
        raw_query="",
        headers={
            **COMMON,
            "x-acs-credentials-provider": "static_sts",
            "host": "pai-dlc.cn-hangzhou.aliyuncs.com",
            "content-type": "application/json; charset=utf-8",
            "x-acs-action": "CreateJob",
            "x-acs-version": "2020-12-03",
            "x-acs-content-sha256": sha256_hex(BODY),
            "x-acs-security-token": "STS.token/+=",
            "x-acs-accesskey-id": "LTAItestid",
        },
        body_sha256=sha256_hex(BODY),
    )
    assert signature(made) == "704b0561d7b9b1c0fe271490f70f7fe700158aad79dd62832d6950779b547806"


def test_rpc_describe_price() -> None:
    query = {
        "RegionId": "cn-hangzhou",
        "ResourceType": "instance",
        "InstanceType": "ecs.c6.large",
        "PriceUnit": "Hour",
        "Period": "1",
        "SystemDisk.Category": "cloud_essd",
        "SystemDisk.Size": "120",
        "DataDisk.1.Category": "cloud_essd",
        "DataDisk.1.Size": "40",
    }
    made = acs3_authorization(
        "LTAItestid",
        "testsecret",
        method="POST",
        raw_path="/",
        raw_query=urlencode(query),
        headers={
            **COMMON,
            "host": "ecs.cn-hangzhou.aliyuncs.com",
            "x-acs-action": "DescribePrice",
            "x-acs-version": "2014-05-26",
            "x-acs-content-sha256": EMPTY_SHA256,
        },
        body_sha256=EMPTY_SHA256,
    )
    assert signature(made) == "b8cd73ba1843ee02cdb8976dfea797c8a76d99037358e8955fb85d72cc2dabf7"


def test_names_are_sorted_before_they_are_encoded() -> None:
    # A sort of the encoded pairs would put "a-b=" before "a=".
    assert canonical_query("a-b=1&a=2&a=1") == "a=1&a=2&a-b=1"
    assert canonical_query("x=a+b%2Fc~*%E4%B8%AD&empty=") == "empty=&x=a%20b%2Fc~%2A%E4%B8%AD"


@pytest.mark.parametrize("token", [None, "STS.fake/+="])
async def test_every_attempt_has_its_own_nonce_and_date(token: str | None) -> None:
    moments = iter((1_767_323_045.0, 1_767_323_999.0))
    auth = Acs3Auth(StaticCredentials.of("LTAIfake", "fake", token), lambda: next(moments))
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json={})

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
        for _ in range(2):
            headers = {"x-acs-action": "ListJobs", "x-acs-version": "2020-12-03"}
            await client.get("http://pai.simulator/api/v1/jobs?A=b", headers=headers, auth=auth)
    first, second = (request.headers for request in seen)
    assert first["x-acs-date"] == "2026-01-02T03:04:05Z"
    assert second["x-acs-date"] == "2026-01-02T03:19:59Z"
    assert first["x-acs-signature-nonce"] != second["x-acs-signature-nonce"]
    assert ("x-acs-security-token" in first) == (token is not None)
    # What httpx and proxies add or change is not signed.
    assert "accept-encoding" not in first["authorization"]


def test_older_roa_signature() -> None:
    made = roa_sha1_authorization(
        "LTAItestid",
        "testsecret",
        method="GET",
        raw_path="/workloads/wl-1",
        raw_query="",
        headers={
            "accept": "application/json",
            "date": "Fri, 02 Jan 2026 03:04:05 GMT",
            "x-acs-signature-method": "HMAC-SHA1",
            "x-acs-signature-version": "1.0",
            "x-acs-signature-nonce": NONCE,
            "x-acs-version": "2024-01-01",
        },
    )
    assert made.startswith("acs LTAItestid:")
    auth = RoaSha1Auth(
        StaticCredentials.of("LTAItestid", "testsecret"), lambda: 1_767_323_045.0, lambda: NONCE
    )
    request = httpx.Request(
        "GET",
        "http://pai.simulator/workloads/wl-1",
        headers={"accept": "application/json", "x-acs-version": "2024-01-01"},
    )
    flow = auth.async_auth_flow(request)
    import asyncio

    asyncio.run(anext(flow))  # type: ignore[arg-type]
    assert request.headers["date"] == "Fri, 02 Jan 2026 03:04:05 GMT"
    assert request.headers["authorization"] == made
