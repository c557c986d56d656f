"""Profiles in files: the configuration of Alibaba Cloud's CLI, the credentials file of its SDKs.

Forms and names are those of `alibabacloud_credentials` 1.0. An error names the file, the profile
and the field, never what is written there.
"""

from __future__ import annotations

import configparser
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tidemark.alibaba.credential_profiles import CLI, INI, Fields, Profiles
from tidemark.alibaba.credential_recipes import NotHere, Recipe
from tidemark.alibaba.credential_values import speakable
from tidemark.alibaba.errors import CredentialError

__all__ = ["PROFILE", "find_cli_profile", "find_file_profile"]

PROFILE = "ALIBABA_CLOUD_PROFILE"
CLI_DISABLED = "ALIBABA_CLOUD_CLI_PROFILE_DISABLED"
CREDENTIALS_FILE = "ALIBABA_CLOUD_CREDENTIALS_FILE"
CLI_PATH = ".aliyun/config.json"
INI_PATH = ".alibabacloud/credentials.ini"


def find_cli_profile(
    environ: Mapping[str, str], read_file: Callable[[str], str]
) -> Recipe | NotHere:
    """The profile in `~/.aliyun/config.json` that is named by ALIBABA_CLOUD_PROFILE, else current.

    Modes AK, StsToken, RamRoleArn, ChainableRamRoleArn, EcsRamRole and OIDC. Raises
    CredentialError for a file or profile that is there and cannot be used.
    """
    path = _in_home(environ, CLI_PATH)
    if path is None:
        return NotHere(f"~/{CLI_PATH}", "HOME is not set")
    if environ.get(CLI_DISABLED, "").strip().lower() == "true":
        return NotHere(path, f"{CLI_DISABLED} is true")
    text = _read(path, read_file)
    if text is None:
        return NotHere(path, "no such file")
    current, profiles = _cli_document(text, path)
    named = environ.get(PROFILE)
    if named and named not in profiles:
        return NotHere(path, f"no profile of that name{_there_are(profiles)}")
    if not named and current not in profiles:
        raise CredentialError(
            f"names as current a profile that it does not have{_there_are(profiles)}",
            path,
            f"Set {PROFILE}, or run: aliyun configure",
        )
    return Profiles(CLI, path, profiles, environ).recipe(named or current)


def find_file_profile(
    environ: Mapping[str, str], read_file: Callable[[str], str]
) -> Recipe | NotHere:
    """The section of the credentials file that is named by ALIBABA_CLOUD_PROFILE, else `default`.

    The file is ALIBABA_CLOUD_CREDENTIALS_FILE, else `~/.alibabacloud/credentials.ini`; types
    access_key, sts, ram_role_arn, oidc_role_arn and ecs_ram_role. Raises CredentialError for a
    file or section that is there and cannot be used.
    """
    path = environ.get(CREDENTIALS_FILE) or _in_home(environ, INI_PATH)
    if path is None:
        return NotHere(f"~/{INI_PATH}", "HOME is not set")
    text = _read(path, read_file)
    if text is None:
        if environ.get(CREDENTIALS_FILE):
            raise CredentialError(
                "leads to no file", CREDENTIALS_FILE, "Correct the path, or unset the variable"
            )
        return NotHere(path, "no such file")
    sections = _ini_document(text, path)
    named = environ.get(PROFILE)
    if named and named not in sections:
        return NotHere(path, f"no section of that name{_there_are(sections)}")
    if not named and "default" not in sections:
        raise CredentialError(
            f"has no section [default]{_there_are(sections)}",
            path,
            f"Name the section in {PROFILE}",
        )
    return Profiles(INI, path, sections, environ).recipe(named or "default")


def _in_home(environ: Mapping[str, str], path: str) -> str | None:
    home = environ.get("HOME")
    return f"{home.rstrip('/')}/{path}" if home else None


def _read(path: str, read_file: Callable[[str], str]) -> str | None:
    """The text of a file without a byte order mark, None if there is no such file."""
    try:
        return read_file(path).removeprefix("\ufeff")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except UnicodeDecodeError:
        problem = CredentialError("is not text in UTF-8", path, "Save it as UTF-8")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        problem = CredentialError(
            f"cannot be read ({reason})", path, "Make it readable for the user that runs this"
        )
    # Raised out here, as below, so that it does not lead to an error that holds the file.
    raise problem


def _cli_document(text: str, path: str) -> tuple[str, Mapping[str, Fields]]:
    """The name of the current profile, and all profiles by name."""
    wrong = ""
    document: Any = None
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        wrong = f"is not JSON (line {error.lineno}, column {error.colno})"
    except (ValueError, RecursionError):
        wrong = "is not JSON"
    if wrong:
        raise CredentialError(wrong, path, "Correct it, or run: aliyun configure")
    found = document.get("profiles") if isinstance(document, dict) else None
    if not isinstance(found, list):
        raise CredentialError("has no list of profiles", path, "Run: aliyun configure")
    profiles: dict[str, Fields] = {}
    for profile in found:
        name = profile.get("name") if isinstance(profile, dict) else None
        if isinstance(name, str):
            profiles.setdefault(name, profile)
    current = document.get("current")
    return current if isinstance(current, str) else "", profiles


def _ini_document(text: str, path: str) -> Mapping[str, Fields]:
    """All sections by name. What follows a # is a comment, as the SDKs have it."""
    # A % in a secret refers to nothing, and no section hands its keys down to the others.
    parser = configparser.ConfigParser(interpolation=None, default_section="\n")
    problem = None
    try:
        parser.read_string(text)
    except configparser.Error as error:
        # Its message repeats the line that is wrong.
        wrong = getattr(error, "errors", None)
        line = wrong[0][0] if wrong else getattr(error, "lineno", None)
        at = f" (line {line})" if line else ""
        problem = f"is not a file of [section]s with key = value{at}"
    if problem:
        raise CredentialError(problem, path, "Correct it")
    return {
        name: {key: value.partition("#")[0].strip() for key, value in parser.items(name)}
        for name in parser.sections()
    }


def _there_are(names: Iterable[str]) -> str:
    said = [name for name in names if speakable(name)][:20]
    return f" (there are: {', '.join(said)})" if said else ""
