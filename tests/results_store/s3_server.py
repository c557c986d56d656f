"""moto with one change at a time: as in S3 itself, of several who create a key one does.

It looks whether a key is there before it takes the body, and others may come in between.
"""

from __future__ import annotations

import io
import threading
from typing import Any

import moto.server

_CHANGES = threading.Lock()


class OneChangeAtATime(moto.server.DomainDispatcherApplication):
    """Serves what reads at once, and what changes anything one after the other."""

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        """Answer one request."""
        if environ["REQUEST_METHOD"] in ("GET", "HEAD"):
            return super().__call__(environ, start_response)
        if environ.get("CONTENT_LENGTH"):
            # Whoever sends slowly keeps nobody else waiting.
            body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
            environ["wsgi.input"] = io.BytesIO(body)
        with _CHANGES:
            return super().__call__(environ, start_response)


if __name__ == "__main__":
    moto.server.DomainDispatcherApplication = OneChangeAtATime  # type: ignore[misc]
    moto.server.main()
