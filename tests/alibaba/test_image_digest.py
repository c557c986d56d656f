"""The digest behind an image's tag, as registries tell it."""

from __future__ import annotations

import httpx
import pytest

from tidemark.alibaba.image_digest import image_digest

DIGEST = "sha256:" + "ab" * 32
URI = "registry.example.com/team/bench:1"


class Registry(httpx.AsyncBaseTransport):
    """Wants a token of its own, and gives `token` as the answer that holds it."""

    def __init__(self, token: bytes) -> None:
        self.token = token
        self.authorized: list[str] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(200, content=self.token)
        if "authorization" not in request.headers:
            challenge = 'Bearer realm="https://auth.example.com/token",service="registry"'
            return httpx.Response(401, headers={"www-authenticate": challenge})
        self.authorized.append(request.headers["authorization"])
        return httpx.Response(200, headers={"docker-content-digest": DIGEST})


@pytest.mark.parametrize("name", ["token", "access_token"])
async def test_a_registry_gives_anyone_a_token(name: str) -> None:
    registry = Registry(b'{"%b": "example"}' % name.encode())
    async with httpx.AsyncClient(transport=registry) as http:
        assert (await image_digest(URI, http)).digest == DIGEST
    assert registry.authorized == ["Bearer example"]


@pytest.mark.parametrize(
    "token",
    [
        b"[]",
        b"1",
        b'"x"',
        b"null",
        b"{}",
        b"x",
        b"\xff",
        b"[" * 100_000,
        b'{"token": ["a"]}',
        b'{"token": 1}',
        b'{"token": "a\\r\\nX: y"}',
        b'{"token": "\\u4e00"}',
    ],
    ids=lambda token: ascii(token[:12]),
)
async def test_an_answer_without_a_token_is_a_digest_that_is_not_known(token: bytes) -> None:
    registry = Registry(token)
    async with httpx.AsyncClient(transport=registry) as http:
        found = await image_digest(URI, http)
    assert found.digest is None
    assert found.reason is not None
    assert found.reason.startswith("registry.example.com did not answer from here")
    assert registry.authorized == []
