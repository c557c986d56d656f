"""Numbers with which a container or a command ends."""

from __future__ import annotations

from typing import Final

from tidemark.alibaba.explained import pages
from tidemark.alibaba.explained.entry import Explanation, Retry

__all__ = ["ENTRIES", "name_of"]

_READ_LOG = "Read the last lines of the log"


def _code(
    number: int,
    meaning: str,
    causes: tuple[str, ...],
    remedies: tuple[str, ...],
    retry: Retry = "never",
    also: tuple[str, ...] = (),
    signs: tuple[str, ...] = (),
) -> Explanation:
    return Explanation(
        f"exit code {number}",
        "exit code",
        meaning,
        causes,
        remedies,
        retry,
        links=(pages.POD_LIFECYCLE,),
        also=(str(number), f"exit status {number}", *also),
        signs=signs,
    )


_OTHER: Final = Explanation(
    "exit code of the program",
    "exit code",
    "The program ended with a number of its own: no signal, and nothing that a shell says",
    ("An error that the program's own documentation lists",),
    (_READ_LOG, "Look the number up in the program's documentation"),
    "never",
    links=(pages.POD_LIFECYCLE,),
)

_SIGNAL: Final = Explanation(
    "exit code 128+N",
    "exit code",
    "The program was ended by signal N: the exit code less 128",
    ("Somebody or something sent the signal", "The program did what the kernel does not allow"),
    (_READ_LOG, "Run kill -l N to see the signal's name"),
    "never",
    links=(pages.POD_LIFECYCLE,),
)

ENTRIES: Final = (
    _code(
        0,
        "The command ended well",
        ("It did what it was asked",),
        ("Take the result",),
    ),
    _code(
        1,
        "The command failed; the number says no more",
        ("An error in the program: an exception, a wrong argument, a missing file",),
        (_READ_LOG,),
    ),
    _code(
        2,
        "The command was used wrongly, or failed",
        ("An option that does not exist", "A syntax error in a shell script"),
        (_READ_LOG, "Compare the command with the program's --help"),
    ),
    _code(
        126,
        "The command was found and cannot be executed",
        ("The file is not executable", "It is a directory, or is built for another processor"),
        ("Make the file executable (chmod +x), or start it with its interpreter",),
        signs=(
            r"\bpermission denied\b[^\n]{0,40}\bexec\b|\bexec\b[^\n]{0,200}\bpermission denied"
            r"|\b(?:ba|da|z)?sh: [^\n]{0,200}: permission denied",
        ),
    ),
    _code(
        127,
        "The command was not found",
        (
            "A typing error in the command",
            "The program is not in the image, or not in PATH",
            "The script has Windows line ends",
        ),
        ("Check the command in the same image; give the program's whole path",),
        also=("command not found",),
        signs=(r"\bcommand not found\b|: not found\s*$|\bexecutable file not found in \$PATH",),
    ),
    _code(
        128,
        "The program ended with a number that cannot be",
        ("The container could not be started", "exit was called with something that is no number"),
        ("Read the pod's events, and the last lines of the log",),
    ),
    _code(
        130,
        "The program was interrupted (SIGINT)",
        ("Ctrl-C, or a stop that sends the same signal",),
        ("Start it again if that was not meant",),
    ),
    _code(
        134,
        "The program gave up by itself (SIGABRT)",
        ("A failed assertion in native code", "Memory that was damaged", "A CUDA error"),
        (_READ_LOG, "Check that driver, CUDA and the engine's build fit together"),
        also=("SIGABRT",),
    ),
    _code(
        135,
        "The program touched memory that is not there (SIGBUS)",
        ("Shared memory (/dev/shm) is too small", "A mapped file was cut"),
        ("Give more SharedMemory in ResourceConfig",),
        also=("SIGBUS",),
    ),
    _code(
        136,
        "The program computed something impossible (SIGFPE)",
        ("A division by zero in native code",),
        (_READ_LOG,),
        also=("SIGFPE",),
    ),
    _code(
        137,
        "The program was killed (SIGKILL)",
        (
            "Out of memory: look for OOMKilled",
            "It did not end in time after it was asked to stop",
            "The machine was taken back",
        ),
        (
            "Ask for more memory if the pod says OOMKilled, or memory rose to its limit",
            "Otherwise look in the events for who stopped it",
        ),
        also=("SIGKILL",),
        signs=(r"\bsignal: killed\b|\bkilled by signal 9\b|\bSIGKILL\b",),
    ),
    _code(
        139,
        "The program touched memory that is not its own (SIGSEGV)",
        (
            "Native code that does not fit the driver, CUDA or another library",
            "A fault of the program",
        ),
        ("Use an image whose CUDA fits the driver of the nodes", _READ_LOG),
        also=("SIGSEGV", "segmentation fault"),
        signs=(r"\bsegmentation fault\b|\bSIGSEGV\b",),
    ),
    _code(
        143,
        "The program was asked to end (SIGTERM), and did",
        (
            "The job was stopped, or ran for as long as it may",
            "A spot instance was taken back, or the node is being emptied",
            "The health check failed",
        ),
        ("Read the job's ReasonMessage and the pod's events for who asked",),
        "later",
        also=("SIGTERM",),
        signs=(r"\bSIGTERM\b|\bsignal: terminated\b",),
    ),
    _code(
        245,
        "GPUs that work together waited for each other in vain (NCCL timeout)",
        (
            "One of the processes ended or hangs",
            "The pods cannot reach each other over the network that NCCL chose",
        ),
        ("Look for the first pod that failed, and read its log",),
        "later",
    ),
    _code(
        255,
        "The program failed with a number out of range, or a remote command did (ssh)",
        ("exit was called with -1", "A remote connection broke"),
        (_READ_LOG,),
    ),
    _SIGNAL,
    _OTHER,
)

_NAMES: Final = frozenset(entry.name for entry in ENTRIES)


def name_of(number: int) -> str | None:
    """The entry that tells of an exit code; None for what is none. -9 is signal 9."""
    if -64 <= number < 0:
        number = 128 - number
    if not 0 <= number <= 255:
        return None
    exact = f"exit code {number}"
    if exact in _NAMES:
        return exact
    return _SIGNAL.name if 128 < number <= 192 else _OTHER.name
