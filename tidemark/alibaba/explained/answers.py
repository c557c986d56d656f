"""Statuses of single requests: in a stress test's report, and from a service that is called."""

from __future__ import annotations

from typing import Final

from tidemark.alibaba.explained import pages
from tidemark.alibaba.explained.entry import Explanation, Retry

__all__ = ["ENTRIES"]


def _request(
    number: int,
    meaning: str,
    causes: tuple[str, ...],
    remedies: tuple[str, ...],
    retry: Retry,
) -> Explanation:
    return Explanation(
        f"EAS {number}",
        "EAS request status",
        meaning,
        causes,
        remedies,
        retry,
        links=(pages.EAS_STATUS_CODES,),
        also=(str(number),),
    )


ENTRIES: Final = (
    _request(
        200,
        "The service answered the request",
        ("As it should be",),
        ("Look into the body all the same: an engine may report an error inside it",),
        "never",
    ),
    _request(
        400,
        "The service could not make sense of the request, or its own code failed on it",
        ("The body has the wrong form for this model", "An exception in a custom processor"),
        ("Send the same body once by hand, and read the answer and the service's log",),
        "never",
    ),
    _request(
        401,
        "The service's token is missing or wrong",
        ("The token of another service", "The Authorization header was not sent"),
        ("Take the AccessToken from DescribeService or DescribeServiceEndpoints",),
        "never",
    ),
    _request(
        404,
        "The gateway knows no such service or path",
        ("A wrong service name in the address", "A path that the server does not have"),
        ("Take the address from DescribeServiceEndpoints, and add the server's own path",),
        "never",
    ),
    _request(
        408,
        "The service did not finish in the time that it has for a request (5 s if not set)",
        ("Answers of a language model take longer", "The request waited in a queue"),
        ("Raise metadata.rpc.keepalive of the service, in milliseconds",),
        "later",
    ),
    _request(
        429,
        "A rate limit turned the request away",
        (
            "The limit of the shared gateway: 1000 requests a second for a service",
            "The service's own metadata.rpc.rate_limit",
        ),
        ("Lower the rate, raise the limit, or use a dedicated gateway",),
        "later",
    ),
    _request(
        450,
        "The service's queue is full, so the request was turned away",
        (
            "More requests at once than its workers and its queue (64 if not set) can hold",
            "Requests that keep the workers busy for long",
        ),
        (
            "Lower the concurrency: the service is beyond its capacity",
            "Else add instances, or raise metadata.rpc.worker_threads or max_queue_size",
        ),
        "later",
    ),
    _request(
        499,
        "The client closed the connection before the answer came",
        ("The client's timeout is shorter than the answer takes",),
        ("Raise the client's timeout",),
        "later",
    ),
    _request(
        500,
        "The service failed on the request",
        ("An error in the server's code", "Out of memory at high concurrency"),
        ("Read the service's log of that time",),
        "later",
    ),
    _request(
        502,
        "The gateway got no usable answer from an instance",
        ("An instance crashed or restarted",),
        ("Look at the instances' restarts and logs",),
        "later",
    ),
    _request(
        503,
        "No instance can take the request",
        ("The service does not run, or none of its instances is healthy", "Too much load"),
        ("See that the service is Running, then lower the concurrency",),
        "later",
    ),
    _request(
        504,
        "The gateway gave up waiting for the answer",
        ("The answer takes longer than the gateway waits",),
        ("Use streaming, or shorter answers; else raise the gateway's time limit",),
        "later",
    ),
    _request(
        512,
        "A stress test counts requests here that got no answer within http.timeout",
        ("The timeout (20 s if not set) is shorter than the answer takes", "The service hangs"),
        ("Raise http.timeout above the longest answer, or lower the concurrency",),
        "later",
    ),
)
