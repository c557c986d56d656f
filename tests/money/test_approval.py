"""Leave to create: only what was quoted, approved, and for as long as was said."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from money_builders import NOW, OTHER_HASH, PLAN_HASH, approval, price, quote

from tidemark.authorization import Authorization, Creation, check_authorization
from tidemark.errors import RefusedError
from tidemark.money.approval import Approval, ApprovedPlan, approve
from tidemark.money.quote import Quote

URL = "https://pai-dlc.cn-hangzhou.aliyuncs.com"
Body = dict[str, Any]


def now() -> datetime:
    return NOW + timedelta(minutes=2)


def plan(of: Quote | None = None, **more: Any) -> ApprovedPlan:
    of = of or quote()
    return approve(of, approval(of, **more), plan_hash=PLAN_HASH, now=now)


def body(**more: Any) -> Body:
    found: Body = {
        "DisplayName": "tidemark-abcd-run-1-a1",
        "JobSpecs": [{"Type": "Worker", "EcsSpec": "ecs.gn7i-c8g1.2xlarge", "PodCount": 2}],
        "JobMaxRunningTimeMinutes": 60,
        "Settings": {"Tags": {"tidemark-run": "run-1", "tidemark-plan": PLAN_HASH}},
    }
    return {**found, **more}


def try_to_create(of: ApprovedPlan, given: Body, action: str = "CreateJob") -> None:
    check_authorization(of, Creation(URL, action, given))


def test_what_was_approved_may_be_created() -> None:
    given = plan()
    try_to_create(given, body())
    spec = body()["JobSpecs"][0]
    halves = [{**spec, "PodCount": 1}, {**spec, "Type": "Master", "PodCount": 1}]
    try_to_create(given, body(JobSpecs=halves))
    # What the official SDK always sends.
    empty = {"ElasticSpotSpecs": [], "LocalMountSpecs": [], "StartupDependencies": []}
    try_to_create(given, body(JobSpecs=[{**spec, **empty}], ResourceId=""))
    without_count = {key: value for key, value in spec.items() if key != "PodCount"}
    try_to_create(given, body(JobSpecs=[without_count]))


@pytest.mark.parametrize(
    ("of", "more", "message"),
    [
        (quote(), {"plan_hash": OTHER_HASH}, "is for another plan, cdcdcdcdcdcd"),
        (quote(plan_hash=OTHER_HASH), {"plan_hash": PLAN_HASH}, "of a quote for another plan"),
        (quote(plan_hash=OTHER_HASH), {}, "this one was changed since"),
        (quote(), {"quote_id": "run-1-q2"}, "is for quote run-1-q2, and this is quote run-1-q1"),
        (quote(), {"run_id": "run-2"}, "is for quote"),
        (
            quote(),
            {"decision": "reject", "reason": "too dear", "channel": "Prefect"},
            r"wang said no \(Prefect\): too dear",
        ),
        (quote(), {"decision": "reject"}, r"wang said no \(terminal\), without a reason"),
        (
            quote(),
            {"decided_at": NOW + timedelta(minutes=30, seconds=1)},
            r"came at 2026-11-22 18:30:01\+00:00, and the quote held until 2026-11-22 18:30:00",
        ),
        (quote(), {"decided_at": NOW + timedelta(minutes=13)}, "which is not yet"),
        (quote(price=price(None)), {}, "there is no price .* can't be approved silently"),
        (
            quote(price=price(None), mode="spot"),
            {"up_to": Decimal(5), "currency": "CNY"},
            "can't be approved silently",
        ),
        (quote(), {"up_to": None}, r"names no sum, and up to 7\.20 CNY"),
        (quote(), {"currency": None}, "names no sum"),
        (quote(), {"currency": "USD"}, "is in USD, and the quote in CNY; sums are never converted"),
        (quote(), {"up_to": Decimal("7.19")}, r"covers 7\.19 CNY, and the run may cost 7\.20 CNY"),
        (quote(), {"up_to": Decimal("NaN")}, "the run may cost"),
    ],
)
def test_what_is_no_approval_of_a_quote_gives_no_leave(
    of: Quote, more: dict[str, Any], message: str
) -> None:
    with pytest.raises(RefusedError, match=message) as refused:
        plan(of, **more)
    assert refused.value.remedy


def test_a_decision_is_one_of_two() -> None:
    with pytest.raises(RefusedError, match="neither approve nor reject"):
        approval(quote(), decision="perhaps")
    with pytest.raises(RefusedError, match="time without a zone"):
        approval(quote(), decided_at=NOW.replace(tzinfo=None))


def changed(**spec: Any) -> Body:
    return body(JobSpecs=[{**body()["JobSpecs"][0], **spec}])


@pytest.mark.parametrize(
    ("given", "where", "message"),
    [
        (changed(EcsSpec="ecs.gn8v.48xlarge"), "EcsSpec", "is ecs.gn8v.48xlarge, and ecs.gn7i"),
        (changed(EcsSpec=None, ResourceConfig={"CPU": "8"}), "EcsSpec", "is a share of a quota"),
        (changed(ResourceConfig={"CPU": "8"}), "EcsSpec", "was quoted"),
        (changed(SpotSpec={"SpotStrategy": "SpotWithPriceLimit"}), "SpotSpec", "taken back"),
        (changed(ElasticSpotSpecs=[{"InstanceType": "x"}]), "ElasticSpotSpecs", "other machines"),
        (changed(AutoScalingSpec={"MaxReplicas": 9}), "AutoScalingSpec", "other machines"),
        (changed(PodCount=3), "JobSpecs", "ask for 3 machines, and 2 were quoted"),
        (changed(PodCount="2"), "PodCount", "is no number of machines"),
        (changed(PodCount=-5), "PodCount", "is no number of machines"),
        (changed(PodCount=True), "PodCount", "is no number of machines"),
        (body(JobSpecs=body()["JobSpecs"] * 2), "JobSpecs", "ask for 4 machines"),
        (body(JobSpecs=[]), "JobSpecs", "names no machines"),
        (body(JobSpecs=None), "JobSpecs", "names no machines"),
        (body(ElasticSpec={"EnableElasticTraining": True}), "ElasticSpec", "further machines"),
        (body(ResourceId="quota1"), "ResourceId", "names quota quota1"),
        (body(JobMaxRunningTimeMinutes=None), "JobMaxRunningTimeMinutes", "has no end"),
        (body(JobMaxRunningTimeMinutes=0), "JobMaxRunningTimeMinutes", "has no end"),
        (body(JobMaxRunningTimeMinutes="60"), "JobMaxRunningTimeMinutes", "has no end"),
        (body(JobMaxRunningTimeMinutes=True), "JobMaxRunningTimeMinutes", "has no end"),
        (body(JobMaxRunningTimeMinutes=61), "RunningTime", "run 61 minutes, and 60 were quoted"),
        (
            body(Settings={**body()["Settings"], "JobReservedMinutes": 5}),
            "RunningTime",
            "run 60 minutes and 5 kept, and 60 were quoted",
        ),
        (
            body(Settings={**body()["Settings"], "JobReservedMinutes": "5"}),
            "JobReservedMinutes",
            "is no number of minutes",
        ),
        (body(Settings={}), "tidemark-run", "is missing, and the approval is for run-1"),
        (body(Settings=None), "tidemark-run", "is missing"),
        (
            body(Settings={"Tags": {"tidemark-run": "run-2", "tidemark-plan": PLAN_HASH}}),
            "tidemark-run",
            "is run-2, and the approval is for run-1",
        ),
        (
            body(Settings={"Tags": {"tidemark-run": "run-1", "tidemark-plan": OTHER_HASH}}),
            "tidemark-plan",
            "is cdcd",
        ),
    ],
)
def test_another_job_than_was_quoted_is_refused(given: Body, where: str, message: str) -> None:
    with pytest.raises(RefusedError, match=message) as refused:
        try_to_create(plan(), given)
    assert where in str(refused.value.where)


def test_nothing_but_a_job_is_covered() -> None:
    with pytest.raises(RefusedError, match="CreateService is not covered"):
        try_to_create(plan(), body(), "CreateService")


def test_a_spot_price_is_for_a_spot_machine() -> None:
    given = plan(quote(mode="spot", spot_limit=Decimal("0.8")))
    try_to_create(given, changed(SpotSpec={"SpotDiscountLimit": 0.8}))
    try_to_create(given, changed(SpotSpec={"SpotDiscountLimit": 0.2}))
    with pytest.raises(RefusedError, match="is missing, and the quote is for a spot price"):
        try_to_create(given, body())


@pytest.mark.parametrize(
    ("spot", "message"),
    [
        ({"SpotDiscountLimit": 1.0}, "is 1.0, and 0.2 was quoted"),
        ({"SpotDiscountLimit": 0.21}, "is 0.21, and 0.2 was quoted"),
        ({"SpotDiscountLimit": float("inf")}, "is inf, and 0.2 was quoted"),
        ({"SpotStrategy": "SpotAsPriceGo"}, "is no share"),
        ({"SpotDiscountLimit": "0.1"}, "is no share"),
        ({"SpotDiscountLimit": True}, "is no share"),
        ({"SpotDiscountLimit": float("nan")}, "is no share"),
        ({"SpotDiscountLimit": 0}, "is no share"),
        ({"SpotDiscountLimit": 0.1, "SpotPriceLimit": 99}, "is a sum, and a share"),
        ({"SpotPriceLimit": 0.1}, "is a sum, and a share"),
        ("yes", "is missing"),
    ],
    ids=str,
)
def test_a_spot_machine_may_cost_no_larger_share_than_was_quoted(spot: Any, message: str) -> None:
    given = plan(quote(mode="spot", spot_limit=Decimal("0.2")))
    with pytest.raises(RefusedError, match=message) as refused:
        try_to_create(given, changed(SpotSpec=spot))
    assert "SpotSpec" in str(refused.value.where)


def test_a_quote_without_a_spot_limit_covers_none() -> None:
    with pytest.raises(RefusedError, match="no limit was quoted"):
        try_to_create(plan(quote(mode="spot")), changed(SpotSpec={"SpotDiscountLimit": 0.2}))


def test_a_quota_needs_no_sum_and_covers_nothing_else() -> None:
    of = quote(mode="quota", spec="quota1", price=price(None))
    given = plan(of)
    share = changed(EcsSpec=None, ResourceConfig={"CPU": "8", "Memory": "32Gi"})
    try_to_create(given, {**share, "ResourceId": "quota1"})
    for other, message in (
        ({**share, "ResourceId": "quota2"}, "is quota2, and the quote is for quota quota1"),
        (share, "is None, and the quote is for quota quota1"),
        ({**body(), "ResourceId": "quota1"}, "and a quota was quoted"),
        ({**changed(EcsSpec=None), "ResourceId": "quota1"}, "names no share of the quota"),
    ):
        with pytest.raises(RefusedError, match=message):
            try_to_create(given, other)


def test_a_quota_with_a_price_is_approved_up_to_a_sum() -> None:
    priced = quote(mode="quota", spec="quota1")
    assert plan(priced).approval.up_to == priced.bound
    with pytest.raises(RefusedError, match="names no sum"):
        plan(priced, up_to=None, currency=None)


def test_leave_cannot_be_forged() -> None:
    no: Approval = approval(quote(), decision="reject")
    with pytest.raises(RefusedError, match="said no"):
        ApprovedPlan(PLAN_HASH, quote(), no, now)
    with pytest.raises(RefusedError, match="said no"):
        replace(plan(), approval=no)
    forged = object.__new__(ApprovedPlan)
    for name, value in (
        ("plan_hash", PLAN_HASH),
        ("quote", quote()),
        ("approval", no),
        ("now", now),
    ):
        object.__setattr__(forged, name, value)
    with pytest.raises(RefusedError, match="said no"):
        try_to_create(forged, body())


def test_stand_ins_give_no_leave() -> None:
    with pytest.raises(TypeError, match="only an approval and the simulator"):

        class Yes(Authorization):
            pass

    @dataclass
    class Looks:
        permit: Callable[[Creation], None] = lambda _: None

    for stand_in in (Looks(), None, object()):
        with pytest.raises(RefusedError, match="no authorization was given"):
            check_authorization(stand_in, Creation(URL, "CreateJob", body()))  # type: ignore[arg-type]


def test_a_class_in_the_place_of_the_real_one_gives_no_leave() -> None:
    lenient = type(
        "ApprovedPlan",
        (ApprovedPlan,),
        {"__module__": "tidemark.money.approval", "permit": lambda *_: None},
    )
    of = lenient(PLAN_HASH, quote(), approval(quote()), now)
    with pytest.raises(RefusedError, match="no authorization was given"):
        check_authorization(of, Creation(URL, "CreateJob", body(JobMaxRunningTimeMinutes=9999)))


def test_an_approval_is_carried_to_another_process() -> None:
    given = plan()
    for carried in (copy.deepcopy(given), pickle.loads(pickle.dumps(given))):
        assert carried == given
        try_to_create(carried, body())


def test_a_yes_from_before_the_quote_is_refused() -> None:
    given = quote()
    early = approval(given, decided_at=given.quoted_at - timedelta(days=300))
    with pytest.raises(RefusedError, match="before there was a quote"):
        approve(given, early, plan_hash=PLAN_HASH, now=lambda: NOW)
