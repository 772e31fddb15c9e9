"""From the kernel's files to what is used: both versions of cgroups, rates, and what is not known."""

import time
from pathlib import Path

import pytest
from shoal_agent.metrics import files
from shoal_agent.metrics.files import HostCpu, HostMemory, Transfer
from shoal_agent.metrics.reader import Reader, Running
from shoal_agent.metrics.usage import ContainerReading, HostReading, TaskReading, host_usage, task_usage

MIB = 1024 * 1024
CONTAINER, PID = "c0ffee" * 10, 4711

NET_DEV = """Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier
    lo: 9999       9    0    0    0     0          0         0     9999       9    0    0    0     0       0          0
  eth0: 1000      10    0    0    0     0          0         0      500       5    0    0    0     0       0          0
  eth1:  200       2    0    0    0     0          0         0      100       1    0    0    0     0       0          0
"""
STAT_V1 = "cache 31457280\nrss 41943040\ninactive_file 1048576\ntotal_cache 31457280\ntotal_inactive_file 31457280\n"
STAT_V2 = "anon 41943040\nfile 31457280\ninactive_anon 0\ninactive_file 31457280\nactive_file 0\n"


def test_the_kernels_words_are_understood() -> None:
    assert files.cgroup_paths("4:memory:/docker/c\n2:cpu,cpuacct:/docker/c\n0::/init") == {
        "memory": "/docker/c",
        "cpu": "/docker/c",
        "cpuacct": "/docker/c",
        "": "/init",
    }
    assert files.cpu_nanos_v1("1500000000\n") == 1_500_000_000
    assert files.cpu_nanos_v2("usage_usec 1500000\nuser_usec 1\nsystem_usec 2\n") == 1_500_000_000
    assert files.memory_bytes(f"{70 * MIB}\n", STAT_V1) == 40 * MIB
    assert files.memory_bytes(f"{70 * MIB}\n", STAT_V2) == 40 * MIB
    assert files.storage_v1("8:0 Read 4096\n8:0 Write 8192\n8:0 Sync 1\n8:16 Read 1\nTotal 12289\n") == (4097, 8192)
    assert files.storage_v2("8:0 rbytes=4096 wbytes=8192 rios=1 wios=2 dbytes=3\n8:16 rbytes=1\n") == (4097, 8192)
    assert files.network(NET_DEV) == (1200, 600)
    assert files.host_network(NET_DEV.replace("eth1", "veth1")) == (1000, 500)
    assert files.host_cpu("cpu  10 1 5 100 20 2 3 4 7 0\ncpu0 1\n") == HostCpu(21, 145)
    assert files.host_memory("MemTotal: 1000 kB\nMemFree: 1 kB\nMemAvailable: 400 kB\n") == (600 * 1024, 1000 * 1024)
    disks = "   8 0 sda 1 0 10 0 1 0 20 0\n   8 1 sda1 1 0 10 0 1 0 20 0\n 259 0 nvme0n1 1 0 1 0 1 0 2 0\n"
    assert files.host_storage(disks) == (11 * 512, 22 * 512)


@pytest.mark.parametrize("text", ["", "memory", "inactive_file"])
def test_a_file_of_another_form_is_refused(text: str) -> None:
    with pytest.raises((ValueError, IndexError)):
        files.memory_bytes("1", text)
    with pytest.raises((ValueError, IndexError)):
        files.cpu_nanos_v2(text)


# -- rates


def container(at: float, cpu_nanos: int | None, read: int = 0, written: int = 0) -> ContainerReading:
    return ContainerReading("app", at, cpu_nanos, 5 * MIB, Transfer(read, written))


def reading(at: float, container: ContainerReading | None, networks: dict[int, Transfer] | None = None) -> TaskReading:
    return TaskReading("t", at, {"c": container} if container else {}, networks or {})


def test_a_rate_is_of_the_time_between_two_readings() -> None:
    before = reading(100.0, container(100.0, 10**9, 50, 60), {7: Transfer(1000, 100)})
    now = reading(110.0, container(110.0, 6 * 10**9, 150, 80), {7: Transfer(3000, 150)})
    used = task_usage(before, now, cores=2)
    assert used.cpu == pytest.approx(512)
    assert (used.received_per_second, used.sent_per_second) == (200, 5)
    assert used.storage == Transfer(100, 20)
    assert used.memory_bytes == 5 * MIB


def test_a_counter_that_began_anew_gives_neither_a_negative_nor_a_huge_rate() -> None:
    before = reading(100.0, container(100.0, 10**15, 10**12, 10**12), {7: Transfer(10**12, 10**12)})
    now = reading(110.0, container(110.0, 10**9, 5, 6), {7: Transfer(10, 20)})
    used = task_usage(before, now, cores=2)
    assert used.cpu == pytest.approx(102.4)
    assert (used.received_per_second, used.sent_per_second) == (1, 2)
    assert used.storage == Transfer(5, 6)


def test_more_than_the_host_has_is_not_believed() -> None:
    before = reading(100.0, container(100.0, 0))
    assert task_usage(before, reading(101.0, container(101.0, 3 * 10**9)), cores=2).cpu is None


def test_what_is_not_known_is_not_0() -> None:
    first = task_usage(None, reading(1.0, container(1.0, 5), {7: Transfer(1, 1)}), cores=1)
    assert (first.cpu, first.received_per_second, first.storage) == (None, None, None)
    unreadable = reading(1.0, ContainerReading("app", 1.0))
    used = task_usage(unreadable, reading(2.0, ContainerReading("app", 2.0)), cores=1)
    assert (used.cpu, used.memory_bytes, used.received_per_second, used.storage) == (None, None, None, None)
    assert task_usage(reading(1.0, container(1.0, 5)), reading(1.0, container(1.0, 6)), cores=1).cpu is None
    assert task_usage(reading(1.0, None), reading(2.0, container(2.0, 9)), cores=1).cpu is None


def test_the_host_is_as_busy_as_its_processors_were() -> None:
    before = HostReading(100.0, HostCpu(100, 1000), HostMemory(1, 2), Transfer(0, 0), Transfer(10, 10))
    now = HostReading(110.0, HostCpu(150, 1200), HostMemory(1, 2), Transfer(100, 50), Transfer(15, 10), 3, 4)
    used = host_usage(before, now)
    assert used.cpu_percent == 25.0
    assert (used.received_per_second, used.sent_per_second, used.storage) == (10, 5, Transfer(5, 0))
    assert (used.disk_used_bytes, used.disk_total_bytes) == (3, 4)
    assert host_usage(None, now).cpu_percent is None
    assert host_usage(now, before).cpu_percent is None  # a host that started anew


# -- files


class Machine:
    """/proc and /sys/fs/cgroup as a version of cgroups has them."""

    def __init__(self, folder: Path, version: int) -> None:
        self.processes, self.root, self.version = folder / "proc", folder / "cgroup", version
        self.write(self.processes / "self/ns/net", "")
        self.reader = Reader(self.processes, self.root)

    def write(self, path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def run(self, container_id: str = CONTAINER, pid: int = PID, network: int | None = None) -> Running:
        """`network`: the process whose network it shares."""
        place = f"/docker/{container_id}" if self.version == 1 else f"/system.slice/docker-{container_id}.scope"
        lines = [f"{n}:{name}:{place}" for n, name in enumerate(("cpuacct", "memory", "blkio"), 1)]
        self.write(
            self.processes / f"{pid}/cgroup", "\n".join([*lines, "0::/"]) if self.version == 1 else f"0::{place}"
        )
        self.write(self.processes / f"{pid}/net/dev", NET_DEV)
        namespace = self.processes / f"{pid}/ns/net"
        if network is None:
            self.write(namespace, "")
        else:
            namespace.parent.mkdir(parents=True, exist_ok=True)
            namespace.hardlink_to(self.processes / f"{network}/ns/net")
        if self.version == 1:
            self.write(self.root / f"cpuacct{place}/cpuacct.usage", "1500000000\n")
            self.write(self.root / f"memory{place}/memory.usage_in_bytes", f"{70 * MIB}\n")
            self.write(self.root / f"memory{place}/memory.stat", STAT_V1)
            self.write(self.root / f"blkio{place}/blkio.throttle.io_service_bytes", "8:0 Read 1\n8:0 Write 2\n")
        else:
            self.write(self.root / f"{place[1:]}/cpu.stat", "usage_usec 1500000\n")
            self.write(self.root / f"{place[1:]}/memory.current", f"{70 * MIB}\n")
            self.write(self.root / f"{place[1:]}/memory.stat", STAT_V2)
            self.write(self.root / f"{place[1:]}/io.stat", "8:0 rbytes=1 wbytes=2\n")
        return Running("t", container_id, container_id, pid)

    @property
    def cpu_file(self) -> Path:
        (found,) = self.root.rglob("cpuacct.usage" if self.version == 1 else "cpu.stat")
        return found


@pytest.fixture(params=[1, 2], ids=["version 1", "version 2"])
def machine(tmp_path: Path, request: pytest.FixtureRequest) -> Machine:
    return Machine(tmp_path, request.param)


def test_both_versions_of_cgroups_are_read(machine: Machine) -> None:
    task = machine.reader.tasks([machine.run()])["t"]
    (found,) = task.containers.values()
    assert (found.cpu_nanos, found.memory_bytes, found.storage) == (1_500_000_000, 40 * MIB, Transfer(1, 2))
    assert list(task.networks.values()) == [Transfer(1200, 600)]


def test_a_network_that_containers_share_counts_once(machine: Machine) -> None:
    running = [machine.run("pause" * 5, 1), machine.run("first" * 5, 2, network=1), machine.run("other" * 5, 3)]
    task = machine.reader.tasks(running)["t"]
    assert len(task.containers) == 3
    assert len(task.networks) == 2


def test_the_hosts_own_network_is_no_tasks(machine: Machine) -> None:
    running = machine.run()
    (machine.processes / f"{PID}/ns/net").unlink()
    (machine.processes / f"{PID}/ns/net").hardlink_to(machine.processes / "self/ns/net")
    assert machine.reader.tasks([running])["t"].networks == {}


def test_a_process_that_is_not_the_containers_is_not_read(machine: Machine) -> None:
    """Its number was taken by another one, or the engine counts them on another host."""
    running = machine.run()
    assert machine.reader.tasks([Running("t", "app", "f00d" * 16, PID)]) == {}
    assert machine.reader.tasks([Running("t", "app", CONTAINER, 999)]) == {}
    assert machine.reader.tasks([running])


def test_a_container_that_ended_counts_nothing_of_the_next_process(machine: Machine) -> None:
    running = machine.run()
    machine.reader.tasks([running])
    machine.cpu_file.unlink()
    task = machine.reader.tasks([running])["t"]
    assert task.networks == {}
    assert [each.cpu_nanos for each in task.containers.values()] == [None]


def test_a_hundred_containers_cost_little(machine: Machine) -> None:
    """Half a hundredth of a core, at a reading each ten seconds: 50 ms, of which the slowest of machines may take
    more, but never twice. The best of several, since others work here, too."""
    running = [machine.run(f"{number:064d}", number + 10) for number in range(100)]
    machine.reader.tasks(running)
    spent = []
    for _ in range(5):
        began = time.thread_time()
        tasks = machine.reader.tasks(running)
        task_usage(tasks["t"], tasks["t"], 2)
        spent.append(time.thread_time() - began)
    assert min(spent) < 0.05
