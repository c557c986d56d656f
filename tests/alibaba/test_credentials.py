"""Credentials: where they are found, in which order, and what is said when they are not."""

from __future__ import annotations

import pytest
from credential_builders import CANARIES, CLI, INI, KEY_ID, SECRET, TOKEN, chain, cli_file, keys_of

from tidemark.alibaba.credential_sources import from_references
from tidemark.alibaba.credentials import BearerKey, StaticCredentials
from tidemark.alibaba.errors import CredentialError

ENVIRONMENT = {
    "ALIBABA_CLOUD_ACCESS_KEY_ID": KEY_ID,
    "ALIBABA_CLOUD_ACCESS_KEY_SECRET": SECRET,
}
CLI_PROFILE = {
    "name": "default",
    "mode": "AK",
    "access_key_id": "LTAIcli",
    "access_key_secret": "cli-secret",
}
INI_TEXT = "[default]\ntype = access_key\naccess_key_id = LTAIini\naccess_key_secret = ini-secret\n"


def no_file(path: str) -> str:
    raise FileNotFoundError(2, "No such file or directory", path)


async def test_the_environment_gives_an_access_key() -> None:
    found = await chain(ENVIRONMENT).credentials()
    assert keys_of(found) == (KEY_ID, SECRET, None)
    assert found.provider == "static_ak"
    assert found.expires_at_s is None


async def test_the_environment_gives_temporary_credentials() -> None:
    found = await chain({**ENVIRONMENT, "ALIBABA_CLOUD_SECURITY_TOKEN": TOKEN}).credentials()
    assert keys_of(found) == (KEY_ID, SECRET, TOKEN)
    assert found.provider == "static_sts"


async def test_white_space_around_a_key_is_no_part_of_it() -> None:
    found = await chain(
        {
            "ALIBABA_CLOUD_ACCESS_KEY_ID": f" {KEY_ID}",
            "ALIBABA_CLOUD_ACCESS_KEY_SECRET": f"{SECRET}\r\n",
        }
    ).credentials()
    assert keys_of(found) == (KEY_ID, SECRET, None)


async def test_no_repr_shows_a_key() -> None:
    found = await chain({**ENVIRONMENT, "ALIBABA_CLOUD_SECURITY_TOKEN": TOKEN}).credentials()
    shown = [found, StaticCredentials(found), BearerKey(SECRET), StaticCredentials.of(*CANARIES)]
    for canary in CANARIES:
        assert canary not in repr(shown)
    assert "ALIBABA_CLOUD_ACCESS_KEY_ID" in repr(found)  # where they came from is said


@pytest.mark.parametrize("missing", sorted(ENVIRONMENT))
async def test_half_an_access_key_is_an_error_and_nothing_else_is_used(missing: str) -> None:
    environ = {**ENVIRONMENT, missing: ""}
    with pytest.raises(CredentialError) as caught:
        await chain(environ, {CLI: cli_file(CLI_PROFILE)}).credentials()
    assert caught.value.where == missing
    assert "is not set, but" in caught.value.what


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("   ", "is empty"),
        ("two words", "holds a space"),
        ("first\nsecond", "line break"),
        ("tab\there", "holds a space"),
        ("schlüssel", "no key has"),
        ("null\x00byte", "no key has"),
        ("zero​width", "no key has"),
        ('"quoted"', "has quotes"),
        ("'half", "has quotes"),
        ("<access_key_secret>", "is a placeholder"),
        ("$ALIBABA_CLOUD_ACCESS_KEY_SECRET", "shell variable"),
        ("${SECRET}", "shell variable"),
        ("$(cat /run/secrets/key)", "shell variable"),
        ("%SECRET%", "shell variable"),
    ],
)
async def test_what_cannot_be_a_key_is_refused_without_being_repeated(
    value: str, said: str
) -> None:
    environ = {**ENVIRONMENT, "ALIBABA_CLOUD_ACCESS_KEY_SECRET": value}
    with pytest.raises(CredentialError) as caught:
        await chain(environ).credentials()
    assert said in caught.value.what
    assert caught.value.where == "ALIBABA_CLOUD_ACCESS_KEY_SECRET"
    words = f"{caught.value.what} {caught.value.remedy}"
    assert value.strip() == "" or value not in words
    assert KEY_ID not in str(caught.value)


async def test_the_first_place_that_is_given_is_used() -> None:
    environ = {**ENVIRONMENT, "ALIBABA_CLOUD_CREDENTIALS_URI": "http://127.0.0.1:9/none"}
    files: dict[str, str | Exception] = {CLI: cli_file(CLI_PROFILE), INI: INI_TEXT}
    assert (await chain(environ, files).credentials()).access_key_id == KEY_ID
    del environ["ALIBABA_CLOUD_ACCESS_KEY_ID"], environ["ALIBABA_CLOUD_ACCESS_KEY_SECRET"]
    assert (await chain(environ, files).credentials()).access_key_id == "LTAIcli"
    del files[CLI]
    assert (await chain(environ, files).credentials()).access_key_id == "LTAIini"
    del files[INI]
    with pytest.raises(CredentialError, match=r"127\.0\.0\.1:9"):
        await chain(environ, files).credentials()


async def test_a_broken_place_is_not_passed_over() -> None:
    files: dict[str, str | Exception] = {CLI: "{", INI: INI_TEXT}
    with pytest.raises(CredentialError, match="is not JSON"):
        await chain({}, files).credentials()


async def test_the_cli_can_be_left_out() -> None:
    environ = {"ALIBABA_CLOUD_CLI_PROFILE_DISABLED": "True"}
    files: dict[str, str | Exception] = {CLI: "{", INI: INI_TEXT}
    assert (await chain(environ, files).credentials()).access_key_id == "LTAIini"


async def test_without_any_credentials_the_error_lists_where_was_looked() -> None:
    with pytest.raises(CredentialError) as caught:
        await chain({}).credentials()
    assert caught.value.what == "no credentials of Alibaba Cloud were found"
    remedy = str(caught.value.remedy)
    for place in (
        "ALIBABA_CLOUD_ACCESS_KEY_ID is not set",
        "ALIBABA_CLOUD_OIDC_TOKEN_FILE is not set",
        f"{CLI} (no such file)",
        f"{INI} (no such file)",
        "ALIBABA_CLOUD_ECS_METADATA is not set",
        "ALIBABA_CLOUD_CREDENTIALS_URI is not set",
        "ALIBABA_CLOUD_ECS_METADATA_DISABLED is true",
    ):
        assert place in remedy


async def test_without_a_home_there_are_no_files_of_it() -> None:
    with pytest.raises(CredentialError, match="HOME is not set"):
        await chain({"HOME": ""}).credentials()


@pytest.mark.parametrize(
    "missing",
    [
        "ALIBABA_CLOUD_ROLE_ARN",
        "ALIBABA_CLOUD_OIDC_PROVIDER_ARN",
        "ALIBABA_CLOUD_OIDC_TOKEN_FILE",
    ],
)
async def test_half_a_role_of_a_pod_is_an_error(missing: str) -> None:
    environ = {
        "ALIBABA_CLOUD_ROLE_ARN": "acs:ram::1:role/example",
        "ALIBABA_CLOUD_OIDC_PROVIDER_ARN": "acs:ram::1:oidc-provider/example",
        "ALIBABA_CLOUD_OIDC_TOKEN_FILE": "/var/run/token",
    }
    del environ[missing]
    with pytest.raises(CredentialError) as caught:
        await chain(environ, {INI: INI_TEXT}).credentials()
    assert caught.value.where == missing


async def test_a_role_to_assume_alone_is_no_place() -> None:
    environ = {"ALIBABA_CLOUD_ROLE_ARN": "acs:ram::1:role/example"}
    assert (await chain(environ, {INI: INI_TEXT}).credentials()).access_key_id == "LTAIini"


async def test_once_found_credentials_are_not_taken_from_another_place() -> None:
    files: dict[str, str | Exception] = {CLI: cli_file(CLI_PROFILE), INI: INI_TEXT}
    source = chain({}, files)
    assert (await source.credentials()).access_key_id == "LTAIcli"
    files[CLI] = cli_file({**CLI_PROFILE, "access_key_id": "LTAIrotated"})
    assert (await source.credentials()).access_key_id == "LTAIcli"
    source.renew()
    assert (await source.credentials()).access_key_id == "LTAIrotated"
    del files[CLI]
    source.renew()
    with pytest.raises(CredentialError, match="no longer there"):
        await source.credentials()


async def test_references_lead_to_an_access_key() -> None:
    files = {"/run/secrets/secret": f"{SECRET}\n"}
    source = from_references(
        "env:KEY", "file:/run/secrets/secret", None, {"KEY": KEY_ID}, files.__getitem__
    )
    assert keys_of(await source.credentials()) == (KEY_ID, SECRET, None)
    files["/run/secrets/secret"] = "rotated"
    source.renew()
    assert (await source.credentials()).access_key_secret == "rotated"


async def test_references_lead_to_temporary_credentials() -> None:
    environ = {"KEY": KEY_ID, "SECRET": SECRET, "TOKEN": TOKEN}
    source = from_references("env:KEY", "env:SECRET", "env:TOKEN", environ, no_file)
    found = await source.credentials()
    assert keys_of(found) == (KEY_ID, SECRET, TOKEN)
    assert found.provider == "static_sts"


async def test_a_saved_block_is_asked_for_its_secret() -> None:
    source = from_references(
        "env:KEY",
        "prefect:alibaba",
        None,
        {"KEY": KEY_ID},
        no_file,
        {"alibaba": SECRET}.__getitem__,
    )
    assert (await source.credentials()).access_key_secret == SECRET


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("env:MISSING", "MISSING is not set"),
        ("file:/missing", "cannot be read"),
        ("prefect:alibaba", "is not asked here"),
        (SECRET, "not a reference"),
        ("env:SPACED", "holds a space"),
        ("env:UNEXPANDED", "shell variable"),
    ],
)
async def test_a_reference_that_leads_nowhere_is_named(reference: str, said: str) -> None:
    environ = {"KEY": KEY_ID, "SPACED": f"{SECRET} {SECRET}", "UNEXPANDED": "$SECRET"}
    with pytest.raises(CredentialError) as caught:
        await from_references("env:KEY", reference, None, environ, no_file).credentials()
    assert said in caught.value.what
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_bearer_key_comes_from_the_environment() -> None:
    assert BearerKey.from_environment({"DASHSCOPE_API_KEY": "sk-example\n"}).value == "sk-example"
    assert BearerKey.from_environment({"MINE": "sk-example"}, "MINE").value == "sk-example"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("", "is not set"),
        ("$DASHSCOPE_API_KEY", "is the name of a shell variable"),
        ("  ", "is empty"),
        (f"Bearer {SECRET}", "holds a space"),
    ],
)
def test_a_bearer_key_that_is_none_is_refused(value: str, said: str) -> None:
    with pytest.raises(CredentialError) as caught:
        BearerKey.from_environment({"DASHSCOPE_API_KEY": value})
    assert said in caught.value.what
    assert caught.value.where == "DASHSCOPE_API_KEY"
    assert SECRET not in str(caught.value)
