"""Which callers are answered: programs that mean this machine, and no page in a browser."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

OURS = (
    "127.0.0.1:8080",
    "127.8.9.10",
    "[::1]:8080",
    "localhost:8080",
    "LocalHost",
    "simulator:8080",
    "pai-dlc.cn-hangzhou.simulator",
    "pai-dlc.cn-hangzhou.aliyuncs.com",
    "ecs.eu-central-1.aliyuncs.com:443",
    "api.alibabacloud.com",
    "api.aliyun.com",
)
OTHERS = (
    "pages.example.com",
    "pages.example.com:8080",
    "localhost.example.com",
    "127.0.0.1.example.com",
    "notaliyuncs.com",
    "192.0.2.7:8080",
    "0.0.0.0",
    "127.0.0.1,pages.example.com",
    "127.0.0.1:8080:x",
    "",
)


async def looked(pai: Any, host: str, **headers: str) -> httpx.Response:
    answer: httpx.Response = await pai.http.get(
        "http://127.0.0.1/_simulator/state", headers={"host": host, **headers}
    )
    return answer


@pytest.mark.parametrize("host", OURS)
async def test_names_of_this_machine_and_of_the_services(start: Any, host: str) -> None:
    pai = start()
    assert (await looked(pai, host)).status_code == 200
    assert (await pai.list(host=host))["TotalCount"] == 0


@pytest.mark.parametrize("host", OTHERS)
async def test_a_name_that_somebody_else_has_given_this_machine(start: Any, host: str) -> None:
    pai = start()
    assert (await looked(pai, host)).status_code == 403
    # The key is known to everyone, so that a page could sign for its own name.
    request = pai.signed("POST", "/api/v1/jobs", "CreateJob", body=pai.job())
    request.headers["host"] = host
    answer = await pai.send(request)
    assert answer.status_code == 403
    assert "127.0.0.1" in answer.json()["Message"]
    assert await pai.names() == []


@pytest.mark.parametrize(
    "page",
    [
        {"origin": "http://pages.example.com"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-origin"},
    ],
)
@pytest.mark.parametrize("any_host", [False, True])
async def test_pages_in_a_browser_are_refused(
    start: Any, page: dict[str, str], any_host: bool
) -> None:
    pai = start(any_host=any_host)
    assert (await looked(pai, "127.0.0.1:8080", **page)).status_code == 403
    request = pai.signed("POST", "/api/v1/jobs", "CreateJob", body=pai.job(), changes=page)
    answer = await pai.send(request)
    assert answer.status_code == 403
    assert "browser" in answer.json()["Message"]
    assert await pai.names() == []


async def test_what_a_person_types_into_a_browser_is_answered(start: Any) -> None:
    pai = start()
    assert (await looked(pai, "localhost", **{"sec-fetch-site": "none"})).status_code == 200


async def test_any_host_where_other_machines_may_call(start: Any) -> None:
    pai = start(any_host=True)
    assert (await pai.list(host="bench-machine.example.com:8080"))["TotalCount"] == 0
