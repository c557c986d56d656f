"""What CreateJob (2020-12-03) is asked for, checked as the service checks it.

Fields that nobody here knows are let through, and empty lists and texts, which SDKs send for what
is not set, count as absent.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NoReturn

from tidemark.simulator.pai.wire import refuse
from tidemark.simulator.pai.world import MachineSpec, World

__all__ = ["JobRequest", "Role", "job_request"]

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,256}")
_MASTERED = ("Worker", "Master")
# Job type -> the roles it knows; the first of a type without a master becomes one.
_ROLES = {
    "TFJob": ("Chief", "PS", "Worker", "Evaluator", "GraphLearn", "Master"),
    "PyTorchJob": _MASTERED,
    "MPIJob": _MASTERED,
    "XGBoostJob": _MASTERED,
    "OneFlowJob": _MASTERED,
    "ElasticBatchJob": _MASTERED,
    "SlurmJob": ("Worker", "Master", "Controller", "Login"),
    "RayJob": ("Head", "Worker"),
    "DataJuicerJob": ("Head", "Worker", "Master"),
}
_MASTER_BY_DEFAULT = ("PyTorchJob", "XGBoostJob", "OneFlowJob", "ElasticBatchJob")
_RESTART_POLICIES = ("Always", "Never", "OnFailure", "ExitCode")
_MOST_PODS = 1000
_MOST_RESTARTS = 10


@dataclass(frozen=True, slots=True)
class Role:
    """One entry of JobSpecs: so many pods of a kind, on machines of one spec.

    `machine` is None for a share of a quota. `spot_to_be_had` is False for a spot machine that is
    out of stock or above the limit that was given.
    """

    kind: str
    image: str
    pods: int
    machine: MachineSpec | None
    spot: bool
    spot_to_be_had: bool
    cpu: float
    gpu: float
    memory_gib: float
    restart_policy: str

    @property
    def in_stock(self) -> bool:
        """Whether such machines are to be had now."""
        if self.machine is None:
            return True
        return self.spot_to_be_had if self.spot else self.machine.is_available


@dataclass(frozen=True, slots=True)
class JobRequest:
    """A job as it was asked for. `document` is the body, with the passwords taken out."""

    document: Mapping[str, Any] = field(repr=False)
    name: str
    job_type: str
    workspace_id: str
    resource_id: str
    roles: tuple[Role, ...]
    limit_s: float
    reserved_s: float
    checks_sanity: bool
    most_restarts: int

    @property
    def pod_kinds(self) -> tuple[tuple[str, int, Role], ...]:
        """The pods in order: the kind in its id, its number, its role."""
        pods = []
        taken = {role.kind for role in self.roles}
        crowned = self.job_type not in _MASTER_BY_DEFAULT or "Master" in taken
        for role in self.roles:
            for number in range(role.pods):
                if role.kind == "Worker" and not crowned and number == 0:
                    pods.append(("Master", 0, role))
                elif role.kind == "Worker" and not crowned:
                    pods.append((role.kind, number - 1, role))
                else:
                    pods.append((role.kind, number, role))
        return tuple(pods)

    @property
    def bids(self) -> bool:
        """Whether it must win a spot machine of Lingjun first."""
        return any(
            role.spot and role.machine is not None and role.machine.resource_type == "Lingjun"
            for role in self.roles
        )


def job_request(body: Mapping[str, Any], world: World) -> JobRequest:
    """Check a body. Raises WireError 400 for what the service would refuse."""
    for name in ("DisplayName", "JobType", "UserCommand", "JobSpecs"):
        if not body.get(name):
            refuse(400, "MissingParameter", f"The parameter {name} is required.")
    name = body["DisplayName"]
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        _wrong(
            "DisplayName",
            "must be 1 to 256 letters, digits, underscores, periods or hyphens",
        )
    if not isinstance(body["JobType"], str) or body["JobType"] not in _ROLES:
        _wrong("JobType", f"must be one of {', '.join(_ROLES)}")
    if not isinstance(body["UserCommand"], str):
        _wrong("UserCommand", "must be a string")
    resource_id = _text(body, "ResourceId", "")
    _check_choice(body, "Accessibility", ("PUBLIC", "PRIVATE"))
    _check_choice(body, "SuccessPolicy", ("ChiefWorker", "AllWorkers"))
    if body.get("Priority") not in (None, 0):
        _number(body, "Priority", 1, 9)
    _check_map(body, "Envs")
    _check_custom_envs(body)
    _check_data_sources(body)
    settings = _object(body, "Settings", "Settings")
    _check_map(settings, "Tags", "Settings.")
    specs = body["JobSpecs"]
    if not isinstance(specs, list):
        _wrong("JobSpecs", "must be an array")
    roles = tuple(
        _role(spec, f"JobSpecs[{index}]", body, world) for index, spec in enumerate(specs)
    )
    return JobRequest(
        document=_without_passwords(body),
        name=name,
        job_type=body["JobType"],
        workspace_id=_text(body, "WorkspaceId", "") or world.default_workspace_id,
        resource_id=resource_id,
        roles=roles,
        limit_s=60 * _number(body, "JobMaxRunningTimeMinutes", 0, 10**6, 0) or math.inf,
        reserved_s=60 * _number(settings, "JobReservedMinutes", 0, 10**5, 0, "Settings."),
        checks_sanity=_flag(settings, "EnableSanityCheck", "Settings."),
        most_restarts=_number(
            settings, "ElasticSpotJobMaxRestartTimes", 0, 1000, _MOST_RESTARTS, "Settings."
        ),
    )


def _role(spec: Any, place: str, body: Mapping[str, Any], world: World) -> Role:
    if not isinstance(spec, dict):
        _wrong(place, "must be an object")
    here = f"{place}."
    for name in ("Type", "Image"):
        if not spec.get(name):
            refuse(400, "MissingParameter", f"The parameter {here}{name} is required.")
        _text(spec, name, "", here)
    known = _ROLES[body["JobType"]]
    if spec["Type"] not in known and not (
        body["JobType"] == "RayJob" and spec["Type"].startswith("Worker-")
    ):
        _wrong(f"{here}Type", f"must be one of {', '.join(known)} for {body['JobType']}")
    if spec.get("PodCount") is None:
        refuse(400, "MissingParameter", f"The parameter {here}PodCount is required.")
    pods = _number(spec, "PodCount", 1, _MOST_PODS, None, here)
    _check_choice(spec, "RestartPolicy", _RESTART_POLICIES, here)
    config = _object(spec, "ResourceConfig", f"{here}ResourceConfig")
    elastic = spec.get("ElasticSpotSpecs") or []
    instance_type = _text(spec, "EcsSpec", "", here) or _elastic_choice(elastic, here, world)
    if instance_type and config:
        _wrong(f"{here}EcsSpec", "and ResourceConfig cannot both be given")
    policy = _text(spec, "RestartPolicy", "", here)
    if config:
        return _quota_role(spec, config, body, pods, policy, here)
    if not instance_type:
        refuse(400, "MissingParameter", f"The parameter {here}EcsSpec is required.")
    if body.get("ResourceId"):
        _wrong(f"{here}EcsSpec", "is for public resources; with ResourceId give ResourceConfig")
    machine = world.spec(instance_type)
    if machine is None:
        _wrong(f"{here}EcsSpec", f"{instance_type} is not a supported instance type")
    spot_spec = _object(spec, "SpotSpec", f"{here}SpotSpec")
    spot = bool(spot_spec or elastic or spec.get("UseSpotInstance"))
    to_be_had = spot and _spot_to_be_had(spot_spec, machine, f"{here}SpotSpec.")
    if spot and machine.resource_type == "Lingjun" and not body.get("UserVpc"):
        refuse(400, "MissingParameter", "The parameter UserVpc is required for Lingjun spot jobs.")
    return Role(
        kind=spec["Type"],
        image=spec["Image"],
        pods=pods,
        machine=machine,
        spot=spot,
        spot_to_be_had=to_be_had,
        cpu=machine.cpu,
        gpu=machine.gpu,
        memory_gib=machine.memory_gib,
        restart_policy=policy,
    )


def _quota_role(
    spec: Mapping[str, Any],
    config: Mapping[str, Any],
    body: Mapping[str, Any],
    pods: int,
    policy: str,
    here: str,
) -> Role:
    if not body.get("ResourceId") and not spec.get("QuotaId"):
        _wrong(f"{here}ResourceConfig", "needs the quota it is taken from: give ResourceId")
    return Role(
        kind=spec["Type"],
        image=spec["Image"],
        pods=pods,
        machine=None,
        spot=False,
        spot_to_be_had=False,
        cpu=_quantity(config, "CPU", here),
        gpu=_quantity(config, "GPU", here),
        memory_gib=_quantity(config, "Memory", here),
        restart_policy=policy,
    )


def _elastic_choice(elastic: Any, here: str, world: World) -> str:
    """The cheapest spot machine in stock among those offered, else the first offered."""
    if not isinstance(elastic, list) or any(not isinstance(one, dict) for one in elastic):
        _wrong(f"{here}ElasticSpotSpecs", "must be an array of objects")
    names = [str(one.get("InstanceType")) for one in elastic]
    machines = [spec for spec in map(world.spec, names) if spec is not None]
    if len(machines) != len(names):
        _wrong(f"{here}ElasticSpotSpecs", "names an instance type that is not supported")
    stocked = [one for one in machines if one.spot_stock_status == "WithStock"]
    stocked.sort(key=lambda one: (one.price_per_hour or Decimal("Infinity")) * _discount(one))
    chosen = stocked or machines
    return chosen[0].instance_type if chosen else ""


def _discount(machine: MachineSpec) -> Decimal:
    return Decimal(str(1.0 if machine.spot_discount is None else machine.spot_discount))


def _spot_to_be_had(limits: Mapping[str, Any], machine: MachineSpec, here: str) -> bool:
    if machine.spot_discount is None:
        _wrong(here.rstrip("."), f"{machine.instance_type} is not sold as a spot instance")
    if limits:
        if limits.get("SpotStrategy") != "SpotWithPriceLimit":
            _wrong(f"{here}SpotStrategy", "must be SpotWithPriceLimit")
        given = [
            name for name in ("SpotDiscountLimit", "SpotPriceLimit") if limits.get(name) is not None
        ]
        if len(given) != 1:
            _wrong(here.rstrip("."), "takes exactly one of SpotDiscountLimit and SpotPriceLimit")
        limit = limits[given[0]]
        if isinstance(limit, bool) or not isinstance(limit, int | float) or not limit > 0:
            _wrong(f"{here}{given[0]}", "must be a number above 0")
        if given[0] == "SpotDiscountLimit" and machine.spot_discount > limit:
            return False
        price = machine.price_per_hour
        if given[0] == "SpotPriceLimit" and price is not None:
            per_minute = price * _discount(machine) / 60
            if per_minute > Decimal(str(limit)):
                return False
    return machine.spot_stock_status == "WithStock"


def _check_custom_envs(body: Mapping[str, Any]) -> None:
    entries = body.get("CustomEnvs") or []
    if not isinstance(entries, list) or any(
        not isinstance(one, dict) or not isinstance(one.get("Key"), str) for one in entries
    ):
        _wrong("CustomEnvs", "must be an array of objects with a Key")


def _check_data_sources(body: Mapping[str, Any]) -> None:
    sources = body.get("DataSources") or []
    if not isinstance(sources, list) or any(not isinstance(one, dict) for one in sources):
        _wrong("DataSources", "must be an array of objects")
    for index, source in enumerate(sources):
        if bool(source.get("Uri")) == bool(source.get("DataSourceId")):
            _wrong(f"DataSources[{index}]", "takes either Uri or DataSourceId")
        _check_choice(source, "MountAccess", ("RO", "RW"), f"DataSources[{index}].")


def _without_passwords(body: Mapping[str, Any]) -> dict[str, Any]:
    """The body to be echoed: the keys to a private registry stay with the service."""
    specs = []
    for spec in body["JobSpecs"]:
        kept = dict(spec)
        if isinstance(kept.get("ImageConfig"), dict):
            config = kept["ImageConfig"]
            kept["ImageConfig"] = {
                name: value for name, value in config.items() if name not in ("Password", "Auth")
            }
        specs.append(kept)
    return {**body, "JobSpecs": specs}


def _wrong(place: str, why: str) -> NoReturn:
    refuse(400, "InvalidParameter", f"The parameter {place} {why}.")


def _text(body: Mapping[str, Any], name: str, default: str, here: str = "") -> str:
    value = body.get(name)
    if value is None:
        return default
    if not isinstance(value, str):
        _wrong(f"{here}{name}", "must be a string")
    return str(value)


def _object(body: Mapping[str, Any], name: str, place: str) -> dict[str, Any]:
    value = body.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        _wrong(place, "must be an object")
    return dict(value)


def _number(
    body: Mapping[str, Any],
    name: str,
    least: int,
    most: int,
    default: int | None = None,
    here: str = "",
) -> int:
    value = body.get(name)
    if value is None and default is not None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        _wrong(f"{here}{name}", f"must be a whole number from {least} to {most}")
    return int(value or 0)


def _flag(body: Mapping[str, Any], name: str, here: str) -> bool:
    value = body.get(name)
    if value is not None and not isinstance(value, bool):
        _wrong(f"{here}{name}", "must be true or false")
    return bool(value)


def _check_choice(
    body: Mapping[str, Any], name: str, choices: tuple[str, ...], here: str = ""
) -> None:
    if body.get(name) and body[name] not in choices:
        _wrong(f"{here}{name}", f"must be one of {', '.join(choices)}")


def _check_map(body: Mapping[str, Any], name: str, here: str = "") -> None:
    value = body.get(name) or {}
    if not isinstance(value, dict) or any(not isinstance(one, str) for one in value.values()):
        _wrong(f"{here}{name}", "must be a map of strings")


def _quantity(config: Mapping[str, Any], name: str, here: str) -> float:
    """`10`, `10Gi` or `512Mi`, the latter two in GiB. All are texts."""
    value = config.get(name)
    if value in (None, ""):
        return 0.0
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(Gi|Mi)?", value) if isinstance(value, str) else None
    if found is None:
        _wrong(f"{here}ResourceConfig.{name}", 'must be a string such as "10" or "10Gi"')
    assert found is not None
    return float(found[1]) / (1024 if found[2] == "Mi" else 1)
