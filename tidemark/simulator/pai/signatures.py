"""Whether a request is signed by a key that exists, as strictly as the service is.

Signature version 3 (`ACS3-HMAC-SHA256`), the older one of ROA services (`acs <key>:<signature>`),
and the older one of RPC services, in the query. The time of a signature is judged by a clock of
its own: clients sign with the time of their machine, also when the simulator's runs fast.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections import OrderedDict
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from tidemark.alibaba.signing import (
    acs3_authorization,
    roa_sha1_authorization,
    rpc_sha1_signature,
    sha256_hex,
)
from tidemark.clock import Clock
from tidemark.simulator.pai.accounts import Account, Accounts
from tidemark.simulator.pai.asked import Asked
from tidemark.simulator.pai.wire import WireError, refuse

__all__ = ["Signatures"]

_WINDOW_S = 900.0
_MOST_NONCES = 100_000
_ACS3 = re.compile(
    r"ACS3-HMAC-SHA256 Credential=([^,\s]+),SignedHeaders=([^,\s]+),Signature=([0-9a-f]{64})"
)
_ROA = re.compile(r"acs ([^:\s]+):(\S+)")
_NEEDED = ("x-acs-date", "x-acs-signature-nonce", "x-acs-content-sha256")
_NO_MATCH = "Specified signature does not match our calculation."


class Signatures:
    """Checks requests against accounts, and remembers the nonces of those that held."""

    def __init__(self, accounts: Accounts, clock: Clock, bearer_keys: Sequence[str]) -> None:
        self._accounts = accounts
        self._clock = clock
        self._bearer_keys = tuple(bearer_keys)
        self._nonces: OrderedDict[str, float] = OrderedDict()

    def check_bearer(self, asked: Asked) -> None:
        """Refuse a request without a known key in its header `Authorization: Bearer`."""
        scheme, _, key = asked.header("authorization").partition(" ")
        known = [hmac.compare_digest(key.encode(), one.encode()) for one in self._bearer_keys]
        if scheme.lower() != "bearer" or not any(known):
            refuse(403, "Forbidden", "The API key is missing or not valid.")

    def check(self, asked: Asked) -> str:
        """The id of the account that signed. Raises WireError for any other request."""
        authorization = asked.header("authorization")
        if authorization.startswith("ACS3-HMAC-SHA256"):
            return self._check_acs3(asked, authorization)
        if authorization.startswith("acs "):
            return self._check_roa(asked, authorization)
        if authorization:
            refuse(400, "IncompleteSignature", "The signature method is not supported.")
        if any(name == "Signature" for name, _ in asked.parameters):
            return self._check_rpc(asked)
        raise WireError(400, "MissingParameter", "The Authorization header is required.")

    def _check_acs3(self, asked: Asked, authorization: str) -> str:
        found = _ACS3.fullmatch(authorization)
        if found is None:
            refuse(400, "IncompleteSignature", "The Authorization header is malformed.")
        key_id, names, signature = found[1], found[2].split(";"), found[3]
        for name in _NEEDED:
            if not asked.header(name):
                refuse(400, "MissingParameter", f"The header {name} is required.")
        present = {name for name in asked.headers if name.startswith("x-acs-")} | {"host"}
        # Without a body some HTTP libraries add one after the signature.
        if asked.header("content-type") and asked.body:
            present.add("content-type")
        for name in sorted(present.difference(names)):
            refuse(400, "IncompleteSignature", f"The header {name} must be signed.")
        for name in names:
            if name not in asked.headers:
                refuse(400, "IncompleteSignature", f"The signed header {name} is missing.")
        account = self._account(key_id)
        self._check_token(account, asked.header("x-acs-security-token"))
        self._check_time(_iso(asked.header("x-acs-date")))
        body_sha256 = sha256_hex(asked.body)
        expected = acs3_authorization(
            key_id,
            account.access_key_secret,
            method=asked.method,
            raw_path=asked.raw_path,
            raw_query=asked.raw_query,
            headers={name: asked.headers[name] for name in names},
            body_sha256=body_sha256,
        )
        same = hmac.compare_digest(expected.rpartition("=")[2], signature)
        if not same or asked.header("x-acs-content-sha256") != body_sha256:
            refuse(400, "SignatureDoesNotMatch", _NO_MATCH)
        self._use(key_id, asked.header("x-acs-signature-nonce"))
        return account.account_id

    def _check_roa(self, asked: Asked, authorization: str) -> str:
        found = _ROA.fullmatch(authorization)
        if found is None:
            refuse(400, "IncompleteSignature", "The Authorization header is malformed.")
        account = self._account(found[1])
        self._check_token(account, asked.header("x-acs-security-token"))
        date = asked.header("date")
        if not date and not asked.header("x-acs-date"):
            refuse(400, "MissingParameter", "The header Date is required.")
        self._check_time(_rfc1123(date) if date else _iso(asked.header("x-acs-date")))
        nonce, digest = asked.header("x-acs-signature-nonce"), asked.header("content-md5")
        # This signature does not cover the body: without either, a call could be repeated with
        # another one.
        if asked.body and not nonce:
            refuse(400, "MissingParameter", "The header x-acs-signature-nonce is required.")
        if digest and digest != base64.b64encode(hashlib.md5(asked.body).digest()).decode():
            refuse(400, "SignatureDoesNotMatch", "The header Content-MD5 is not that of the body.")
        expected = roa_sha1_authorization(
            account.access_key_id,
            account.access_key_secret,
            method=asked.method,
            raw_path=asked.raw_path,
            raw_query=asked.raw_query,
            headers=asked.headers,
        )
        if not hmac.compare_digest(expected.encode(), authorization.encode()):
            refuse(400, "SignatureDoesNotMatch", _NO_MATCH)
        if nonce:
            self._use(account.access_key_id, nonce)
        return account.account_id

    def _check_rpc(self, asked: Asked) -> str:
        given = dict(asked.parameters)
        for name in ("AccessKeyId", "Timestamp", "SignatureNonce", "SignatureMethod"):
            if not given.get(name):
                refuse(400, "MissingParameter", f"The parameter {name} is required.")
        if (given["SignatureMethod"], given.get("SignatureVersion")) != ("HMAC-SHA1", "1.0"):
            refuse(400, "IncompleteSignature", "The signature method is not supported.")
        account = self._account(given["AccessKeyId"])
        self._check_token(account, given.get("SecurityToken", ""))
        self._check_time(_iso(given["Timestamp"]))
        expected = rpc_sha1_signature(
            account.access_key_secret,
            method=asked.method,
            parameters=[pair for pair in asked.parameters if pair[0] != "Signature"],
        )
        if not hmac.compare_digest(expected.encode(), given["Signature"].encode()):
            refuse(400, "SignatureDoesNotMatch", _NO_MATCH)
        self._use(account.access_key_id, given["SignatureNonce"])
        return account.account_id

    def _account(self, access_key_id: str) -> Account:
        account = self._accounts.find(access_key_id)
        if account is None:
            raise WireError(
                404, "InvalidAccessKeyId.NotFound", "Specified access key is not found."
            )
        return account

    def _check_token(self, account: Account, token: str) -> None:
        expected = account.security_token
        if expected is None and not token:
            return
        if expected is not None and not token:
            refuse(400, "MissingSecurityToken", "The security token is required for this key.")
        if expected is None or not hmac.compare_digest(expected.encode(), token.encode()):
            refuse(
                400,
                "InvalidSecurityToken.MismatchWithAccessKey",
                "The security token does not belong to this key.",
            )
        if account.expires_at_s is not None and self._clock.time() >= account.expires_at_s:
            refuse(400, "InvalidSecurityToken.Expired", "Specified security token is expired.")

    def _check_time(self, signed_s: float) -> None:
        if abs(self._clock.time() - signed_s) > _WINDOW_S:
            refuse(
                400,
                "InvalidTimeStamp.Expired",
                "Specified time stamp or date value is expired.",
            )

    def _use(self, access_key_id: str, nonce: str) -> None:
        now_s = self._clock.time()
        # Older ones are out of the window, either side of it, and refused by their time.
        while self._nonces and (
            len(self._nonces) >= _MOST_NONCES
            or next(iter(self._nonces.values())) < now_s - 2 * _WINDOW_S
        ):
            self._nonces.popitem(last=False)
        once = f"{access_key_id}/{nonce}"
        if once in self._nonces:
            refuse(400, "SignatureNonceUsed", "Specified signature nonce was used already.")
        self._nonces[once] = now_s


def _iso(text: str) -> float:
    try:
        moment = datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        refuse(400, "InvalidTimeStamp.Format", "Specified time stamp or date value is malformed.")
    return moment.timestamp()


def _rfc1123(text: str) -> float:
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError, OSError):
        refuse(400, "InvalidTimeStamp.Format", "Specified time stamp or date value is malformed.")
