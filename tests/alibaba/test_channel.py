"""How calls are carried: attempts, hints, pace, clock and credentials put right, secrets kept."""

from __future__ import annotations

import gzip
import json
import logging
import pickle
import random
from collections.abc import AsyncIterator, Callable, Iterable
from email.utils import formatdate
from typing import Any
from unittest.mock import Mock

import httpx
import pytest

from tidemark.alibaba.account import Account
from tidemark.alibaba.channel import ChannelSettings
from tidemark.alibaba.credentials import Credentials, StaticCredentials
from tidemark.alibaba.dlc import CREATE_JOB, GET_JOB, STOP_JOB, Dlc
from tidemark.alibaba.errors import (
    AccessError,
    AlibabaError,
    CapacityError,
    ExpiredError,
    InvalidRequestError,
    NoAnswerError,
    NotFoundError,
    ServerError,
    ServiceError,
    SignatureError,
    ThrottledError,
    service_error,
)
from tidemark.alibaba.retrying import RetryPolicy
from tidemark.authorization import Authorization, Creation
from tidemark.errors import ConfigError, RefusedError
from tidemark.simulator.authorization import SimulatorAuthorization
from tidemark.simulator.clock import VirtualClock

FAKE = StaticCredentials.of("LTAIcanaryid", "canary-access-secret", "canary-security-token")
JOB = {"JobId": "dlc1", "Status": "Running", "RequestId": "r-1"}


class Service:
    """Answers calls from a list, the last one for ever, and remembers when each came."""

    def __init__(self, clock: VirtualClock, answers: Iterable[httpx.Response | Exception]) -> None:
        self.clock = clock
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []
        self.times_s: list[float] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        self.times_s.append(self.clock.monotonic())
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def refused(status: int, code: str, *, headers: dict[str, str] | None = None) -> httpx.Response:
    document = {"Code": code, "Message": "It went wrong.", "RequestId": "r-2"}
    return httpx.Response(status, json=document, headers=headers)


def account(
    *answers: httpx.Response | Exception,
    source: Any = FAKE,
    transport: httpx.AsyncBaseTransport | None = None,
    **settings: Any,
) -> tuple[Account, Service, VirtualClock]:
    clock = VirtualClock(jump=True)
    service = Service(clock, answers or [httpx.Response(200, json=JOB)])
    made = Account(
        source,
        "cn-hangzhou",
        endpoints="http://pai.simulator",
        transport=transport or httpx.MockTransport(service),
        clock=clock,
        settings=ChannelSettings(**{"calls_per_s": 1000.0, **settings}),
        draw=random.Random(7),
    )
    return made, service, clock


async def call(made: Account, operation: Any = GET_JOB, **more: Any) -> dict[str, object]:
    return await made.call(operation, parts={"JobId": "dlc1"}, **more)


OK = httpx.Response(200, json=JOB)
TRANSIENT = [
    refused(400, "Throttling.User"),
    refused(429, "TooManyRequests"),
    refused(503, "ServiceUnavailable"),
    refused(500, "InternalError"),
    httpx.Response(502, text="<html>Bad Gateway</html>"),
    httpx.ReadTimeout("slow"),
    httpx.ReadError("reset"),
    httpx.ConnectError("refused"),
    httpx.RemoteProtocolError("closed"),
    httpx.Response(200, text="not json"),
    httpx.Response(200, json=[1]),
]


@pytest.mark.parametrize("first", TRANSIENT, ids=str)
async def test_what_reads_is_asked_again(first: httpx.Response | Exception) -> None:
    made, service, _ = account(first, OK)
    assert (await call(made))["JobId"] == "dlc1"
    assert len(service.requests) == 2
    nonces = {request.headers["x-acs-signature-nonce"] for request in service.requests}
    assert len(nonces) == 2


AMBIGUOUS = [answer for answer in TRANSIENT[2:] if not isinstance(answer, httpx.ConnectError)]


@pytest.mark.parametrize("first", AMBIGUOUS, ids=str)
async def test_what_changes_something_is_not_repeated_when_it_may_have_happened(
    first: httpx.Response | Exception,
) -> None:
    made, service, _ = account(first, OK)
    with pytest.raises(AlibabaError) as caught:
        await call(made, STOP_JOB)
    assert caught.value.effect_unknown
    assert len(service.requests) == 1


@pytest.mark.parametrize("first", [*TRANSIENT[:2], httpx.ConnectError("refused")], ids=str)
async def test_what_changes_something_is_repeated_when_it_cannot_have_happened(
    first: httpx.Response | Exception,
) -> None:
    made, service, _ = account(first, OK)
    await call(made, STOP_JOB)
    assert len(service.requests) == 2


@pytest.mark.parametrize(
    ("headers", "least_s", "most_s"),
    [
        ({"x-acs-retry-after": "3000", "Retry-After": "60"}, 3.0, 3.31),
        ({"Retry-After": "7"}, 7.0, 7.71),
        ({"x-acs-retry-after": "soon", "Retry-After": "2"}, 2.0, 2.21),
        ({"Retry-After": "-1"}, 0.0, 0.51),
    ],
)
async def test_the_services_own_hint_comes_first(
    headers: dict[str, str], least_s: float, most_s: float
) -> None:
    made, service, _ = account(refused(400, "Throttling", headers=headers), OK)
    await call(made)
    waited_s = service.times_s[1] - service.times_s[0]
    assert least_s <= waited_s <= most_s


async def test_attempts_and_time_are_bounded() -> None:
    made, service, clock = account(refused(400, "Throttling"))
    with pytest.raises(ThrottledError, match="Throttling") as caught:
        await call(made)
    assert len(service.requests) == RetryPolicy().attempts
    assert clock.monotonic() < 4
    assert not caught.value.effect_unknown

    hint = {"x-acs-retry-after": "500000"}
    made, service, clock = account(refused(400, "Throttling", headers=hint))
    with pytest.raises(ThrottledError) as caught:
        await call(made)
    assert caught.value.retry_after_s == 500
    assert len(service.requests) == 1
    assert clock.monotonic() < 1


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "Throttling.Api", ThrottledError),
        (403, "FlowControl.Exceeded", ThrottledError),
        (429, "whatever", ThrottledError),
        (503, "ServiceUnavailableTemporary", ServerError),
        (400, "OperationTimeout", ServerError),
        (500, "", ServerError),
        (400, "SignatureDoesNotMatch", SignatureError),
        (404, "InvalidAccessKeyId.NotFound", AccessError),
        (403, "Forbidden.RAM", AccessError),
        (400, "InvalidSecurityToken.Malformed", AccessError),
        (403, "OperationForbidden", AccessError),
        (400, "InvalidParameter.JobSpecs", InvalidRequestError),
        (400, "BadRequest", InvalidRequestError),
        (400, "NeverSeenBefore", InvalidRequestError),
        (404, "InvalidAction.NotFound", NotFoundError),
        (404, "Job.NotFound", NotFoundError),
        (404, "", NotFoundError),
        (400, "ResourceAllocateFailed", CapacityError),
        (403, "OperationDenied.NoStock", CapacityError),
    ],
)
def test_errors_are_told_apart_by_code_before_status(
    status: int, code: str, kind: type[ServiceError]
) -> None:
    error = service_error("GetJob", "h", status, {"code": code, "message": "m", "requestId": "r"})
    assert type(error) is kind
    assert error.request_id == "r"
    assert error.remedy
    assert error.code == (code or f"HTTP {status}")


async def test_an_error_carries_what_is_needed_to_ask_for_help() -> None:
    document = {"Code": "Forbidden.RAM", "Message": "No.", "RequestId": "r-3", "Recommend": "u"}
    made, service, _ = account(httpx.Response(403, json=document))
    with pytest.raises(AccessError, match=r"GetJob was answered with Forbidden\.RAM: No") as caught:
        await call(made)
    assert (caught.value.request_id, caught.value.recommend) == ("r-3", "u")
    assert len(service.requests) == 1


async def test_a_wrong_clock_is_put_right_once() -> None:
    made, service, clock = account()
    hour_ahead = {"date": formatdate(clock.time() + 3600, usegmt=True)}
    service.answers = [refused(400, "InvalidTimeStamp.Expired", headers=hour_ahead), OK]
    await call(made, STOP_JOB)
    assert service.requests[1].headers["x-acs-date"] == "2026-01-01T01:00:00Z"

    made, service, _ = account(refused(400, "InvalidTimeStamp.Expired", headers=hour_ahead))
    with pytest.raises(SignatureError):
        await call(made)
    assert len(service.requests) == 2


@pytest.mark.parametrize(
    ("dated_s", "slow_s", "ahead_s"),
    [(0, 0, 0), (-0.7, 0, 0), (400, 0, -400), (-400, 0, 399), (0, 90, 0), (60, 90, 0)],
)
async def test_how_far_this_clock_is_ahead_is_told_by_the_date_of_answers(
    dated_s: float, slow_s: float, ahead_s: float
) -> None:
    def late(_: httpx.Request) -> httpx.Response:
        date = formatdate(clock.time() + dated_s, usegmt=True)
        clock.advance(slow_s)
        return httpx.Response(200, json=JOB, headers={"date": date})

    made, _, clock = account(transport=httpx.MockTransport(late))
    assert made.clock_ahead_s is None
    await call(made)
    assert made.clock_ahead_s == pytest.approx(ahead_s, abs=1)


class Renewing:
    """A source whose key changes when it is renewed."""

    def __init__(self) -> None:
        self.renewed = 0

    async def credentials(self) -> Credentials:
        return Credentials(f"LTAIkey{self.renewed}", "s", "t")

    def renew(self) -> None:
        self.renewed += 1


async def test_expired_credentials_are_renewed_once() -> None:
    source = Renewing()
    made, service, _ = account(refused(400, "InvalidSecurityToken.Expired"), OK, source=source)
    await call(made, STOP_JOB)
    assert "LTAIkey1" in service.requests[1].headers["authorization"]

    made, service, _ = account(refused(400, "InvalidSecurityToken.Expired"), source=Renewing())
    with pytest.raises(ExpiredError):
        await call(made)
    assert len(service.requests) == 2


async def test_calls_per_second_are_held_across_all_who_ask() -> None:
    import asyncio

    made, service, _ = account(calls_per_s=10.0, burst=5)
    await asyncio.gather(*(call(made) for _ in range(105)))
    times = sorted(service.times_s)
    assert times[-1] == pytest.approx(10.0)
    for first in range(len(times)):
        within = sum(times[first] <= t < times[first] + 1 - 1e-6 for t in times)
        assert within <= 5 + 10


async def test_who_gives_up_waiting_takes_no_turn_away() -> None:
    import asyncio

    made, service, clock = account(calls_per_s=1.0, burst=1)
    await call(made)
    waiting = [asyncio.create_task(call(made)) for _ in range(50)]
    await asyncio.sleep(0)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    begun_s = clock.monotonic()
    await call(made)
    assert clock.monotonic() - begun_s <= 1
    assert len(service.requests) == 2


async def test_a_throttled_call_holds_the_others_back() -> None:
    import asyncio

    hint = {"x-acs-retry-after": "5000"}
    made, service, _ = account(
        refused(400, "Throttling", headers=hint), OK, calls_per_s=2.0, burst=1
    )
    await asyncio.gather(*(call(made) for _ in range(4)))
    assert [t for t in service.times_s if 0 < t < 5] == []


@pytest.mark.parametrize("status", [302, 408, 499, 503, 504])
async def test_what_a_gateway_says_leaves_open_whether_it_happened(status: int) -> None:
    answer = httpx.Response(status, json={"Code": "Throttling", "Message": "Slow down."})
    made, service, _ = account(answer, OK)
    with pytest.raises(AlibabaError) as caught:
        await call(made, STOP_JOB)
    assert caught.value.effect_unknown
    assert len(service.requests) == 1


async def test_a_request_that_was_taken_already_is_not_sent_anew() -> None:
    made, service, _ = account(refused(400, "SignatureNonceUsed"), OK)
    with pytest.raises(SignatureError) as caught:
        await call(made, STOP_JOB)
    assert caught.value.effect_unknown
    assert len(service.requests) == 1
    made, service, _ = account(refused(400, "SignatureNonceUsed"), OK)
    await call(made)
    assert len(service.requests) == 2


@pytest.mark.parametrize("date", ["", "yesterday", "Fri, 31 Dec 99999 00:00:00 GMT"])
async def test_a_date_that_is_none_changes_no_clock(date: str) -> None:
    made, _, clock = account(refused(400, "InvalidTimeStamp.Expired", headers={"date": date}))
    with pytest.raises(SignatureError):
        await call(made)
    assert made.time_s() == clock.time()


@pytest.mark.parametrize(
    "body", [{"A": "\udc80"}, {"A": float("nan")}], ids=["surrogate", "not a number"]
)
async def test_what_cannot_be_written_is_refused_before_any_request(body: dict[str, Any]) -> None:
    made, service, _ = account()
    with pytest.raises(ConfigError, match="cannot be written"):
        await made.call(CREATE_JOB, body=body, authorization=SimulatorAuthorization())
    with pytest.raises(ConfigError, match="cannot be written"):
        await call(made, query={"DisplayName": "\udc80"})
    with pytest.raises(ConfigError, match="cannot be written"):
        await call(made, query={"DisplayName": "x" * 70_000})
    assert service.requests == []


@pytest.mark.parametrize(
    "error",
    [
        service_error("GetJob", "h", 400, {"Code": "Throttling", "Message": "m"}),
        NoAnswerError("a", "b", sent=True),
        ConfigError("a", "b", "c"),
    ],
    ids=lambda each: type(each).__name__,
)
def test_errors_travel_between_processes(error: Exception) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert copy.__dict__ == error.__dict__


def stand_ins() -> list[Any]:
    class Named:
        __module__ = "tidemark.money.approval"
        __class__ = SimulatorAuthorization  # type: ignore[assignment]

        def permit(self, creation: Creation) -> None:
            pass

    return [Mock(spec=SimulatorAuthorization), Named(), SimulatorAuthorization]


@pytest.mark.parametrize("leave", [None, "yes", object(), *stand_ins()])
async def test_nothing_is_created_without_leave(leave: Any) -> None:
    made, service, _ = account()
    with pytest.raises(RefusedError, match="authorization"):
        await made.call(CREATE_JOB, body={"DisplayName": "x"}, authorization=leave)
    assert service.requests == []


async def test_a_class_that_calls_itself_another_module_gives_no_leave() -> None:
    class Forged(Authorization):
        __module__ = "tidemark.simulator.authorization"

        def permit(self, creation: Creation) -> None:
            pass

    made, service, _ = account()
    with pytest.raises(RefusedError, match="authorization"):
        await made.call(CREATE_JOB, body={}, authorization=Forged())
    with pytest.raises(AttributeError):
        SimulatorAuthorization().permit = print  # type: ignore[assignment, method-assign]
    assert service.requests == []


async def test_leave_for_the_simulator_is_leave_for_nothing_else() -> None:
    with pytest.raises(RefusedError, match=r"pai-dlc\.cn-hangzhou\.aliyuncs\.com"):
        SimulatorAuthorization().permit(
            Creation("https://pai-dlc.cn-hangzhou.aliyuncs.com", "CreateJob", {})
        )
    with pytest.raises(TypeError, match="only an approval and the simulator"):

        class Forged(Authorization):
            def permit(self, creation: Creation) -> None:
                pass


@pytest.mark.parametrize(
    ("region", "pattern"),
    [("cn-hangzou", "Did you mean cn-hangzhou"), ("", "region"), ("../x", "region")],
)
async def test_a_wrong_region_is_refused_before_any_request(region: str, pattern: str) -> None:
    sent: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return OK

    made = Account(FAKE, region, transport=httpx.MockTransport(answer))
    with pytest.raises(ConfigError, match=pattern):
        await call(made)
    assert sent == []


@pytest.mark.parametrize("job_id", ["", ".", ".."])
async def test_an_id_that_names_nothing_is_refused(job_id: str) -> None:
    made, service, _ = account()
    with pytest.raises(ConfigError, match="JobId"):
        await Dlc(made).get_job(job_id)
    assert service.requests == []


async def test_ids_are_encoded() -> None:
    made, service, _ = account()
    await Dlc(made).get_job("dlc a/b?c")
    assert service.requests[0].url.raw_path.startswith(b"/api/v1/jobs/dlc%20a%2Fb%3Fc?")


Answer = Callable[[httpx.Request], httpx.Response]


@pytest.mark.parametrize("status", [200, 400, 403, 500])
async def test_no_credential_is_repeated(status: int, caplog: pytest.LogCaptureFixture) -> None:
    """A service that repeats the whole request in its message, as some do for signatures."""

    def answer(request: httpx.Request) -> httpx.Response:
        told = " ".join(f"{name}:{value}" for name, value in request.headers.items())
        document = {
            "Code": "SignatureDoesNotMatch",
            "Message": {"Echo": [f"{told} {request.content!r}"]},
            "Recommend": told,
        }
        return httpx.Response(status, json=document if status != 200 else [told])

    caplog.set_level(logging.DEBUG)
    made = Account(
        FAKE,
        "cn-hangzhou",
        endpoints="http://pai.simulator",
        transport=httpx.MockTransport(answer),
        clock=VirtualClock(jump=True),
    )
    with pytest.raises(AlibabaError) as caught:
        await made.call(
            CREATE_JOB,
            body={"Password": "canary-body-secret"},
            secrets=["canary-body-secret"],
            authorization=SimulatorAuthorization(),
        )
    shown = [repr(caught.value), str(caught.value), repr(FAKE), repr(made), caplog.text]
    shown += [json.dumps(caught.value.__dict__, default=repr), repr(pickle.dumps(caught.value))]
    assert caught.value.__cause__ is caught.value.__context__ is None
    assert not [text for text in shown if "canary" in text]


async def test_nothing_is_redirected_to() -> None:
    made, service, _ = account(httpx.Response(302, headers={"location": "http://elsewhere/"}))
    with pytest.raises((ServiceError, NoAnswerError)):
        await call(made)
    assert {request.url.host for request in service.requests} == {"pai.simulator"}


class _Flood(httpx.AsyncBaseTransport):
    """A service whose answers have no end to speak of."""

    def __init__(self, part: bytes, headers: dict[str, str]) -> None:
        self.part = part
        self.headers = headers
        self.calls = self.sent_bytes = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:  # noqa: ARG002
        self.calls += 1
        return httpx.Response(200, headers=self.headers, stream=_Endless(self))


class _Endless(httpx.AsyncByteStream):
    def __init__(self, flood: _Flood) -> None:
        self._flood = flood

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while self._flood.sent_bytes < 2**30:
            self._flood.sent_bytes += len(self._flood.part)
            yield self._flood.part


@pytest.mark.parametrize(("operation", "open_"), [(GET_JOB, False), (STOP_JOB, True)])
async def test_an_answer_without_an_end_is_read_to_a_bound_and_said(
    operation: Any, open_: bool
) -> None:
    flood = _Flood(b" " * 2**20, {})
    made = Account(
        FAKE, "cn-hangzhou", endpoints="http://pai.simulator", transport=flood,
        clock=VirtualClock(jump=True),
    )  # fmt: skip
    with pytest.raises(NoAnswerError, match="answered with more than 67108864 bytes") as caught:
        await call(made, operation)
    assert flood.calls == 1
    assert flood.sent_bytes == 65 * 2**20
    assert not caught.value.retryable
    assert ("took effect" in str(caught.value)) == open_


async def test_an_answer_that_comes_packed_and_in_parts_is_read() -> None:
    packed = gzip.compress(json.dumps(JOB).encode())

    class Parts(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            for place in range(0, len(packed), 7):
                yield packed[place : place + 7]

    made, _, _ = account(httpx.Response(200, headers={"content-encoding": "gzip"}, stream=Parts()))
    assert (await call(made))["Status"] == "Running"
