"""Credentials of Alibaba Cloud for the OSS client, which asks for them in many threads."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping

from alibabacloud_oss_v2.credentials import CredentialsProvider
from alibabacloud_oss_v2.types import Credentials
from fsspec.asyn import get_loop, sync

from tidemark.alibaba.credential_sources import default_chain
from tidemark.alibaba.credentials import CredentialSource, StaticCredentials
from tidemark.clock import SystemClock

__all__ = ["OssCredentials", "credentials_of"]

_KEYS = (
    "ALIBABA_CLOUD_ACCESS_KEY_ID",
    "ALIBABA_CLOUD_ACCESS_KEY_SECRET",
    "ALIBABA_CLOUD_SECURITY_TOKEN",
    "ALIBABA_CLOUD_OIDC_PROVIDER_ARN",
    "ALIBABA_CLOUD_OIDC_TOKEN_FILE",
)
"""What comes before profiles in the default chain."""


class OssCredentials(CredentialsProvider):  # type: ignore[misc]
    """A source of credentials as the OSS client wants one: asked before every request, from
    several threads, and never shown."""

    def __init__(self, source: CredentialSource) -> None:
        self._source = source
        self._thread = threading.local()
        self._lock = threading.Lock()

    def get_credentials(self) -> Credentials:
        """Those of this moment. Raises CredentialError."""
        found = sync(get_loop(), self._source.credentials)
        self._thread.key_id = found.access_key_id
        return Credentials(found.access_key_id, found.access_key_secret, found.security_token)

    def renewed(self) -> bool:
        """Whether there are others than this thread was last given, which the service called
        expired. Raises CredentialError."""
        given = getattr(self._thread, "key_id", None)
        with self._lock:  # of many threads that fail together, the first has them fetched
            if self.get_credentials().access_key_id != given:
                return True
            self._source.renew()
            return bool(self.get_credentials().access_key_id != given)


def credentials_of(
    given: Mapping[str, str], profile: str | None, environ: Mapping[str, str] = os.environ
) -> OssCredentials:
    """Credentials that are given (access_key_id, access_key_secret, security_token), those of a
    profile, or else those of the default chain."""
    if given:
        key = StaticCredentials.of(
            given["access_key_id"], given["access_key_secret"], given.get("security_token")
        )
        return OssCredentials(key)
    if profile is not None:
        environ = {name: text for name, text in environ.items() if name not in _KEYS}
        environ["ALIBABA_CLOUD_PROFILE"] = profile
    return OssCredentials(default_chain(environ, SystemClock()))
