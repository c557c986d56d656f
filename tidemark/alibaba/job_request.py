"""From a plan and what was looked up for it to the job that is created (PAI-DLC 2020-12-03).

A sweep runs inside the job as the `tidemark` command does anywhere: its plan goes in by the
command's standard input, its results to a store. The job's role is lent by the service: temporary
credentials are to be had at an address within the container, and no key is in the request.
"""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Mapping
from typing import Any

from tidemark import __version__
from tidemark.alibaba.answers import read
from tidemark.alibaba.dlc_requests import CreateJob, JobSpec, PrivateRegistry, Spot
from tidemark.alibaba.job_look_up import LookUp
from tidemark.alibaba.operations import JsonObject
from tidemark.alibaba.training_jobs import Machine, training_specs
from tidemark.errors import PlanError
from tidemark.plan.job import JobPlan
from tidemark.plan.job_container import Mount, library_name
from tidemark.plan.job_sweep import SECRET_FILE_REMEDY, secret_trouble
from tidemark.plan.load import dump_plan
from tidemark.plan.secrets import KINDS, SecretRef
from tidemark.plan.store_parameters import PARAMETERS, find_parameter
from tidemark.plan.sweep import SweepPlan
from tidemark.plan.yaml_text import MAX_CHARACTERS

__all__ = ["CREDENTIALS_URI", "ENDED", "create_request", "sweep_command"]

CREDENTIALS_URI = "http://localhost:7002/api/v1/credentials/0"
"""Where a container finds the temporary credentials of the job's role: an address, no secret."""

ENDED = "tidemark: the sweep ended with status"
"""How the last line begins that a sweep's job prints; the exit status of the sweep follows."""

# Linux takes no argument of 128 KiB, and the command is one of the shell's.
_LONGEST_COMMAND_BYTES = 120_000

# One child at a time, which a stop of the job reaches: it then ends with the cells it has. Cells
# that failed, and doubts about them, are told by the rows in the store; the job has not failed.
_SCRIPT = """\
stopped=
child=
stop() {{
  stopped=1
  if [ -n "$child" ]; then kill -TERM "$child" 2>/dev/null; fi
}}
trap stop TERM INT
run() {{
  if [ -n "$stopped" ]; then return 143; fi
  "$@" <&3 &
  child=$!
  if [ -n "$stopped" ]; then stop; fi
  wait "$child"
  status=$?
  while [ "$status" -gt 128 ] && kill -0 "$child" 2>/dev/null; do
    wait "$child"
    status=$?
  done
  child=
  return "$status"
}}
run {install} 3</dev/null &&
run {sweep} 3<<'{end}'
{plan}{end}
status=$?
echo "{ended} $status"
case "$status" in
  3 | 4) exit 0 ;;
esac
exit "$status"
"""


def create_request(
    plan: JobPlan,
    found: LookUp,
    *,
    workspace_id: str,
    name: str,
    tags: Mapping[str, str],
    store_uri: str | None = None,
    store_options: Mapping[str, str] | None = None,
    round: str | None = None,
    run_id: str,
) -> CreateJob:
    """The job to create for a plan: its display name and tags as decided before.

    A sweep keeps its results at `store_uri`, opened with `store_options`, in `round` (`run_id`): a
    job that is started again goes on in it. The service ends the job after the limits' running
    time, in whole minutes. Passwords are references in it, to be lent when it is created. Raises
    PlanError for a store that the job cannot reach or open, and ConfigError for what DLC would
    refuse.
    """
    limits = plan.limits
    envs = dict(plan.environment)
    command = plan.command or ""
    if plan.sweep is not None:
        uri = _reachable(store_uri, plan.mounts)
        options = _store_options(uri, store_options or {}, plan, found.region)
        command = sweep_command(plan.sweep, store_uri=uri, round=round or run_id)
        envs = {"TIDEMARK_REGION": found.region, **envs}
        envs |= {"TIDEMARK_STORE_OPTIONS": options} if options else {}
    if plan.role_arn is not None:
        envs["ALIBABA_CLOUD_CREDENTIALS_URI"] = CREDENTIALS_URI
    quota = plan.machine.quota
    return read(
        CreateJob,
        {
            "display_name": name,
            "job_type": plan.job_type,
            "user_command": command,
            "job_specs": [_spec(spec, plan) for spec in _roles(plan, found)],
            "workspace_id": workspace_id,
            "resource_id": quota.resource_id if quota is not None else None,
            "priority": plan.priority,
            "max_running_time_minutes": limits.running_minutes,
            "envs": envs or None,
            "thirdparty_libs": _libraries(plan, store_uri) or None,
            "tags": dict(tags),
            "data_sources": [_data_source(mount, plan, found.region) for mount in plan.mounts]
            or None,
            "user_vpc": _vpc(plan),
            "credential_config": _credentials(plan.role_arn),
        },
        f"CreateJob {name}",
    )


def sweep_command(plan: SweepPlan, *, store_uri: str, round: str) -> str:
    """What a POSIX shell runs to measure a plan, keep the results in a store, and say how it ended.

    Installs the load engine first. The plan's text comes by a quoted here-document, so that nothing
    in it is read by the shell. The last line printed is `ENDED` and the sweep's exit status. A
    sweep that is partial (3) or inconclusive (4) is no failure of the job: it exits with 0. SIGTERM
    is passed on. Raises PlanError for a plan that cannot be handed over so.
    """
    text = _text_of(plan)
    end = f"TIDEMARK_PLAN_{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    engine = plan.engine.name
    script = _SCRIPT.format(
        install=shlex.join(["tidemark", "engines", "install", engine]),
        sweep=shlex.join(["tidemark", "sweep", "-", "--store", store_uri, "--round", round]),
        plan=text,
        end=end,
        ended=ENDED,
    )
    if len(script.encode()) > _LONGEST_COMMAND_BYTES:
        raise _too_long()
    return script


def _text_of(plan: SweepPlan) -> str:
    """A plan as text that is read back as the same plan."""
    text = dump_plan(plan)
    if len(text) > MAX_CHARACTERS:
        raise _too_long()
    return text


def _too_long() -> PlanError:
    return PlanError(
        "is too long to be handed to a job by its command", "sweep",
        "Shorten what is long in it: request, headers, labels",
    )  # fmt: skip


def _roles(plan: JobPlan, found: LookUp) -> list[JobSpec]:
    quota = plan.machine.quota
    if quota is None:
        assert found.spec is not None  # which only a quota has none of
        machine = Machine(ecs_spec=found.spec.instance_type)
    else:
        machine = Machine(
            cpu=quota.cpu,
            memory=f"{quota.memory_gib:g}Gi",
            gpu=quota.gpu or None,
            gpu_type=quota.gpu_type,
        )
    return training_specs(plan.job_type, found.image, machine, plan.workers)


def _spec(spec: JobSpec, plan: JobPlan) -> JobSpec:
    """A role with what only some plans have: spot, and access to a private registry."""
    changes: dict[str, Any] = {}
    if plan.machine.spot is not None:
        limit = read(Spot, {"spot_discount_limit": plan.machine.spot.discount_limit}, "SpotSpec")
        changes["resources"] = spec.resources.model_copy(update={"spot_spec": limit})
    if plan.registry is not None:
        changes["image_config"] = PrivateRegistry(
            docker_registry=plan.registry.server or (plan.image or "").partition("/")[0],
            username=plan.registry.username,
            password=plan.registry.password,
        )
    return spec.model_copy(update=changes)


def _libraries(plan: JobPlan, store_uri: str | None) -> list[str]:
    """The plan's libraries, and ourselves where the official image is to run a sweep."""
    libraries = list(plan.libraries)
    names = {library_name(library) for library in libraries}
    if plan.sweep is None or plan.image is not None or "tidemark" in names:
        return libraries
    # The client floor is measured against the simulator's endpoint; stores have their own packages.
    scheme = (store_uri or "").partition("://")[0]
    extras = ["simulator", *_STORE_EXTRAS.get(scheme, ())]
    return [f"tidemark[{','.join(extras)}]=={__version__}", *libraries]


_STORE_EXTRAS = {"oss": ("oss",), "az": ("azure",), "gs": ("gcs",), "oci": ("oci",)}


def _data_source(mount: Mount, plan: JobPlan, region: str) -> JsonObject:
    source: JsonObject = {
        "Uri": _mounted(mount.uri, region),
        "MountPath": mount.mount_path,
        "MountAccess": "RO" if mount.read_only else "RW",
    }
    role_arn = mount.role_arn or plan.role_arn
    return {**source, "RoleArn": role_arn} if role_arn is not None else source


def _mounted(uri: str, region: str) -> str:
    """A mount's address as DLC takes it: a bucket with the address that serves it in the region."""
    scheme, _, rest = uri.partition("://")
    bucket, slash, path = rest.partition("/")
    if scheme != "oss" or "." in bucket:
        return uri
    return f"oss://{bucket}.oss-{region}-internal.aliyuncs.com/{path if slash else ''}"


def _vpc(plan: JobPlan) -> JsonObject | None:
    if plan.vpc is None:
        return None
    return {
        "VpcId": plan.vpc.vpc_id,
        "SwitchId": plan.vpc.switch_id,
        "SecurityGroupId": plan.vpc.security_group_id,
        "DefaultRoute": plan.vpc.default_route,
    }


def _credentials(role_arn: str | None) -> JsonObject | None:
    if role_arn is None:
        return None
    item: JsonObject = {"Key": "0", "Type": "Role", "Roles": [{"RoleArn": role_arn}]}
    return {"EnableCredentialInject": True, "CredentialConfigItems": [item]}


def _reachable(store_uri: str | None, mounts: tuple[Mount, ...]) -> str:
    """A store that the job can write to. Raises PlanError for one that it cannot."""
    remedy = (
        "Name a store that the job reaches, such as oss://bucket/prefix, or a folder that it "
        "mounts and may write (read_only: false)"
    )
    if not store_uri:
        raise PlanError("no place is named where the job keeps its results", "store", remedy)
    scheme, separator, rest = store_uri.partition("://")
    if not separator or scheme == "file":
        path = rest if separator else store_uri
        if not any(mount.holds(path) and not mount.read_only for mount in mounts):
            raise PlanError(
                f"{store_uri} is a folder, and what the job writes there ends with it", "store",
                remedy,
            )  # fmt: skip
    elif scheme == "pvc":
        raise PlanError("a claim of Kubernetes is not to be had inside the job", "store", remedy)
    return store_uri


def _store_options(uri: str, given: Mapping[str, str], plan: JobPlan, region: str) -> str:
    """Options of a store as TIDEMARK_STORE_OPTIONS has them. Raises PlanError for a secret that
    the job has no way to, for a store that nothing lets it write to, and for what this variable
    cannot carry."""
    scheme = uri.partition("://")[0]
    options = {}
    for name, value in given.items():
        where = f"store_options.{name}"
        parameter = find_parameter(scheme, name) if scheme in PARAMETERS else None
        if parameter is None:
            raise PlanError(f"is no option of a store at {scheme}://", where, "Leave it out")
        if value.startswith(KINDS):
            trouble = secret_trouble(SecretRef(value), plan.mounts)
            if trouble is not None:
                raise PlanError(trouble[0], where, trouble[1])
        elif parameter.kind == "secret":
            raise PlanError("is a secret, and not a reference to one", where, SECRET_FILE_REMEDY)
        if "," in value:
            raise PlanError("holds a comma", where, "Use a value without one")
        options[parameter.name] = value
    if scheme == "oss":
        if plan.role_arn is None and "access_key_secret" not in options:
            raise PlanError(
                f"is missing, and nothing else lets the job write to {uri}", "role_arn",
                "Name a RAM role that may write there",
            )  # fmt: skip
        of_uri = uri.partition("://")[2].partition("/")[0].partition("@")[2]
        if of_uri in ("", region) and not {"network", "endpoint_url"} & set(options):
            # Within a region the traffic is free, and a job may have no way out of it.
            options["network"] = "vpc"
    return ",".join(f"{scheme}.{name}={value}" for name, value in options.items())
