"""What the Docker Engine answers, as our values. Pure. Field names are those of Docker Engine API 1.41."""

import ipaddress
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from shoal import image_reference

from shoal_agent.engine.port import Attached, EngineFacts, Event, Image, Inspected, Listed, Port

Answer = Mapping[str, Any]

# Nanoseconds are more than datetime reads, and an old engine writes times as it prints them: with a space.
_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(\.\d+)?\s*(Z|[+-]\d\d:?\d\d)?")

# The engine's words for health; a listing has them in brackets behind how long the container is up.
_HEALTH = {"starting": "UNKNOWN", "healthy": "HEALTHY", "unhealthy": "UNHEALTHY"}
_HEALTH_IN_STATUS = re.compile(r"\((?:health: )?(starting|healthy|unhealthy)\)")

_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([kmgt]?)i?b?")


def milliseconds(text: str | None) -> int | None:
    """Milliseconds since the epoch; None for no time, which the engine writes as the year 1.

    >>> milliseconds("2026-01-02T03:04:05.678912345Z")
    1767323045678
    """
    found = _TIME.match(text or "")
    if found is None or found.group(1).startswith("0001-"):
        return None
    day, clock, fraction, zone = found.groups()
    zone = "+00:00" if zone in (None, "Z") else zone
    moment = datetime.fromisoformat(f"{day}T{clock}{zone}").astimezone(UTC)
    return int(moment.timestamp()) * 1000 + int(float(fraction or 0) * 1000)


def size_bytes(text: str) -> int | None:
    """A size as the engine's log options have it; None if it is none, or without a limit.

    >>> size_bytes("10m")
    10485760
    """
    found = _SIZE.fullmatch(text.strip().lower())
    return int(float(found[1]) * 1024 ** " kmgt".index(found[2] or " ")) if found else None


def listed(answer: Answer) -> Listed:
    names = answer.get("Names") or ["/"]
    state, health = answer["State"].lower(), _HEALTH_IN_STATUS.search(answer.get("Status") or "")
    health_status = _HEALTH[health.group(1)] if health and state == "running" else None
    return Listed(
        container_id=answer["Id"],
        name=names[0].removeprefix("/"),
        labels=answer.get("Labels") or {},
        state=state,
        health_status=health_status,
        image_id=answer.get("ImageID") or "",
    )


def image(answer: Answer) -> Image:
    """The engine writes <none> for a name that was taken away."""
    tags = tuple(name for name in answer.get("RepoTags") or () if "<none>" not in name)
    digests = tuple(name for name in answer.get("RepoDigests") or () if "<none>" not in name)
    return Image(answer["Id"], tags, digests, answer.get("Size") or 0, 1000 * (answer.get("Created") or 0))


def pull_progress(answer: Answer) -> tuple[str, int, int] | None:
    """Layer, bytes of it that are here, bytes in all; None for a line that tells of something else.

    >>> pull_progress({"id": "ab", "status": "Downloading", "progressDetail": {"current": 5, "total": 10}})
    ('ab', 5, 10)
    >>> pull_progress({"id": "ab", "status": "Extracting", "progressDetail": {"current": 5, "total": 10}})
    """
    detail = answer.get("progressDetail") or {}
    if answer.get("status") != "Downloading" or not detail.get("total"):
        return None
    return str(answer.get("id", "")), int(detail.get("current", 0)), int(detail["total"])


def inspected(answer: Answer) -> Inspected:
    state, config = answer["State"], answer.get("Config") or {}
    status = state["Status"].lower()
    ended = status in ("exited", "dead")
    started_at, finished_at = milliseconds(state.get("StartedAt")), milliseconds(state.get("FinishedAt"))
    if ended and started_at is not None and finished_at is not None:
        # The engine notes the start when it has done it: a short program may be over by then.
        started_at = min(started_at, finished_at)
    return Inspected(
        container_id=answer["Id"],
        name=answer["Name"].removeprefix("/"),
        labels=config.get("Labels") or {},
        state=status,
        exit_code=state["ExitCode"] if ended else None,
        oom_killed=bool(state.get("OOMKilled")),
        error=state.get("Error") or "",
        started_at=started_at,
        finished_at=finished_at,
        ports=_ports((answer.get("NetworkSettings") or {}).get("Ports") or {}),
        tty=bool(config.get("Tty")),
        stop_timeout_seconds=config.get("StopTimeout"),
        health_status=_HEALTH.get((state.get("Health") or {}).get("Status", "none")) if status == "running" else None,
        log_bytes_max=_log_bytes_max((answer.get("HostConfig") or {}).get("LogConfig") or {}),
        created_at=milliseconds(answer.get("Created")),
        image=config.get("Image") or "",
        image_id=answer.get("Image") or "",
        network_mode=(answer.get("HostConfig") or {}).get("NetworkMode") or "",
        networks=_networks((answer.get("NetworkSettings") or {}).get("Networks") or {}),
        pid=state.get("Pid") or None,
    )


def _networks(attached: Mapping[str, Any]) -> tuple[Attached, ...]:
    return tuple(
        Attached(
            network=name,
            address=entry.get("IPAddress") or "",
            address_v6=entry.get("GlobalIPv6Address") or "",
            prefix_length=entry.get("IPPrefixLen") or 0,
            gateway=entry.get("Gateway") or "",
            mac_address=entry.get("MacAddress") or "",
        )
        for name, entry in sorted(attached.items())
    )


def _log_bytes_max(log: Mapping[str, Any]) -> int | None:
    options = log.get("Config") or {}
    size = size_bytes(options.get("max-size", ""))
    files = options.get("max-file", "1")
    return size * int(files) if size is not None and log.get("Type") == "json-file" and files.isdigit() else None


def _ports(bindings: Mapping[str, Any]) -> tuple[Port, ...]:
    """One binding for each port: the engine lists IPv4 and IPv6 apart, IPv4 first."""
    ports = []
    for key, bound in bindings.items():
        number, _, protocol = key.partition("/")
        if bound:
            host_ip = bound[0].get("HostIp") or "0.0.0.0"
            ports.append(Port(int(number), int(bound[0]["HostPort"]), protocol or "tcp", host_ip))
    return tuple(sorted(ports, key=lambda port: (port.container_port, port.protocol)))


def event(answer: Answer) -> Event:
    actor = answer.get("Actor") or {}
    action = answer.get("Action", "").partition(":")[0]
    return Event(action, actor.get("ID", ""), actor.get("Attributes") or {}, int(answer.get("timeNano", 0)))


def facts(answer: Answer, bridge: Answer | None) -> EngineFacts:
    """`bridge` is the engine's default network, which it makes anew at the end of each start; with live-restore
    and containers to adopt it keeps the old one, and has ended nothing then either."""
    return EngineFacts(
        version=answer.get("ServerVersion", ""),
        operating_system=answer.get("OSType", "linux"),
        architecture=answer.get("Architecture", ""),
        cpus=int(answer.get("NCPU", 0)),
        memory_bytes=int(answer.get("MemTotal", 0)),
        set_up_at=milliseconds(bridge.get("Created")) if bridge else None,
        bridge_address=_bridge_address(bridge) if bridge else None,
        data_root=answer.get("DockerRootDir") or "",
        cgroup_driver=answer.get("CgroupDriver") or "",
        cgroup_version=answer.get("CgroupVersion") or "",
    )


def _bridge_address(bridge: Answer) -> str | None:
    """IPv4's; the first of the subnet if the engine names no other.

    >>> _bridge_address({"IPAM": {"Config": [{"Subnet": "fd00::/64"}, {"Subnet": "172.17.0.0/16"}]}})
    '172.17.0.1'
    """
    for subnet in (bridge.get("IPAM") or {}).get("Config") or ():
        network = ipaddress.ip_network(subnet["Subnet"], strict=False)
        if network.version == 4:
            return str(subnet.get("Gateway") or network[1])
    return None


def pull_reference(image: str) -> dict[str, str]:
    """The parameters of a pull: without a tag the engine would fetch every one there is.

    >>> pull_reference("nginx")
    {'fromImage': 'nginx', 'tag': 'latest'}
    >>> pull_reference("registry:5000/web:7")
    {'fromImage': 'registry:5000/web', 'tag': '7'}
    >>> pull_reference("web@sha256:0af3")
    {'fromImage': 'web', 'tag': 'sha256:0af3'}
    """
    repository, tag, digest = image_reference.split(image)
    return {"fromImage": repository, "tag": digest or tag or "latest"}
