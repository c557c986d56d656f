"""Which operation a request means: by method, raw path, version and action."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import unquote

from tidemark.simulator.pai.asked import Asked
from tidemark.simulator.pai.wire import Route, WireError

__all__ = ["Router"]


class Router:
    """All routes. Ids in a path are percent-encoded once: it is split before it is decoded."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._routes = [(route, tuple(route.path.split("/"))) for route in routes]

    def find(self, asked: Asked) -> tuple[Route, dict[str, str]]:
        """The route, and the decoded parts of the path that it names. Refuses what is none: the
        service answers a wrong action and a wrong method alike."""
        parts = asked.raw_path.split("/")
        action, version = asked.header("x-acs-action"), asked.header("x-acs-version")
        if asked.raw_path == "/" and not action:
            given = dict(asked.parameters)
            action, version = given.get("Action", ""), given.get("Version", "")
        for route, pattern in self._routes:
            if route.method != asked.method or len(pattern) != len(parts):
                continue
            # Such clients name neither, or what their own documents call it.
            free = route.bearer or (route.legacy and not action)
            if not free and (route.action, route.version) != (action, version):
                continue
            if route.legacy and version and version != route.version:
                continue
            found: dict[str, str] = {}
            for name, part in zip(pattern, parts, strict=True):
                if name.startswith("{") and part:
                    found[name.strip("{}")] = unquote(part)
                elif name != part:
                    break
            else:
                return route, found
        raise WireError(
            404,
            "InvalidAction.NotFound",
            "Specified api is not found, please check your url and method.",
        )
