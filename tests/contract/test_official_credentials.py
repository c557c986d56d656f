"""The official package of credentials behind our adapter, and beside our own chain.

The package asks a machine's metadata at one fixed address, which only a proxy can lead to the
loopback interface; STS it asks over TLS, at any host. What is not tried here is the address
itself, and a certificate of STS's own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from alibabacloud_credentials.provider import RamRoleArnCredentialsProvider
from contract_cloud import KEY, TEMPORARY, Cloud, served
from key_services import IDENTITY, METADATA, KeyService, certificate

from tidemark.alibaba.account import Account
from tidemark.alibaba.credential_official import role_by_oidc, role_of_machine
from tidemark.alibaba.credential_recipes import AssumeOidcRole, MachineRole, Session
from tidemark.alibaba.credential_remote import assume_role, new_client
from tidemark.alibaba.credential_sources import default_chain
from tidemark.alibaba.credentials import Credentials, StaticCredentials
from tidemark.alibaba.dlc import Dlc
from tidemark.alibaba.errors import CredentialError
from tidemark.clock import SystemClock

ROLE = "acs:ram::1234567890123456:role/example"
PROVIDER = "acs:ram::1234567890123456:oidc-provider/example"
GIVEN = (TEMPORARY.access_key_id, TEMPORARY.access_key_secret, TEMPORARY.security_token)
_ASK = """
import json
from alibabacloud_credentials.client import Client
found = Client().get_credential()
print(json.dumps([found.access_key_id, found.access_key_secret, found.security_token]))
"""


def keys_of(found: Credentials) -> tuple[str, str, str | None]:
    return found.access_key_id, found.access_key_secret, found.security_token


@pytest.fixture
def metadata(monkeypatch: pytest.MonkeyPatch) -> Iterator[KeyService]:
    """A machine's metadata, behind a proxy."""
    service = KeyService()
    with served(service.recorder, lifespan="off") as port:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{port}")
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        yield service


@pytest.fixture(scope="session")
def tls(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    return certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def sts(tls: tuple[str, str]) -> Iterator[tuple[KeyService, str]]:
    """STS over TLS, and its host."""
    service = KeyService()
    files = {"ssl_certfile": tls[0], "ssl_keyfile": tls[1]}
    with served(service.recorder, lifespan="off", **files) as port:
        yield service, f"127.0.0.1:{port}"


def pod(sts_host: str, directory: Path, token: str = IDENTITY) -> AssumeOidcRole:
    file = directory / "token"
    file.write_text(token)
    session = Session(ROLE, "tidemark", 900, '{"Version": "1"}', sts_host=sts_host)
    return AssumeOidcRole(session, PROVIDER, str(file), "the pod's variables")


async def test_a_pod_gets_keys_that_the_services_accept(
    sts: tuple[KeyService, str],
    tls: tuple[str, str],
    cloud: Cloud,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", tls[0])
    service, host = sts
    found = await role_by_oidc(pod(host, tmp_path))
    assert keys_of(found) == GIVEN
    assert (found.expires_at_s, found.provider) == (4070908800, "oidc_role_arn")
    query = service.recorder.requests[-1].query
    assert {name: query[name] for name in ("RoleArn", "OIDCProviderArn", "OIDCToken")} == {
        "RoleArn": ROLE,
        "OIDCProviderArn": PROVIDER,
        "OIDCToken": IDENTITY,
    }
    assert (query["RoleSessionName"], query["DurationSeconds"]) == ("tidemark", "900")
    assert query["Policy"] == '{"Version": "1"}'
    address = f"http://127.0.0.1:{cloud.port}"
    async with Account(StaticCredentials(found), "cn-hangzhou", endpoints=address) as account:
        assert (await Dlc(account).list_jobs()).total_count == 0
    assert cloud.requests[-1].headers["x-acs-credentials-provider"] == "oidc_role_arn"


async def test_a_refused_pod_is_told_the_code_and_not_the_token(
    sts: tuple[KeyService, str],
    tls: tuple[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", tls[0])
    with pytest.raises(CredentialError) as refused:
        await role_by_oidc(pod(sts[1], tmp_path, "canary.identity.token"))
    assert "HTTP 400" in refused.value.what
    assert "AuthenticationFail.OIDCToken.Expired" in refused.value.what
    written = capfd.readouterr()
    assert "canary.identity" not in str(refused.value) + written.out + written.err


async def test_a_certificate_that_nobody_vouches_for_gets_no_token(
    sts: tuple[KeyService, str], tmp_path: Path
) -> None:
    with pytest.raises(CredentialError):
        await role_by_oidc(pod(sts[1], tmp_path))
    assert sts[0].recorder.requests == []


@pytest.mark.parametrize("name", ["example-role", ""], ids=["named", "asked"])
async def test_a_machine_is_asked_with_a_token(metadata: KeyService, name: str) -> None:
    found = await role_of_machine(MachineRole(name, False, "the machine"))
    assert keys_of(found) == GIVEN
    assert (found.expires_at_s, found.provider) == (4070908800, "ecs_ram_role")
    asked = metadata.recorder.requests
    assert asked[-1].headers["host"] == "100.100.100.200"
    assert asked[-1].raw_path.endswith(f"{METADATA}example-role")
    assert asked[-1].headers["x-aliyun-ecs-metadata-token"] == "metadata-token"
    assert any(one.raw_path.endswith(METADATA) for one in asked) is (name == "")


async def test_an_old_machine_is_asked_without_a_token(metadata: KeyService) -> None:
    metadata.knows_tokens = metadata.wants_tokens = False
    found = await role_of_machine(MachineRole("example-role", False, "the machine"))
    assert keys_of(found) == GIVEN
    with pytest.raises(CredentialError, match="HTTP 404"):
        await role_of_machine(MachineRole("example-role", True, "the machine"))


async def test_a_machine_without_a_role_has_no_keys(metadata: KeyService) -> None:
    metadata.role = ""
    with pytest.raises(CredentialError) as refused:
        await role_of_machine(MachineRole("", False, "the machine"))
    assert (refused.value.where, "HTTP 404" in refused.value.what) == ("the machine", True)


async def test_a_role_is_taken_as_the_package_takes_it(
    sts: tuple[KeyService, str], tls: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", tls[0])
    service, host = sts
    # Without spaces: the package signs them as `+`, against what is documented.
    session = Session(ROLE, "tidemark", 1800, '{"Statement":"潮+"}', "outside-1")
    base = Credentials(KEY.access_key_id, KEY.access_key_secret)
    ours = await assume_role(
        base, session, "the profile", new_client, SystemClock(), f"https://{host}"
    )
    theirs = RamRoleArnCredentialsProvider(
        access_key_id=KEY.access_key_id,
        access_key_secret=KEY.access_key_secret,
        role_arn=session.role_arn,
        role_session_name=session.name,
        duration_seconds=session.duration_s,
        policy=session.policy,
        external_id=session.external_id,
        sts_endpoint=host,
    ).get_credentials()
    assert (
        keys_of(ours)
        == GIVEN
        == (
            theirs.get_access_key_id(),
            theirs.get_access_key_secret(),
            theirs.get_security_token(),
        )
    )
    assert ours.expires_at_s == theirs.get_expiration()
    own, official = (one.query for one in service.recorder.requests)
    assert own == {name: official[name] for name in own}
    # The package signs in the query, we in headers.
    about_signing = {"SignatureMethod", "SignatureVersion", "SignatureNonce", "Signature"}
    about_signing |= {"Timestamp", "AccessKeyId", "Format"}
    assert set(official) - set(own) == about_signing | {"Action", "Version"}


def _profile(mode: str, **fields: str) -> str:
    profile = {"name": "default", "mode": mode, **fields}
    return json.dumps({"current": "default", "profiles": [profile]})


ENVIRONMENT = {
    "ALIBABA_CLOUD_ACCESS_KEY_ID": "LTAIenvironment",
    "ALIBABA_CLOUD_ACCESS_KEY_SECRET": "environment-secret",
}
CLI = _profile("AK", access_key_id="LTAIcli", access_key_secret="cli-secret")
CLI_STS = _profile(
    "StsToken", access_key_id="STS.cli", access_key_secret="cli-secret", sts_token="cli-token/+="
)
INI = "[default]\nenable = true\ntype = access_key\naccess_key_id = LTAIini\n"
INI += "access_key_secret = ini-secret\n"
TWO = INI + INI.replace("default", "other").replace("LTAIini", "LTAIother")


@pytest.mark.parametrize(
    ("environ", "cli", "ini", "uri", "expected"),
    [
        (ENVIRONMENT, CLI, INI, True, "LTAIenvironment"),
        ({**ENVIRONMENT, "ALIBABA_CLOUD_SECURITY_TOKEN": "t/+="}, None, None, True, "LTAIenvir"),
        ({}, CLI, INI, True, "LTAIcli"),
        ({}, CLI_STS, None, False, "STS.cli"),
        ({"ALIBABA_CLOUD_CLI_PROFILE_DISABLED": "true"}, CLI, INI, True, "LTAIini"),
        ({"ALIBABA_CLOUD_PROFILE": "other"}, None, TWO, True, "LTAIother"),
        ({}, None, None, True, "STS.example"),
    ],
    ids=["all", "token", "cli", "cli-token", "no-cli", "other-profile", "uri"],
)
async def test_our_chain_finds_what_the_package_finds(
    tmp_path: Path,
    environ: Mapping[str, str],
    cli: str | None,
    ini: str | None,
    uri: bool,
    expected: str,
) -> None:
    for name, text in ((".aliyun/config.json", cli), (".alibabacloud/credentials.ini", ini)):
        if text is not None:
            (tmp_path / name).parent.mkdir()
            (tmp_path / name).write_text(text)
    with served(KeyService().recorder, lifespan="off") as port:
        given = {
            "HOME": str(tmp_path),
            "ALIBABA_CLOUD_ECS_METADATA_DISABLED": "true",
            **environ,
        }
        if uri:
            given["ALIBABA_CLOUD_CREDENTIALS_URI"] = f"http://127.0.0.1:{port}/keys?for=example"
        ours = await default_chain(given, SystemClock()).credentials()
        assert [*keys_of(ours)] == _by_package(given)
    assert ours.access_key_id.startswith(expected)


def _by_package(environ: Mapping[str, str]) -> list[Any]:
    """What the package finds, in a process of its own: it reads variables when imported."""
    done = subprocess.run(
        [sys.executable, "-c", _ASK],
        env={"PATH": os.environ["PATH"], **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    found: list[Any] = json.loads(done.stdout)
    return found
