"""What programs in a job say before they end, and what becomes of the job then."""

from __future__ import annotations

from typing import Final

from tidemark.alibaba.explained import pages
from tidemark.alibaba.explained.entry import Explanation

__all__ = ["ENTRIES"]

_LINE: Final = "log line"
_REASON: Final = "DLC reason code"
_OVER: Final = "No more: its nodes are given back"

_LINES = (
    Explanation(
        "Python module not found",
        _LINE,
        "The program imports a module that the image does not have",
        (
            "The library is not in the image, and not in the job's third-party libraries",
            "It was installed for another Python than the one that runs",
            "The code is mounted elsewhere than where the program looks for it",
        ),
        (
            "Add the library to the job's libraries (ThirdpartyLibs), or use an image that has it",
            "Compare python -m pip list in the same image",
        ),
        "never",
        links=(pages.CREATE_JOB,),
        also=("ModuleNotFoundError", "ImportError"),
        signs=(
            r"\bModuleNotFoundError\b|\bImportError: |\bNo module named\b",
            r"\berror while loading shared libraries\b",
        ),
    ),
    Explanation(
        "library not installable",
        _LINE,
        "A library that the job asks for cannot be installed",
        (
            "The name or the version does not exist",
            "There is no build of it for the image's Python",
            "The job reaches no package index: a line before this one then tells of the network",
        ),
        ("Correct name and version in the job's libraries, or use an image that has it",),
        "never",
        links=(pages.CREATE_JOB,),
        signs=(
            r"\bno matching distribution found\b"
            r"|\bcould not find a version that satisfies the requirement\b",
        ),
    ),
    Explanation(
        "wrong argument",
        _LINE,
        "The program was started with an argument that it does not take",
        (
            "A typing error in an option",
            "Another version of the program than the command was written for",
            "Quotes that the shell took away",
        ),
        ("Compare the command with the program's --help in the same image",),
        "never",
        links=(pages.CREATE_JOB,),
        signs=(
            r"\bunrecogni[sz]ed (?:arguments?|options?)\b|\b(?:no such|unknown) option\b",
            r"\berror: (?:the following )?arguments? |\binvalid choice: ",
            r"\bgot unexpected extra arguments?\b|\bmissing (?:option|argument) ['\"]",
        ),
    ),
    Explanation(
        "no such file",
        _LINE,
        "A file or folder that the program needs is not there",
        (
            "The path is mistyped, or relative to another folder",
            "The data source or the code is mounted elsewhere, or not at all",
        ),
        ("List the folder in the job, and compare it with the mounts (DataSources, CodeSource)",),
        "never",
        links=(pages.CREATE_JOB,),
        also=("FileNotFoundError", "ENOENT"),
        signs=(r"\bno such file or directory\b|\bFileNotFoundError\b",),
    ),
    Explanation(
        "out of main memory",
        _LINE,
        "The program asked for more main memory than it may have",
        (
            "The model, or its loading, needs more than was asked for",
            "Shared memory (/dev/shm) is too small for the program's workers",
        ),
        (
            "Ask for more memory (Memory in ResourceConfig, or a larger instance type)",
            "Load in smaller pieces, or with fewer processes",
        ),
        "never",
        links=(pages.CREATE_JOB,),
        also=("MemoryError", "ENOMEM"),
        signs=(
            r"\bMemoryError\b|\bcannot allocate memory\b|\bstd::bad_alloc\b"
            r"|\binsufficient shared memory\b|\bDefaultCPUAllocator\b",
        ),
    ),
    Explanation(
        "GPU not usable",
        _LINE,
        "The program cannot use the GPU, or the GPU reported a fault",
        (
            "An instance type without a GPU, or an image for processors only",
            "CUDA in the image is newer than the driver of the node",
            "A fault of the GPU (Xid, ECC)",
        ),
        (
            "Use an image whose CUDA fits the node's driver, on an instance type with a GPU",
            "After an Xid or ECC error start again, to come to another node",
        ),
        "later",
        links=(pages.PAI,),
        signs=(
            r"\bno CUDA-capable device\b|\bCUDA driver version is insufficient\b"
            r"|\bfound no NVIDIA driver\b|\bDriver/library version mismatch\b",
            r"\bXid\b[^\n]{0,60}\b\d{2,3}\b|\buncorrectable ECC error\b"
            r"|\bCUDA error: (?!out of memory)",
        ),
    ),
    Explanation(
        "object storage refuses",
        _LINE,
        "OSS knows who asks and does not let them",
        (
            "The role or user has no right to read or write this bucket",
            "The bucket belongs to another account",
            "The bucket's own policy lets in certain networks only",
        ),
        (
            "Give the job's role the right to this bucket (oss:GetObject, oss:ListObjects, and "
            "oss:PutObject to write)",
            "Compare the bucket's name and its account",
        ),
        "never",
        links=(pages.RAM,),
        signs=(
            r"\b(?:bucket|object|oss2?)\b[^\n]{0,200}(?:\bAccessDenied\b|\b403\b[^\n]{0,20}denied)",
            r"\bAccessDenied\b[^\n]{0,200}\b(?:bucket|object|oss)\b",
            r"\bno right to access this (?:object|bucket)\b"
            r"|\bbucket (?:that )?you (?:try to )?access(?:ed)? does not belong to you\b",
        ),
    ),
    Explanation(
        "role cannot be assumed",
        _LINE,
        "The job may not act as the role that it was given, or there is no such role",
        (
            "The role does not trust PAI, or the user who created the job",
            "The role's name or account is mistyped",
        ),
        (
            "Let the role trust PAI, and compare its ARN (acs:ram::ACCOUNT:role/NAME)",
            "Have the right to pass it (ram:PassRole)",
        ),
        "never",
        links=(pages.ROLES, pages.RAM),
        signs=(
            r"\bAssumeRole\b[^\n]{0,200}\b(?:denied|forbidden|NoPermission|not authori[sz]ed)\b",
            r"\bnot authori[sz]ed to (?:perform|do)[^\n]{0,80}\bAssumeRole\b"
            r"|\bEntityNotExist\.Role\b",
        ),
    ),
    Explanation(
        "Python exception",
        _LINE,
        "The program ended with an error that nothing in it caught",
        ("What the last line of the traceback says",),
        ("Read the last line of the traceback: it names the error, and those above it the place",),
        "never",
        links=(pages.CREATE_JOB,),
        # No sign: where an exception tells of something known, that is the cause.
        also=("traceback (most recent call last)",),
    ),
)

_CONNECTION = (
    Explanation(
        "network is unreachable",
        "connection",
        "There is no way from where the program runs to this address",
        (
            "The job has no way out of its network: no VPC, or none with a NAT gateway",
            "An internal address was asked for from another network or region",
            "IPv6 was tried, and there is only IPv4",
        ),
        (
            "Give the job a VPC with a way to the address (a NAT gateway for the Internet)",
            "Use the service's internal address in the same region",
        ),
        "never",
        links=(pages.ENDPOINTS,),
        also=("ENETUNREACH", "EHOSTUNREACH", "no route to host"),
        signs=(
            r"\bnetwork is unreachable\b|\bno route to host\b|\bENETUNREACH\b|\bEHOSTUNREACH\b",
        ),
    ),
)

_REASONS = (
    Explanation(
        "JobMaxRunningTimeExceeded",
        _REASON,
        "The job ran for as long as it may (JobMaxRunningTimeMinutes), and was ended",
        ("The work took longer than planned", "The command hangs"),
        (
            "Allow more time, or measure fewer cells in one job",
            "Read the log's last lines: they show whether it still moved",
        ),
        "never",
        _OVER,
        links=(pages.CREATE_JOB,),
        signs=(
            r"\bran for more than \d+ minutes\b|\b(?:reached|exceed(?:s|ed)?|over) (?:the )?"
            r"(?:job'?s? )?max(?:imum)? running time\b",
        ),
    ),
    Explanation(
        "SanityCheckFailed",
        _REASON,
        "The examination of the nodes before the start found one that is not sound",
        ("A GPU, or the network between GPUs, does not do what it should",),
        (
            "Create the job again, to come to other nodes; give the node's name to the provider",
            "Leave EnableSanityCheck off for a short benchmark",
        ),
        "later",
        _OVER,
        links=(pages.CREATE_JOB,),
        signs=(r"\bsanity ?check(?:ing)?\b[^\n]{0,80}\b(?:fail(?:s|ed|ure)?|not pass(?:ed)?)\b",),
    ),
    Explanation(
        "no restart is left",
        _REASON,
        "A pod was lost, and the job had been started again as often as it may be",
        ("Spot instances that are taken back again and again", "A node that fails"),
        (
            "Measure on instances at their full price, or allow more restarts "
            "(ElasticSpotJobMaxRestartTimes)",
        ),
        "later",
        _OVER,
        links=(pages.DLC_BILLING,),
        signs=(
            r"\bno restarts? (?:is|are) left\b"
            r"|\bmax(?:imum)? (?:number of )?restart(?:s| times)\b",
        ),
    ),
)

ENTRIES: Final = (*_LINES, *_CONNECTION, *_REASONS)
