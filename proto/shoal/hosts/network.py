"""Bridge, namespaces and the links between them. Everything may be called again: what is there already stays.

Raises NetworkError with what the tool said.
"""

import contextlib
import json
import subprocess
from collections.abc import Sequence
from ipaddress import IPv4Network

from shoal.hosts.plan import Fleet, Host
from shoal.hosts.programs import NAMESPACES, inside

INTERFACE = "eth0"
TOOL_SECONDS = 30.0

# How a host can be cut off: rules of its own, before all others. A host with a cut has another link for nothing: also
# what its containers say goes this way.
_HEARS_NOTHING = (("raw", "PREROUTING", ("-i", INTERFACE, "-j", "DROP")),)
_IS_NOT_HEARD = (("mangle", "POSTROUTING", ("-o", INTERFACE, "-j", "DROP")),)
_RESET = ("-p", "tcp", "!", "--tcp-flags", "RST", "RST", "-j", "REJECT", "--reject-with", "tcp-reset")
_IS_RESET = (
    ("filter", "INPUT", ("-i", INTERFACE, *_RESET)),
    ("filter", "OUTPUT", ("-o", INTERFACE, *_RESET)),
)
WAYS = {"both": _HEARS_NOTHING + _IS_NOT_HEARD, "in": _HEARS_NOTHING, "out": _IS_NOT_HEARD, "reset": _IS_RESET}


class NetworkError(Exception):
    """The text is a sentence."""


def routes() -> list[IPv4Network]:
    """Where this machine sends packets, without its default route."""
    listed = json.loads(_run("ip", "-j", "-4", "route") or "[]")
    return [IPv4Network(route["dst"], strict=False) for route in listed if route["dst"] != "default"]


def devices() -> list[str]:
    return [device["ifname"] for device in json.loads(_run("ip", "-j", "link") or "[]")]


def make(fleet: Fleet) -> None:
    """The bridge; hosts are attached to it one by one."""
    if fleet.bridge not in devices():
        _run("ip", "link", "add", fleet.bridge, "type", "bridge")
    _run("ip", "address", "replace", str(fleet.address), "dev", fleet.bridge)
    _run("ip", "link", "set", fleet.bridge, "up")
    # A Docker Engine of the machine's own lets nothing pass that it does not know, between hosts neither.
    if not _succeeds("iptables", "-w", "-C", "FORWARD", *_passes(fleet)):
        _run("iptables", "-w", "-I", "FORWARD", *_passes(fleet))


def _passes(fleet: Fleet) -> Sequence[str]:
    return ("-i", fleet.bridge, "-o", fleet.bridge, "-j", "ACCEPT")


def remove(fleet: Fleet) -> None:
    while _succeeds("iptables", "-w", "-D", "FORWARD", *_passes(fleet)):
        pass
    _succeeds("ip", "link", "delete", fleet.bridge)


def is_attached(host: Host) -> bool:
    """The default route is the last that `attach` makes."""
    if not (NAMESPACES / host.namespace).exists():
        return False
    with contextlib.suppress(NetworkError):
        return bool(_run("ip", "-n", host.namespace, "route", "show", "default"))
    return False


def attach(fleet: Fleet, host: Host) -> None:
    """A namespace of that name with a way to the bridge; what was left half made is made anew."""
    if is_attached(host):
        return
    detach(host)
    at = ("ip", "-n", host.namespace)
    _run("ip", "netns", "add", host.namespace)
    _run("ip", "link", "add", host.link, "type", "veth", "peer", "name", INTERFACE, "netns", host.namespace)
    _run("ip", "link", "set", host.link, "master", fleet.bridge, "up")
    _run(*at, "address", "add", str(host.address), "dev", INTERFACE)
    for device in ("lo", INTERFACE):
        _run(*at, "link", "set", device, "up")
    _run(*at, "route", "add", "default", "via", str(fleet.address.ip))


def detach(host: Host) -> None:
    """From now on nothing more starts there, and nobody hears of what still runs."""
    _succeeds("ip", "netns", "delete", host.namespace)
    _succeeds("ip", "link", "delete", host.link)


def cut(host: Host, way: str) -> None:
    """way: one of WAYS, from the host's point of view. Instead of a cut that is there already."""
    heal(host)
    for table, chain, rule in WAYS[way]:
        _run(*inside(host), "iptables", "-w", "-t", table, "-I", chain, *rule)


def heal(host: Host) -> None:
    for table, chain, rule in WAYS["both"] + WAYS["reset"]:
        while _succeeds(*inside(host), "iptables", "-w", "-t", table, "-D", chain, *rule):
            pass


def cut_of(host: Host) -> str | None:
    """Which of WAYS the host is cut off; None if it is not."""
    present = {rule for rule in WAYS["both"] + WAYS["reset"] if _has_rule(host, *rule)}
    return next((way for way, rules in WAYS.items() if present and set(rules) == present), None)


def _has_rule(host: Host, table: str, chain: str, rule: Sequence[str]) -> bool:
    return _succeeds(*inside(host), "iptables", "-w", "-t", table, "-C", chain, *rule)


def _run(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TOOL_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NetworkError(f"{' '.join(command)}: {error}") from None
    if done.returncode != 0:
        raise NetworkError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


def _succeeds(*command: str) -> bool:
    try:
        _run(*command)
    except NetworkError:
        return False
    return True
