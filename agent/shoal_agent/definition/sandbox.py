"""The hidden container that holds what the containers of a task have together. Pure.

    networkMode awsvpc    one network namespace and address: they meet on localhost, and its ports are published there
    pidMode task          they see each other's processes
    ipcMode task          they share /dev/shm, semaphores and message queues

The containers of such a task join the namespaces of the one named PAUSE, which starts first, stops last and is never
told of. A task that asks for none of this has none.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from shoal_agent.definition.ports import Published, published
from shoal_agent.engine.pause_image import IMAGE, PROGRAM
from shoal_agent.engine.port import Port

Document = Mapping[str, Any]

# As the agent of ECS calls it. No container of a definition may have such a name.
PAUSE = "~internal~ecs~pause"

ENDED = "The container that holds the task's network and namespaces ended"

_MIB = 1024 * 1024
_IPC_PARAMETERS = ("kernel.msg", "kernel.sem", "kernel.shm", "fs.mqueue.")
_STOP_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Shared:
    """What the containers of a task share, by its definition."""

    network: bool
    processes: bool
    ipc: bool

    def __bool__(self) -> bool:
        return self.network or self.processes or self.ipc


def shared(definition: Document) -> Shared:
    return Shared(
        network=definition.get("networkMode") == "awsvpc",
        processes=definition.get("pidMode") == "task",
        ipc=definition.get("ipcMode") == "task",
    )


def pause_body(definition: Document, dynamic_ports: str | None) -> tuple[dict[str, Any], Published]:
    """The engine's body for PAUSE, without labels, and the ports of the task. Raises Refused for a range of ports
    that is not one.

    It gives the containers what an engine does not let them bring into a namespace they join: names of hosts and
    name servers of all of them, the first host name, the kernel parameters (of two for the same one the last wins),
    the biggest shared memory.
    """
    what = shared(definition)
    on_network = [each for each in _containers(definition) if not each.get("disableNetworking")]
    mappings = [each for container in on_network for each in container.get("portMappings", ())]
    ports = published(_distinct(mappings) if what.network else [], "awsvpc", dynamic_ports)
    ports = replace(ports, open=what.network)  # its address is looked up with them
    host: dict[str, Any] = {
        "NetworkMode": "bridge" if what.network else "none",
        "IpcMode": "shareable" if what.ipc else "private",
        "PortBindings": ports.bindings,
        "Sysctls": _parameters(definition, what),
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges"],
        "ReadonlyRootfs": True,
        "LogConfig": {"Type": "none"},
        "RestartPolicy": {"Name": "no"},
        "OomScoreAdj": 0,
    }
    body: dict[str, Any] = {
        "Image": IMAGE,
        "Entrypoint": [PROGRAM],
        "User": "65534:65534",
        "StopTimeout": _STOP_SECONDS,
        "ExposedPorts": ports.exposed,
        "HostConfig": host,
    }
    sizes = [container.get("linuxParameters", {}).get("sharedMemorySize", 0) for container in _containers(definition)]
    if what.ipc and any(sizes):
        host["ShmSize"] = max(sizes) * _MIB
    if what.network:
        host |= {
            "Dns": _union(on_network, "dnsServers"),
            "DnsSearch": _union(on_network, "dnsSearchDomains"),
            "ExtraHosts": [f"{it['hostname']}:{it['ipAddress']}" for it in _union(on_network, "extraHosts")],
        }
        named = next((it["hostname"] for it in on_network if it.get("hostname")), None)
        body |= {"Hostname": named} if named else {}
    return body, ports


def joined(body: Document, definition: Document, pause_id: str) -> dict[str, Any]:
    """The body of one of the task's containers, made to join the namespaces of PAUSE, which runs. `pause_id` is the
    engine's id of it."""
    what = shared(definition)
    host = dict(body["HostConfig"])
    place = f"container:{pause_id}"
    result = dict(body)
    if what.network and host["NetworkMode"] != "none":
        result = on_network(body, pause_id)
        host = result["HostConfig"]
    if what.processes:
        host["PidMode"] = place
    if what.ipc:
        host["IpcMode"] = place
        host.pop("ShmSize", None)
    host["Sysctls"] = {key: value for key, value in host.get("Sysctls", {}).items() if not _is_shared(key, what)}
    return {**result, "HostConfig": host}


def on_network(body: Document, container_id: str) -> dict[str, Any]:
    """The body of a container that joins the network of another one, without what the engine then refuses."""
    host = {key: value for key, value in body["HostConfig"].items() if key not in _OF_THE_NETWORK}
    rest = {key: value for key, value in body.items() if key not in ("Hostname", "ExposedPorts")}
    return {**rest, "HostConfig": {**host, "NetworkMode": f"container:{container_id}"}}


def ready_body(labels: Mapping[str, str]) -> dict[str, Any]:
    """Of a container that does nothing but keep a network for others."""
    body, _ = pause_body({"networkMode": "awsvpc"}, None)
    return {**body, "Labels": dict(labels)}


# What an engine refuses of a container that joins another one's network.
_OF_THE_NETWORK = frozenset({"PortBindings", "Dns", "DnsSearch", "DnsOptions", "ExtraHosts", "Links"})


def own_ports(definition: Document, container: str, ports: Sequence[Port]) -> tuple[Port, ...]:
    """Of the task's ports those that a container's own mappings name."""
    for entry in _containers(definition):
        if entry.get("name") == container and not entry.get("disableNetworking"):
            wanted = published(list(entry.get("portMappings", ())), "awsvpc", None).exposed
            return tuple(port for port in ports if f"{port.container_port}/{port.protocol}" in wanted)
    return ()


def _containers(definition: Document) -> Sequence[Document]:
    found: Sequence[Document] = definition.get("containerDefinitions", ())
    return found


def _distinct(mappings: Sequence[Document]) -> list[Document]:
    """One mapping for each port: containers that name the same one share it."""
    found: dict[Any, Document] = {}
    for mapping in mappings:
        port = mapping.get("containerPortRange") or mapping.get("containerPort")
        found.setdefault((port, mapping.get("protocol") or "tcp"), mapping)
    return list(found.values())


def _union(containers: Sequence[Document], key: str) -> list[Any]:
    found: list[Any] = []
    for container in containers:
        found += [entry for entry in container.get(key, ()) if entry not in found]
    return found


def _parameters(definition: Document, what: Shared) -> dict[str, str]:
    entries = _controls(definition)
    return {entry["namespace"]: entry.get("value", "") for entry in entries if _is_shared(entry["namespace"], what)}


def _controls(definition: Document) -> Iterator[Document]:
    for container in _containers(definition):
        yield from container.get("systemControls", ())


def _is_shared(parameter: str, what: Shared) -> bool:
    return (what.network and parameter.startswith("net.")) or (what.ipc and parameter.startswith(_IPC_PARAMETERS))
