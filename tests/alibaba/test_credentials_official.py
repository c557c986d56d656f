"""Roles of pods and machines: what is said without the official package, and what it gives.

The package asks fixed addresses; a proxy on the loopback interface answers in their place.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
import traceback
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from credential_builders import SECRET, TOKEN, Service, chain, keys_of, service, temporary

from tidemark.alibaba.credential_official import is_installed
from tidemark.alibaba.errors import CredentialError

IN_2099 = "2099-01-01T00:00:00Z"
METADATA = "/latest/meta-data/ram/security-credentials/"
NAMED_ROLE = {
    "ALIBABA_CLOUD_ECS_METADATA": "example-role",
    "ALIBABA_CLOUD_ECS_METADATA_DISABLED": "",
}

official = pytest.mark.skipif(not is_installed(), reason="alibabacloud_credentials is missing")


def pod(token_file: Path) -> dict[str, str]:
    return {
        "ALIBABA_CLOUD_ROLE_ARN": "acs:ram::1:role/example",
        "ALIBABA_CLOUD_OIDC_PROVIDER_ARN": "acs:ram::1:oidc-provider/example",
        "ALIBABA_CLOUD_OIDC_TOKEN_FILE": str(token_file),
    }


@pytest.fixture
async def proxy(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Service]:
    async with service() as running:
        for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"):
            monkeypatch.setenv(name, running.url)
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        yield running


async def refused(environ: dict[str, str]) -> CredentialError:
    with pytest.raises(CredentialError) as caught:
        await chain(environ).credentials()
    shown = "".join(traceback.format_exception(caught.value))
    assert SECRET not in shown
    assert TOKEN not in shown
    return caught.value


@pytest.mark.parametrize("environ", [NAMED_ROLE, pod(Path("/var/run/token"))])
async def test_without_the_package_the_extra_is_named(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "alibabacloud_credentials", None)
    monkeypatch.setitem(sys.modules, "alibabacloud_credentials.provider", None)
    error = await refused(environ)
    assert error.remedy == "Run: pip install 'alibabacloud-credentials>=1.0.12,<2'"
    assert error.where in environ


async def test_without_the_package_no_machine_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "alibabacloud_credentials", None)
    error = await refused({"ALIBABA_CLOUD_ECS_METADATA_DISABLED": ""})
    assert error.what == "no credentials of Alibaba Cloud were found"
    assert "role of the machine (asked only where" in str(error.remedy)


async def test_a_machine_role_can_be_forbidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "alibabacloud_credentials", None)
    error = await refused({**NAMED_ROLE, "ALIBABA_CLOUD_ECS_METADATA_DISABLED": "true"})
    assert "role of the machine by name (ALIBABA_CLOUD_ECS_METADATA_DISABLED is true)" in str(
        error.remedy
    )


async def test_a_role_name_that_is_none_is_asked_of_nobody() -> None:
    error = await refused({**NAMED_ROLE, "ALIBABA_CLOUD_ECS_METADATA": "../user-data"})
    assert error.what == "is not the name of a RAM role"


@official
async def test_the_role_of_a_machine_is_asked_by_name(proxy: Service) -> None:
    proxy.bodies = {
        "/latest/api/token": b"metadata-token",
        f"{METADATA}example-role": json.dumps(temporary(IN_2099, Code="Success")).encode(),
    }
    found = await chain(NAMED_ROLE).credentials()
    assert keys_of(found) == ("STS.exampleId", SECRET, TOKEN)
    assert found.expires_at_s == 4070908800
    assert (found.provider, found.origin) == ("ecs_ram_role", "ALIBABA_CLOUD_ECS_METADATA")
    assert "metadata-token" in proxy.requests[-1]
    assert not any("scheduler" in thread.name.lower() for thread in threading.enumerate())


@official
async def test_whatever_role_a_machine_has_is_asked_for_last(proxy: Service) -> None:
    proxy.bodies = {
        "/latest/api/token": b"metadata-token",
        METADATA: b"its-role",
        f"{METADATA}its-role": json.dumps(temporary(IN_2099, Code="Success")).encode(),
    }
    source = chain({"ALIBABA_CLOUD_ECS_METADATA_DISABLED": ""})
    assert (await source.credentials()).origin == "role of the machine"
    proxy.bodies[f"{METADATA}its-role"] = json.dumps(
        temporary(IN_2099, "2", Code="Success")
    ).encode()
    source.renew()
    assert (await source.credentials()).access_key_id == "STS.exampleId2"


@official
async def test_a_machine_without_a_role_is_one_of_the_places(proxy: Service) -> None:
    proxy.status = 404
    error = await refused({"ALIBABA_CLOUD_ECS_METADATA_DISABLED": ""})
    assert "role of the machine (ecs_ram_role gave no credentials" in str(error.remedy)
    assert "HTTP 404" in str(error.remedy)


@official
@pytest.mark.parametrize(
    "answer",
    [
        temporary(IN_2099, Code=SECRET),
        {"Code": "Success", "AccessKeySecret": SECRET, "Expiration": IN_2099},
        temporary(TOKEN, Code="Success"),
    ],
)
async def test_what_a_machine_answers_is_not_repeated(
    proxy: Service,
    answer: dict[str, object],
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    proxy.bodies = {f"{METADATA}example-role": json.dumps(answer).encode()}
    await refused(NAMED_ROLE)
    assert not {"credentials", "urllib3.connectionpool"} & {each.name for each in caplog.records}
    written = capfd.readouterr()
    for secret in (SECRET, TOKEN):
        assert secret not in caplog.text + written.out + written.err


@official
async def test_the_token_of_a_pod_is_not_repeated(
    proxy: Service,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    error = await refused(pod(tmp_path / "missing"))
    assert "No such file" in error.what
    (tmp_path / "token").write_text(SECRET)
    proxy.status = 502
    error = await refused(pod(tmp_path / "token"))
    assert error.where == "ALIBABA_CLOUD_OIDC_TOKEN_FILE"
    assert proxy.requests[-1].startswith("CONNECT sts.aliyuncs.com:443 ")
    written = capfd.readouterr()
    assert SECRET not in caplog.text + written.out + written.err
