"""Alibaba Cloud: the PAI services, ECS prices, and what signs and carries calls to them."""

import sys

if "httpx" not in sys.modules:
    # With it httpx would import its own command line, and with that all that draws in a terminal:
    # a third of the time that a command of ours takes to start. None makes that import fail, which
    # httpx provides for.
    sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]
