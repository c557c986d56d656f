"""Roles of pods and machines, by the official package `alibabacloud_credentials` 1.0.

It is an extra, imported when it is first needed, and used in a thread, since its calls block. What
it says of a failure repeats what it sent and was answered, keys included, in its errors and in its
log: neither is passed on.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import logging
import re
import threading
from collections.abc import Callable
from typing import Any

from tidemark.alibaba.credential_recipes import AssumeOidcRole, MachineRole
from tidemark.alibaba.credential_values import key_text
from tidemark.alibaba.credentials import Credentials
from tidemark.alibaba.errors import CredentialError

__all__ = ["is_installed", "role_by_oidc", "role_of_machine"]

PACKAGE = "alibabacloud_credentials"
# Where it and what it calls write: answers whole, and URLs with tokens in them.
_LOGS = ("credentials", "urllib3.connectionpool")
_THREAD = threading.local()
_STATUS = re.compile(r"http_?code[=:]\s*(\d{3})", re.IGNORECASE)
_CODE = re.compile(r'"Code"\s*:\s*"([A-Za-z]{1,40}(?:\.[A-Za-z]{1,40}){0,3})"')


def is_installed() -> bool:
    """Whether the package is there, without importing it."""
    return importlib.util.find_spec(PACKAGE) is not None


async def role_by_oidc(recipe: AssumeOidcRole) -> Credentials:
    """The session of a role for the OIDC token in a file. STS AssumeRoleWithOIDC, 2015-04-01.

    Raises CredentialError, also where the package is not installed.
    """
    session = recipe.session

    def provider(package: Any) -> Any:
        return package.OIDCRoleArnCredentialsProvider(
            role_arn=session.role_arn,
            oidc_provider_arn=recipe.provider_arn,
            oidc_token_file_path=recipe.token_file,
            role_session_name=session.name,
            duration_seconds=session.duration_s,
            policy=session.policy or None,
            sts_endpoint=session.sts_host,
        )

    return await asyncio.to_thread(_ask, provider, "oidc_role_arn", recipe.where)


async def role_of_machine(recipe: MachineRole) -> Credentials:
    """The RAM role of the ECS instance this runs on, from its metadata service.

    Raises CredentialError, also where the package is not installed.
    """

    def provider(package: Any) -> Any:
        return package.EcsRamRoleCredentialsProvider(
            # None would be read from the process's own environment; "" asks the machine.
            role_name=recipe.role_name,
            disable_imds_v1=recipe.without_imds_v1,
            async_update_enabled=False,
        )

    return await asyncio.to_thread(_ask, provider, "ecs_ram_role", recipe.where)


def _ask(new_provider: Callable[[Any], Any], kind: str, where: str) -> Credentials:
    try:
        package = importlib.import_module(f"{PACKAGE}.provider")
    except ImportError:
        raise CredentialError(
            f"credentials by {kind} need a package that is not installed",
            where,
            "Run: pip install 'alibabacloud-credentials>=1.0.12,<2'",
        ) from None
    for name in _LOGS:
        logging.getLogger(name).addFilter(_not_of_a_question)
    _THREAD.asking = True
    found, failure = None, ""
    try:
        # A provider keeps what it got: a new one asks anew.
        found = new_provider(package).get_credentials()
    except Exception as error:
        failure = _told(error)
    finally:
        _THREAD.asking = False
    if found is None:
        # Raised out here, so that it does not lead to an error that holds keys.
        raise CredentialError(
            f"{kind} gave no credentials ({failure or 'nothing'})",
            where,
            "See that the role exists, and that who asks may have it",
        )
    expires = found.get_expiration()
    return Credentials(
        key_text(found.get_access_key_id(), where),
        key_text(found.get_access_key_secret(), where),
        key_text(found.get_security_token(), where),
        None if expires is None else float(expires),
        kind,
        where,
    )


def _not_of_a_question(record: logging.LogRecord) -> bool:  # noqa: ARG001
    return not getattr(_THREAD, "asking", False)


def _told(error: Exception) -> str:
    """What can be said of a failure: its kind, an HTTP status, an error code."""
    text = str(error)
    status, code = _STATUS.search(text), _CODE.search(text)
    parts = [type(error).__name__]
    parts += [f"HTTP {status[1]}"] if status else []
    parts += [f"code {code[1]}"] if code else []
    if isinstance(error, OSError) and error.strerror:
        parts.append(error.strerror)
    return ", ".join(parts)
