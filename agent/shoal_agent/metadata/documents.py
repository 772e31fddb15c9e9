"""What a task may read about itself, as ECS's task metadata endpoint version 4 writes it. Pure.

Field names and their meaning are those of ECS's documentation of the endpoint; a field that is not known, or of
which the documentation says that it is omitted then, is left out.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import IPv4Interface
from typing import Any

from shoal import arn
from shoal.quantity import cpu_units, memory_mib

from shoal_agent.definition import labels
from shoal_agent.definition.labels import Owner
from shoal_agent.engine.port import Attached, Inspected, Port
from shoal_agent.task import Assignment, ContainerReport, Report, Task

Document = Mapping[str, Any]

# Labels the ECS agent puts on containers; programs that read metadata look for them.
_ECS_LABEL = "com.amazonaws.ecs."
_STATUSES = {"created": "CREATED", "exited": "STOPPED", "dead": "STOPPED", "removing": "STOPPED"}


@dataclass(frozen=True, slots=True)
class Subject:
    """The task that is told of. `wanted` is None as long as the scheduler has not named it to this process."""

    task: Task
    wanted: Assignment | None
    report: Report
    owner: Owner
    availability_zone: str | None = None

    @property
    def definition(self) -> Document:
        return (self.wanted.definition if self.wanted is not None else None) or {}

    @property
    def overrides(self) -> Document:
        return self.wanted.overrides if self.wanted is not None else {}


def task_document(subject: Subject, containers: Mapping[str, Inspected | None]) -> Document:
    """`containers`: all of the task that it is told of, and what the engine knows of each."""
    owner, report = subject.owner, subject.report
    family, revision = _family_and_revision(_definition_arn(subject, containers.values()))
    return _known(
        {
            "Cluster": owner.cluster,
            "TaskARN": arn.task_arn(owner.cluster, subject.task.id),
            "Family": family,
            "Revision": revision,
            "DesiredStatus": subject.task.desired_status,
            "KnownStatus": report.last_status,
            "Limits": _task_limits(subject),
            "PullStartedAt": _time(report.pull_started_at),
            "PullStoppedAt": _time(report.pull_stopped_at),
            "ExecutionStoppedAt": _time(report.execution_stopped_at),
            "AvailabilityZone": subject.availability_zone,
            "LaunchType": "EC2",
            "ServiceName": _service(subject.wanted),
            "Containers": [container_document(subject, name, found) for name, found in containers.items()],
        }
    )


def container_document(subject: Subject, name: str, found: Inspected | None) -> Document:
    """`found` is None for a container that the engine does not have (yet, or any more)."""
    owner, task_id = subject.owner, subject.task.id
    defined = _named(subject.definition.get("containerDefinitions", ()), name)
    override = _named(subject.overrides.get("containerOverrides", ()), name)
    logs, told = defined.get("logConfiguration") or {}, _told(subject.report, name)
    document = {
        "Name": name,
        "DockerName": labels.container_name(owner.cluster, task_id, name),
        "Image": defined.get("image"),
        "DesiredStatus": subject.task.desired_status,
        "KnownStatus": "NONE",
        "Limits": {
            "CPU": override.get("cpu", defined.get("cpu", 0)),
            "Memory": override.get("memory", defined.get("memory", 0)),
        },
        "Type": "NORMAL",
        "LogDriver": logs.get("logDriver", "json-file") if defined else None,
        "LogOptions": dict(logs.get("options") or {}),
        "ContainerARN": arn.container_arn(owner.cluster, task_id, name),
        "Health": {"status": told.health_status} if told.health_status else None,
        "RestartCount": told.restart_count if (defined.get("restartPolicy") or {}).get("enabled") else None,
    }
    return _known(document | (_as_found(subject, name, found) if found is not None else {}))


def _told(report: Report, name: str) -> ContainerReport:
    return next((it for it in report.containers if it.name == name), ContainerReport(name, report.last_status))


def _as_found(subject: Subject, name: str, found: Inspected) -> dict[str, Any]:
    mode = subject.definition.get("networkMode") or found.network_mode
    return {
        "DockerId": found.container_id,
        "DockerName": found.name,
        # The engine may know it by what its tag was found to mean.
        "Image": _named(subject.definition.get("containerDefinitions", ()), name).get("image") or found.image,
        "ImageID": found.image_id,
        "Ports": [_port(port) for port in found.ports],
        "Labels": _ecs_labels(subject, name, found) | dict(found.labels),
        "KnownStatus": _STATUSES.get(found.state, "RUNNING"),
        "ExitCode": found.exit_code,
        "CreatedAt": _time(found.created_at),
        "StartedAt": _time(found.started_at),
        "FinishedAt": _time(found.finished_at) if found.state in ("exited", "dead") else None,
        "Networks": [_network(mode, attached) for attached in found.networks],
    }


def tags_document(wanted: Assignment | None, instance_tags: Mapping[str, str]) -> Document:
    """What taskWithTags adds; without tags nothing. The instance's are those of its configuration."""
    task_tags = wanted.tags if wanted is not None else {}
    return _known({"TaskTags": _tags(task_tags), "ContainerInstanceTags": _tags(instance_tags)})


def _tags(tags: Mapping[str, str]) -> list[Document]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def stats_document(sample: Document, before: Document | None) -> Document:
    """A sample of the engine's with what came before it, which it leaves out: readers compute rates of the two."""
    if before is None:
        return sample
    seconds = _seconds(sample.get("read")) - _seconds(before.get("read"))
    if seconds <= 0:
        return sample
    rates = {
        f"{way}_bytes_per_sec": max(0, _network_bytes(sample, way) - _network_bytes(before, way)) / seconds
        for way in ("rx", "tx")
    }
    return {
        **sample,
        "preread": before["read"],
        "precpu_stats": before.get("cpu_stats", {}),
        "network_rate_stats": rates,
    }


def since_joined(sample: Document, counters: Mapping[str, Mapping[str, int]]) -> Document:
    """A sample of a container that joined a network on which `counters` had passed before."""
    networks = sample.get("networks")
    if not counters or not networks:
        return sample
    own = {
        name: {key: max(0, value - counters.get(name, {}).get(key, 0)) for key, value in each.items()}
        for name, each in networks.items()
    }
    return {**sample, "networks": own}


def _network_bytes(sample: Document, way: str) -> int:
    return sum(int(network.get(f"{way}_bytes", 0)) for network in (sample.get("networks") or {}).values())


def _seconds(text: str | None) -> float:
    """A time of the engine's; finer than microseconds is cut off."""
    if not text:
        return 0.0
    whole, _, fraction = text.removesuffix("Z").partition(".")
    return datetime.fromisoformat(whole).replace(tzinfo=UTC).timestamp() + float(f"0.{fraction or 0}")


def _ecs_labels(subject: Subject, name: str, found: Inspected) -> dict[str, str]:
    cluster = subject.owner.cluster
    family, revision = _family_and_revision(_definition_arn(subject, [found]))
    return {
        f"{_ECS_LABEL}cluster": cluster,
        f"{_ECS_LABEL}container-name": name,
        f"{_ECS_LABEL}task-arn": arn.task_arn(cluster, subject.task.id),
        f"{_ECS_LABEL}task-definition-family": family or "",
        f"{_ECS_LABEL}task-definition-version": revision or "",
    }


def _definition_arn(subject: Subject, found: Iterable[Inspected | None]) -> str:
    """As assigned; an agent that was started anew reads it off a container until it is assigned again."""
    if subject.wanted is not None and subject.wanted.definition_arn:
        return subject.wanted.definition_arn
    named = (it.labels.get(labels.DEFINITION, "") for it in found if it is not None)
    return next((name for name in named if name), "")


def _family_and_revision(definition_arn: str) -> tuple[str | None, str | None]:
    family, _, revision = definition_arn.rpartition("/")[2].rpartition(":")
    return family or None, revision or None


def _service(wanted: Assignment | None) -> str | None:
    group = wanted.group if wanted is not None else ""
    return group.removeprefix("service:") if group.startswith("service:") else None


def _task_limits(subject: Subject) -> Document | None:
    """CPU in vCPUs, memory in MiB; both were checked when the definition was registered."""
    cpu = subject.overrides.get("cpu") or subject.definition.get("cpu")
    memory = subject.overrides.get("memory") or subject.definition.get("memory")
    limits = {"CPU": cpu_units(cpu) / 1024 if cpu else None, "Memory": memory_mib(memory) if memory else None}
    return _known(limits) or None


def _port(port: Port) -> Document:
    return {
        "ContainerPort": port.container_port,
        "Protocol": port.protocol,
        "HostPort": port.host_port,
        "HostIp": port.host_ip,
    }


def _network(mode: str, attached: Attached) -> Document:
    network: dict[str, Any] = {"NetworkMode": mode, "IPv4Addresses": [attached.address] if attached.address else None}
    if mode == "awsvpc":
        network |= {
            "AttachmentIndex": 0,
            "MACAddress": attached.mac_address,
            "IPv4SubnetCIDRBlock": _subnet(attached),
            "SubnetGatewayIpv4Address": f"{attached.gateway}/{attached.prefix_length}" if attached.gateway else None,
        }
    network["IPv6Addresses"] = [attached.address_v6] if attached.address_v6 else None
    return _known(network)


def _subnet(attached: Attached) -> str | None:
    if not attached.address:
        return None
    return str(IPv4Interface(f"{attached.address}/{attached.prefix_length}").network)


def _named(entries: Sequence[Document], name: str) -> Document:
    return next((entry for entry in entries if entry.get("name") == name), {})


def _time(millis: int | None) -> str | None:
    if millis is None:
        return None
    moment = datetime.fromtimestamp(millis / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _known(document: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in document.items() if value is not None and value not in ("", [], {})}
