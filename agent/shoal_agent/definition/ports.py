"""Port mappings of a container definition as the engine and as reports have them. Pure.

`bridge`: a host port that is 0 or absent is chosen by the engine, or out of the instance's dynamic range. `awsvpc`
is a bridge here, and all its host ports are dynamic: in the cloud each task has an address of its own, here tasks
share their host's. `host`: the container's ports are the host's. `none`: no ports.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from shoal_agent.definition.refusal import Refused
from shoal_agent.engine.port import Port


@dataclass(frozen=True, slots=True)
class Published:
    """`fixed` are the bindings known beforehand; `open` is true if some are to be looked up once it runs."""

    exposed: Mapping[str, Any]
    bindings: Mapping[str, Any]
    fixed: tuple[Port, ...]
    open: bool


def published(mappings: list[Mapping[str, Any]], network_mode: str, dynamic_ports: str | None) -> Published:
    """Raises Refused for a range that is not one."""
    wanted = [port for position, mapping in enumerate(mappings) for port in _ports(position, mapping)]
    if network_mode == "host":
        return Published({}, {}, tuple(Port(port, port, protocol) for port, _, protocol in wanted), False)
    if network_mode == "none":
        return Published({}, {}, (), False)
    if network_mode == "awsvpc":
        wanted = [(port, 0, protocol) for port, _, protocol in wanted]
    bindings: dict[str, list[dict[str, str]]] = {}
    for port, host_port, protocol in wanted:
        chosen = str(host_port) if host_port else dynamic_ports or ""
        bindings.setdefault(f"{port}/{protocol}", []).append({"HostIp": "", "HostPort": chosen})
    fixed = tuple(Port(port, host_port, protocol) for port, host_port, protocol in wanted if host_port)
    return Published({key: {} for key in bindings}, bindings, fixed, len(fixed) < len(wanted))


def _ports(position: int, mapping: Mapping[str, Any]) -> Iterator[tuple[int, int, str]]:
    protocol = mapping.get("protocol") or "tcp"
    wide = mapping.get("containerPortRange")
    if not wide:
        yield mapping["containerPort"], mapping.get("hostPort") or 0, protocol
        return
    first, _, last = wide.partition("-")
    if not (first.isdigit() and last.isdigit() and 1 <= int(first) <= int(last) <= 65535):
        raise Refused(f"portMappings[{position}].containerPortRange", 'must be "first-last"')
    for port in range(int(first), int(last) + 1):
        yield port, 0, protocol
