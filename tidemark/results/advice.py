"""What each class of error means and what to do about it, for the person who reads the row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tidemark.results.requests import FAILED, RequestRow

__all__ = ["ADVICE", "Advice", "ErrorGroup", "advise", "evidence_of", "group_errors"]

MESSAGES_KEPT = 3


@dataclass(frozen=True, slots=True)
class Advice:
    """`meaning` says what happened, `remedy` what to do next."""

    meaning: str
    remedy: str


@dataclass(frozen=True, slots=True)
class ErrorGroup:
    """The failed requests of one class: how many, their codes, the first distinct messages."""

    error_class: str
    count: int
    codes: tuple[tuple[int, int], ...]
    messages: tuple[str, ...]
    advice: Advice


ADVICE = {
    "http_429": Advice(
        "the service turned requests away because of a rate limit or a full queue",
        "Lower the concurrency, or raise the quota or the queue length of the service",
    ),
    "http_redirect": Advice(
        "the service pointed to another address, which was not followed",
        "Give the address that it points to as endpoint.url",
    ),
    "http_4xx": Advice(
        "the service refused requests as wrong",
        "Read the message: the model's name, the context length and the request parameters "
        "are what a service most often refuses",
    ),
    "http_5xx": Advice(
        "the service failed while it handled requests",
        "Look at the server's log for the time of this cell; out of memory at high concurrency "
        "is the usual cause",
    ),
    "in_stream": Advice(
        "the service began to answer and then sent an error inside the stream",
        "Look at the server's log for the time of this cell; a request that outgrows the "
        "context or the cache is the usual cause",
    ),
    "cut_stream": Advice(
        "the connection closed before the answer was complete",
        "Look for a restart of the server, and for a proxy or load balancer between client and "
        "server that limits the time or size of an answer",
    ),
    "connection": Advice(
        "no connection could be made",
        "Check that the service runs and that host, port and TLS settings are right; at high "
        "concurrency also the limits on open files and connections on both sides",
    ),
    "timeout": Advice(
        "the service accepted requests and then stayed silent",
        "Look whether the server hangs or its queue grows without limit; a longer "
        "limits.stall_timeout_s helps only if it was still working",
    ),
    "bad_response": Advice(
        "the answer was not what the protocol promises",
        "Check that the URL leads to the API the plan names, and not to a login or error page",
    ),
    "unknown": Advice(
        "requests failed for a reason this version has no name for",
        "Read the messages; the raw output beside this row holds the rest",
    ),
}

BY_CODE = {
    400: Advice(
        "the service refused requests as malformed",
        "Compare the plan's request parameters and lengths with what the model accepts",
    ),
    401: Advice(
        "the service did not accept the API key",
        "Check that endpoint.api_key refers to a key that is valid for this service",
    ),
    403: Advice(
        "the API key may not use this model or path",
        "Ask for access, or check endpoint.api_key and endpoint.model",
    ),
    404: Advice(
        "the service knows no such path or model",
        "Check endpoint.model against the service's list of models, and the path of endpoint.url",
    ),
    413: Advice(
        "the service found requests too large",
        "Shorten the scenario's input, or raise the limit of the service or its proxy",
    ),
    422: Advice(
        "the service could not make sense of a request parameter",
        "Remove what the service does not know from request; endpoint.dialect decides which "
        "extra parameters are sent",
    ),
    502: Advice(
        "a proxy in front of the service got no usable answer from it",
        "Check that the server behind the proxy runs and was not restarted",
    ),
    503: Advice(
        "the service was not available",
        "Check that it is ready and has capacity; lower the concurrency if it sheds load",
    ),
    504: Advice(
        "a proxy in front of the service gave up waiting",
        "Raise the proxy's time limit above the longest answer of this scenario",
    ),
}


def advise(error_class: str | None, code: int | None = None) -> Advice:
    """What an error class means and what to do; the HTTP status makes it more exact.

    Classes this version does not know get general advice, never an exception.
    """
    if error_class in ("http_4xx", "http_5xx") and code in BY_CODE:
        return BY_CODE[code]
    return ADVICE.get(error_class or "unknown", ADVICE["unknown"])


def group_errors(rows: Sequence[RequestRow]) -> tuple[ErrorGroup, ...]:
    """The failed requests by class, most frequent first, with the first messages of each."""
    failed: dict[str, list[RequestRow]] = {}
    for row in sorted(rows, key=lambda row: row.request_idx):
        if row.status == FAILED:
            failed.setdefault(row.error_class or "unknown", []).append(row)
    groups = []
    for error_class, members in failed.items():
        codes = Counter(row.error_code for row in members if row.error_code is not None)
        ranked = tuple(sorted(codes.items(), key=lambda item: (-item[1], item[0])))
        messages = dict.fromkeys(row.error_message for row in members if row.error_message)
        advice = advise(error_class, ranked[0][0] if ranked else None)
        kept = tuple(messages)[:MESSAGES_KEPT]
        groups.append(ErrorGroup(error_class, len(members), ranked, kept, advice))
    return tuple(sorted(groups, key=lambda group: (-group.count, group.error_class)))


def evidence_of(group: ErrorGroup) -> str:
    """One line: the class, how often, which codes, what the service said first."""
    codes = ", ".join(f"{code} x{count}" for code, count in group.codes)
    said = " | ".join(message.replace("\n", " ") for message in group.messages)
    line = f"{group.count} {group.error_class}"
    line += f" ({codes})" if codes else ""
    return f"{line}: {said}" if said else line
