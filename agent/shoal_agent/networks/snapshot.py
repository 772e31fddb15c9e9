"""What a network namespace is like, and whether it is again as it was when it was made. Pure.

The texts are the kernel's, of /proc/<pid>/net, and the files of the engine that containers on one network share:
/etc/hosts, /etc/hostname and /etc/resolv.conf. Counters of traffic count on; no container may reset them.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

# What only an administrator of the network may change; looked at all the same.
SETTINGS = ("fib_trie", "route", "if_inet6", "ip_tables_names", "ip6_tables_names")

# How many sockets of any kind there are, also such that belong to no process any more or to one elsewhere. (The lists
# of them, as `tcp`, cost the kernel a walk through those of all namespaces.)
SOCKSTAT = "sockstat"
NEIGHBOURS, FLOW_LABELS, DEVICES = "arp", "ip6_flowlabel", "dev"
TABLES = (*SETTINGS, SOCKSTAT, NEIGHBOURS, FLOW_LABELS, DEVICES)
FILES = ("hosts", "hostname", "resolv.conf")

# By interface.
Counters: TypeAlias = dict[str, dict[str, int]]

_SOCKETS = re.compile(r"^sockets: used (\d+)", re.MULTILINE)
_TIME_WAIT = re.compile(r"^TCP:.*\btw (\d+)", re.MULTILINE)

# Of /proc/net/dev, behind the name of the interface: bytes, packets, errors and drops of each way.
_COUNTERS = {
    "rx_bytes": 0,
    "rx_packets": 1,
    "rx_errors": 2,
    "rx_dropped": 3,
    "tx_bytes": 8,
    "tx_packets": 9,
    "tx_errors": 10,
    "tx_dropped": 11,
}


@dataclass(frozen=True, slots=True)
class Snapshot:
    """tables     by name of TABLES; one that this kernel does not have is absent
    files      of FILES: what is in each and who may do what with it, as one text
    resolvers  of the host, from which the engine makes the containers'
    strangers  how many processes are in the namespace besides the one that keeps it
    """

    tables: Mapping[str, str]
    files: Mapping[str, str]
    resolvers: str = ""
    strangers: int = 0


def changed(made: Snapshot, now: Snapshot) -> Iterator[str]:
    """What is no longer as it was, and will not be: such a namespace is of no use to another task."""
    for name in FILES:
        if made.files.get(name) != now.files.get(name):
            yield f"/etc/{name}"
    for name in SETTINGS:
        if _setting(name, made) != _setting(name, now):
            yield name
    if interfaces(made.tables.get(DEVICES, "")).keys() != interfaces(now.tables.get(DEVICES, "")).keys():
        yield "interfaces"
    if made.resolvers != now.resolvers:
        yield "the host's name servers"


def occupied(made: Snapshot, now: Snapshot) -> Iterator[str]:
    """What is still in use; it may pass, as sockets of connections do that have ended."""
    if now.strangers:
        yield "processes"
    open_now = sockets(now.tables.get(SOCKSTAT, ""))
    if open_now is None or open_now != sockets(made.tables.get(SOCKSTAT, "")):
        yield "sockets"
    if _number(_TIME_WAIT, now.tables.get(SOCKSTAT, "")):
        yield "connections that have just ended"
    for name in (NEIGHBOURS, FLOW_LABELS):
        if now.tables.get(name, "").rstrip("\n").count("\n"):  # below the heading
            yield name


def sent(before: Counters, now: Counters) -> bool:
    """Whether anything has left by one of its interfaces; else nobody was spoken to, and nothing is remembered."""
    return any(each["tx_packets"] != before.get(name, {}).get("tx_packets") for name, each in now.items())


def _setting(name: str, of: Snapshot) -> object:
    """Without the flags of an IPv6 address, which say how far the kernel has come with trying it."""
    text = of.tables.get(name)
    if name != "if_inet6" or text is None:
        return text
    return [line.split()[:4] + line.split()[5:] for line in text.splitlines()]


def sockets(sockstat: str) -> int | None:
    """How many there are; None if the kernel does not say."""
    return _number(_SOCKETS, sockstat)


def _number(pattern: re.Pattern[str], text: str) -> int | None:
    found = pattern.search(text)
    return int(found[1]) if found else None


def interfaces(dev: str) -> Counters:
    """The counters of each interface, in the words of the engine's statistics."""
    result = {}
    for line in dev.splitlines()[2:]:
        name, _, numbers = line.partition(":")
        columns = numbers.split()
        if len(columns) > max(_COUNTERS.values()):
            result[name.strip()] = {key: int(columns[at]) for key, at in _COUNTERS.items()}
    return result
