"""Which class of failure a line speaks of: the table of explanations, read for jobs."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Final

from tidemark.alibaba.explained import images
from tidemark.alibaba.explained.entry import Explanation
from tidemark.alibaba.explained.pasted import found_in
from tidemark.alibaba.explained.table import by_name
from tidemark.alibaba.explained.wording import cleaned
from tidemark.waiting.failure import FailureClass

__all__ = ["Layer", "Sign", "Weight", "sign_in"]


class Layer(IntEnum):
    """Where a cause lies. What lies lower brings down what lies above it, and is named first."""

    NETWORK = 0
    IMAGE = 1
    RUNTIME = 2
    RESOURCE = 3
    CONFIGURATION = 4
    SYSTEM = 5


class Weight(IntEnum):
    """How much a sign says: that it is the end itself, what caused it, what it looked like, or only
    that something went wrong."""

    END = 0
    CAUSE = 1
    SYMPTOM = 2
    TRACE = 3


@dataclass(frozen=True, slots=True)
class Sign:
    """What one line says: its class, how much that weighs, and what to do about it."""

    kind: FailureClass
    layer: Layer
    weight: Weight
    entry: Explanation
    advice: str


_C = FailureClass
_Reading = tuple[FailureClass, Layer, Weight]
_RUNTIME_CAUSE: Final = (_C.COMMAND, Layer.RUNTIME, Weight.CAUSE)
_NETWORK_CAUSE: Final = (_C.NETWORK, Layer.NETWORK, Weight.CAUSE)
_NO_RIGHT: Final = (_C.PERMISSION, Layer.CONFIGURATION, Weight.CAUSE)
_TRACE: Final = (_C.COMMAND, Layer.RUNTIME, Weight.TRACE)

_BY_KIND: Final[dict[str, _Reading]] = {
    "image pull failure": (_C.IMAGE, Layer.IMAGE, Weight.CAUSE),
    "connection": _NETWORK_CAUSE,
    "exit code": _TRACE,
}
_BY_NAME: Final[dict[tuple[str, str], _Reading]] = {
    # A registry that is not reached is the network's fault, and no other image would help.
    ("image pull failure", "no such host"): _NETWORK_CAUSE,
    ("image pull failure", "registry not reachable"): _NETWORK_CAUSE,
    ("image pull failure", "pull cut short"): _NETWORK_CAUSE,
    ("image pull failure", "no space left for the image"): (
        _C.STORAGE, Layer.RESOURCE, Weight.CAUSE,
    ),
    **{
        ("waiting reason", name): (_C.IMAGE, Layer.IMAGE, Weight.SYMPTOM)
        for name in ("ErrImagePull", "ImagePullBackOff", "ImageInspectError", "ErrImageNeverPull")
    },
    ("pod event", "Failed to pull image"): (_C.IMAGE, Layer.IMAGE, Weight.SYMPTOM),
    ("end of container", "OOMKilled"): (_C.OOM, Layer.RUNTIME, Weight.END),
    ("end of container", "Evicted"): (_C.EVICTED, Layer.RESOURCE, Weight.CAUSE),
    ("end of container", "NodeLost"): (_C.EVICTED, Layer.RESOURCE, Weight.CAUSE),
    ("end of container", "DeadlineExceeded"): (_C.TIMEOUT, Layer.SYSTEM, Weight.END),
    ("log line", "CUDA out of memory"): (_C.OOM, Layer.RUNTIME, Weight.CAUSE),
    ("log line", "out of main memory"): (_C.OOM, Layer.RUNTIME, Weight.CAUSE),
    ("log line", "GPU not usable"): (_C.GPU, Layer.RUNTIME, Weight.CAUSE),
    # Whoever waits for another GPU tells that the other one failed, and not why.
    ("log line", "NCCL timeout"): (_C.GPU, Layer.RUNTIME, Weight.SYMPTOM),
    ("log line", "no space left on device"): (_C.STORAGE, Layer.RESOURCE, Weight.CAUSE),
    ("log line", "exec format error"): _RUNTIME_CAUSE,
    ("log line", "address already in use"): _RUNTIME_CAUSE,
    ("log line", "Python module not found"): _RUNTIME_CAUSE,
    ("log line", "wrong argument"): _RUNTIME_CAUSE,
    ("log line", "library not installable"): (_C.CONFIGURATION, Layer.CONFIGURATION, Weight.CAUSE),
    # A mount that failed, or that nobody may read, leaves an empty folder.
    ("log line", "no such file"): (_C.COMMAND, Layer.RUNTIME, Weight.SYMPTOM),
    ("log line", "object storage refuses"): _NO_RIGHT,
    ("log line", "role cannot be assumed"): _NO_RIGHT,
    ("API error", "Forbidden.RAM"): _NO_RIGHT,
    ("API error", "NoPermission"): _NO_RIGHT,
    ("API error", "OperationForbidden"): _NO_RIGHT,
    **{
        ("API error", name): _NO_RIGHT
        for name in (
            "InvalidAccessKeyId.NotFound",
            "InvalidAccessKeyId.Inactive",
            "InvalidSecurityToken",
            "InvalidSecurityToken.Expired",
            "SignatureDoesNotMatch",
        )
    },
    ("API error", "InsufficientBalance"): (_C.QUOTA, Layer.RESOURCE, Weight.CAUSE),
    ("API error", "QuotaExceeded"): (_C.QUOTA, Layer.RESOURCE, Weight.CAUSE),
    ("API error", "OperationDenied.NoStock"): (_C.STOCK, Layer.RESOURCE, Weight.CAUSE),
    ("API error", "InvalidParameter"): (_C.CONFIGURATION, Layer.CONFIGURATION, Weight.SYMPTOM),
    ("HTTP status", "HTTP 401"): (_C.PERMISSION, Layer.CONFIGURATION, Weight.SYMPTOM),
    ("HTTP status", "HTTP 403"): (_C.PERMISSION, Layer.CONFIGURATION, Weight.SYMPTOM),
    ("DLC reason code", "ResourceAllocateFailed"): (_C.STOCK, Layer.RESOURCE, Weight.END),
    ("DLC reason code", "InvalidParameter"): (_C.CONFIGURATION, Layer.CONFIGURATION, Weight.END),
    ("DLC reason code", "JobStoppedByUser"): (_C.STOPPED, Layer.SYSTEM, Weight.END),
    ("DLC reason code", "JobMaxRunningTimeExceeded"): (_C.TIMEOUT, Layer.SYSTEM, Weight.END),
    ("DLC reason code", "SanityCheckFailed"): (_C.GPU, Layer.RUNTIME, Weight.END),
    ("DLC reason code", "no restart is left"): (_C.EVICTED, Layer.RESOURCE, Weight.END),
    ("stock and spot", "NoStock"): (_C.STOCK, Layer.RESOURCE, Weight.CAUSE),
    ("stock and spot", "spot instance reclaimed"): (_C.EVICTED, Layer.RESOURCE, Weight.CAUSE),
    ("stock and spot", "spot price above the limit"): (_C.STOCK, Layer.RESOURCE, Weight.CAUSE),
    ("pod event", "FailedScheduling"): (_C.STOCK, Layer.RESOURCE, Weight.SYMPTOM),
    ("pod event", "FailedMount"): (_C.STORAGE, Layer.CONFIGURATION, Weight.SYMPTOM),
    ("pod event", "FailedCreatePodSandBox"): (_C.NETWORK, Layer.NETWORK, Weight.CAUSE),
    ("waiting reason", "CreateContainerConfigError"): (
        _C.CONFIGURATION, Layer.CONFIGURATION, Weight.CAUSE,
    ),
    ("waiting reason", "CreateContainerError"): (_C.COMMAND, Layer.RUNTIME, Weight.SYMPTOM),
    # The command never ran: nothing else in the log can be its reason.
    ("exit code", "exit code 126"): (_C.COMMAND, Layer.RUNTIME, Weight.END),
    ("exit code", "exit code 127"): (_C.COMMAND, Layer.RUNTIME, Weight.END),
    ("exit code", "exit code 137"): (_C.OOM, Layer.RUNTIME, Weight.SYMPTOM),
    ("exit code", "exit code 245"): (_C.GPU, Layer.RUNTIME, Weight.TRACE),
    ("exit code", "exit code 143"): (_C.STOPPED, Layer.SYSTEM, Weight.TRACE),
}  # fmt: skip
_SAY_NOTHING: Final = frozenset(
    {("exit code", "exit code 0"), ("connection", "answer is not JSON")}
)

# What the table says of calls to Alibaba Cloud is of this machine; a job's network is another.
_OF_THE_JOB: Final = {
    "host name not resolved": "Compare the name, and give the job a VPC in which it is known; a "
    "name of the Internet needs a VPC with a NAT gateway",
    "connection timed out": "Give the job a VPC with a way to this address, and let its security "
    "group in there",
    "connection refused": "See that the service runs and listens on this port, and that the "
    "address is the one inside the VPC",
    "connection reset": "Look into the log of the service that was called: it ended the connection",
    "read timed out": "Look whether the service that was called is overloaded, or allow it more "
    "time",
    "certificate not trusted": "Use an image that trusts the certificate's authority, or the "
    "address that the certificate is for",
}
# The last line of a traceback: `torch.cuda.SomeError: text`.
_EXCEPTION: Final = re.compile(
    r"^(?:[A-Za-z_]\w{0,60}\.){0,6}[A-Z]\w{0,60}(?:Error|Exception|Exit|Interrupt)\b(?::|\s*$)"
)
_TRACEBACK: Final = re.compile(r"\bTraceback \(most recent call last\)")
_LONGEST_LINE: Final = 4000


def sign_in(line: str, *, is_log: bool = False) -> Sign | None:
    """What a line of an event, a reason or a log says; None if that is nothing known.

    A log speaks of whatever the program did, and may go on after it: nothing in it is the end, and
    reason codes are the service's to give.
    """
    text = cleaned(line[:_LONGEST_LINE])
    entries = found_in(text)
    if any(entry.kind == images.CAUSE for entry in entries):
        # In a line about an image the runtime's own words ("not found", "DeadlineExceeded") are
        # about the image too.
        entries = [entry for entry in entries if entry in images.ENTRIES]
    signs = [sign for entry in entries if (sign := _sign_of(entry)) is not None]
    if is_log:
        signs = [_of_log(sign) for sign in signs if sign.entry.kind != "DLC reason code"]
    if _EXCEPTION.search(text.strip()) or _TRACEBACK.search(text):
        (entry,) = by_name("Python exception")
        signs.append(Sign(*_TRACE, entry, entry.remedies[0]))
    return min(signs, key=lambda sign: (sign.weight, sign.layer), default=None)


def _of_log(sign: Sign) -> Sign:
    return replace(sign, weight=Weight.CAUSE) if sign.weight is Weight.END else sign


def _sign_of(entry: Explanation) -> Sign | None:
    name = (entry.kind, entry.name)
    reading = _BY_NAME.get(name) or _BY_KIND.get(entry.kind)
    if reading is None or name in _SAY_NOTHING:
        return None
    return Sign(*reading, entry, _OF_THE_JOB.get(entry.name, entry.remedies[0]))
