"""Whether a request to OSS is signed by a key that exists: signature V4 and the older V1.

Both in the header `Authorization`. Source: "Include a V4 signature in the Authorization header" and
"Include V1 signatures in the Authorization header", OSS API reference.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import NoReturn
from urllib.parse import parse_qsl, quote

from tidemark.clock import Clock
from tidemark.simulator.oss.call import OssCall
from tidemark.simulator.oss.errors import refuse
from tidemark.simulator.pai.accounts import Account, Accounts

__all__ = ["OssSignatures"]

_WINDOW_S = 900.0
_V4 = "OSS4-HMAC-SHA256"
_V4_FORM = re.compile(
    r"OSS4-HMAC-SHA256 Credential=(?P<key>[^/,\s]+)/(?P<date>\d{8})/(?P<region>[a-z0-9-]+)"
    r"/oss/aliyun_v4_request(?:, ?AdditionalHeaders=(?P<names>[^,\s]+))?"
    r", ?Signature=(?P<signature>[0-9a-f]{64})"
)
_V1_FORM = re.compile(r"OSS (?P<key>[^:\s]+):(?P<signature>\S+)")
# Parameters that V1 signs with the resource.
_V1_SIGNED = frozenset((
    "acl", "append", "bucketInfo", "callback", "callback-var", "cloudboxes", "continuation-token",
    "delete", "location", "objectMeta", "partNumber", "position", "regionList",
    "response-cache-control", "response-content-disposition", "response-content-encoding",
    "response-content-language", "response-content-type", "response-expires", "restore",
    "security-token", "sequential", "stat", "symlink", "tagging", "uploadId", "uploads",
    "versionId", "versioning", "versions", "x-oss-process",
))  # fmt: skip


class OssSignatures:
    """Checks requests against accounts. Times are judged by a clock."""

    def __init__(self, accounts: Accounts, clock: Clock) -> None:
        self._accounts = accounts
        self._clock = clock

    def check(self, call: OssCall, region: str) -> Account:
        """The account that signed for a region. Refuses any other request."""
        authorization = call.asked.header("authorization")
        if not authorization:
            refuse(403, "AccessDenied", "You have no right to access this object.")
        if authorization.startswith(f"{_V4} "):
            return self._check_v4(call, authorization, region)
        found = _V1_FORM.fullmatch(authorization)
        if found is None:
            _malformed("authorization", authorization.partition(" ")[0])
        account = self._account(found["key"])
        self._check_token(call, account)
        date = call.asked.header("x-oss-date") or call.asked.header("date")
        self._check_time(_rfc1123(date))
        text = _v1_text(call, date)
        digest = hmac.new(account.access_key_secret.encode(), text.encode(), hashlib.sha1).digest()
        _compare(found["signature"], base64.b64encode(digest).decode(), account, text)
        return account

    def _check_v4(self, call: OssCall, authorization: str, region: str) -> Account:
        found = _V4_FORM.fullmatch(authorization)
        if found is None:
            _malformed("authorization", _V4)
        account = self._account(found["key"])
        self._check_token(call, account)
        stamp = call.asked.header("x-oss-date")
        self._check_time(_iso(stamp))
        if found["date"] != stamp[:8]:
            _malformed("authorization", found["date"])
        if found["region"] != region:
            refuse(
                400,
                "InvalidArgument",
                "Invalid signing region in Authorization header.",
                ArgumentName="authorization",
                ArgumentValue=found["region"],
                EC="0002-00000228",
            )
        if call.asked.header("x-oss-content-sha256") != "UNSIGNED-PAYLOAD":
            _malformed("x-oss-content-sha256", call.asked.header("x-oss-content-sha256"))
        additional = (found["names"] or "").split(";") if found["names"] else []
        scope = f"{found['date']}/{region}/oss/aliyun_v4_request"
        canonical = _v4_canonical(call, additional)
        text = f"{_V4}\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        expected = _v4_signature(account.access_key_secret, scope, text)
        _compare(found["signature"], expected, account, text)
        return account

    def _account(self, access_key_id: str) -> Account:
        account = self._accounts.find(access_key_id)
        if account is None:
            refuse(
                403,
                "InvalidAccessKeyId",
                "The OSS Access Key Id you provided does not exist in our records.",
                OSSAccessKeyId=access_key_id,
            )
        return account

    def _check_token(self, call: OssCall, account: Account) -> None:
        asked = call.asked
        token = asked.header("x-oss-security-token") or asked.header("security-token")
        expected = account.security_token
        if expected is None and not token:
            return
        if expected is None or not hmac.compare_digest(expected.encode(), token.encode()):
            refuse(
                403,
                "InvalidSecurityToken",
                "The security token you provided is invalid.",
                EC="0002-00000008",
            )
        if account.expires_at_s is not None and self._clock.time() >= account.expires_at_s:
            refuse(
                403,
                "SecurityTokenExpired",
                "The security token you provided has expired.",
                EC="0002-00000007",
            )

    def _check_time(self, signed_s: float) -> None:
        now_s = self._clock.time()
        if abs(now_s - signed_s) > _WINDOW_S:
            refuse(
                403,
                "RequestTimeTooSkewed",
                "The difference between the request time and the current time is too large.",
                MaxAllowedSkewMilliseconds=f"{_WINDOW_S * 1000:.0f}",
                RequestTime=_written(signed_s),
                ServerTime=_written(now_s),
            )


def _v4_canonical(call: OssCall, additional: list[str]) -> str:
    asked = call.asked
    pairs = parse_qsl(asked.raw_query, keep_blank_values=True)
    encoded = sorted((quote(name, safe="-_.~"), quote(text, safe="-_.~")) for name, text in pairs)
    query = "&".join(f"{name}={text}" if text else name for name, text in encoded)
    signed = {
        name: text
        for name, text in asked.headers.items()
        if name.startswith("x-oss-") or name in ("content-type", "content-md5", *additional)
    }
    return "\n".join(
        (
            asked.method,
            quote(call.resource, safe="/-_.~"),
            query,
            _header_lines(signed),
            ";".join(sorted(additional)),
            asked.header("x-oss-content-sha256"),
        )
    )


def _v4_signature(secret: str, scope: str, text: str) -> str:
    key = f"aliyun_v4{secret}".encode()
    for part in (*scope.split("/"), text):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key.hex()


def _v1_text(call: OssCall, date: str) -> str:
    asked = call.asked
    own = {name: text for name, text in asked.headers.items() if name.startswith("x-oss-")}
    pairs = sorted((name, text) for name, text in call.query.items() if name in _V1_SIGNED)
    query = "&".join(f"{name}={text}" if text else name for name, text in pairs)
    return "\n".join(
        (
            asked.method,
            asked.header("content-md5"),
            asked.header("content-type"),
            date,
            f"{_header_lines(own)}{call.resource}" + (f"?{query}" if query else ""),
        )
    )


def _header_lines(headers: Mapping[str, str]) -> str:
    return "".join(f"{name}:{headers[name].strip()}\n" for name in sorted(headers))


def _compare(given: str, expected: str, account: Account, text: str) -> None:
    if not hmac.compare_digest(given.encode(), expected.encode()):
        refuse(
            403,
            "SignatureDoesNotMatch",
            "The request signature we calculated does not match the signature you provided. Check "
            "your key and signing method.",
            OSSAccessKeyId=account.access_key_id,
            SignatureProvided=given,
            StringToSign=text,
        )


def _malformed(name: str, text: str) -> NoReturn:
    refuse(
        400,
        "InvalidArgument",
        f"The {name} header is invalid.",
        ArgumentName=name,
        ArgumentValue=text,
    )


def _iso(text: str) -> float:
    try:
        moment = datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        refuse(403, "AccessDenied", "OSS authentication requires a valid Date.")
    return moment.timestamp()


def _rfc1123(text: str) -> float:
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError, OSError):
        refuse(403, "AccessDenied", "OSS authentication requires a valid Date.")


def _written(moment_s: float) -> str:
    return datetime.fromtimestamp(moment_s, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
