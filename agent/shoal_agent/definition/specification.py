"""A container definition and its overrides as the body of the engine's create call. Pure.

Where the words come from: field names of ECS's RegisterTaskDefinition on one side, of Docker Engine API 1.41 on
the other. Nothing is taken from the agent: no environment, no oom score.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from shoal.quantity import cpu_units, memory_mib
from shoal.requirements import effective
from shoal.stopping import STOP_TIMEOUT_SECONDS, stop_seconds

from shoal_agent.configuration import Configuration
from shoal_agent.definition import labels
from shoal_agent.definition.environment import Endpoint, job_variables, variables
from shoal_agent.definition.environment_files import file_variables
from shoal_agent.definition.gpus import device_requests
from shoal_agent.definition.gpus import environment as gpu_environment
from shoal_agent.definition.labels import Owner
from shoal_agent.definition.log_configuration import log_configuration
from shoal_agent.definition.mounts import as_binds, mounts, must_exist, task_volumes
from shoal_agent.definition.permissions import check_task, privileges
from shoal_agent.definition.plan import listed, plans
from shoal_agent.definition.ports import Published, published
from shoal_agent.definition.refusal import Refused
from shoal_agent.definition.sandbox import PAUSE, pause_body
from shoal_agent.definition.unsupported import check_supported
from shoal_agent.task import Assignment

Document = Mapping[str, Any]

CPU_SHARES_MIN = 2
MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Specification:
    """What one container of a task is made from.

    volumes      all that live as long as the task
    must_exist   volumes that have to be there already, as (path of the field that says so, name)
    consistent   the image's tag is to be a digest before it runs
    """

    name: str
    image: str
    body: Document
    ports: Published
    volumes: tuple[str, ...] = field(default=())
    must_exist: tuple[tuple[str, str], ...] = ()
    consistent: bool = True


def specification(
    wanted: Assignment, container_name: str, owner: Owner, rules: Configuration, endpoint: Endpoint | None = None
) -> Specification:
    """Raises Refused, with the path of the field, for what this instance does not do or may not give. `endpoint` is
    where the container finds its metadata, if anywhere."""
    definition = wanted.definition or {}
    check_supported(definition, of_task=True)
    check_task(definition, rules)
    if container_name == PAUSE:
        return _pause(wanted, definition, owner, rules)
    position, container = _container(definition, container_name)
    try:
        return _specification(wanted, definition, container, owner, rules, endpoint)
    except Refused as refused:
        if refused.path.startswith("volumes[") or refused.path in ("cpu", "memory"):
            raise
        raise Refused(
            f"containerDefinitions[{position}].{refused.path}", refused.reason, lacking=refused.lacking
        ) from None
    except (KeyError, TypeError, AttributeError) as error:
        raise Refused(f"containerDefinitions[{position}]", f"cannot be understood: {error!r}") from error


def _pause(wanted: Assignment, definition: Document, owner: Owner, rules: Configuration) -> Specification:
    body, ports = pause_body(definition, rules.dynamic_ports)
    body["Labels"] = _labels(body, wanted, definition, {"name": PAUSE}, owner, (), ports)
    return Specification(PAUSE, body["Image"], body, ports)


def _container(definition: Document, name: str) -> tuple[int, Document]:
    for position, container in enumerate(definition.get("containerDefinitions", ())):
        if container.get("name") == name:
            return position, container
    raise Refused("containerDefinitions", f"no container is named {name!r}")


def _specification(
    wanted: Assignment,
    definition: Document,
    container: Document,
    owner: Owner,
    rules: Configuration,
    endpoint: Endpoint | None,
) -> Specification:
    check_supported(container)
    name = container["name"]
    override = _override(wanted.overrides, name)
    network_mode = definition.get("networkMode") or "bridge"
    if container.get("disableNetworking"):
        network_mode = "none"
    ports = published(container.get("portMappings", []), network_mode, rules.dynamic_ports)
    volumes = tuple(
        labels.volume_name(owner.cluster, wanted.task_id, volume)
        for volume in task_volumes(definition.get("volumes", ()))
    )
    host = {
        **_limits(definition, container, override, wanted.overrides),
        **_network(container, network_mode, ports, wanted.task_id, owner),
        **_files(definition, container, wanted.task_id, owner, rules),
        **_kernel(definition, container),
        **privileges(container, rules),
        "LogConfig": log_configuration(container, rules),
        "RestartPolicy": {"Name": "no"},
        "OomScoreAdj": 0,
    }
    requirements = effective(container, override)
    if requests := device_requests(requirements, wanted.gpu_ids.get(name, ())):
        host["DeviceRequests"] = requests
    files = override.get("environmentFiles") or container.get("environmentFiles", ())
    from_files = file_variables(files, rules.environment_file_folders)
    told = variables(endpoint, owner, wanted.task_id, name, network_mode, wanted.fence) | job_variables(wanted.job)
    process = _process(container, override, {**gpu_environment(requirements), **from_files}, told)
    body = {**process, "ExposedPorts": ports.exposed, "HostConfig": host}
    if container.get("hostname"):
        body["Hostname"] = container["hostname"]
    body["Labels"] = _labels(body, wanted, definition, container, owner, volumes, ports)
    needed = must_exist(container, definition.get("volumes", ()))
    consistent = container.get("versionConsistency") != "disabled"
    image = wanted.images.get(name, container["image"])
    return Specification(name, image, body, ports, volumes, needed, consistent)


def _override(overrides: Document, name: str) -> Document:
    for entry in overrides.get("containerOverrides", ()):
        if entry.get("name") == name:
            return dict(entry)
    return {}


def _process(
    container: Document, override: Document, defaults: Mapping[str, str], told: Mapping[str, str]
) -> dict[str, Any]:
    """`defaults` are what the agent would set, and the environment files, unless the definition does; `told` is set
    whatever it says."""
    environment = dict(defaults)
    for entry in (*container.get("environment", ()), *override.get("environment", ())):
        environment[entry["name"]] = entry.get("value", "")
    environment |= told
    body: dict[str, Any] = {
        "Image": container["image"],
        "Env": [f"{name}={value}" for name, value in environment.items()],
        "Tty": bool(container.get("pseudoTerminal")),
        "OpenStdin": bool(container.get("interactive")),
        "StopTimeout": container.get("stopTimeout", STOP_TIMEOUT_SECONDS),
        "Healthcheck": _health_check(container.get("healthCheck")),
    }
    optional = {
        "Cmd": override.get("command") or container.get("command"),
        "Entrypoint": container.get("entryPoint"),
        "User": container.get("user"),
        "WorkingDir": container.get("workingDirectory"),
    }
    return body | {key: value for key, value in optional.items() if value}


def _health_check(check: Document | None) -> Document:
    if not check:
        return {"Test": ["NONE"]}  # one that the image brings is ignored, as in ECS
    second = 1_000_000_000
    return {
        "Test": list(check.get("command", ())),
        "Interval": check.get("interval", 30) * second,
        "Timeout": check.get("timeout", 5) * second,
        "Retries": check.get("retries", 3),
        "StartPeriod": check.get("startPeriod", 0) * second,
    }


def _limits(definition: Document, container: Document, override: Document, overrides: Document) -> dict[str, Any]:
    """cpu of a container is a share, of a task a cap; a container without a limit has its task's."""
    limits: dict[str, Any] = {"CpuShares": max(CPU_SHARES_MIN, override.get("cpu", container.get("cpu", 0)))}
    task_cpu = overrides.get("cpu") or definition.get("cpu")
    if task_cpu:
        limits["NanoCpus"] = _amount("cpu", cpu_units, task_cpu) * 1_000_000_000 // 1024
    task_memory = overrides.get("memory") or definition.get("memory")
    memory = override.get("memory", container.get("memory")) or (
        _amount("memory", memory_mib, task_memory) if task_memory else 0
    )
    reservation = override.get("memoryReservation", container.get("memoryReservation")) or 0
    if memory:
        limits["Memory"] = memory * MIB
    if reservation and (not memory or reservation <= memory):
        limits["MemoryReservation"] = reservation * MIB
    linux = container.get("linuxParameters", {})
    if memory and "maxSwap" in linux:
        limits["MemorySwap"] = (memory + linux["maxSwap"]) * MIB
        limits["MemorySwappiness"] = linux.get("swappiness", 60)
    return limits


def _amount(field: str, read: Callable[[str], int], text: str) -> int:
    """Checked when it was registered; a scheduler of another version may know more."""
    try:
        return read(text)
    except ValueError as error:
        raise Refused(field, str(error)) from None


def _network(container: Document, network_mode: str, ports: Published, task_id: str, owner: Owner) -> dict[str, Any]:
    mode = network_mode if network_mode in ("host", "none") else "bridge"
    hosts = [f"{entry['hostname']}:{entry['ipAddress']}" for entry in container.get("extraHosts", ())]
    network: dict[str, Any] = {
        "NetworkMode": mode,
        "PortBindings": ports.bindings,
        "Dns": list(container.get("dnsServers", ())),
        "DnsSearch": list(container.get("dnsSearchDomains", ())),
        "ExtraHosts": hosts,
    }
    if mode == "bridge" and container.get("links"):
        network["Links"] = [_link(owner.cluster, task_id, link) for link in container["links"]]
    return network


def _link(cluster: str, task_id: str, link: str) -> str:
    name, _, alias = link.partition(":")
    return f"{labels.container_name(cluster, task_id, name)}:{alias or name}"


def _files(
    definition: Document, container: Document, task_id: str, owner: Owner, rules: Configuration
) -> dict[str, Any]:
    def name_of(volume: str) -> str:
        return labels.volume_name(owner.cluster, task_id, volume)

    linux = container.get("linuxParameters", {})
    binds, others = as_binds(mounts(container, definition.get("volumes", ()), name_of, rules))
    files: dict[str, Any] = {
        "Binds": binds,
        "Mounts": others,
        "ReadonlyRootfs": bool(container.get("readonlyRootFilesystem")),
        "Tmpfs": {entry["containerPath"]: _tmpfs(entry) for entry in linux.get("tmpfs", ())},
        "VolumesFrom": [
            labels.container_name(owner.cluster, task_id, entry["sourceContainer"])
            + (":ro" if entry.get("readOnly") else "")
            for entry in container.get("volumesFrom", ())
        ],
    }
    if linux.get("sharedMemorySize"):
        files["ShmSize"] = linux["sharedMemorySize"] * MIB
    return files


def _tmpfs(entry: Document) -> str:
    return ",".join([*entry.get("mountOptions", ()), *([f"size={entry['size']}m"] if entry.get("size") else [])])


def _kernel(definition: Document, container: Document) -> dict[str, Any]:
    limits = container.get("ulimits", ())
    return {
        "Ulimits": [
            {"Name": entry["name"], "Soft": entry["softLimit"], "Hard": entry["hardLimit"]} for entry in limits
        ],
        "Sysctls": {entry["namespace"]: entry.get("value", "") for entry in container.get("systemControls", ())},
        "Init": bool(container.get("linuxParameters", {}).get("initProcessEnabled")),
        "PidMode": "host" if definition.get("pidMode") == "host" else "",
        "IpcMode": definition["ipcMode"] if definition.get("ipcMode") in ("host", "none") else "private",
    }


def _of_silence(wanted: Assignment, definition: Document) -> dict[str, str]:
    if not wanted.on_disconnect:
        return {}
    seconds = stop_seconds(definition.get("containerDefinitions", ()))
    return {labels.ON_DISCONNECT: wanted.on_disconnect, labels.STOP_SECONDS: str(seconds)}


def _labels(
    body: Document,
    wanted: Assignment,
    definition: Document,
    container: Document,
    owner: Owner,
    volumes: tuple[str, ...],
    ports: Published,
) -> dict[str, str]:
    """The user's labels and ours, which cannot be forged: theirs may not begin like them."""
    own = container.get("dockerLabels", {})
    if forged := [key for key in own if key.lower().startswith(labels.PREFIX)]:
        raise Refused(f"dockerLabels.{forged[0]}", f"labels that begin with {labels.PREFIX} are the agent's; rename it")
    digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    return {
        **own,
        **owner.labels,
        **_of_silence(wanted, definition),
        labels.TASK: wanted.task_id,
        labels.CONTAINER: container["name"],
        labels.CONTAINERS: listed(plans(definition)),
        labels.VOLUMES: ",".join(volumes),
        labels.PORTS: labels.listed_ports(ports.fixed) if body["HostConfig"]["NetworkMode"] == "host" else "",
        labels.DEFINITION: wanted.definition_arn,
        labels.EPOCH: str(owner.epoch),
        labels.SPEC: digest[:16],
    }
