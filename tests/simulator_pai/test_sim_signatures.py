"""Who may call: what is signed as it must be, by a key that exists, once, and in time."""

from __future__ import annotations

import base64
import hashlib
from email.utils import formatdate
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from tidemark.alibaba.signing import roa_sha1_authorization, rpc_sha1_signature
from tidemark.simulator.clock import ScaledClock
from tidemark.simulator.pai.accounts import Account

JOBS = ("GET", "/api/v1/jobs", "ListJobs")
QUARTER_S = 900


def code(answer: httpx.Response) -> tuple[int, str]:
    document = answer.json()
    assert document["RequestId"] == answer.headers["x-acs-request-id"]
    return answer.status_code, document["Code"]


async def test_a_signed_call_is_answered_with_its_id(start: Any) -> None:
    pai = start()
    answer = await pai.call(*JOBS)
    assert answer.status_code == 200
    assert answer.json()["RequestId"] == answer.headers["x-acs-request-id"]


async def test_text_that_must_be_encoded_does_not_break_a_signature(start: Any) -> None:
    pai = start()
    query = {"DisplayName": "a b/c~*中", "Tags": '{"k":"v w"}'}
    assert (await pai.call(*JOBS, query=query)).status_code == 200
    answer = await pai.call("GET", "/api/v1/jobs/dlc%20a%2Fb", "GetJob")
    assert code(answer) == (404, "NotFound")
    assert "dlc a/b" in answer.json()["Message"]


@pytest.mark.parametrize(
    ("tampered", "expected"),
    [
        ({"x-acs-action": "ListEcsSpecs"}, (404, "InvalidAction.NotFound")),
        ({"x-acs-content-sha256": "0" * 64}, (400, "SignatureDoesNotMatch")),
        ({"x-acs-signature-nonce": "another"}, (400, "SignatureDoesNotMatch")),
        ({"accept": "text/html"}, (400, "SignatureDoesNotMatch")),
        ({"x-acs-extra": "not signed"}, (400, "IncompleteSignature")),
    ],
)
async def test_what_was_changed_on_the_way_is_refused(
    start: Any, tampered: dict[str, str], expected: tuple[int, str]
) -> None:
    pai = start()
    request = pai.signed(*JOBS)
    request.headers.update(tampered)
    assert code(await pai.send(request)) == expected


async def test_a_body_that_was_changed_is_refused(start: Any) -> None:
    pai = start()
    request = pai.signed("POST", "/api/v1/jobs", "CreateJob", body=pai.job())
    longer = request.content.replace(b"bench-1", b"bench-2")
    changed = httpx.Request("POST", request.url, headers=request.headers, content=longer)
    assert code(await pai.send(changed)) == (400, "SignatureDoesNotMatch")
    assert await pai.names() == []


async def test_a_hash_that_is_signed_but_is_not_the_body_s_is_refused(start: Any) -> None:
    pai = start()
    request = pai.signed(*JOBS, changes={"x-acs-content-sha256": "0" * 64})
    assert code(await pai.send(request)) == (400, "SignatureDoesNotMatch")


async def test_a_query_that_was_changed_is_refused(start: Any) -> None:
    pai = start()
    request = pai.signed(*JOBS, query={"PageSize": "10"})
    request.url = request.url.copy_with(query=b"PageSize=11")
    assert code(await pai.send(request)) == (400, "SignatureDoesNotMatch")


@pytest.mark.parametrize(
    "name", ["host", "x-acs-action", "x-acs-version", "x-acs-date", "content-type"]
)
async def test_each_header_that_matters_must_be_signed(start: Any, name: str) -> None:
    pai = start()
    request = pai.signed("POST", "/api/v1/jobs", "CreateJob", body=pai.job(), unsigned=(name,))
    answer = await pai.send(request)
    assert code(answer) == (400, "IncompleteSignature")
    assert name in answer.json()["Message"]


@pytest.mark.parametrize("name", ["x-acs-date", "x-acs-signature-nonce", "x-acs-content-sha256"])
async def test_a_header_that_is_missing_is_named(start: Any, name: str) -> None:
    pai = start()
    answer = await pai.call(*JOBS, changes={name: None})
    assert code(answer) == (400, "MissingParameter")
    assert name in answer.json()["Message"]


async def test_no_signature_and_half_a_signature(start: Any) -> None:
    pai = start()
    request = pai.signed(*JOBS)
    del request.headers["authorization"]
    assert code(await pai.send(request)) == (400, "MissingParameter")
    for wrong in ("ACS3-HMAC-SHA256 Credential=LTAIsimulator", "acs LTAIsimulator", "Basic eA=="):
        request = pai.signed(*JOBS)
        request.headers["authorization"] = wrong
        assert code(await pai.send(request)) == (400, "IncompleteSignature")


async def test_unknown_keys_and_wrong_secrets(start: Any) -> None:
    pai = start()
    pai.secret = "another-secret"
    answer = await pai.call(*JOBS)
    assert code(answer) == (400, "SignatureDoesNotMatch")
    assert "another-secret" not in answer.text
    pai.key_id = "LTAIunknown"
    assert code(await pai.call(*JOBS)) == (404, "InvalidAccessKeyId.NotFound")


@pytest.mark.parametrize("late_s", [-QUARTER_S - 1, QUARTER_S + 1])
async def test_a_signature_holds_for_a_quarter_of_an_hour_either_way(
    start: Any, late_s: float
) -> None:
    pai = start()
    near_s = late_s - 1 if late_s > 0 else late_s + 1
    signed_s = pai.clock.time() - near_s
    assert (await pai.call(*JOBS, at_s=signed_s)).status_code == 200
    answer = await pai.call(*JOBS, at_s=pai.clock.time() - late_s)
    assert code(answer) == (400, "InvalidTimeStamp.Expired")


async def test_a_date_that_is_none(start: Any) -> None:
    answer = await start().call(*JOBS, changes={"x-acs-date": "yesterday"})
    assert code(answer) == (400, "InvalidTimeStamp.Format")


async def test_signatures_are_judged_by_real_time_when_the_simulator_s_runs_fast(
    start: Any,
) -> None:
    clock = ScaledClock(1000.0)
    pai = start(clock=clock)
    clock.advance(86400.0)
    pai.clock = ScaledClock(1.0)
    assert (await pai.call(*JOBS)).status_code == 200


async def test_a_nonce_is_good_for_one_call(start: Any) -> None:
    pai = start()
    assert (await pai.call(*JOBS, nonce="once")).status_code == 200
    assert code(await pai.call(*JOBS, nonce="once")) == (400, "SignatureNonceUsed")
    pai.simulator.accounts.add(Account("LTAIother", "other-secret"))
    pai.key_id, pai.secret = "LTAIother", "other-secret"
    assert (await pai.call(*JOBS, nonce="once")).status_code == 200


async def test_a_nonce_is_not_spent_by_a_call_that_was_refused(start: Any) -> None:
    pai = start()
    pai.secret = "another-secret"
    assert code(await pai.call(*JOBS, nonce="once"))[1] == "SignatureDoesNotMatch"
    pai.secret = "simulator-secret"
    assert (await pai.call(*JOBS, nonce="once")).status_code == 200


async def test_temporary_keys_need_their_token_until_it_ends(start: Any) -> None:
    pai = start()
    ends_s = pai.clock.time() + 3600
    pai.simulator.accounts.add(
        Account("STS.simulator", "sts-secret", security_token="token-1", expires_at_s=ends_s)
    )
    pai.key_id, pai.secret = "STS.simulator", "sts-secret"
    assert code(await pai.call(*JOBS)) == (400, "MissingSecurityToken")
    pai.token = "token-2"
    assert code(await pai.call(*JOBS)) == (400, "InvalidSecurityToken.MismatchWithAccessKey")
    pai.token = "token-1"
    assert (await pai.call(*JOBS)).status_code == 200
    pai.clock.advance(3600)
    assert code(await pai.call(*JOBS)) == (400, "InvalidSecurityToken.Expired")


def older(pai: Any, query: dict[str, str], **changes: str) -> httpx.Request:
    """A call with the older signature of ROA services, which does not cover a body."""
    headers = {
        "host": "pai-dlc.cn-hangzhou.simulator",
        "accept": "application/json",
        "date": formatdate(pai.clock.time(), usegmt=True),
        "x-acs-action": "ListJobs",
        "x-acs-version": "2020-12-03",
        "x-acs-signature-method": "HMAC-SHA1",
        "x-acs-signature-version": "1.0",
        "x-acs-signature-nonce": next(pai.nonces),
        **changes,
    }
    headers["authorization"] = roa_sha1_authorization(
        pai.key_id,
        pai.secret,
        method="GET",
        raw_path="/api/v1/jobs",
        raw_query=urlencode(query),
        headers=headers,
    )
    address = f"http://{headers['host']}/api/v1/jobs?{urlencode(query)}"
    return httpx.Request("GET", address, headers=headers)


async def test_the_older_signature_of_roa_services(start: Any) -> None:
    pai = start()
    query = {"DisplayName": "a b/c", "WorkspaceId": "268"}
    assert (await pai.send(older(pai, query))).status_code == 200
    again = older(pai, query, **{"x-acs-signature-nonce": "once"})
    assert (await pai.send(again)).status_code == 200
    assert code(await pai.send(again)) == (400, "SignatureNonceUsed")
    changed = older(pai, query)
    changed.headers["x-acs-signature-version"] = "2.0"
    assert code(await pai.send(changed)) == (400, "SignatureDoesNotMatch")
    early = formatdate(pai.clock.time() - 1000, usegmt=True)
    assert code(await pai.send(older(pai, query, date=early))) == (400, "InvalidTimeStamp.Expired")


async def test_the_older_signature_does_not_stand_for_another_body(start: Any) -> None:
    pai = start()
    request = older(pai, {}, **{"x-acs-signature-nonce": ""})
    bare = httpx.Request("GET", request.url, headers=request.headers, content=b"{}")
    answer = await pai.send(bare)
    assert code(answer) == (400, "MissingParameter")
    assert "nonce" in answer.json()["Message"]
    digest = base64.b64encode(hashlib.md5(b"{}").digest()).decode()
    for content, status in ((b"{}", 200), (b"[]", 400)):
        request = older(pai, {}, **{"content-md5": digest})
        asked = httpx.Request("GET", request.url, headers=request.headers, content=content)
        assert (await pai.send(asked)).status_code == status


@pytest.mark.parametrize(
    "date",
    [
        "Mon, 01 Jan 99999999999 00:00:00 GMT",
        "Mon, 01 Jan 2024 00:00:00 +999999999999999",
        "Mon, 01 Jan 0001 00:00:00 +2359",
        "x",
    ],
)
async def test_a_date_that_no_calendar_has(start: Any, date: str) -> None:
    pai = start()
    status, name = code(await pai.send(older(pai, {}, date=date)))
    assert status == 400
    assert name.startswith("InvalidTimeStamp.")


def rpc(pai: Any, **changes: str) -> httpx.Request:
    """A call with the older signature of RPC services, in the query."""
    query = {
        "Action": "DescribePrice",
        "Version": "2014-05-26",
        "Format": "JSON",
        "RegionId": "cn-hangzhou",
        "InstanceType": "ecs.c6.large",
        "AccessKeyId": pai.key_id,
        "SignatureMethod": "HMAC-SHA1",
        "SignatureVersion": "1.0",
        "SignatureNonce": next(pai.nonces),
        "Timestamp": "2026-01-01T00:00:00Z",
        **changes,
    }
    query["Signature"] = rpc_sha1_signature(pai.secret, method="GET", parameters=query.items())
    return httpx.Request("GET", f"http://ecs.cn-hangzhou.simulator/?{urlencode(query)}")


async def test_the_older_signature_of_rpc_services(start: Any) -> None:
    pai = start()
    answer = await pai.send(rpc(pai))
    assert answer.status_code == 200, answer.text
    assert answer.json()["PriceInfo"]["Price"]["Currency"] == "CNY"
    once = rpc(pai)
    assert (await pai.send(once)).status_code == 200
    assert code(await pai.send(once)) == (400, "SignatureNonceUsed")
    changed = rpc(pai)
    changed.url = changed.url.copy_merge_params({"InstanceType": "ecs.c6.xlarge"})
    assert code(await pai.send(changed)) == (400, "SignatureDoesNotMatch")
    assert code(await pai.send(rpc(pai, Timestamp="2025-12-31T23:00:00Z"))) == (
        400,
        "InvalidTimeStamp.Expired",
    )
    assert code(await pai.send(rpc(pai, SignatureMethod=""))) == (400, "MissingParameter")
    assert code(await pai.send(rpc(pai, SignatureMethod="HMAC-MD5"))) == (
        400,
        "IncompleteSignature",
    )


async def test_a_bearer_key_is_taken_where_it_stands_in_for_a_signature(start: Any) -> None:
    pai = start()
    address = "http://api.aliyun.simulator/api/eas/2021-07-01/DescribeBenchmarkTaskReport"
    address += "?ClusterId=cn-hangzhou&TaskName=none&ReportType=RAW"
    for key, status in (("sk-simulator", 404), ("sk-other", 403), ("", 403)):
        headers = {"authorization": f"Bearer {key}"} if key else {}
        assert (await pai.http.get(address, headers=headers)).status_code == status
    answer = await pai.http.get(
        f"http://{'pai-dlc.cn-hangzhou.simulator'}/api/v1/jobs",
        headers={
            "authorization": "Bearer sk-simulator",
            "x-acs-action": "ListJobs",
            "x-acs-version": "2020-12-03",
        },
    )
    assert code(answer) == (400, "IncompleteSignature")
