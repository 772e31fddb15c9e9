"""What the kernel's files say of usage: text in, numbers out. Pure.

Of a container its cgroup, version 1 or 2, and /proc/<pid>/net/dev; of the host /proc/stat, meminfo, diskstats and
net/dev. Raises ValueError (or IndexError) for a file of another form.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

SECTOR_BYTES = 512

# What the host's traffic passes a second time on its way to a container.
_INNER_INTERFACES = re.compile(r"lo|veth.*|docker.*|br-.*|virbr.*|cni.*|tap.*|tun.*")

# A disk as a whole; its partitions, and what is stacked on it, would count the same bytes again.
_DISKS = re.compile(r"(sd[a-z]+|vd[a-z]+|xvd[a-z]+|hd[a-z]+|nvme\d+n\d+|mmcblk\d+)")


class Transfer(NamedTuple):
    """Bytes in and out: received and sent, or read and written."""

    inward: int
    outward: int


class HostCpu(NamedTuple):
    """Ticks since the host started, of all its processors together."""

    busy: int
    total: int


class HostMemory(NamedTuple):
    used_bytes: int
    total_bytes: int


def cgroup_paths(text: str) -> dict[str, str]:
    """/proc/<pid>/cgroup: path by controller; "" is the one of version 2."""
    paths = {}
    for line in text.splitlines():
        _, controllers, path = line.split(":", 2)
        paths.update(dict.fromkeys(controllers.split(","), path))
    return paths


def cpu_nanos_v1(text: str) -> int:
    """cpuacct.usage."""
    return int(text)


def cpu_nanos_v2(text: str) -> int:
    """cpu.stat."""
    return _value(text, "usage_usec") * 1000


def memory_bytes(usage: str, statistics: str) -> int:
    """What is in use without the cache that nobody has asked for lately, as `docker stats` shows it.

    usage       memory.usage_in_bytes of version 1, memory.current of version 2
    statistics  memory.stat, whose inactive_file is of the cgroup and all below it: version 1 calls that the total
    """
    used = int(usage)
    name = "total_inactive_file" if "total_inactive_file " in statistics else "inactive_file"
    inactive = _value(statistics, name)
    return used - inactive if inactive < used else used


def storage_v1(text: str) -> Transfer:
    """blkio.throttle.io_service_bytes: `8:0 Read 4096`, a line for each device and kind."""
    sums = {"Read": 0, "Write": 0}
    for line in text.splitlines():
        words = line.split()
        if len(words) == 3 and words[1] in sums:
            sums[words[1]] += int(words[2])
    return Transfer(sums["Read"], sums["Write"])


def storage_v2(text: str) -> Transfer:
    """io.stat: `8:0 rbytes=4096 wbytes=0 rios=1 ...`, a line for each device."""
    sums = {"rbytes": 0, "wbytes": 0}
    for word in text.split():
        name, equals, value = word.partition("=")
        if equals and name in sums:
            sums[name] += int(value)
    return Transfer(sums["rbytes"], sums["wbytes"])


def network(text: str) -> Transfer:
    """net/dev of a container: all its interfaces but its own loopback."""
    return _sum(transfer for name, transfer in _interfaces(text) if name != "lo")


def host_network(text: str) -> Transfer:
    """net/dev of the host: what leads out of it."""
    return _sum(transfer for name, transfer in _interfaces(text) if not _INNER_INTERFACES.fullmatch(name))


def _interfaces(text: str) -> Iterator[tuple[str, Transfer]]:
    for line in text.splitlines()[2:]:
        name, _, numbers = line.partition(":")
        words = numbers.split()
        yield name.strip(), Transfer(int(words[0]), int(words[8]))


def _sum(transfers: Iterator[Transfer]) -> Transfer:
    inward = outward = 0
    for each in transfers:
        inward, outward = inward + each.inward, outward + each.outward
    return Transfer(inward, outward)


def host_cpu(text: str) -> HostCpu:
    """/proc/stat. Waiting for a disk is not work; what guests ran is in user time already."""
    user, nice, system, idle, iowait, irq, softirq, steal = (int(word) for word in text.split("\n", 1)[0].split()[1:9])
    busy = user + nice + system + irq + softirq
    return HostCpu(busy, busy + idle + iowait + steal)


def host_memory(text: str) -> HostMemory:
    """/proc/meminfo: what could not be had without swapping."""
    total, available = _value(text, "MemTotal:"), _value(text, "MemAvailable:")
    return HostMemory((total - available) * 1024, total * 1024)


def host_storage(text: str) -> Transfer:
    """/proc/diskstats."""
    reads = writes = 0
    for line in text.splitlines():
        words = line.split()
        if _DISKS.fullmatch(words[2]):
            reads, writes = reads + int(words[5]), writes + int(words[9])
    return Transfer(reads * SECTOR_BYTES, writes * SECTOR_BYTES)


def _value(text: str, name: str) -> int:
    """Of a line `name value`."""
    start = 0 if text.startswith((f"{name} ", f"{name}\t")) else text.find(f"\n{name} ") + 1
    if not start and not text.startswith(name):
        raise ValueError(f"it has no line {name}")
    return int(text[start:].split(None, 2)[1])
