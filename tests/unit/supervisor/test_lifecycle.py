"""`shoal up` and `shoal down` as processes of their own: a real etcd, stand-ins for the scheduler and the agent."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from shoal.supervisor import binaries, processes

from tests.fakes.engine import FakeEngine

pytestmark = [pytest.mark.etcd, pytest.mark.skipif(binaries.find_etcd() is None, reason="needs etcd")]
ROOT = Path(__file__).parents[3]
PATIENCE_SECONDS = 30.0


@dataclass
class Machine:
    """A state folder, a context file and an engine of its own."""

    folder: Path
    engine: FakeEngine
    environment: dict[str, str]

    def shoal(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "shoal.cli", *arguments]
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=90)

    def up(self, *arguments: str) -> Any:
        result = self.shoal("up", "--listen", "127.0.0.1:0", "-o", "json", *arguments)
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout)

    @property
    def running(self) -> dict[str, processes.Process]:
        return processes.load(self.folder / "state" / "processes.json")


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    folder = tmp_path
    engine = FakeEngine(folder / "engine.sock")
    fakes = ROOT / "tests" / "fakes" / "programs"
    environment = os.environ | {
        "SHOAL_HOME": str(folder / "state"),
        "SHOAL_CONFIG": str(folder / "contexts.json"),
        "DOCKER_HOST": engine.docker_host,
        "PYTHONPATH": os.pathsep.join([str(fakes), str(ROOT), str(ROOT / "proto"), str(ROOT / "registry")]),
    }
    made = Machine(folder, engine, environment)
    yield made
    if (folder / "state").exists():
        made.shoal("down")
    engine.close()


def until(true: Callable[[], bool]) -> None:
    give_up = time.monotonic() + PATIENCE_SECONDS
    while not true():
        assert time.monotonic() < give_up, "it never became true"
        time.sleep(0.02)


def alive(pids: dict[str, int]) -> list[str]:
    return [name for name, pid in pids.items() if processes.start_time(pid) is not None]


def test_up_twice_then_down_twice(machine: Machine) -> None:
    first = machine.up()
    assert set(first["pids"]) == {"etcd", "scheduler", "registry", "agent"}
    assert not first["wasUp"]
    again = machine.up()
    assert again["wasUp"]
    assert {key: again[key] for key in ("pids", "endpoint", "instanceId")} == {
        key: first[key] for key in ("pids", "endpoint", "instanceId")
    }
    assert machine.shoal("context", "show", "-o", "name").stdout == "default\n"
    assert machine.shoal("doctor").returncode == 0
    assert machine.shoal("down").stdout == "Stopped etcd, scheduler, registry, agent.\n"
    assert alive(first["pids"]) == []
    assert "down already" in machine.shoal("down").stdout


def test_what_was_chosen_is_kept_over_a_restart(machine: Machine) -> None:
    first = machine.up()
    machine.shoal("down")
    second = machine.up()
    for key in ("endpoint", "etcdEndpoint", "registry", "instanceId", "context"):
        assert first[key] == second[key]


def test_several_schedulers_and_members_of_etcd(machine: Machine) -> None:
    first = machine.up("--schedulers", "2", "--etcd-members", "3")
    names = ["etcd", "etcd-2", "etcd-3", "scheduler", "scheduler-2"]
    assert set(first["pids"]) == {*names, "registry", "agent"}
    assert first["context"]["endpoints"] == first["endpoints"]
    assert (len(set(first["endpoints"])), len(set(first["etcdEndpoints"]))) == (2, 3)
    assert machine.shoal("doctor").returncode == 0
    assert machine.up()["wasUp"]
    assert "--schedulers is 2" in machine.shoal("up", "--schedulers", "3").stderr
    os.kill(first["pids"]["etcd-2"], signal.SIGKILL)
    until(lambda: machine.running["etcd-2"].pid != first["pids"]["etcd-2"] and machine.running["etcd-2"].is_alive)
    assert machine.shoal("down").stdout == f"Stopped {', '.join(names)}, registry, agent.\n"
    assert alive(first["pids"]) == []
    assert "cannot be changed in place" in machine.shoal("up", "--etcd-members", "1").stderr
    second = machine.up("--schedulers", "1")
    assert set(second["pids"]) == {*names[:4], "registry", "agent"}
    assert second["etcdEndpoints"] == first["etcdEndpoints"]
    assert second["context"]["endpoints"] == first["endpoints"][:1]


def test_a_program_that_dies_is_started_again(machine: Machine) -> None:
    pids = machine.up()["pids"]
    for name, pid in pids.items():
        os.kill(pid, signal.SIGKILL)
        until(lambda name=name, pid=pid: machine.running[name].pid != pid and machine.running[name].is_alive)  # type: ignore[misc]
    assert machine.up()["wasUp"]


def test_nothing_outlives_a_killed_supervisor_and_up_takes_over(machine: Machine) -> None:
    first = machine.up()
    os.kill(first["supervisorPid"], signal.SIGKILL)
    until(lambda: alive(first["pids"]) == [])
    second = machine.up()
    assert not second["wasUp"]
    assert second["endpoint"] == first["endpoint"]
    assert second["instanceId"] == first["instanceId"]


def test_purge_leaves_nothing(machine: Machine) -> None:
    machine.up()
    machine.engine.containers["c" * 64] = {}
    result = machine.shoal("down", "--purge")
    assert result.returncode == 0, result.stderr
    assert machine.engine.containers == {}
    assert not (machine.folder / "state").exists()
    assert machine.shoal("context", "list", "-o", "name").stdout == ""
    assert "Nothing is up" in machine.shoal("down").stdout


def test_up_refuses_what_contradicts_what_runs(machine: Machine) -> None:
    machine.up()
    result = machine.shoal("up", "--name", "other", "--registry", "registry.example:7680")
    assert result.returncode == 1
    assert "--name is default" in result.stderr
    assert "--registry is 127.0.0.1:" in result.stderr
    machine.shoal("down")
    assert "other" in machine.shoal("up", "--name", "other").stderr


def test_a_lost_context_file_is_written_again(machine: Machine) -> None:
    first = machine.up()
    (machine.folder / "contexts.json").unlink()
    second = machine.up()
    assert second["wasUp"]
    assert second["context"] == first["context"]
    assert machine.shoal("ps").returncode == 0


def test_two_at_once_start_one_cluster(machine: Machine) -> None:
    command = [sys.executable, "-m", "shoal.cli", "up", "--listen", "127.0.0.1:0", "-o", "json"]
    both = [
        subprocess.Popen(command, env=machine.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [process.communicate(timeout=90) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    first, second = (json.loads(out) for out, _ in said)
    assert first["supervisorPid"] == second["supervisorPid"]
    assert sorted([first["wasUp"], second["wasUp"]]) == [False, True]


def test_a_second_state_folder_needs_another_name(machine: Machine) -> None:
    machine.up()
    other = str(machine.folder / "second")
    result = machine.shoal("up", "--state", other, "--listen", "127.0.0.1:0")
    assert result.returncode == 1
    assert "belongs to another cluster" in result.stderr
    # The stand-in scheduler knows no cluster but `default`, so this one is only brought as far as its context.
    named = machine.shoal("up", "--state", other, "--listen", "127.0.0.1:0", "--name", "b")
    assert named.returncode == 0, named.stderr
    assert machine.shoal("context", "list", "-o", "name").stdout.split() == ["b", "default"]
    assert machine.shoal("down", "--state", other).returncode == 0


def test_a_program_that_never_comes_up_is_named_with_its_last_words(machine: Machine, tmp_path: Path) -> None:
    broken = tmp_path / "broken" / "shoal_agent"
    broken.mkdir(parents=True)
    (broken / "__init__.py").touch()
    (broken / "__main__.py").write_text("raise SystemExit('no can do')\n")
    machine.environment["PYTHONPATH"] = f"{broken.parent}:{machine.environment['PYTHONPATH']}"
    result = machine.shoal("up", "--listen", "127.0.0.1:0")
    assert result.returncode == 1
    assert "agent does not start." in result.stderr
    assert "no can do" in result.stderr


@pytest.fixture
def without_engine(machine: Machine) -> Machine:
    """No engine answers, but there is a program called dockerd."""
    binary = machine.folder / "bin" / "dockerd"
    binary.parent.mkdir()
    fake = ROOT / "tests" / "fakes" / "programs" / "dockerd.py"
    binary.write_text(f'#!/bin/sh\nexec {sys.executable} {fake} "$@"\n')
    binary.chmod(0o755)
    machine.environment["PATH"] = f"{binary.parent}:{machine.environment['PATH']}"
    machine.environment["DOCKER_HOST"] = f"unix://{machine.folder}/own.sock"
    return machine


@pytest.mark.skipif(os.geteuid() != 0, reason="an engine of one's own needs root")
def test_an_engine_of_its_own_outlives_the_supervisor_and_is_stopped_in_the_end(without_engine: Machine) -> None:
    machine = without_engine
    first = machine.up()
    assert first["ownsEngine"]
    dockerd = machine.running["dockerd"]
    os.kill(first["supervisorPid"], signal.SIGKILL)
    until(lambda: not machine.running["agent"].is_alive)
    assert dockerd.is_alive
    assert machine.up()["pids"]["dockerd"] == dockerd.pid
    os.kill(dockerd.pid, signal.SIGKILL)
    until(lambda: machine.running["dockerd"].pid != dockerd.pid and machine.running["dockerd"].is_alive)
    again = machine.running["dockerd"]
    assert machine.shoal("down").stdout == "Stopped etcd, scheduler, registry, agent, dockerd.\n"
    assert not again.is_alive


@pytest.mark.skipif(os.geteuid() != 0, reason="an engine of one's own needs root")
def test_purge_asks_an_engine_of_its_own_that_was_stopped_before(without_engine: Machine) -> None:
    machine = without_engine
    machine.up()
    machine.shoal("down")
    result = machine.shoal("down", "--purge")
    assert result.returncode == 0
    assert result.stderr == ""
    assert result.stdout.startswith("Stopped dockerd.\n")
    assert not (machine.folder / "state").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("--name", "a/b"),
        ("--listen", "nowhere"),
        ("--listen", "h:99999"),
        ("--registry", "nowhere"),
        ("--registry", "[::1]:7680"),
        ("--docker-host", "tcp://h:1"),
        ("--timeout", "x"),
    ],
)
def test_wrong_usage(machine: Machine, arguments: tuple[str, ...]) -> None:
    assert machine.shoal("up", *arguments).returncode == 2
    assert not (machine.folder / "state").exists()


def test_in_the_foreground_it_ends_when_told_to(machine: Machine) -> None:
    command = [sys.executable, "-m", "shoal.cli", "up", "--foreground", "--listen", "127.0.0.1:0"]
    process = subprocess.Popen(command, env=machine.environment, stderr=subprocess.PIPE, text=True)
    until(lambda: set(machine.running) == {"etcd", "scheduler", "registry", "agent"})
    pids = {name: each.pid for name, each in machine.running.items()}
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0, said
    assert alive(pids) == []


async def test_ended_tells_when_a_process_has_ended() -> None:
    child = await asyncio.create_subprocess_exec("sleep", "60")
    process = processes.identify(child.pid)
    assert process is not None
    waiting = asyncio.create_task(processes.ended(process))
    await asyncio.sleep(0)
    assert not waiting.done()
    child.kill()
    await asyncio.wait_for(waiting, PATIENCE_SECONDS)
    await child.wait()
    assert not process.is_alive


def test_a_pid_that_is_another_process_by_now_is_not_signalled() -> None:
    child = subprocess.Popen(["sleep", "60"])
    stranger = processes.Process(child.pid, started=1)
    assert not processes.send(stranger, signal.SIGKILL)
    processes.stop(stranger, 0.1)
    assert child.poll() is None
    child.kill()
    child.wait()
