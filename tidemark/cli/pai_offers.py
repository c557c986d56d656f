"""What PAI has to offer: instance types, their prices, images, workspaces."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

from tidemark.cli.alibaba_session import Session
from tidemark.cli.printing import (
    console,
    day,
    long_table,
    moment,
    number,
    print_document,
    print_facts,
    say,
)
from tidemark.errors import ConfigError
from tidemark.money.amounts import sum_text

if TYPE_CHECKING:
    from tidemark.alibaba.account import Account
    from tidemark.alibaba.aiworkspace import Image, Workspace
    from tidemark.alibaba.dlc_answers import EcsSpec
    from tidemark.alibaba.ecs_price import InstancePrice

__all__ = ["resolve_images", "show_images", "show_price", "show_specs", "show_workspaces"]

FAILED = 1

Chip = Literal["CPU", "GPU"]
_SORTS = {"cpu": "CPU", "gpu": "GPU", "memory": "Memory"}


def show_specs(
    session: Session,
    *,
    accelerator: Chip | None,
    sort: Literal["cpu", "gpu", "memory"] | None,
    order: Literal["asc", "desc"],
    available: bool,
    name: str | None,
    as_json: bool,
) -> None:
    """List instance types of DLC."""
    from tidemark.alibaba.dlc import Dlc
    from tidemark.alibaba.training_jobs import sort_specs

    async def ask(account: Account) -> list[EcsSpec]:
        return await Dlc(account).list_ecs_specs(accelerator_type=accelerator)

    found = session.run(ask)
    specs = [
        spec
        for spec in sort_specs(found, None if sort is None else _SORTS[sort], order)
        if (name is None or name.casefold() in spec.instance_type.casefold())
        and (spec.is_available or not available)
    ]
    if as_json:
        print_document([spec.wire for spec in specs])
    elif specs:
        headings = ("type", "vCPU", "GiB", "GPUs", "stock", "spot")
        console().print(
            long_table(
                headings, map(_spec_row, specs), folded=("GPUs",), right=("vCPU", "GiB", "spot")
            )
        )
    else:
        say(f"no instance type of {len(found)} in {session.region_name()} fits", err=True)


def _spec_row(spec: EcsSpec) -> tuple[str, ...]:
    return (
        spec.instance_type,
        number(spec.cpu),
        number(spec.memory_gib),
        _gpus(spec),
        {True: "yes", False: "no", None: "-"}[spec.is_available],
        _spot(spec),
    )


def _gpus(spec: EcsSpec) -> str:
    """How many, which, and the memory of each."""
    if not spec.gpu:
        return "-"
    memory = "" if spec.gpu_memory is None else f", {number(spec.gpu_memory)} GB"
    return f"{number(spec.gpu)} × {spec.gpu_type or 'GPU'}{memory}"


def _spot(spec: EcsSpec) -> str:
    """What a spot machine costs, as a share of the full price."""
    if "Spot" not in spec.payment_types:
        return "-"
    if spec.spot_stock_status != "WithStock":
        return "none"
    share = spec.non_protect_spot_discount
    return "yes" if share is None else f"{share:.0%}"


def show_images(
    session: Session, *, chip: Chip | None, framework: str | None, name: str | None, as_json: bool
) -> None:
    """List the official images that DLC runs."""
    from tidemark.alibaba.aiworkspace import AiWorkspace

    labels = {"system.supported.dlc": "true"} | ({"system.chipType": chip} if chip else {})

    async def ask(account: Account) -> list[Image]:
        return await AiWorkspace(account).list_images(labels=labels, name=name)

    found = session.run(ask)
    images = [image for image in found if framework is None or _is_of(image, framework)]
    if as_json:
        print_document([image.wire for image in images])
    elif images:
        _print_images(images)
    else:
        say(f"no image of {len(found)} in {session.region_name()} fits", err=True)
        if framework is not None and (known := _frameworks(found)):
            say(f"frameworks: {', '.join(known)}", err=True)


def _is_of(image: Image, framework: str) -> bool:
    wanted = framework.casefold()
    return image.name.casefold().startswith(wanted) or wanted in (
        image.labels.get("system.framework", "").casefold()
    )


def _frameworks(images: Sequence[Image]) -> list[str]:
    """What images say that they are of, without its version, or what their names begin with."""
    named = {
        (image.labels.get("system.framework") or image.name.replace(":", " ")).partition(" ")[0]
        for image in images
    }
    return sorted(named - {""}, key=str.casefold)


def _print_images(images: Sequence[Image]) -> None:
    """Images by registry: the beginning of their URIs is long, and mostly the same."""
    registries: dict[str, list[Image]] = {}
    for image in images:
        registries.setdefault(image.image_uri.rpartition("/")[0], []).append(image)
    out = console()
    for place, (registry, held) in enumerate(registries.items()):
        if place:
            out.print()
        say(f"{registry}/")
        rows = [
            (
                f"  {image.image_uri.rpartition('/')[2]}",
                image.labels.get("system.chipType", "-"),
                number(image.size_gb),
                day(image.gmt_create_time),
            )
            for image in held
        ]
        out.print(long_table(("  image", "chip", "GB", "created"), rows, right=("GB",)))


def resolve_images(session: Session, job_type: str, *, chip: Chip | None, as_json: bool) -> int:
    """Say which image a kind of job gets where it names none, on each chip; 1 if there is none."""
    from tidemark.alibaba.images import choose_image, resolve_image

    chips: tuple[Chip, ...] = (chip,) if chip else ("CPU", "GPU")
    try:
        choose_image([], job_type, chips[0])
    except ConfigError as error:
        if error.where != "ListImages":
            raise  # there is no such kind of job, whatever the service has

    async def ask(account: Account) -> list[dict[str, Any]]:
        choices: list[dict[str, Any]] = []
        for one in chips:
            choice: dict[str, Any] = {"job_type": job_type, "chip": one, "image": None}
            try:
                uri = await resolve_image(account, job_type, one)
            except ConfigError as error:
                choice["reason"] = f"{error.what}"
            else:
                choice |= {
                    "image": str(uri),
                    "digest": uri.digest,
                    "digest_reason": uri.digest_reason,
                }
            choices.append(choice)
        return choices

    choices = session.run(ask)
    if as_json:
        print_document(choices)
    else:
        for choice in choices:
            if choice["image"] is None:
                pairs = {choice["chip"]: choice["reason"]}
            else:
                digest = choice["digest"] or f"digest not known: {choice['digest_reason']}"
                pairs = {choice["chip"]: (choice["image"], digest)}
            print_facts(pairs)
    return 0 if any(choice["image"] for choice in choices) else FAILED


def show_price(
    session: Session,
    instance_type: str,
    *,
    workers: int,
    hours: float | None,
    disk_gib: int,
    spot: bool,
    as_json: bool,
) -> int:
    """Say what machines cost by the hour, apart from their disks; 1 when there is no price."""
    from tidemark.alibaba.ecs import Ecs

    if hours is not None and not 0 < hours < float("inf"):
        raise ConfigError("is no time", "--hours", "Give a number of hours above 0, such as 1.5")

    async def ask(account: Account) -> tuple[InstancePrice, datetime]:
        price = await Ecs(account).describe_price(
            instance_type,
            system_disk_size_gib=disk_gib,
            spot_strategy="SpotAsPriceGo" if spot else None,
        )
        return price, datetime.fromtimestamp(account.time_s(), UTC)

    price, read_at = session.run(ask)
    each = price.instance_price_per_hour
    all_each = None if each is None else each * workers
    total = None if all_each is None or hours is None else all_each * Decimal(str(hours))
    if as_json:
        print_document(
            {
                "instance_type": price.instance_type,
                "region": price.region,
                "spot": spot,
                "workers": workers,
                "hours": hours,
                "currency": price.currency,
                "price_per_hour": each,
                "all_workers_price_per_hour": all_each,
                "total_price": total,
                "includes_disk": each is not None and price.instance_price is None,
                "disk_price_per_hour": price.disk_price_per_hour,
                "disk_size_gib": disk_gib,
                "disk_category": price.system_disk_category,
                "read_at": read_at,
                "reason": price.reason,
                "request_id": price.request_id,
            }
        )
    elif each is not None:
        kind = "spot" if spot else "pay-as-you-go"
        say(f"{instance_type} in {price.region}, {kind}")
        print_facts(_price_facts(price, workers, hours, disk_gib, read_at))
    if each is None:
        say(f"{instance_type} has no price in {price.region}: {price.reason}", err=True)
        return FAILED
    return 0


def _price_facts(
    price: InstancePrice, workers: int, hours: float | None, disk_gib: int, read_at: datetime
) -> dict[str, object]:
    each, currency = price.instance_price_per_hour or Decimal(0), price.currency or ""
    disk = price.disk_price_per_hour
    with_disk = " (with its disk: the answer does not tell them apart)"
    told: dict[str, object] = {
        "machine": f"{sum_text(each, currency)} an hour"
        f"{with_disk if price.instance_price is None else ''}"
    }
    if disk is not None:
        told["disk"] = (
            f"{sum_text(disk, currency)} an hour for {disk_gib} GiB of "
            f"{price.system_disk_category}, not in the sums below"
        )
    if workers > 1:
        told[f"{workers} machines"] = f"{sum_text(each * workers, currency)} an hour"
    if hours is not None:
        told[f"for {hours:g} h"] = sum_text(each * workers * Decimal(str(hours)), currency)
    told["read"] = f"{moment(read_at)} (ECS DescribePrice; an estimate of the bill, not a bill)"
    return told


def show_workspaces(session: Session, *, as_json: bool) -> None:
    """List workspaces, and say which one a job goes to where it names none, and why."""
    from tidemark.alibaba.aiworkspace import AiWorkspace
    from tidemark.alibaba.workspaces import NEW_WORKSPACE, workspace_choice

    async def ask(account: Account) -> tuple[list[Workspace], str | None, str]:
        listed = await AiWorkspace(account).list_workspaces()
        try:
            chosen = await workspace_choice(account).existing()
        except ConfigError as error:
            return listed, None, f"none would be used: {error.what}. {error.remedy or ''}"
        if chosen is None:
            return listed, None, f"there is none yet: the first job makes {NEW_WORKSPACE}"
        return listed, chosen, _why(listed, chosen)

    listed, chosen, why = session.run(ask)
    if as_json:
        workspaces = [{**one.wire, "would_be_used": one.workspace_id == chosen} for one in listed]
        print_document({"chosen": chosen, "why": why, "workspaces": workspaces})
        return
    if listed:
        rows = [
            (
                one.workspace_id,
                one.workspace_name,
                one.status or "-",
                "yes" if one.is_default else "-",
                day(one.gmt_create_time),
                "<- used" if one.workspace_id == chosen else "",
            )
            for one in listed
        ]
        headings = ("workspace", "name", "status", "default", "created", "")
        console().print(long_table(headings, rows, folded=("name",)))
    say(why)


def _why(listed: Sequence[Workspace], chosen: str) -> str:
    of_id = {one.workspace_id: one for one in listed}
    named = f"a job that names no workspace goes to {chosen}"
    if chosen in of_id and of_id[chosen].is_default:
        return f"{named}: it is the account's default"
    if list(of_id) == [chosen]:
        return f"{named}: it is the only one"
    return f"{named}: the service calls it the default"
