"""Random requests, signed by us and by the official SDK's own functions: the same to the letter.

SDKs sign the names of parameters as they are, and no operation has one that would have to be
encoded: so names here are of letters, digits and `._-`, and values of anything.
"""

from __future__ import annotations

import hashlib
import string
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode

import httpx
from alibabacloud_openapi_util.client import Client as OlderUtil
from alibabacloud_tea_openapi.utils import Utils
from alike import Both
from darabonba.core import DaraCore
from darabonba.url import Url
from hypothesis import given, settings
from hypothesis import strategies as st

from tidemark.alibaba.auth import Acs3Auth, RoaSha1Auth
from tidemark.alibaba.credentials import Credentials, StaticCredentials
from tidemark.alibaba.endpoints import Product
from tidemark.alibaba.operations import Operation, flattened
from tidemark.alibaba.signing import (
    acs3_authorization,
    canonical_query,
    roa_sha1_authorization,
    rpc_sha1_signature,
    sha256_hex,
)

ID, SECRET = "LTAIexample", "example-secret"
MOMENT_S = 1_767_323_045.0
random_requests = settings(max_examples=500, deadline=None, derandomize=True, database=None)

awkward = st.sampled_from(
    ["", " ", "+", "%", "%2F", "a b", "a&b=c", "*~'()!", "潮", "/", "?#", "é\u0301"]
)
texts = st.one_of(awkward, st.text(max_size=12))
names = st.text(alphabet=string.ascii_letters + string.digits + "._-", min_size=1, max_size=8)
queries = st.dictionaries(names, texts, max_size=6)
ids = st.text(min_size=1, max_size=12).filter(lambda text: text not in (".", ".."))
methods = st.sampled_from(["GET", "POST", "PUT", "DELETE"])
bodies = st.one_of(st.just(b""), st.binary(max_size=40), texts.map(str.encode))
tokens = st.one_of(st.none(), st.text(string.ascii_letters + string.digits + "/+=", min_size=1))
roa = st.builds(
    lambda parts: "/api/v1/" + "/".join(Url.percent_encode(part) for part in parts),
    st.lists(ids, max_size=3),
)
paths = st.one_of(st.just("/"), roa)


def headers_of(query: dict[str, str], body: bytes, token: str | None) -> dict[str, str]:
    """Headers as the SDKs have them, with a few that follow from the request."""
    found = {
        "host": "pai-dlc.cn-hangzhou.aliyuncs.com",
        "accept": "application/json",
        "user-agent": "AlibabaCloud (Linux; x86_64) example/1.0",
        "date": "Fri, 02 Jan 2026 03:04:05 GMT",
        "x-acs-version": "2020-12-03",
        "x-acs-action": "ListJobs",
        "x-acs-date": "2026-01-02T03:04:05Z",
        "x-acs-signature-nonce": hashlib.md5(repr((query, body)).encode()).hexdigest(),
        "x-acs-content-sha256": sha256_hex(body),
    }
    if body:
        found["content-type"] = "application/json; charset=utf-8"
    if token:
        found |= {"x-acs-security-token": token, "x-acs-accesskey-id": ID}
    return found


def official(method: str, path: str, query: dict[str, str], headers: dict[str, str]) -> Any:
    """What the SDK's functions take for a request."""
    return SimpleNamespace(method=method, pathname=path, query=query, headers=headers)


def by_sdk(method: str, path: str, query: dict[str, str], headers: dict[str, str]) -> str:
    request = official(method, path, query, headers)
    payload = headers["x-acs-content-sha256"]
    authorization: str = Utils.get_authorization(request, "ACS3-HMAC-SHA256", payload, ID, SECRET)
    return authorization


@random_requests
@given(methods, paths, queries, bodies, tokens)
def test_version_3(
    method: str, path: str, query: dict[str, str], body: bytes, token: str | None
) -> None:
    headers = headers_of(query, body, token)
    ours = acs3_authorization(
        ID,
        SECRET,
        method=method,
        raw_path=path,
        raw_query=urlencode(query),
        headers=headers,
        body_sha256=sha256_hex(body),
    )
    assert ours == by_sdk(method, path, query, headers)


@random_requests
@given(methods, paths, queries, bodies, tokens)
def test_the_older_signature_of_roa(
    method: str, path: str, query: dict[str, str], body: bytes, token: str | None
) -> None:
    headers = headers_of(query, body, token)
    request = official(method, path, query, headers)
    text = Utils.get_string_to_sign(request)
    assert text == OlderUtil.get_string_to_sign(request)
    ours = roa_sha1_authorization(
        ID, SECRET, method=method, raw_path=path, raw_query=urlencode(query), headers=headers
    )
    assert ours == f"acs {ID}:{Utils.get_roasignature(text, SECRET)}"


@random_requests
@given(st.sampled_from(["GET", "POST"]), queries, tokens)
def test_the_older_signature_of_rpc(method: str, query: dict[str, str], token: str | None) -> None:
    signed = {
        **query,
        "AccessKeyId": ID,
        "SignatureMethod": "HMAC-SHA1",
        "Timestamp": "2026-01-02T03:04:05Z",
        **({"SecurityToken": token} if token else {}),
    }
    ours = rpc_sha1_signature(SECRET, method=method, parameters=signed.items())
    assert ours == Utils.get_rpcsignature(signed, method, SECRET)
    assert ours == OlderUtil.get_rpcsignature(signed, method, SECRET)


nested = st.recursive(
    st.one_of(texts, st.integers(), st.none()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(names, inner, max_size=3)),
    max_leaves=8,
)


@random_requests
@given(st.dictionaries(names, nested, max_size=4))
def test_nested_parameters_are_flattened_alike(parameters: dict[str, Any]) -> None:
    # The SDK takes the dot before a name for one of its own.
    clean = {name: value for name, value in parameters.items() if not name.startswith(".")}
    assert flattened(clean) == Utils.query(clean)


@random_requests
@given(
    method=methods,
    parts=st.lists(ids, max_size=3),
    query=queries,
    body=bodies,
    token=tokens,
)
async def test_requests_that_are_really_sent(
    both: Both, method: str, parts: list[str], query: dict[str, str], body: bytes, token: str | None
) -> None:
    """From an operation to a signed httpx request: the URL is the one that an SDK composes, and
    both signatures are what an SDK makes of the request."""
    path = "/" + "/".join(["api", "v1", *(f"{{Part{number}}}" for number in range(len(parts)))])
    named = {f"Part{number}": part for number, part in enumerate(parts)}
    operation = Operation(Product.DLC, "ListJobs", "GET", path)
    credentials = Credentials(ID, SECRET, token)
    source = StaticCredentials(credentials)
    target = both.ours.target(operation, named, query)
    request = both.ours.http.build_request(
        method,
        target.url,
        headers={"x-acs-action": "ListJobs", "x-acs-version": Product.DLC.version},
        content=body or None,
    )
    raw_path, _, raw_query = request.url.raw_path.decode("ascii").partition("?")
    encoded = ["api", "v1", *(Url.percent_encode(part) for part in parts)]
    assert raw_path == "/" + "/".join(encoded)
    assert canonical_query(raw_query) == canonical_query(_composed(raw_path, query))

    Acs3Auth(source, lambda: MOMENT_S).sign(request, credentials)
    signed = request.headers["authorization"].split("SignedHeaders=")[1].split(",")[0].split(";")
    sent = {name: request.headers[name] for name in signed}
    assert request.headers["authorization"] == by_sdk(method, raw_path, query, sent)

    del request.headers["authorization"]
    older = httpx.Request(method, request.url, headers=request.headers, content=body)
    RoaSha1Auth(source, lambda: MOMENT_S).sign(older, credentials)
    theirs = official(method, raw_path, query, dict(older.headers))
    signature = Utils.get_roasignature(Utils.get_string_to_sign(theirs), SECRET)
    assert older.headers["authorization"] == f"acs {ID}:{signature}"


def _composed(path: str, query: dict[str, str]) -> str:
    """The query as the SDK writes it into a URL."""
    request = SimpleNamespace(
        headers={"host": "example.com"}, protocol="http", port=80, pathname=path, query=query
    )
    url: str = DaraCore.compose_url(request)
    return url.partition("?")[2]
