"""Profiles in files: which are read, and what is said of those that cannot be."""

from __future__ import annotations

import asyncio
import json
import traceback

import pytest
from credential_builders import (
    CANARIES,
    CLI,
    HOME,
    INI,
    KEY_ID,
    SECRET,
    TOKEN,
    chain,
    cli_file,
    held_by,
    keys_of,
    reader,
)
from hypothesis import given
from hypothesis import strategies as st

from tidemark.alibaba.credential_files import find_cli_profile, find_file_profile
from tidemark.alibaba.credential_recipes import AssumeOidcRole, MachineRole, Session
from tidemark.alibaba.errors import CredentialError

KEYS = {"access_key_id": KEY_ID, "access_key_secret": SECRET}
AK = {"name": "default", "mode": "AK", **KEYS, "sts_token": ""}
STS = {"name": "temporary", "mode": "StsToken", **KEYS, "sts_token": TOKEN}
INI_KEYS = f"access_key_id = {KEY_ID}\naccess_key_secret = {SECRET}\n"
INI_TEXT = (
    f"[default]\ntype = access_key\n{INI_KEYS}\n"
    f"[temporary]\ntype = sts\n{INI_KEYS}security_token = {TOKEN}\n"
)


async def refused(files: dict[str, str | Exception], **environ: str) -> CredentialError:
    with pytest.raises(CredentialError) as caught:
        await chain(environ, files).credentials()
    for canary in CANARIES:
        assert canary not in "".join(traceback.format_exception(caught.value))
        assert canary not in held_by(caught.value)
    return caught.value


async def test_the_current_profile_of_the_cli_is_used() -> None:
    found = await chain({}, {CLI: cli_file(STS, AK)}).credentials()
    assert keys_of(found) == (KEY_ID, SECRET, None)
    assert found.origin == f"{CLI}: profile default"


async def test_a_profile_of_the_cli_is_chosen_by_name() -> None:
    environ = {"ALIBABA_CLOUD_PROFILE": "temporary"}
    found = await chain(environ, {CLI: cli_file(AK, STS)}).credentials()
    assert keys_of(found) == (KEY_ID, SECRET, TOKEN)
    assert found.provider == "static_sts"


async def test_the_credentials_file_has_sections_of_two_kinds() -> None:
    assert keys_of(await chain({}, {INI: INI_TEXT}).credentials()) == (KEY_ID, SECRET, None)
    environ = {"ALIBABA_CLOUD_PROFILE": "temporary"}
    assert keys_of(await chain(environ, {INI: INI_TEXT}).credentials()) == CANARIES


async def test_the_credentials_file_can_lie_elsewhere() -> None:
    environ = {"ALIBABA_CLOUD_CREDENTIALS_FILE": "/mnt/keys"}
    assert keys_of(await chain(environ, {"/mnt/keys": INI_TEXT}).credentials())[0] == KEY_ID
    # Asked for, so that its absence is no reason to look elsewhere.
    error = await refused({INI: INI_TEXT}, **environ)
    assert error.where == "ALIBABA_CLOUD_CREDENTIALS_FILE"


async def test_a_name_that_the_cli_does_not_have_is_looked_for_in_the_credentials_file() -> None:
    files: dict[str, str | Exception] = {CLI: cli_file(AK), INI: INI_TEXT}
    found = await chain({"ALIBABA_CLOUD_PROFILE": "temporary"}, files).credentials()
    assert found.origin == f"{INI}: section temporary"


async def test_a_name_that_neither_file_has_is_an_error() -> None:
    error = await refused(
        {CLI: cli_file(AK), INI: INI_TEXT},
        ALIBABA_CLOUD_PROFILE="production",
        ALIBABA_CLOUD_CREDENTIALS_URI="http://127.0.0.1:9/none",
    )
    assert error.where == "ALIBABA_CLOUD_PROFILE"
    assert error.what.startswith(f"names a profile that is in neither file: {CLI} (")
    assert "there are: default)" in error.what
    assert "there are: default, temporary)" in error.what


async def test_marks_comments_and_percents_are_read_as_people_write_them() -> None:
    text = (
        f"\ufeff[default]\r\ntype=access_key # mine\r\naccess_key_id={KEY_ID}\r\n"
        "access_key_secret=50%(of)s%\r\n"
    )
    found = await chain({}, {INI: text}).credentials()
    assert keys_of(found) == (KEY_ID, "50%(of)s%", None)
    assert keys_of(await chain({}, {CLI: f"\ufeff{cli_file(AK)}"}).credentials())[0] == KEY_ID


async def test_sections_do_not_lend_each_other_keys() -> None:
    text = f"[DEFAULT]\n{INI_KEYS}\n[default]\ntype = access_key\n"
    assert "access_key_id" in str((await refused({INI: text})).where)


@pytest.mark.parametrize(
    ("mode", "said"),
    [
        ("CloudSSO", "a mode CloudSSO that is not read here"),
        ("OAuth", "a mode OAuth that is not read here"),
        ("External", "a mode External that is not read here"),
        (SECRET, "a mode that is not read here"),
        ("", "a mode that is not read here"),
        (None, "a mode that is not read here"),
        (["AK"], "a mode that is not read here"),
    ],
)
async def test_a_mode_that_is_not_read_is_named_if_it_is_one(mode: object, said: str) -> None:
    error = await refused({CLI: cli_file({**AK, "mode": mode})})
    assert said in error.what
    assert "AK, StsToken, RamRoleArn" in str(error.remedy)


async def test_a_type_that_is_not_read_is_named_if_it_is_one() -> None:
    error = await refused({INI: "[default]\ntype = rsa_key_pair\n"})
    assert "a type rsa_key_pair that is not read here" in error.what
    error = await refused({INI: f"[default]\ntype = {SECRET}\n"})
    assert "a type that is not read here" in error.what


@pytest.mark.parametrize("name", ["access_key_id", "access_key_secret", "sts_token"])
@pytest.mark.parametrize("value", [None, "", "  ", 5, ["x"], f"{SECRET}\n{SECRET}"])
async def test_a_field_that_is_no_key_is_named(name: str, value: object) -> None:
    error = await refused({CLI: cli_file({**STS, name: value})}, ALIBABA_CLOUD_PROFILE="temporary")
    assert error.where == f"{CLI}: profile temporary: {name}"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '"text"',
        "{}",
        '{"profiles": {}}',
        '{"profiles": 5}',
        '{"profiles": []}',
        '{"profiles": [1, null, {"mode": "AK"}], "current": "default"}',
        '{"profiles": [{"name": ["default"]}], "current": ["default"]}',
        "[" * 100_000,
        f'{{"current": "default", "access_key_secret": "{SECRET}',
        json.dumps({"profiles": [AK], "current": "other"}),
    ],
)
async def test_a_cli_file_that_is_damaged_is_named(text: str) -> None:
    assert (await refused({CLI: text, INI: INI_TEXT})).where == CLI


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has no section [default]"),
        ("[other]\n", "has no section [default] (there are: other)"),
        (f"access_key_secret = {SECRET}\n", "(line 1)"),
        (f"[default]\n{SECRET}\n", "(line 2)"),
        (f"[default]\naccess_key_secret = {SECRET}\naccess_key_secret = {SECRET}\n", "(line 3)"),
        (f"[{SECRET}\n", "(line 1)"),
        (f"[{SECRET}]\n", "has no section [default]"),
        (f"[{KEY_ID}]\n", "has no section [default]"),
    ],
)
async def test_a_credentials_file_that_is_damaged_is_named(text: str, said: str) -> None:
    error = await refused({INI: text})
    assert error.where == INI
    assert error.what.endswith(said)


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (PermissionError(13, "Permission denied"), "cannot be read (Permission denied)"),
        (IsADirectoryError(21, "Is a directory"), "cannot be read (Is a directory)"),
        (UnicodeDecodeError("utf-8", SECRET.encode(), 0, 1, "x"), "is not text in UTF-8"),
        (ValueError("embedded null byte"), "cannot be read (ValueError)"),
    ],
)
async def test_a_file_that_cannot_be_read_is_not_passed_over(failure: Exception, said: str) -> None:
    for path in (CLI, INI):
        error = await refused({path: failure})
        assert (error.where, error.what) == (path, said)


async def test_a_home_that_is_no_folder_has_no_files() -> None:
    nowhere = NotADirectoryError(20, "Not a directory")
    assert "no such file" in str(await refused({CLI: nowhere, INI: nowhere}))


async def test_a_key_that_became_the_name_of_a_profile_is_not_repeated() -> None:
    profile = {**AK, "name": SECRET, "access_key_secret": ""}
    error = await refused({CLI: cli_file(profile, current=SECRET)})
    assert error.where == f"{CLI}: profile: access_key_secret"


ROLE = "acs:ram::1:role/example"
PROVIDER = "acs:ram::1:oidc-provider/example"


def test_a_profile_can_name_the_role_of_a_pod() -> None:
    profile = {
        "name": "default",
        "mode": "OIDC",
        "ram_role_arn": ROLE,
        "oidc_provider_arn": PROVIDER,
        "oidc_token_file": "/var/run/token",
        "role_session_name": "nightly",
    }
    section = (
        f"[default]\ntype = oidc_role_arn\nrole_arn = {ROLE}\noidc_provider_arn = {PROVIDER}\n"
        "oidc_token_file_path = /var/run/token\nrole_session_name = nightly\n"
    )
    session = Session(ROLE, "nightly")
    assert find_cli_profile({"HOME": HOME}, reader({CLI: cli_file(profile)})) == AssumeOidcRole(
        session, PROVIDER, "/var/run/token", f"{CLI}: profile default"
    )
    assert find_file_profile({"HOME": HOME}, reader({INI: section})) == AssumeOidcRole(
        session, PROVIDER, "/var/run/token", f"{INI}: section default"
    )
    for name in ("oidc_provider_arn", "oidc_token_file"):
        with pytest.raises(CredentialError) as caught:
            find_cli_profile({"HOME": HOME}, reader({CLI: cli_file({**profile, name: ""})}))
        assert caught.value.where == f"{CLI}: profile default: {name}"


def test_a_profile_can_name_the_role_of_the_machine() -> None:
    environ = {"HOME": HOME, "ALIBABA_CLOUD_IMDSV1_DISABLED": "true"}
    profile = {"name": "default", "mode": "EcsRamRole", "ram_role_name": "example-role"}
    section = "[default]\ntype = ecs_ram_role\n"
    assert find_cli_profile(environ, reader({CLI: cli_file(profile)})) == MachineRole(
        "example-role", True, f"{CLI}: profile default: ram_role_name"
    )
    assert find_file_profile({"HOME": HOME}, reader({INI: section})) == MachineRole(
        "", False, f"{INI}: section default: role_name"
    )


async def test_roles_that_lead_back_to_themselves_are_refused() -> None:
    chained = {"mode": "ChainableRamRoleArn", "ram_role_arn": "acs:ram::1:role/example"}
    first = {**chained, "name": "first", "source_profile": "second"}
    second = {**chained, "name": "second", "source_profile": "first"}
    for profiles in ([first, second], [{**first, "source_profile": "first"}], [first]):
        error = await refused({CLI: cli_file(*profiles, current="first")})
        assert str(error.where).endswith("source_profile")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"ram_role_arn": ""}, "ram_role_arn"),
        ({"ram_session_name": "a b"}, "ram_session_name"),
        ({"expired_seconds": 60}, "expired_seconds"),
        ({"expired_seconds": "soon"}, "expired_seconds"),
        ({"expired_seconds": True}, "expired_seconds"),
        ({"sts_region": "x.example/"}, "sts_region"),
        ({"policy": {}}, "policy"),
        ({"access_key_secret": None}, "access_key_secret"),
    ],
)
async def test_a_role_that_sts_would_refuse_is_not_asked_for(
    changes: dict[str, object], field: str
) -> None:
    role = {**AK, "mode": "RamRoleArn", "ram_role_arn": "acs:ram::1:role/example", **changes}
    assert (await refused({CLI: cli_file(role)})).where == f"{CLI}: profile default: {field}"


VALID = [cli_file(AK, STS), cli_file(AK, STS, current="temporary"), INI_TEXT]


@given(
    st.sampled_from(VALID),
    st.lists(
        st.tuples(
            st.integers(0, 700),
            st.integers(0, 12),
            st.text('\n\r\t []{}":,=#%;$\\\x00\ufeffé', max_size=4),
        ),
        max_size=4,
    ),
    st.sampled_from([CLI, INI]),
)
def test_no_damage_to_a_file_makes_an_error_show_what_is_in_it(
    text: str, damages: list[tuple[int, int, str]], path: str
) -> None:
    for start, length, new in damages:
        text = text[:start] + new + text[start + length :]
    try:
        found = asyncio.run(chain({}, {path: text}).credentials())
    except CredentialError as error:
        shown = "".join(traceback.format_exception(error)) + repr(error)
        for canary in CANARIES:
            # A damaged key is no less a key: no long part of it is shown either.
            for begin in range(len(canary) - 11):
                assert canary[begin : begin + 12] not in shown
    else:
        assert all(key is None or key.isprintable() for key in keys_of(found))
        assert SECRET not in repr(found)
