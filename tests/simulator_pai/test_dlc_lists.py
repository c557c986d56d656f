"""ListJobs finds the jobs that are meant, in order, page by page."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

WEEK_S = 7 * 86400


async def test_names_match_in_part_and_in_any_case(start: Any) -> None:
    pai = start()
    for name in ("test-job1", "job-Test", "job-t1"):
        await pai.create(DisplayName=name)
    assert sorted(await pai.names(DisplayName="TEST")) == ["job-Test", "test-job1"]
    assert await pai.names(DisplayName="t.*") == []


async def test_the_last_week_unless_a_time_is_given(start: Any) -> None:
    pai = start()
    await pai.create(DisplayName="old")
    pai.clock.advance(WEEK_S + 1)
    await pai.create(DisplayName="new")
    assert await pai.names() == ["new"]
    assert await pai.names(StartTime="2025-12-31T00:00:00Z") == ["new", "old"]
    early = {"StartTime": "2025-12-31T00:00:00Z", "EndTime": "2026-01-02T00:00:00Z"}
    assert await pai.names(**early) == ["old"]
    answer = await pai.call("GET", "/api/v1/jobs", "ListJobs", query={"StartTime": "monday"})
    assert (answer.status_code, answer.json()["Code"]) == (400, "InvalidParameter")


async def test_pages(start: Any) -> None:
    pai = start()
    for number in range(25):
        await pai.create(DisplayName=f"job-{number:02}")
        pai.clock.advance(1)
    assert len(await pai.names()) == 10
    listed = []
    for page in (1, 2, 3, 4):
        answer = await pai.list(PageNumber=page, PageSize=9)
        assert answer["TotalCount"] == 25
        listed += [job["DisplayName"] for job in answer["Jobs"]]
    assert listed == [f"job-{number:02}" for number in reversed(range(25))]
    for wrong in ({"PageSize": 101}, {"PageNumber": 0}, {"PageSize": "many"}):
        answer = await pai.call("GET", "/api/v1/jobs", "ListJobs", query=wrong)
        assert answer.status_code == 400


async def test_order(start: Any) -> None:
    pai = start("jobs: [{when: {name: b}, then: {running_s: 1}}]")
    for name in ("b", "c", "a"):
        await pai.create(DisplayName=name)
        pai.clock.advance(1)
    assert await pai.names() == ["a", "c", "b"]
    assert await pai.names(Order="asc") == ["b", "c", "a"]
    assert await pai.names(SortBy="DisplayName", Order="asc") == ["a", "b", "c"]
    pai.clock.advance(1000)
    assert (await pai.names(SortBy="GmtFinishTime", Order="asc"))[0] == "b"
    for wrong in ({"SortBy": "Colour"}, {"Order": "up"}):
        answer = await pai.call("GET", "/api/v1/jobs", "ListJobs", query=wrong)
        assert (answer.status_code, answer.json()["Code"]) == (400, "InvalidParameter")


@pytest.fixture
async def three(start: Any) -> tuple[Any, dict[str, str]]:
    """Three jobs, one of them on spot, one of a quota."""
    pai = start("jobs: [{when: {name: long}, then: {running_s: never}}]")
    share = {"EcsSpec": None, "ResourceConfig": {"CPU": "4", "Memory": "8Gi"}}
    spot = {"SpotSpec": {"SpotStrategy": "SpotWithPriceLimit", "SpotDiscountLimit": 0.9}}
    tagged = {"Tags": {"round": "night", "by": "t"}, "Caller": "tidemark"}
    ids = {
        "long": await pai.create(DisplayName="long", Settings=tagged, Description="High water"),
        "spot": await pai.create(DisplayName="spot", spec=spot, UserCommand="python ebb.py"),
        "share": await pai.create(
            DisplayName="share",
            JobType="TFJob",
            ResourceId="quota1abc",
            spec={**share, "Image": "registry.example.com/flood:2"},
            Accessibility="PUBLIC",
        ),
    }
    pai.clock.advance(3600)
    return pai, ids


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, ["long", "share", "spot"]),
        ({"Status": "Running"}, ["long"]),
        ({"Status": "Succeeded"}, ["share", "spot"]),
        ({"JobType": "TFJob"}, ["share"]),
        ({"Tags": '{"round":"night"}'}, ["long"]),
        ({"Tags": '{"round":"night","by":"t"}'}, ["long"]),
        ({"Tags": '{"round":"day"}'}, []),
        ({"PaymentType": "Spot"}, ["spot"]),
        ({"PaymentType": "PrePaid"}, ["share"]),
        ({"PaymentType": "PostPaid"}, ["long"]),
        ({"ResourceId": "quota1abc"}, ["share"]),
        ({"ResourceIds": "quota1abc,quota2"}, ["share"]),
        ({"Accessibility": "PUBLIC"}, ["share"]),
        ({"Caller": "tidemark"}, ["long"]),
        ({"Description": "high"}, ["long"]),
        ({"UserCommandSearch": "EBB.py"}, ["spot"]),
        ({"ImageSearch": "flood"}, ["share"]),
        ({"ReasonSearch": "succeeded"}, ["share", "spot"]),
        ({"UserIdForFilter": "1234567890123456"}, ["long", "share", "spot"]),
        ({"UserIdForFilter": "1"}, []),
        ({"TemplateId": "tmpl-1"}, []),
        ({"WorkspaceId": "269"}, []),
        ({"Status": "Running", "JobType": "TFJob"}, []),
    ],
)
async def test_filters(three: Any, query: dict[str, str], expected: list[str]) -> None:
    pai, _ = three
    assert sorted(await pai.names(**query)) == expected


async def test_ids(three: Any) -> None:
    pai, ids = three
    assert await pai.names(JobId=ids["spot"].upper()) == ["spot"]
    several = f"{ids['spot']},{ids['long']},dlc404"
    assert sorted(await pai.names(JobIds=several)) == ["long", "spot"]
    assert await pai.names(JobIds=several, JobId=ids["share"]) == ["share"]


async def test_tags_that_are_no_json(three: Any) -> None:
    pai, _ = three
    for wrong in ("round=night", "[]", '{"a": 1}'):
        answer: httpx.Response = await pai.call(
            "GET", "/api/v1/jobs", "ListJobs", query={"Tags": wrong}
        )
        assert (answer.status_code, answer.json()["Code"]) == (400, "InvalidParameter")


async def test_entries_write_some_numbers_as_texts(three: Any) -> None:
    pai, ids = three
    (entry,) = (await pai.list(JobId=ids["spot"]))["Jobs"]
    assert (entry["RequestGPU"], entry["RequestMemory"], entry["NodeCount"]) == ("1", "15", "1")
    assert entry["EnablePreemptibleJob"] is True
    assert entry["Status"] == "Succeeded"


async def test_other_workspaces_need_to_be_named(start: Any) -> None:
    pai = start()
    await pai.create(DisplayName="default")
    await pai.create(DisplayName="other", WorkspaceId="300")
    assert await pai.names() == ["default"]
    assert await pai.names(WorkspaceId="300") == ["other"]
    assert await pai.names(FromAllWorkspaces="True") == ["default"]
    everywhere = {"FromAllWorkspaces": "True", "ShowOwn": "True"}
    assert sorted(await pai.names(**everywhere)) == ["default", "other"]
    assert await pai.names(**everywhere, WorkspaceId="300") == ["other"]


async def test_a_new_job_may_not_be_listed_yet(start: Any) -> None:
    pai = start("jobs: [{then: {visible_after_s: 20}}]")
    job_id = await pai.create()
    assert await pai.names() == []
    assert await pai.status(job_id) == "Creating"
    pai.clock.advance(20)
    assert await pai.names() == ["bench-1"]


async def update(pai: Any, job_id: str, **body: Any) -> httpx.Response:
    answer: httpx.Response = await pai.call("PUT", f"/api/v1/jobs/{job_id}", "UpdateJob", body=body)
    return answer


async def test_an_update_widens_and_never_narrows(start: Any) -> None:
    pai = start()
    job_id = await pai.create()
    assert (await update(pai, job_id, Accessibility="PUBLIC", Description="d")).status_code == 200
    job = await pai.get(job_id)
    assert (job["Accessibility"], job["Description"]) == ("PUBLIC", "d")
    answer = await update(pai, job_id, Accessibility="PRIVATE")
    assert (answer.status_code, answer.json()["Code"]) == (400, "InvalidParameter")
    assert (await update(pai, job_id, Accessibility="ALL")).status_code == 400
    assert (await update(pai, job_id, Priority=10)).status_code == 400
    assert (await update(pai, "dlc404", Priority=1)).status_code == 404


async def test_a_priority_counts_for_a_quota_s_job_that_waits(start: Any) -> None:
    pai = start()
    share = {"EcsSpec": None, "ResourceConfig": {"CPU": "4", "Memory": "8Gi"}}
    waiting = await pai.create(ResourceId="quota1abc", spec=share)
    public = await pai.create()
    for job_id in (waiting, public):
        assert (await update(pai, job_id, Priority=7)).status_code == 200
    assert [(await pai.get(one))["Priority"] for one in (waiting, public)] == [7, 1]
    pai.clock.advance(100)
    assert (await update(pai, waiting, Priority=9)).status_code == 200
    assert (await pai.get(waiting))["Priority"] == 7
