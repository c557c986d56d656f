"""Images that are being pulled, or cannot be: the causes that registries name, and the events."""

from __future__ import annotations

from typing import Final

from tidemark.alibaba.explained import pages
from tidemark.alibaba.explained.entry import Explanation

__all__ = ["CAUSE", "ENTRIES", "PULL_LINE"]

CAUSE: Final = "image pull failure"
PULL_LINE: Final = (
    r"\b(?:pull|pulls|pulled|pulling|manifest|registry|ErrImagePull|ImagePullBackOff)\b"
    r"|docker\.io/|\bresolve reference\b|\binvalid reference\b|\bimage (?:name|reference)\b"
)
"""What a line says that is about pulling an image: only in such lines are the causes looked for."""

_HELD = "Nodes may be held, and billed, for as long as the job or service waits for its image"
_STOP = "Stop the job or service meanwhile: it may wait for long before it fails by itself"
_FIND_ADDRESS = "List the images of the same region with ListImages, and take an ImageUri from it"
_PRIVATE = (
    "Give user name and password of the registry (ImageConfig in DLC, dockerAuth in EAS, "
    "imagePullSecrets in Kubernetes)"
)

_CAUSES = (
    Explanation(
        "manifest unknown",
        CAUSE,
        "The registry has the repository and not this tag or digest",
        (
            "The tag is mistyped",
            "The tag was removed or was never pushed",
            "The image was pushed for another repository or region",
        ),
        (_FIND_ADDRESS, "For an image of your own push the tag, or correct it", _STOP),
        "never",
        _HELD,
        links=(pages.LIST_IMAGES, pages.KUBERNETES_IMAGES),
        also=("image not found",),
        signs=(
            r"\bmanifest unknown\b|\bMANIFEST_UNKNOWN\b",
            r"(?<!host )\bnot found\b|\bNAME_UNKNOWN\b|\bNoSuchImage\b",
        ),
    ),
    Explanation(
        "pull access denied",
        CAUSE,
        "The registry has no such repository, or does not show it to whoever asks",
        (
            "The repository's name is mistyped: registries answer alike for private and for none",
            "The repository is private, and no user name and password were given",
            "The user may not pull from this repository",
        ),
        (_FIND_ADDRESS, _PRIVATE, _STOP),
        "never",
        _HELD,
        links=(pages.LIST_IMAGES, pages.KUBERNETES_IMAGES),
        signs=(
            r"\bpull access denied\b",
            r"\brequested access to the resource is denied\b",
            r"\brepository does not exist\b|\binsufficient_scope\b",
        ),
    ),
    Explanation(
        "unauthorized",
        CAUSE,
        "The registry wants a user name and password, or does not accept the ones it got",
        (
            "The repository is private, and no user name and password were given",
            "The password is wrong, or a temporary one has run out",
            "The credentials were given for another registry host",
        ),
        (_PRIVATE, "Use an image that is public in the region", _STOP),
        "never",
        _HELD,
        links=(pages.KUBERNETES_IMAGES, pages.EAS_FAQ),
        also=("authentication required", "no basic auth credentials"),
        signs=(
            r"\bunauthori[sz]ed\b|\b401\b|\b403 forbidden\b|\bauthorization failed\b",
            r"\bno basic auth credentials\b",
            r"\bauthentication required\b",
        ),
    ),
    Explanation(
        "no such host",
        CAUSE,
        "The registry's name leads to no address from where the image is pulled",
        (
            "The registry's host is mistyped",
            "An internal (-vpc) registry of another region: it is known only inside its own",
            "The registry does not let this VPC in (access control of ACR Enterprise Edition)",
        ),
        (
            "Take an image address of the same region as the job",
            "Give the job a VPC that may reach the registry, or open the registry for it",
            _STOP,
        ),
        "never",
        _HELD,
        links=(pages.EAS_FAQ, pages.LIST_IMAGES),
        signs=(r"\b(?:no such host|server misbehaving)\b",),
    ),
    Explanation(
        "registry not reachable",
        CAUSE,
        "The registry does not answer from where the image is pulled",
        (
            "The job has no way to the Internet, and the registry is a public one (Docker Hub)",
            "A slow line from China to a registry abroad",
            "An internal (-vpc) address of another region",
        ),
        (
            "Copy the image to a registry in the job's region, and use its internal address",
            "Give the job a VPC with a NAT gateway if the image has to come from outside",
        ),
        "later",
        _HELD,
        links=(pages.EAS_FAQ, pages.KUBERNETES_IMAGES),
        also=("i/o timeout", "TLS handshake timeout", "RegistryUnavailable"),
        signs=(
            r"\bi/o timeout\b|\bTLS handshake timeout\b|\bcontext deadline exceeded\b"
            r"|\bClient\.Timeout exceeded\b|\bconnection (?:refused|timed out)\b"
            r"|\bno route to host\b|\bnetwork is unreachable\b",
        ),
    ),
    Explanation(
        "pull cut short",
        CAUSE,
        "The image began to arrive and the connection broke",
        ("A disturbance of the network", "A very large layer over a slow line"),
        (
            "Wait: the pull is tried again by itself",
            "If it happens again and again, copy the image to a registry in the job's region",
        ),
        "later",
        _HELD,
        links=(pages.KUBERNETES_IMAGES,),
        also=("unexpected EOF",),
        signs=(
            r"\bunexpected EOF\b|\bconnection reset by peer\b|\bshort read\b"
            r"|\bfailed to copy\b|\bstatus(?: code)?:? 50[0234]\b"
            r"|\b50[0234] (?:internal|bad|service|gateway)\b",
        ),
    ),
    Explanation(
        "toomanyrequests",
        CAUSE,
        "The registry limits how often may be pulled, and the limit is reached",
        (
            "Docker Hub, asked without a user name, from an address that many share",
            "Many pods that pull the same image at once",
        ),
        (
            "Copy the image to a registry of your own in the job's region",
            "Give a user name and password: the limit is then higher",
        ),
        "later",
        _HELD,
        links=(pages.DOCKER, pages.KUBERNETES_IMAGES),
        also=("pull rate limit",),
        signs=(r"\btoomanyrequests\b|\bpull rate limit\b|\b429\b|\btoo many requests\b",),
    ),
    Explanation(
        "image signed by an unknown authority",
        CAUSE,
        "The registry's TLS certificate is not trusted, or it speaks no TLS",
        ("A registry of one's own with a certificate of its own", "A proxy on the way"),
        ("Give the registry a certificate of a public authority, or use another registry", _STOP),
        "never",
        _HELD,
        links=(pages.KUBERNETES_IMAGES,),
        also=("x509",),
        signs=(
            r"\bx509:",
            r"server gave HTTP response to HTTPS client",
        ),
    ),
    Explanation(
        "no matching manifest",
        CAUSE,
        "The image does not exist for this kind of processor",
        ("It was built on an Arm machine (Apple) and the nodes are amd64, or the other way round",),
        ("Build and push the image for linux/amd64, or for both", _STOP),
        "never",
        _HELD,
        links=(pages.KUBERNETES_IMAGES,),
        signs=(r"\bno matching manifest\b|\bno match for platform\b",),
    ),
    Explanation(
        "no space left for the image",
        CAUSE,
        "The node's disk is too small for the unpacked image",
        ("A large image on a small system disk", "Other images and logs on the same node"),
        ("Ask for a larger system disk (SystemDisk), or use a smaller image",),
        "never",
        _HELD,
        links=(pages.EAS_FAQ, pages.KUBERNETES_IMAGES),
        signs=(r"\bno space left on device\b",),
    ),
    Explanation(
        "InvalidImageName",
        CAUSE,
        "The image's address has no valid form, so nothing was asked of any registry",
        (
            "A blank, a capital letter in the repository, or https:// in the address",
            "A variable that was not replaced by its value",
        ),
        ("Write registry/repository:tag in lower case, without https://", _STOP),
        "never",
        _HELD,
        links=(pages.KUBERNETES_IMAGES,),
        also=("invalid reference format",),
        signs=(
            r"\binvalid reference format\b|\bcouldn't parse image (?:name|reference)\b"
            r"|\brepository name must be lowercase\b",
        ),
    ),
)

_WAITING = (
    Explanation(
        "ErrImagePull",
        "waiting reason",
        "A pull of the image has just failed; it will be tried again",
        (
            "The address or the tag is wrong",
            "The repository is private, and no credentials were given",
            "The registry cannot be reached from the node's network",
        ),
        (
            "Read the event that begins with Failed to pull image: it names the cause",
            _FIND_ADDRESS,
        ),
        "later",
        _HELD,
        links=(pages.KUBERNETES_IMAGES, pages.LIST_IMAGES),
    ),
    Explanation(
        "ImagePullBackOff",
        "waiting reason",
        "The image could not be pulled several times; each next try waits longer, up to 5 minutes",
        (
            "The address or the tag is wrong",
            "The repository is private, and no credentials were given",
            "The registry cannot be reached from the node's network",
        ),
        (
            "Read the event that begins with Failed to pull image: it names the cause",
            _FIND_ADDRESS,
            _STOP,
        ),
        "later",
        _HELD,
        links=(pages.KUBERNETES_IMAGES, pages.LIST_IMAGES),
        also=("Back-off pulling image",),
        signs=(r"\bback-?off pulling image\b",),
    ),
    Explanation(
        "ImageInspectError",
        "waiting reason",
        "The image is on the node and cannot be read there",
        ("A damaged copy on the node", "A fault of the node's container runtime"),
        ("Start the job again, so that it comes to another node", "Push the image again"),
        "later",
        _HELD,
        links=(pages.KUBERNETES_IMAGES,),
    ),
    Explanation(
        "ErrImageNeverPull",
        "waiting reason",
        "The image is not on the node, and the pull policy forbids to pull it",
        ("The pull policy (imagePullPolicy) is Never",),
        ("Set imagePullPolicy to IfNotPresent",),
        "never",
        _HELD,
        links=(pages.KUBERNETES_IMAGES,),
    ),
)

_EVENTS = (
    Explanation(
        "Failed to pull image",
        "pod event",
        "A pull of the image failed; what follows in the same line is the registry's reason",
        (
            "The address or the tag is wrong",
            "The repository is private, and no credentials were given",
            "The registry cannot be reached from the node's network",
        ),
        (
            "Explain the whole line: the words after the image's name tell the cause",
            _FIND_ADDRESS,
            _STOP,
        ),
        "later",
        _HELD,
        links=(pages.KUBERNETES_IMAGES, pages.LIST_IMAGES),
        signs=(r"\bfailed to pull (?:and unpack )?image\b", r"\berror pulling image\b"),
    ),
    Explanation(
        "Pulling image",
        "pod event",
        "The image is being pulled",
        ("The node does not have it yet; large images take minutes",),
        ("Wait for Successfully pulled image or Failed to pull image",),
        "later",
        _HELD,
        links=(pages.KUBERNETES_IMAGES,),
        also=("Pulling",),
        signs=(r"(?<!off )(?<!error )\bpulling image\b",),
    ),
    Explanation(
        "Successfully pulled image",
        "pod event",
        "The image has arrived; earlier failures to pull it are overcome",
        ("The pull came to its end",),
        ("Wait for the container to start",),
        "later",
        links=(pages.KUBERNETES_IMAGES,),
        also=("Pulled",),
        signs=(r"\bsuccessfully pulled image\b", r"\balready present on machine\b"),
    ),
)

ENTRIES: Final = (*_CAUSES, *_WAITING, *_EVENTS)
