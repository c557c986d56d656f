"""Who is answered at all. The simulator's key is published: that a call is signed says nothing
about who sent it, and any page in a browser on this machine could send one.
"""

from __future__ import annotations

import ipaddress

from tidemark.simulator.pai.asked import Asked
from tidemark.simulator.pai.wire import refuse

__all__ = ["check_caller", "is_loopback"]

_NAMES = ("localhost", "simulator", "api.aliyun.com")
_DOMAINS = (".simulator", ".aliyuncs.com", ".alibabacloud.com")


def check_caller(asked: Asked, *, any_host: bool) -> None:
    """Refuse what a page in a browser sends, and, but with `any_host`, hosts that somebody else
    may have given this machine's address: all but loopback addresses, localhost, names under
    `.simulator`, and those of Alibaba Cloud."""
    # Browsers add either by themselves, and let no page leave it out.
    if asked.header("origin") or asked.header("sec-fetch-site") not in ("", "none"):
        refuse(403, "Forbidden", "The simulator does not answer pages in a browser.")
    if not any_host and not _is_ours(asked.header("host")):
        refuse(
            403,
            "Forbidden",
            "The simulator does not answer to this Host. Call it by 127.0.0.1, localhost or a "
            "name under .simulator.",
        )


def is_loopback(host: str) -> bool:
    """Whether an address, without a port, is of this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_ours(host: str) -> bool:
    host = host.strip().lower()
    if host.startswith("["):
        name, _, port = host[1:].partition("]")
        port = port.removeprefix(":")
    else:
        name, _, port = host.partition(":")
    if port and not (port.isascii() and port.isdigit()):
        return False
    return name in _NAMES or name.endswith(_DOMAINS) or is_loopback(name)
