"""The watchdog as a process, with real containers: it ends what a hung or dead agent does not, and nothing else."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from shoal_agent import lease_file, watchdog
from shoal_agent.definition.labels import ON_DISCONNECT, STOP_SECONDS, Owner
from shoal_agent.watchdog_keeper import WatchdogKeeper

from tests.ground.engine import Engine
from tests.ground.images import BUSYBOX
from tests.ground.waiting import block_until, wait_until

OWNER = Owner("default", "w" * 32)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def keeper(state: Path, engine: Engine) -> Iterator[WatchdogKeeper]:
    made = WatchdogKeeper(state, engine.host, OWNER)
    made._begin()
    block_until(lambda: made.runs)
    yield made
    made.end()


@pytest.fixture
def made(engine: Engine, busybox_image: str) -> Iterator[list[str]]:
    ids: list[str] = []
    yield ids
    if ids:
        engine.docker("rm", "--force", *ids)


def run(engine: Engine, made: list[str], kind: str, instance: str = OWNER.instance) -> str:
    labels = {**Owner(OWNER.cluster, instance).labels, ON_DISCONNECT: kind, STOP_SECONDS: "1"}
    options = [word for name, value in labels.items() for word in ("--label", f"{name}={value}")]
    made.append(engine.docker("run", "--detach", *options, BUSYBOX, "sleep", "600").strip())
    return made[-1]


def renew(state: Path, seconds: float) -> None:
    written = lease_file.Renewal(lease_file.boot_id(), lease_file.boot_time(), seconds)
    lease_file.write(state / lease_file.FILE, written)


def running(engine: Engine) -> set[str]:
    return set(engine.docker("ps", "--quiet", "--no-trunc").split())


def test_of_these_only_those_whose_time_to_stop_is_over() -> None:
    running = {"a": {STOP_SECONDS: "1"}, "b": {STOP_SECONDS: "30"}, "c": {}, "d": {STOP_SECONDS: "x"}}
    assert watchdog.overdue(running, 100.0, 101.4) == []
    assert watchdog.overdue(running, 100.0, 101.5) == ["a"]
    assert watchdog.overdue(running, 100.0, 131.0) == ["a", "b", "c", "d"]


def test_ends_exclusive_containers_once_the_lease_is_over(
    state: Path, engine: Engine, keeper: WatchdogKeeper, made: list[str]
) -> None:
    renew(state, 600.0)
    exclusive = run(engine, made, "exclusive")
    others = {run(engine, made, "stop"), run(engine, made, "keep"), run(engine, made, "exclusive", "x" * 32)}
    began = time.monotonic()
    renew(state, 4.0)
    block_until(lambda: exclusive not in running(engine), timeout_seconds=30.0)
    assert time.monotonic() - began > 4.0 + 1
    assert others <= running(engine)
    assert keeper.runs


def test_a_lease_that_is_renewed_is_left_alone(
    state: Path, engine: Engine, keeper: WatchdogKeeper, made: list[str]
) -> None:
    renew(state, 60.0)
    exclusive = run(engine, made, "exclusive")
    time.sleep(5 * watchdog.LOOK_SECONDS)  # that nothing happens can only be watched
    assert exclusive in running(engine)


def test_only_one_guards_a_folder(state: Path, engine: Engine, keeper: WatchdogKeeper) -> None:
    command = [sys.executable, "-m", "shoal_agent.watchdog", "--state", str(state), "--docker-host", engine.host]
    command += ["--agent", str(os.getpid())]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert (done.returncode, "another watchdog runs" in done.stderr) == (0, True)
    assert keeper.runs


async def test_one_that_was_killed_is_begun_again(state: Path, engine: Engine) -> None:
    keeper = WatchdogKeeper(state, engine.host, OWNER)
    keeping = asyncio.create_task(keeper.run())
    try:
        await wait_until(lambda: keeper.runs)
        assert keeper._process is not None
        old = keeper._process.pid
        os.kill(old, signal.SIGKILL)
        await wait_until(lambda: keeper.runs and keeper._process is not None and keeper._process.pid != old)
    finally:
        keeping.cancel()
        keeper.end()


def test_it_outlives_a_dead_agent_until_nothing_is_left_to_guard(state: Path, engine: Engine, made: list[str]) -> None:
    exclusive = run(engine, made, "exclusive")
    renew(state, 2.0)
    program = [
        "import pathlib, sys",
        "from shoal_agent.watchdog_keeper import WatchdogKeeper",
        "from shoal_agent.definition.labels import Owner",
        "WatchdogKeeper(pathlib.Path(sys.argv[1]), sys.argv[2], Owner(*sys.argv[3:]))._begin()",
    ]
    words = [str(state), engine.host, OWNER.cluster, OWNER.instance]
    subprocess.run([sys.executable, "-c", "\n".join(program), *words], check=True, timeout=30)
    block_until(lambda: exclusive not in running(engine), timeout_seconds=30.0)
    block_until(lambda: not watchdog.runs(state), timeout_seconds=30.0)


def test_without_agent_and_engine_it_ends_after_a_while(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(watchdog, "ALONE_SECONDS", 0.3)
    began = time.monotonic()
    watchdog.guard(state, f"unix://{state}/nothing.sock", {}, agent=0)
    assert time.monotonic() - began > 0.3
