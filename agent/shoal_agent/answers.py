"""What the Docker Engine answers, as our values. Pure. Field names are those of Docker Engine API 1.41."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from shoal_agent.engine import EngineFacts, Event, Inspected, Listed, Port

Answer = Mapping[str, Any]

# Nanoseconds are more than datetime reads, and an old engine writes times as it prints them: with a space.
_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(\.\d+)?\s*(Z|[+-]\d\d:?\d\d)?")

# The engine's words for health; a listing has them in brackets behind how long the container is up.
_HEALTH = {"starting": "UNKNOWN", "healthy": "HEALTHY", "unhealthy": "UNHEALTHY"}
_HEALTH_IN_STATUS = re.compile(r"\((?:health: )?(starting|healthy|unhealthy)\)")


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


def listed(answer: Answer) -> Listed:
    names = answer.get("Names") or ["/"]
    state, health = answer["State"].lower(), _HEALTH_IN_STATUS.search(answer.get("Status") or "")
    health_status = _HEALTH[health.group(1)] if health and state == "running" else None
    return Listed(answer["Id"], names[0].removeprefix("/"), answer.get("Labels") or {}, state, health_status)


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
        ipv4_address=_address(answer.get("NetworkSettings") or {}),
    )


def _address(settings: Answer) -> str | None:
    """In the first network that gave one; a container that does not run has none."""
    networks = settings.get("Networks") or {}
    return next((network["IPAddress"] for network in networks.values() if network.get("IPAddress")), None)


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
        cgroup_driver=answer.get("CgroupDriver") or "",
        cgroup_version=answer.get("CgroupVersion") or "",
    )


def pull_reference(image: str) -> dict[str, str]:
    """The parameters of a pull: without a tag the engine would fetch every one there is.

    >>> pull_reference("nginx")
    {'fromImage': 'nginx', 'tag': 'latest'}
    >>> pull_reference("registry:5000/web:7")
    {'fromImage': 'registry:5000/web', 'tag': '7'}
    >>> pull_reference("web@sha256:0af3")
    {'fromImage': 'web', 'tag': 'sha256:0af3'}
    """
    name, _, digest = image.partition("@")
    if digest:
        return {"fromImage": name, "tag": digest}
    start, separator, last = name.rpartition("/")
    last, _, tag = last.partition(":")
    return {"fromImage": f"{start}{separator}{last}", "tag": tag or "latest"}
