"""Choosing the official image for a kind of job, among what ListImages has.

Images of one region's registry are reachable in that region only: a choice made in one region must
not be used in another.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal
from weakref import WeakKeyDictionary

from tidemark.alibaba.aiworkspace import AiWorkspace, Image
from tidemark.alibaba.channel import Channel
from tidemark.alibaba.image_digest import image_digest
from tidemark.errors import ConfigError
from tidemark.plan.problems import did_you_mean

__all__ = ["ChipType", "ImageUri", "choose_image", "resolve_image"]

ChipType = Literal["CPU", "GPU"]

# How the names of official images begin, by the kind of job they are for.
FRAMEWORKS: dict[str, tuple[str, ...]] = {
    "PyTorchJob": ("pytorch",),
    "TFJob": ("tensorflow",),
    "MPIJob": ("mpi", "horovod", "pytorch"),
    "XGBoostJob": ("xgboost",),
    "RayJob": ("ray",),
}
# Builds for one accelerator library or communication stack: never chosen by default.
_SPECIAL = re.compile(r"accl|ngc|deepep", re.IGNORECASE)


_resolved: WeakKeyDictionary[Channel, dict[tuple[str, str], ImageUri]] = WeakKeyDictionary()


class ImageUri(str):
    """An image's URI; plain text to everyone, with the digest behind its tag where it is known.

    `digest` is `sha256:…`, or None with `digest_reason` saying why.
    """

    digest: str | None = None
    digest_reason: str | None = None

    @classmethod
    def of(cls, uri: str, digest: str | None, reason: str | None) -> ImageUri:
        """A URI and what is known of its digest."""
        made = cls(uri)
        made.digest = digest
        made.digest_reason = reason
        return made


def choose_image(images: Sequence[Image], job_type: str, chip_type: ChipType) -> Image:
    """The image for a kind of job: of its framework, standard, made for the chip, newest.

    Raises ConfigError for a kind of job that has no official image, and where none fits.
    """
    prefixes = FRAMEWORKS.get(job_type)
    if prefixes is None:
        raise ConfigError(
            "has no official image", f"job_type: {job_type}",
            f"{did_you_mean(job_type, FRAMEWORKS)}, or give an image",
        )  # fmt: skip
    for prefix in prefixes:
        named = re.compile(rf"{prefix}(-training)?(-(cpu|gpu|inference))?:", re.IGNORECASE)
        fitting = [image for image in images if named.match(image.name)]
        standard = [image for image in fitting if not _SPECIAL.search(image.name)]
        if fitting:
            return max(standard or fitting, key=lambda image: _rank(image, chip_type))
    raise ConfigError(
        f"there is no official image for {job_type} on {chip_type}", "ListImages", "Give an image"
    )


def _rank(image: Image, chip_type: str) -> tuple[bool, str, str]:
    tag = f"{image.name} {image.image_uri.rpartition(':')[2]}".casefold()
    created = image.gmt_create_time
    return chip_type.casefold() in tag, created.isoformat() if created else "", image.image_uri


async def resolve_image(channel: Channel, job_type: str, chip_type: ChipType) -> ImageUri:
    """The official image for a kind of job on a CPU or GPU, in the channel's region; remembered.

    The digest behind its tag is asked of the registry, which answers only where it is reachable.
    Raises ConfigError where there is none, and AlibabaError.
    """
    if chip_type not in ("CPU", "GPU"):
        raise ConfigError("is neither CPU nor GPU", f"chip_type: {chip_type}", "Give one of them")
    if job_type not in FRAMEWORKS:
        choose_image([], job_type, chip_type)
    known = _resolved.setdefault(channel, {})
    if (job_type, chip_type) in known:
        return known[job_type, chip_type]
    labels = {"system.supported.dlc": "true", "system.chipType": chip_type}
    images = await AiWorkspace(channel).list_images(labels=labels)
    chosen = choose_image(images, job_type, chip_type)
    found = await image_digest(chosen.image_uri, channel.http)
    uri = known[job_type, chip_type] = ImageUri.of(chosen.image_uri, found.digest, found.reason)
    return uri
