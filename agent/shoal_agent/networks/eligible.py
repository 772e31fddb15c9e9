"""Which containers may join a network namespace that is kept ready. Pure.

Two things keep one out: what Docker Engine refuses of a container that joins another one's network (its rules are
those of `container:<id>` in runconfig/hostconfig.go), and what would let it change the namespace for the next one.
A container that may do neither leaves nothing behind but what is looked for afterwards (snapshot.py): without
CAP_NET_ADMIN nobody changes addresses, routes, rules or interfaces, and /proc/sys is read-only for it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from shoal_agent.definition.sandbox import shared

Document = Mapping[str, Any]

# What Docker gives to every container, of which none reaches into a network namespace. Names without CAP_.
DEFAULT_CAPABILITIES = frozenset(
    {
        *("AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE"),
        *("NET_RAW", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"),
    }
)

# Folders by which root in a container changes the kernel's parameters of its network, whatever its capabilities.
_KERNEL_FOLDERS = ("/proc", "/sys")


def _adds_capabilities(host: Document) -> bool:
    added = {name.upper().removeprefix("CAP_") for name in host.get("CapAdd", ())}
    return not added <= DEFAULT_CAPABILITIES


def _loosens_security(host: Document) -> bool:
    return any(not option.startswith("no-new-privileges") for option in host.get("SecurityOpt", ()))


def _has_network_parameters(host: Document) -> bool:
    return any(name.startswith("net.") for name in host.get("Sysctls", {}))


def _mounts_the_kernel(host: Document) -> bool:
    sources = [bind.partition(":")[0] for bind in host.get("Binds", ())]
    for mount in host.get("Mounts", ()):
        driver = mount.get("VolumeOptions", {}).get("DriverConfig", {})
        sources += [mount["Source"]] if mount["Type"] == "bind" else []
        sources += [path for path in (driver.get("Options", {}).get("device", ""),) if path]
    return any(_reaches(source, folder) for source in sources for folder in _KERNEL_FOLDERS)


def _reaches(source: str, folder: str) -> bool:
    """One lies in the other."""
    source = source.rstrip("/") + "/"
    return source.startswith(f"{folder}/") or f"{folder}/".startswith(source)


def _has(field: str) -> Callable[[Document], bool]:
    return lambda host: bool(host.get(field))


# By the engine's HostConfig: what is asked, and what a container is told that has a network of its own for it.
_KEPT_OUT: tuple[tuple[Callable[[Document], bool], str], ...] = (
    (lambda host: host.get("NetworkMode") != "bridge", "it is on another network than the bridge"),
    (_has("PortBindings"), "it publishes ports"),
    (_has("Links"), "it has links"),
    (_has("Dns"), "it has name servers of its own"),
    (_has("DnsSearch"), "it has search domains of its own"),
    (_has("ExtraHosts"), "it has names of hosts of its own"),
    (_has_network_parameters, "it sets kernel parameters of its network"),
    (_has("Privileged"), "it is privileged"),
    (_adds_capabilities, "it has capabilities beyond the usual ones"),
    (_loosens_security, "it has security options"),
    (_has("Devices"), "it has devices"),
    (_has("PidMode"), "its processes may outlive it: it shares others'"),
    (_has("VolumesFrom"), "it has another container's mounts"),
    (_mounts_the_kernel, "it mounts the kernel's files of the host"),
)


def needs_own(definition: Document, name: str, body: Document) -> str:
    """Why a container of this task has to have a network namespace of its own; empty if it may join a ready one.

    `body` is what the engine would make it of.
    """
    return next(_reasons(definition, name, body), "")


def _reasons(definition: Document, name: str, body: Document) -> Iterator[str]:
    if shared(definition):
        yield "it shares namespaces with the others of its task"
    if name in _linked(definition.get("containerDefinitions", ())):
        yield "others have links to it"
    if body.get("Hostname"):
        yield "it has a host name of its own"
    for keeps_out, reason in _KEPT_OUT:
        if keeps_out(body["HostConfig"]):
            yield reason


def _linked(containers: Iterable[Document]) -> set[str]:
    return {link.partition(":")[0] for container in containers for link in container.get("links", ())}
