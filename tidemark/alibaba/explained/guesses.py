"""What can be said of a code that is not in the table: its nearest names, what its form tells."""

from __future__ import annotations

import difflib
import re
from typing import Final

from tidemark.alibaba.explained.table import index
from tidemark.alibaba.explained.wording import bare, cleaned, code_like

__all__ = ["nearest_names", "prefix_hint"]

_PREFIXES: Final = (
    (
        r"sdk\.|client\.",
        "such codes come from the client library, before anything was sent: check its "
        "configuration and credentials",
    ),
    (
        r".*(?:forbidden|denied|unauthori[sz]ed|nopermission|notallowed|noauth)",
        "such codes refuse what the key's owner may not do: ask for the permission that the "
        "message names; asking again does not help",
    ),
    (
        r".*(?:throttl|flowcontrol|toomany|ratelimit)",
        "such codes mean too many calls in a short time: wait, and ask again more slowly",
    ),
    (
        r".*(?:quota|exceed|limit)",
        "such codes mean that a limit is reached: ask for less, or have the limit raised",
    ),
    (
        r".*(?:stock|soldout|notonsale|insufficient.*(?:resource|capacity))",
        "such codes mean that machines are not to be had: choose another type, zone or region",
    ),
    (
        r".*(?:alreadyexist|duplicat|conflict)",
        "such codes mean that something of this name exists: look it up, and take it over or "
        "choose another name",
    ),
    (
        r"incorrect|.*(?:statusnotsupport|invalidstatus|notready|inuse|locked)",
        "such codes speak of the state of the resource: wait until it is in a state that allows "
        "the call",
    ),
    (
        r".*(?:expired)",
        "such codes mean that something has run out: a key, a token or a time stamp; renew it, "
        "then ask again",
    ),
    (
        r"invalid|illegal|malformed|unsupported|.*(?:notsupport|unsupported|malformed)",
        "such codes refuse a value: read the message for which, and correct it; asking again "
        "does not help",
    ),
    (
        r"internal|.*(?:unavailable|timeout|timedout|internal)",
        "such codes are faults of the service: ask again after some seconds; after a create look "
        "first whether it was done",
    ),
    (
        r"err(?:image|container|pod)|.*backoff",
        "such words are Kubernetes' reasons why a container waits: read the pod's events for the "
        "cause",
    ),
    (
        r"exit ?code|exit ?status|signal",
        "an exit code is a number from 0 to 255",
    ),
    (
        r".*(?:failed|failure|error)",
        "such words say that something failed, and not why: read the message beside them",
    ),
)


def nearest_names(text: str, count: int = 3) -> tuple[str, ...]:
    """Known names that are written much like `text`, or like a code in it; nearest first."""
    clean = cleaned(text)
    whole = bare(clean)
    words = [whole] if len(whole) <= 64 and "\n" not in whole else []
    words += [word for word in code_like(clean) if word != whole]
    known = index()
    found: dict[str, None] = {}
    for word in words[:3]:
        close = difflib.get_close_matches(word.casefold(), known, n=count, cutoff=0.68)
        found.update(dict.fromkeys(known[name][0].name for name in close))
    return tuple(found)[:count]


def prefix_hint(text: str) -> str | None:
    """What the beginning or end of an unknown code tells, as part of a sentence; None if nothing.

    Of a longer text the first word that looks like a code is taken.
    """
    clean = cleaned(text)
    whole = bare(clean)
    words = [whole] if re.fullmatch(r"\S+|exit \S+ \S+", whole) else []
    for word in [*words, *code_like(clean)][:3]:
        folded = word.casefold()[:128]
        for pattern, says in _PREFIXES:
            if re.match(pattern, folded):
                return says
    return None
