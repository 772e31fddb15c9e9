"""What an operator may set about one host: a TOML file read once, at the start."""

import ipaddress
import tomllib
from collections.abc import Mapping, Sized
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from shoal import attributes, requirements

from shoal_agent.images.pull_behavior import BEHAVIORS

RESERVED_PORTS = (22, 2375, 2376)

# Those that the engine brings and ECS or the engine's own documentation names; awslogs is served by this host.
LOG_DRIVERS = ("json-file", "local", "none", "syslog", "journald", "gelf", "fluentd", "splunk")

# A scheduler takes 100 attributes and 40 resources of an agent, with those that every instance has.
ATTRIBUTES_MAX = 80
RESOURCES_MAX = 30


class BadConfiguration(ValueError):  # noqa: N818 - the name says what is wrong
    """A key of the file is unknown or has a value that cannot be used. Names the key and says what to write."""

    def __init__(self, key: str, problem: str) -> None:
        super().__init__(f"{key}: {problem}")
        self.key = key


@dataclass(frozen=True, slots=True)
class Configuration:
    """Defaults are the safe ones: nothing of the host is given to tasks unless a line here says so."""

    # What the host is called; absent means as it calls itself.
    hostname: str | None = None
    # The IP address at which others reach what its tasks publish; absent: from which it reaches the scheduler.
    address: str | None = None
    instance_type: str | None = None
    availability_zone: str | None = None
    attributes: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    tags: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    # Of Windows, the release and edition, as WINDOWS_SERVER_2022_CORE: it cannot be found out for sure.
    os_family: str | None = None

    # Resources of the cluster's own, such as licences: how many of each this instance offers.
    resources: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))

    # Kept from tasks, beyond RESERVED_PORTS; memory for the system and the agent; CPU units (1024 = one core).
    reserved_ports: tuple[int, ...] = ()
    reserved_ports_udp: tuple[int, ...] = ()
    reserved_memory_mib: int = 0
    reserved_cpu: int = 0

    # GPU ids to offer; absent means those found.
    gpus: tuple[str, ...] | None = None

    # Real paths below which a task may mount, and read files of environment variables; devices it may be given; NFS
    # servers, by the names or addresses that volumes call them, of which it may mount everything.
    host_mounts: tuple[str, ...] = ()
    environment_file_folders: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    nfs_servers: tuple[str, ...] = ()
    allow_privileged: bool = False
    allow_host_namespaces: bool = False

    # "first-last" for host ports the task leaves open; absent means that the engine chooses.
    dynamic_ports: str | None = None

    # Logs: what the engine keeps of one container, unless its definition says otherwise; what is kept of all that
    # have been removed, and for how long; the engine's drivers that tasks may name.
    log_container_mib: int = 30
    log_host_mib: int = 1024
    log_keep_seconds: float = 7 * 86_400.0
    log_drivers: tuple[str, ...] = LOG_DRIVERS
    # Where containers ask for their metadata; absent means a free port, which is then kept.
    metadata_port: int | None = None

    # "host:port" where Prometheus finds what the host and its tasks use; absent means nowhere.
    metrics_listen: str | None = None

    # As ECS_IMAGE_PULL_BEHAVIOR (images/pull_behavior.py); absent: what is here is used, and cleaned up later.
    image_pull_behavior: str | None = None

    # A Docker client's config.json with the registries' credentials under `auths`.
    registry_credentials_file: str | None = None

    # Images that the agent pulled and that nothing has used for the age go, so many a cycle; all unused ones as long
    # as the engine's disk is fuller than the percentage. With `untracked`, images that others pulled go as well.
    image_cleanup: bool = True
    image_cleanup_untracked: bool = False
    image_cleanup_interval_seconds: float = 1800.0
    image_cleanup_minimum_age_seconds: float = 3600.0
    image_cleanup_images_per_cycle: int = 5
    image_cleanup_disk_percent: int = 85
    image_cleanup_excluded: tuple[str, ...] = ()

    # Whether a process beside the agent ends exclusive tasks when the agent hangs or is killed, and no scheduler
    # hears it: only then are they given to another instance without an operator's word.
    watchdog: bool = False

    # Where this host finds that it is soon to go, as a spot host does: a file, or an http address that is 404 as long
    # as it stays (interruption_notice.py). Absent: nowhere.
    interruption_notice: str | None = None

    # Network namespaces kept ready for tasks that start (docs/ready-networks.md); 0: each task waits for its own.
    ready_networks: int = 8
    concurrent_starts: int = 8
    concurrent_pulls: int = 3
    dead_container_keep_seconds: float = 3 * 3600.0
    dead_containers_max: int = 200


def load(path: Path | None) -> Configuration:
    """Reads `path`; without one, the defaults. Raises BadConfiguration or OSError."""
    if path is None:
        return Configuration()
    try:
        document = tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadConfiguration(str(path), f"not valid TOML: {error}") from None
    return parse(document)


def parse(document: Mapping[str, Any]) -> Configuration:
    """A TOML document as a Configuration. Raises BadConfiguration, which names the key."""
    known = {entry.name for entry in fields(Configuration)}
    for key in document:
        if key not in known:
            raise BadConfiguration(key, f"unknown key; known are {', '.join(sorted(known))}")
    values = {key: _READERS[key](key, value) for key, value in document.items()}
    return Configuration(**values)


def _text(key: str, value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise BadConfiguration(key, "must be a text that is not empty")
    return value


def _ip_address(key: str, value: object) -> str:
    try:
        return str(ipaddress.ip_address(_text(key, value)))
    except ValueError:
        raise BadConfiguration(key, f"must be an IP address such as 10.0.0.2, not {value!r}") from None


def _flag(key: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise BadConfiguration(key, "must be true or false")
    return value


def _count(key: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise BadConfiguration(key, "must be a whole number, 0 or more")
    return value


def _positive(key: str, value: object) -> int:
    if _count(key, value) == 0:
        raise BadConfiguration(key, "must be 1 or more")
    return _count(key, value)


def _seconds(key: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e9:
        raise BadConfiguration(key, "must be a number of seconds, 0 or more")
    return float(value)


def _texts(key: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise BadConfiguration(key, "must be a list of texts")
    return tuple(_text(f"{key}[{position}]", entry) for position, entry in enumerate(value))


def _paths(key: str, value: object) -> tuple[str, ...]:
    for position, path in enumerate(_texts(key, value)):
        if not path.startswith("/"):
            raise BadConfiguration(f"{key}[{position}]", "must be an absolute path")
    return _texts(key, value)


def _path(key: str, value: object) -> str:
    if not _text(key, value).startswith("/"):
        raise BadConfiguration(key, "must be an absolute path")
    return _text(key, value)


def _file_or_url(key: str, value: object) -> str:
    said = _text(key, value)
    url = urlsplit(said)
    if not said.startswith("/") and not (url.scheme in ("http", "https") and url.hostname):
        raise BadConfiguration(key, 'must be an absolute path or an address, as in "http://169.254.169.254/latest/..."')
    return said


def _pull_behavior(key: str, value: object) -> str:
    if value not in BEHAVIORS:
        raise BadConfiguration(key, f"must be one of {', '.join(BEHAVIORS)}")
    return str(value)


def _period(key: str, value: object) -> float:
    if _seconds(key, value) < 1:
        raise BadConfiguration(key, "must be a number of seconds, 1 or more")
    return _seconds(key, value)


def _percent(key: str, value: object) -> int:
    if _positive(key, value) > 100:
        raise BadConfiguration(key, "must be a percentage, 1 to 100; with 100 a full disk alone does not matter")
    return _positive(key, value)


def _ports(key: str, value: object) -> tuple[int, ...]:
    if not isinstance(value, list):
        raise BadConfiguration(key, "must be a list of port numbers")
    for position, port in enumerate(value):
        if isinstance(port, bool) or not isinstance(port, int) or not 1 <= port <= 65535:
            raise BadConfiguration(f"{key}[{position}]", "must be a port number, 1 to 65535")
    return tuple(value)


def _port(key: str, value: object) -> int:
    if _count(key, value) not in range(1, 65536):
        raise BadConfiguration(key, "must be a port number, 1 to 65535")
    return _count(key, value)


def _address(key: str, value: object) -> str:
    host, _, port = _text(key, value).rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise BadConfiguration(key, 'must be "host:port", as in "0.0.0.0:7610"')
    return _text(key, value)


def _table(key: str, value: object) -> Mapping[str, str]:
    if not isinstance(value, dict):
        raise BadConfiguration(key, "must be a table of texts")
    return MappingProxyType({name: _text(f"{key}.{name}", entry) for name, entry in value.items()})


def _attributes(key: str, value: object) -> Mapping[str, str]:
    """Checked here: the scheduler would end the session of an agent that says others."""
    if not isinstance(value, dict):
        raise BadConfiguration(key, "must be a table of texts")
    _no_more_than(key, value, ATTRIBUTES_MAX)
    for name, text in value.items():
        at = f"{key}.{name}"
        if not attributes.NAME.fullmatch(name):
            raise BadConfiguration(at, f"is not an attribute name; {attributes.NAME_RULE}")
        if not isinstance(text, str):
            raise BadConfiguration(at, f'must be a text, as in {key} = {{ {name} = "..." }}')
        if text and not attributes.VALUE.fullmatch(text):
            raise BadConfiguration(at, f"is not an attribute value; {attributes.VALUE_RULE}")
    return MappingProxyType(dict(value))


def _amounts(key: str, value: object) -> Mapping[str, int]:
    if not isinstance(value, dict):
        raise BadConfiguration(key, f"must be a table of numbers, as in {key} = {{ licence = 10 }}")
    _no_more_than(key, value, RESOURCES_MAX)
    for name, amount in value.items():
        at = f"{key}.{name}"
        if wrong := requirements.name_problem(name):
            raise BadConfiguration(at, wrong)
        if _count(at, amount) > requirements.AMOUNT_MAX:
            raise BadConfiguration(at, f"must be at most {requirements.AMOUNT_MAX}")
    return MappingProxyType(dict(value))


def _no_more_than(key: str, values: Sized, most: int) -> None:
    if len(values) > most:
        raise BadConfiguration(key, f"has {len(values)} entries; at most {most} are allowed")


def _os_family(key: str, value: object) -> str:
    text = _text(key, value)
    if text not in attributes.OPERATING_SYSTEMS:
        raise BadConfiguration(key, f"must be one of {', '.join(attributes.OPERATING_SYSTEMS)}")
    return text


def _log_drivers(key: str, value: object) -> tuple[str, ...]:
    names = _texts(key, value)
    for position, name in enumerate(names):
        if name not in LOG_DRIVERS:
            raise BadConfiguration(f"{key}[{position}]", f"must be one of {', '.join(LOG_DRIVERS)}")
    return names


def _gpus(key: str, value: object) -> tuple[str, ...]:
    ids = _texts(key, value)
    for position, gpu in enumerate(ids):
        if gpu in ids[:position]:
            raise BadConfiguration(f"{key}[{position}]", f"{gpu} is listed twice; keep one of them")
    return ids


def _port_range(key: str, value: object) -> str:
    first, _, last = _text(key, value).partition("-")
    if not (first.isdigit() and last.isdigit() and 1 <= int(first) <= int(last) <= 65535):
        raise BadConfiguration(key, 'must be "first-last", as in "20000-29999"')
    return f"{int(first)}-{int(last)}"


_READERS: Mapping[str, Any] = {
    "hostname": _text,
    "address": _ip_address,
    "instance_type": _text,
    "availability_zone": _text,
    "attributes": _attributes,
    "tags": _table,
    "os_family": _os_family,
    "resources": _amounts,
    "reserved_ports": _ports,
    "reserved_ports_udp": _ports,
    "reserved_memory_mib": _count,
    "reserved_cpu": _count,
    "gpus": _gpus,
    "host_mounts": _paths,
    "environment_file_folders": _paths,
    "devices": _paths,
    "nfs_servers": _texts,
    "allow_privileged": _flag,
    "allow_host_namespaces": _flag,
    "dynamic_ports": _port_range,
    "log_container_mib": _positive,
    "log_host_mib": _positive,
    "log_keep_seconds": _seconds,
    "log_drivers": _log_drivers,
    "metadata_port": _port,
    "metrics_listen": _address,
    "image_pull_behavior": _pull_behavior,
    "registry_credentials_file": _path,
    "image_cleanup": _flag,
    "image_cleanup_untracked": _flag,
    "image_cleanup_interval_seconds": _period,
    "image_cleanup_minimum_age_seconds": _seconds,
    "image_cleanup_images_per_cycle": _positive,
    "image_cleanup_disk_percent": _percent,
    "image_cleanup_excluded": _texts,
    "watchdog": _flag,
    "interruption_notice": _file_or_url,
    "ready_networks": _count,
    "concurrent_starts": _positive,
    "concurrent_pulls": _positive,
    "dead_container_keep_seconds": _seconds,
    "dead_containers_max": _count,
}
