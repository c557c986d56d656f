"""Temporary credentials: renewed in time, once for all who ask, and kept while they hold."""

from __future__ import annotations

import asyncio
import logging

import pytest

from tidemark.alibaba.credential_renewal import RenewedCredentials
from tidemark.alibaba.credentials import Credentials
from tidemark.alibaba.errors import CredentialError
from tidemark.simulator.clock import VirtualClock

HOUR_S = 3600.0


class Issuer:
    """Issues numbered credentials that last for an hour, unless it is down."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.lifetime_s: float | None = HOUR_S
        self.down = False
        self.asked = 0
        self.gate: asyncio.Event | None = None

    async def issue(self) -> Credentials:
        self.asked += 1
        number = self.asked
        if self.gate is not None:
            await self.gate.wait()
        if self.down:
            raise CredentialError("is down", "issuer", "Wait")
        ends = None if self.lifetime_s is None else self.clock.time() + self.lifetime_s
        return Credentials(f"STS.example{number}", "secret", "token", ends)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def issuer(clock: VirtualClock) -> Issuer:
    return Issuer(clock)


@pytest.fixture
def source(issuer: Issuer, clock: VirtualClock) -> RenewedCredentials:
    return RenewedCredentials(issuer.issue, clock)


async def key(source: RenewedCredentials) -> str:
    return (await source.credentials()).access_key_id


async def test_nothing_is_asked_before_it_is_needed(
    source: RenewedCredentials, issuer: Issuer
) -> None:
    assert issuer.asked == 0
    assert await key(source) == "STS.example1"


async def test_they_are_renewed_five_minutes_before_they_end(
    source: RenewedCredentials, clock: VirtualClock
) -> None:
    assert await key(source) == "STS.example1"
    clock.advance(HOUR_S - 301)
    assert await key(source) == "STS.example1"
    clock.advance(1)
    assert await key(source) == "STS.example2"
    clock.advance(HOUR_S - 301)
    assert await key(source) == "STS.example2"


async def test_short_ones_are_used_for_half_of_their_time(
    source: RenewedCredentials, issuer: Issuer, clock: VirtualClock
) -> None:
    issuer.lifetime_s = 120
    assert [await key(source) for _ in range(3)] == ["STS.example1"] * 3
    clock.advance(60)
    assert await key(source) == "STS.example2"


async def test_those_that_do_not_end_are_kept(
    source: RenewedCredentials, issuer: Issuer, clock: VirtualClock
) -> None:
    issuer.lifetime_s = None
    await key(source)
    clock.advance(1000 * HOUR_S)
    assert await key(source) == "STS.example1"


async def test_many_askers_wait_for_one_renewal(
    source: RenewedCredentials, issuer: Issuer, clock: VirtualClock
) -> None:
    for expected in ("STS.example1", "STS.example2"):
        issuer.gate = asyncio.Event()
        askers = [asyncio.create_task(key(source)) for _ in range(20)]
        await asyncio.sleep(0)
        issuer.gate.set()
        assert await asyncio.gather(*askers) == [expected] * 20
        clock.advance(HOUR_S)
    assert issuer.asked == 2


async def test_many_askers_get_one_error(source: RenewedCredentials, issuer: Issuer) -> None:
    issuer.down, issuer.gate = True, asyncio.Event()
    askers = [asyncio.create_task(key(source)) for _ in range(20)]
    await asyncio.sleep(0)
    issuer.gate.set()
    answers = await asyncio.gather(*askers, return_exceptions=True)
    assert all(isinstance(answer, CredentialError) for answer in answers)
    assert issuer.asked == 1
    issuer.down = False
    assert await key(source) == "STS.example2"


async def test_one_who_gives_up_leaves_the_renewal_to_the_others(
    source: RenewedCredentials, issuer: Issuer
) -> None:
    issuer.gate = asyncio.Event()
    first, second = (asyncio.create_task(key(source)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    issuer.gate.set()
    assert await second == "STS.example1"
    assert first.cancelled()
    assert issuer.asked == 1


async def test_old_ones_are_used_while_they_hold_if_a_renewal_fails(
    source: RenewedCredentials,
    issuer: Issuer,
    clock: VirtualClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    await key(source)
    issuer.down = True
    clock.advance(HOUR_S - 300)
    with caplog.at_level(logging.WARNING, "tidemark.alibaba"):
        assert await key(source) == "STS.example1"
    assert "hold for 300 s" in caplog.text
    assert await key(source) == "STS.example1"
    assert issuer.asked == 2  # and is not asked again at once
    clock.advance(30)
    assert await key(source) == "STS.example1"
    assert issuer.asked == 3
    clock.advance(270)
    with pytest.raises(CredentialError, match="is down"):
        await key(source)
    issuer.down = False
    assert await key(source) == "STS.example5"


async def test_those_that_a_service_rejects_are_fetched_anew(
    source: RenewedCredentials, issuer: Issuer
) -> None:
    await key(source)
    source.renew()
    assert await key(source) == "STS.example2"
    issuer.down = True
    source.renew()
    with pytest.raises(CredentialError, match="is down"):  # never the rejected ones again
        await key(source)


async def test_many_calls_that_fail_together_have_them_fetched_once(
    source: RenewedCredentials, issuer: Issuer
) -> None:
    rejected = asyncio.Barrier(10)

    async def call() -> list[str]:
        before = await key(source)
        await rejected.wait()
        source.renew()
        first = await key(source)
        # One that reports late has meanwhile been given nothing newer.
        return [before, first]

    answers = await asyncio.gather(*(call() for _ in range(10)))
    assert answers == [["STS.example1", "STS.example2"]] * 10

    async def late() -> str:
        await key(source)
        await asyncio.create_task(_renew_and_ask(source))
        source.renew()  # what this task was given is gone already
        return await key(source)

    assert await late() == "STS.example3"
    assert issuer.asked == 3


async def _renew_and_ask(source: RenewedCredentials) -> None:
    source.renew()
    await source.credentials()


async def test_those_that_had_ended_when_they_came_are_refused(
    source: RenewedCredentials, issuer: Issuer
) -> None:
    issuer.lifetime_s = -1
    with pytest.raises(CredentialError, match="had ended when they came"):
        await key(source)


def test_a_source_outlives_the_event_loop_it_was_first_used_in(
    source: RenewedCredentials, clock: VirtualClock
) -> None:
    assert asyncio.run(key(source)) == "STS.example1"
    source.renew()  # also without a loop
    assert asyncio.run(key(source)) == "STS.example2"
    clock.advance(HOUR_S)
    assert asyncio.run(key(source)) == "STS.example3"


def test_a_renewal_that_another_loop_left_unfinished_holds_up_nobody(
    source: RenewedCredentials, issuer: Issuer
) -> None:
    stopped = asyncio.new_event_loop()
    issuer.gate = asyncio.Event()
    first = stopped.create_task(key(source))
    stopped.run_until_complete(asyncio.sleep(0))
    gate, issuer.gate = issuer.gate, None
    assert asyncio.run(key(source)) == "STS.example2"
    gate.set()
    assert stopped.run_until_complete(first) == "STS.example1"
    stopped.close()
