"""Calls that get no usable answer, or one that has only an HTTP status."""

from __future__ import annotations

from typing import Final

from tidemark.alibaba.explained import pages
from tidemark.alibaba.explained.calls import LOOK_FIRST
from tidemark.alibaba.explained.entry import Explanation

__all__ = ["ENTRIES"]

_CONNECTION = (
    Explanation(
        "connection timed out",
        "connection",
        "No connection came about in time",
        (
            "A firewall or security group drops the packets",
            "A -vpc endpoint was asked from outside its VPC",
            "The proxy that the environment names is not reachable",
        ),
        (
            "Use the public endpoint outside the VPC, the -vpc endpoint inside",
            "Check HTTPS_PROXY and NO_PROXY, and that port 443 is open to the endpoint",
        ),
        "later",
        links=(pages.ENDPOINTS,),
        also=("ETIMEDOUT", "ConnectTimeout", "connect timeout"),
        signs=(r"\bconnect(?:ion)? ?time(?:d ?)?out\b", r"\bETIMEDOUT\b"),
    ),
    Explanation(
        "read timed out",
        "connection",
        "The request was sent and no answer came in time; whether it took effect is not known",
        ("The service is slow at present", "A connection was cut without notice on the way"),
        (
            "A question can be asked again at once",
            LOOK_FIRST,
        ),
        "later",
        links=(pages.PAI,),
        also=("ReadTimeout", "read timeout"),
        signs=(
            r"\bread(?: operation)? ?time(?:d ?)?out\b",
            r"\bno answer in time\b",
        ),
    ),
    Explanation(
        "no answer",
        "connection",
        "The request was sent and nothing that can be read came back; whether it took effect is "
        "not known",
        (
            "The service or a gateway before it restarted",
            "A connection was cut on the way",
        ),
        (
            "A question can be asked again at once",
            LOOK_FIRST,
        ),
        "later",
        links=(pages.PAI,),
        # Where the reason is told as well, that says more.
        signs=(
            r"\bgot no answer\b"
            r"(?![^\n]{0,300}(?:payload|SSL|connect|reset|time(?:d ?)?out|in time))",
        ),
    ),
    Explanation(
        "answer cut short",
        "connection",
        "The connection ended in the middle of an answer; the call had arrived, and may have taken "
        "effect",
        (
            "The service or a gateway before it restarted while it answered",
            "A proxy that bounds the length or the time of answers",
        ),
        (
            "A question can be asked again at once, with a smaller page if it stays",
            LOOK_FIRST,
        ),
        "later",
        links=(pages.PAI,),
        also=("ClientPayloadError", "IncompleteRead", "ContentLengthError"),
        signs=(
            r"\bresponse payload is not completed\b|\bincomplete ?read\b",
            r"\bpeer closed connection without sending complete message\b",
        ),
    ),
    Explanation(
        "connection reset",
        "connection",
        "The other side, or something between, cut the connection",
        (
            "A load balancer or firewall that ends idle or long connections",
            "The service restarted",
            "A proxy that does not let this host through",
        ),
        (
            "Ask again after a moment",
            LOOK_FIRST,
        ),
        "later",
        links=(pages.ENDPOINTS,),
        also=("ECONNRESET", "ConnectionReset", "ConnectionResetError", "RemoteProtocolError"),
        signs=(
            r"\bconnection ?reset\b|\bECONNRESET\b|\bremote end closed connection|\bbroken pipe\b",
            r"\bserver disconnected without sending a response",
        ),
    ),
    Explanation(
        "connection refused",
        "connection",
        "The machine is reached, and nothing listens on this port",
        (
            "The endpoint's host or port is wrong",
            "A local simulator or proxy that is not running",
        ),
        ("Check the endpoint's address, and that what should listen there runs",),
        "later",
        links=(pages.ENDPOINTS,),
        also=("ECONNREFUSED", "ConnectionRefusedError"),
        signs=(
            r"\bconnection ?refused\b|\bECONNREFUSED\b|\bconnect call failed\b",
            r"\ball connection attempts failed\b",
        ),
    ),
    Explanation(
        "TLS asked of plain HTTP",
        "connection",
        "The address begins with https and what listens there speaks plain HTTP, or the other way "
        "around",
        (
            "The address of a local simulator was written with https",
            "The port belongs to another protocol",
            "HTTPS_PROXY holds an https address of a proxy that itself speaks plain HTTP",
        ),
        (
            "Write the address with http, such as http://127.0.0.1:8080, if it is on this machine",
            "Compare the port, and the address in HTTPS_PROXY",
        ),
        "never",
        links=(pages.ENDPOINTS,),
        also=("WRONG_VERSION_NUMBER",),
        signs=(
            r"\bWRONG_VERSION_NUMBER\b|\bwrong version number\b|\bRECORD_LAYER_FAILURE\b",
            r"\bplain HTTP request was sent to HTTPS port\b",
        ),
    ),
    Explanation(
        "host name not resolved",
        "connection",
        "No address was found for the endpoint's name",
        (
            "The region in the name does not exist, or the product is not offered there",
            "No name server can be reached from here",
            "The name of an internal host was asked from outside",
        ),
        (
            "Compare the endpoint with the list of endpoints, and give it explicitly if need be",
            "Check that this machine can resolve other names",
        ),
        "never",
        links=(pages.ENDPOINTS,),
        also=("ENOTFOUND", "EAI_AGAIN", "NameResolutionError"),
        signs=(
            r"name or service not known|temporary failure in name resolution"
            r"|getaddrinfo (?:failed|ENOTFOUND|EAI_AGAIN)|nameresolutionerror|\bno such host\b",
        ),
    ),
    Explanation(
        "certificate not trusted",
        "connection",
        "The endpoint's TLS certificate could not be verified",
        (
            "A company proxy that signs with a certificate of its own",
            "The certificates of this system are missing or outdated",
            "The clock of this machine is wrong",
        ),
        (
            "Install the proxy's certificate authority on this machine; do not switch the check "
            "off",
            "Correct the clock",
        ),
        "never",
        links=(pages.ENDPOINTS,),
        also=("SSLCertVerificationError",),
        signs=(r"certificate verify failed|SSLCertVerificationError",),
    ),
    Explanation(
        "answer is not JSON",
        "connection",
        "A gateway or proxy answered with a page in place of the service",
        (
            "A load balancer without a healthy server behind it (HTML, HTTP 502)",
            "A proxy's login or error page",
            "The endpoint's address belongs to a web site",
        ),
        (
            "Ask again after a few seconds",
            LOOK_FIRST,
            "If it stays, check the endpoint and the proxy",
        ),
        "later",
        links=(pages.ENDPOINTS,),
        also=("JSONDecodeError",),
        signs=(r"<(?:!doctype )?html\b", r"\bJSONDecodeError\b"),
    ),
)

_HTTP = (
    Explanation(
        "HTTP 200",
        "HTTP status",
        "The call was accepted; what it asked for may only have begun",
        (
            "Creating, starting and stopping go on after the answer",
            "UpdateJob answers so too where a new priority has no effect any more",
        ),
        ("Ask for the status until it says that the work is done",),
        "never",
        links=(pages.PAI,),
        also=("200",),
    ),
    Explanation(
        "HTTP 400",
        "HTTP status",
        "The call was refused; the Code in the body says why, and it may be throttling",
        (
            "A parameter is missing or has a value that is not taken",
            "Throttling, which the services answer with 400 more often than with 429",
            "A signature that is too old",
            "A job that has ended already and was asked to stop",
        ),
        ("Read the Code of the answer and look that up",),
        "never",
        links=(pages.PAI,),
        also=("400",),
    ),
    Explanation(
        "HTTP 401",
        "HTTP status",
        "The key or token is missing or is not accepted",
        (
            "The Authorization header is missing, or holds the name of a variable in place of "
            "its value",
            "A key of another service: a Model Studio key is no access key",
            "The key was deleted, or its token has run out",
        ),
        ("Set the key anew, and check that the variable is expanded where it is used",),
        "never",
        links=(pages.RAM,),
        also=("401", "Unauthorized"),
    ),
    Explanation(
        "HTTP 403",
        "HTTP status",
        "The key is known and may not do this",
        (
            "The RAM policy does not allow the action on this resource",
            "The user is no member of the workspace, or no WorkspaceId was sent",
            "Throttling, at some gateways: the Code in the body says so",
        ),
        (
            "Read the Code of the answer and look that up",
            "Ask the administrator for the permission that it names",
        ),
        "never",
        links=(pages.RAM, pages.ROLES),
        also=("403",),
    ),
    Explanation(
        "HTTP 404",
        "HTTP status",
        "There is no such operation, or no such thing in this region",
        (
            "The id or name is mistyped, or belongs to another region",
            "A stress test that ended more than 48 hours ago, or failed more than 10 minutes ago",
            "A report that was asked for before the task had ended",
            "A wrong path, method or version of the API",
        ),
        (
            "Check the region, which is also the ClusterId, and the name",
            "Fetch reports as soon as a stress test ends",
        ),
        "never",
        links=(pages.STRESS_TESTS, pages.LIST_JOBS),
        also=("404",),
    ),
    Explanation(
        "HTTP 405",
        "HTTP status",
        "The address exists and does not take this HTTP method",
        ("The method does not belong to the operation", "A redirect turned a POST into a GET"),
        ("Use the method that the operation's page names",),
        "never",
        links=(pages.PAI,),
        also=("405",),
    ),
    Explanation(
        "HTTP 409",
        "HTTP status",
        "The call contradicts the present state of the resource",
        (
            "Something of this name exists already",
            "Another change of the same resource is under way",
        ),
        ("Look what is there: take it over if it is yours, else choose another name",),
        "later",
        links=(pages.PAI,),
        also=("409",),
    ),
    Explanation(
        "HTTP 413",
        "HTTP status",
        "The request is larger than is taken",
        ("A command, an environment or inline data that is too long: 64 KiB for CreateJob",),
        ("Put long data into object storage and send its address",),
        "never",
        links=(pages.CREATE_JOB,),
        also=("413",),
    ),
    Explanation(
        "HTTP 429",
        "HTTP status",
        "Too many calls in a short time: this one was not carried out",
        (
            "A loop that polls without a pause",
            "Several clients that share one account and its limit",
        ),
        (
            "Wait as long as Retry-After or x-acs-retry-after says, else a second and twice as "
            "long each time",
        ),
        "later",
        links=(pages.PAI,),
        also=("429", "Too Many Requests"),
    ),
    Explanation(
        "HTTP 500",
        "HTTP status",
        "The service failed while it handled the call; whether it took effect is not known",
        ("A fault of the service", "A request of a form that the service did not expect"),
        (
            "Ask again after a few seconds, waiting longer each time",
            LOOK_FIRST,
        ),
        "later",
        links=(pages.PAI,),
        also=("500", "Internal Server Error"),
    ),
    Explanation(
        "HTTP 502",
        "HTTP status",
        "A gateway got no usable answer from the service behind it",
        ("The service is restarting or overloaded", "A proxy on the way that cannot reach it"),
        (
            "Ask again after a few seconds, waiting longer each time",
            LOOK_FIRST,
        ),
        "later",
        links=(pages.PAI,),
        also=("502", "Bad Gateway"),
    ),
    Explanation(
        "HTTP 503",
        "HTTP status",
        "The service takes no calls for the moment",
        ("A short disturbance or maintenance", "Throttling, at some gateways"),
        (
            "Wait as long as the answer says, else a few seconds and longer each time",
            LOOK_FIRST,
        ),
        "later",
        links=(pages.PAI,),
        also=("503", "Service Unavailable"),
    ),
    Explanation(
        "HTTP 504",
        "HTTP status",
        "A gateway gave up waiting for the service; whether the call took effect is not known",
        ("The service is slow at present", "A question about very many things at once"),
        (
            "Ask again after a few seconds, with a smaller page or time range",
            LOOK_FIRST,
        ),
        "later",
        links=(pages.PAI,),
        also=("504", "Gateway Timeout"),
    ),
    Explanation(
        "HTTP 4xx",
        "HTTP status",
        "The call was refused as wrong",
        ("The request, the key or the address is not what the service takes",),
        ("Read the Code and the message of the answer",),
        "never",
        links=(pages.PAI,),
    ),
    Explanation(
        "HTTP 5xx",
        "HTTP status",
        "The service, or a gateway before it, failed; whether the call took effect is not known",
        ("A fault or an overload of the service",),
        (
            "Ask again after a few seconds, waiting longer each time",
            LOOK_FIRST,
        ),
        "later",
        links=(pages.PAI,),
    ),
)

ENTRIES: Final = (*_CONNECTION, *_HTTP)
