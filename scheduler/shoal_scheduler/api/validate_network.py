"""Ports, links, hosts and name servers of one container."""

import re
from collections.abc import Sequence

from shoal.problems import Problem, quoted

from shoal_scheduler.api.validate_names import name_problems
from shoal_scheduler.api.validate_values import (
    Document,
    Problems,
    at_most,
    between,
    host_name,
    ip_address,
    one_of,
    unique,
    without_nul,
)

NETWORK_MODES = ("bridge", "host", "awsvpc", "none", "default")
PORT_RANGES_MAX = 100
_RANGE = re.compile(r"([0-9]{1,5})-([0-9]{1,5})")
_PORT_NAME = re.compile(r"[a-z0-9_][a-z0-9_-]{0,63}")


def network_problems(path: str, container: Document, definition: Document) -> Problems:
    mode = definition.get("networkMode", "bridge")
    yield from _mapping_list_problems(f"{path}.portMappings", container.get("portMappings", ()), mode)
    yield from _link_problems(f"{path}.links", container, definition, mode)
    yield from host_name(f"{path}.hostname", container.get("hostname") or None)
    for index, server in enumerate(container.get("dnsServers", ())):
        yield from ip_address(f"{path}.dnsServers[{index}]", server)
    for index, domain in enumerate(container.get("dnsSearchDomains", ())):
        if domain != ".":  # the engine's word for no search domain at all
            yield from host_name(f"{path}.dnsSearchDomains[{index}]", domain)
    for index, entry in enumerate(container.get("extraHosts", ())):
        at = f"{path}.extraHosts[{index}]"
        yield from host_name(f"{at}.hostname", entry.get("hostname", ""))
        if entry.get("ipAddress") != "host-gateway":
            yield from ip_address(f"{at}.ipAddress", entry.get("ipAddress"))


def host_port_problems(containers: Sequence[Document], mode: str) -> Problems:
    """An instance's port goes to one container of the task."""
    if mode not in ("bridge", "default", "host"):
        return
    taken: list[tuple[str, int, int, int, str]] = []
    for number, container in enumerate(containers):
        for index, mapping in enumerate(container.get("portMappings", ())):
            first, last = _host_ports(mapping, mode)
            key = "containerPortRange" if "containerPortRange" in mapping else "hostPort"
            field = f"containerDefinitions[{number}].portMappings[{index}].{key}"
            if first:
                taken.append((mapping.get("protocol", "tcp"), first, last, len(taken), field))
    yield from _overlaps(taken)


def _overlaps(taken: list[tuple[str, int, int, int, str]]) -> Problems:
    """Of (protocol, first, last, place in the document, field): told of what stands later in the document."""
    widest = ("", 0, 0, 0, "")  # of those before, by number, the one that goes furthest
    for each in sorted(taken):
        protocol, first, last, place, field = each
        if protocol == widest[0] and first <= widest[2]:
            (_, other), (_, later) = sorted([(widest[3], widest[4]), (place, field)])
            what = "choose another or leave it out for a dynamic one" if later.endswith("hostPort") else "part them"
            yield Problem(later, f"{quoted(f'{first}/{protocol}')} is taken by {other}; {what}")
        if protocol != widest[0] or last > widest[2]:
            widest = each


def _host_ports(mapping: Document, mode: str) -> tuple[int, int]:
    """The ports of the instance that a mapping takes, first and last; 0 is none. A range is told wrong elsewhere."""
    if mode == "host" and (bounds := _RANGE.fullmatch(mapping.get("containerPortRange", ""))):
        return int(bounds[1]), int(bounds[2])
    port = mapping.get("hostPort") or (mapping.get("containerPort") if mode == "host" else None) or 0
    return port, port


def _mapping_list_problems(path: str, mappings: Sequence[Document], mode: str) -> Problems:
    if mappings and mode == "none":
        yield Problem(path, "a task without network (networkMode none) has no ports; take them out")
    for index, mapping in enumerate(mappings):
        yield from _mapping_problems(f"{path}[{index}]", mapping, mode)
    ports = [
        (f"{path}[{index}].containerPort", f"{mapping['containerPort']}/{mapping.get('protocol', 'tcp')}")
        for index, mapping in enumerate(mappings)
        if "containerPort" in mapping
    ]
    yield from unique(ports, "{value} is mapped twice, first by {first}; keep one of them")
    names = [(f"{path}[{index}].name", mapping["name"]) for index, mapping in enumerate(mappings) if "name" in mapping]
    yield from unique(names, "{value} is also the name of {first}; rename one of them")
    yield from _range_list_problems(path, mappings)


def _mapping_problems(path: str, mapping: Document, mode: str) -> Problems:
    port, host_port, ports = (mapping.get(key) for key in ("containerPort", "hostPort", "containerPortRange"))
    if port is None and ports is None:
        yield Problem(f"{path}.containerPort", "is required: the port the container listens on")
    if port is not None and ports is not None:
        yield Problem(f"{path}.containerPortRange", "cannot stand beside containerPort; keep one of them")
    if host_port and ports is not None:
        yield Problem(f"{path}.hostPort", "cannot stand beside containerPortRange; leave it out")
    yield from between(f"{path}.containerPort", port, 1, 65535)
    yield from between(f"{path}.hostPort", host_port, 0, 65535)
    if mode == "host" and host_port and port is not None and host_port != port:
        yield Problem(
            f"{path}.hostPort",
            f"must be {port}, as containerPort, or absent: with networkMode host there is nothing between them",
        )
    yield from one_of(f"{path}.protocol", mapping.get("protocol"), ("tcp", "udp"))
    yield from one_of(f"{path}.appProtocol", mapping.get("appProtocol"), ("http", "http2", "grpc"))
    name = mapping.get("name")
    if name is not None and not _PORT_NAME.fullmatch(name):
        rule = "use 1 to 64 lower-case letters, digits, hyphens and underscores, no hyphen first"
        yield Problem(f"{path}.name", f"{quoted(name)} is not a port's name; {rule}")


def _range_list_problems(path: str, mappings: Sequence[Document]) -> Problems:
    ranges = [mapping["containerPortRange"] for mapping in mappings if "containerPortRange" in mapping]
    yield from at_most(path, ranges, PORT_RANGES_MAX)
    taken: dict[str, list[tuple[int, int]]] = {}
    for index, mapping in enumerate(mappings):
        if "containerPortRange" not in mapping:
            continue
        field, text = f"{path}[{index}].containerPortRange", mapping["containerPortRange"]
        bounds = _RANGE.fullmatch(text)
        first, last = (int(bounds[1]), int(bounds[2])) if bounds else (0, 0)
        others = taken.setdefault(mapping.get("protocol", "tcp"), [])
        if bounds is None or not (1 <= first <= 65535 and 1 <= last <= 65535):
            yield Problem(field, f'must be two ports from 1 to 65535 as "8000-8010", not {quoted(text)}')
        elif first > last:
            yield Problem(field, f'runs backwards: {text}; write "{last}-{first}"')
        elif any(first <= high and low <= last for low, high in others):
            yield Problem(field, f"{text} overlaps another range; part them")
        if len(others) <= PORT_RANGES_MAX:
            others.append((first, last))


def _link_problems(path: str, container: Document, definition: Document, mode: str) -> Problems:
    links = container.get("links", ())
    if links and mode not in ("bridge", "default"):
        yield Problem(path, f"links need networkMode bridge, not {quoted(mode)}; take them out")
    names = {other.get("name") for other in definition.get("containerDefinitions", ())}
    for index, link in enumerate(links):
        target, colon, alias = link.partition(":")
        yield from without_nul(f"{path}[{index}]", link)
        if target not in names or target == container.get("name"):
            yield Problem(f"{path}[{index}]", f"{quoted(target)} is no other container of this task definition")
        if colon:
            yield from name_problems(f"{path}[{index}]", alias)
