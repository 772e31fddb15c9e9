"""`shoal exec` as people use it: the real command line, scheduler, agent and engine."""

import asyncio
import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from shoal.v1 import task_pb2

from tests.ground import work
from tests.ground.cluster import Cluster
from tests.ground.engine import Engine
from tests.ground.typist import Typist

PATIENCE_SECONDS = 30.0
SHOAL = (sys.executable, "-m", "shoal.cli")


async def _run(cluster: Cluster, *, enabled: bool, command: list[str]) -> str:
    async with cluster.client() as client:
        name = await work.register(client, work.definition("exec", command, stopTimeout=2))
        request = task_pb2.RunTaskRequest(task_definition=name, enable_execute_command=enabled)
        (task,) = (await client.cluster.RunTask(request)).tasks
        task_id = str(task.task_arn).rpartition("/")[2]
        await work.until_all(client, [task_id], "RUNNING" if command[0] == "sleep" else "STOPPED")
        return task_id


async def _stop(cluster: Cluster, task_id: str) -> None:
    async with cluster.client() as client:
        await work.stop(client, [task_id])
        await work.until_all(client, [task_id], "STOPPED")


@pytest.fixture(scope="module")
def task(shared_cluster: Cluster, busybox_image: str) -> Iterator[str]:
    """The id of a task that runs and may be entered."""
    shared_cluster.up()
    task_id = asyncio.run(_run(shared_cluster, enabled=True, command=["sleep", "1000"]))
    yield task_id
    asyncio.run(_stop(shared_cluster, task_id))


def container_of(engine: Engine, task: str) -> str:
    return engine.docker("ps", "--quiet", "--filter", f"name={task}")


def processes(engine: Engine, task: str) -> str:
    """What runs in the task's container."""
    return engine.docker("exec", container_of(engine, task), "ps", "-o", "pid,args")


def until(true: Callable[[], Any], seconds: float = PATIENCE_SECONDS) -> None:
    give_up = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < give_up, "it never became true"
        time.sleep(0.05)


def start(cluster: Cluster, *arguments: str, **pipes: Any) -> "subprocess.Popen[bytes]":
    """As a person's shell does: whoever runs the tests may ignore signals, and would hand that on."""
    command = [*SHOAL, "exec", *arguments]
    return subprocess.Popen(command, env=cluster.environment, preexec_fn=_heed_signals, **pipes)


def _heed_signals() -> None:
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def test_a_shell_at_a_terminal(cluster: Cluster, task: str, engine: Engine) -> None:
    with Typist([*SHOAL, "exec", "-it", task, "--", "sh"], cluster.environment, rows=31, columns=99) as typist:
        before = typist.modes
        typist.sees("# ")
        assert typist.modes != before
        typist.type("stty size\r")
        typist.sees("31 99\r\n")
        typist.resize(40, 120)
        typist.type("while ! stty size | grep '40 120'; do :; done\r")
        typist.sees("\r\n40 120\r\n")
        typist.sees("# ")
        typist.type("\x10\x11\x15echo $((6 * 7))\r")  # with docker exec, these two keys leave the command behind
        typist.sees("42\r\n")
        typist.sees("# ")
        typist.type("sleep 1997\r")
        until(lambda: "sleep 1997" in processes(engine, task))
        typist.type("\x03")
        typist.sees("# ")
        typist.type("echo $?\r")
        typist.sees("130\r\n")
        typist.type("exit 7\r")
        assert typist.left() == 7
        assert typist.modes == before


@pytest.mark.parametrize(("command", "code"), [(["true"], 0), (["sh", "-c", "exit 42"], 42), (["nothing"], 127)])
def test_it_leaves_as_the_command_did(cluster: Cluster, task: str, command: list[str], code: int) -> None:
    done = cluster.shoal("exec", task, "--", *command, check=False)
    assert done.returncode == code
    assert ("not found" in done.stderr) == (code == 127) and not done.stdout


def test_each_stream_is_its_own(cluster: Cluster, task: str) -> None:
    done = cluster.shoal("exec", task, "--", "sh", "-c", "echo out; echo err >&2; id -u; cat")
    assert (done.stdout, done.stderr) == ("out\n0\n", "err\n")


def test_bytes_of_all_kinds_go_in_and_come_out_whole(cluster: Cluster, task: str, tmp_path: Path) -> None:
    data = os.urandom(20_000_000)
    (tmp_path / "data").write_bytes(data)
    with (tmp_path / "data").open("rb") as file:
        went_in = subprocess.run(
            [*SHOAL, "exec", "-i", task, "--", "sh", "-c", "cat > /tmp/f; sha256sum /tmp/f"],
            env=cluster.environment,
            stdin=file,
            capture_output=True,
            timeout=60,
        )
    assert went_in.returncode == 0, went_in.stderr
    assert went_in.stdout.split()[0].decode() == hashlib.sha256(data).hexdigest()
    came_out = subprocess.run(
        [*SHOAL, "exec", task, "--", "cat", "/tmp/f"], env=cluster.environment, capture_output=True, timeout=60
    )
    assert came_out.stdout == data and came_out.returncode == 0


def test_a_slow_reader_holds_the_command_up(cluster: Cluster, task: str, engine: Engine) -> None:
    """What is not read is not read from the container either: nobody keeps it."""
    script = "i=0; while [ $i -lt 800 ]; do head -c 65536 /dev/zero; i=$((i+1)); echo $i > /tmp/written; done"
    reading = start(cluster, task, "--", "sh", "-c", script, stdout=subprocess.PIPE, bufsize=0)
    container = container_of(engine, task)
    assert reading.stdout is not None
    reading.stdout.read(1)
    seen: list[str] = []

    def stands_still() -> bool:
        seen.append(engine.docker("exec", container, "cat", "/tmp/written"))
        time.sleep(0.3)
        return len(seen) > 4 and len(set(seen[-4:])) == 1

    try:
        until(stands_still)
        assert int(seen[-1]) < 400  # of 50 MiB: 25 MiB at most are on the way, most of it in the engine
        left = 0
        while chunk := os.read(reading.stdout.fileno(), 1 << 20):
            left += len(chunk)
        assert left == 800 * 65536 - 1
        assert reading.wait(PATIENCE_SECONDS) == 0
    finally:
        reading.kill()
        reading.wait()
        reading.stdout.close()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_who_goes_away_leaves_nothing_behind(cluster: Cluster, task: str, engine: Engine, number: int) -> None:
    mark = f"10{number}7"
    leaving = start(cluster, "-i", task, "--", "sh", "-c", f"sleep {mark} & sleep {mark}", stdin=subprocess.PIPE)
    try:
        until(lambda: processes(engine, task).count(f"sleep {mark}") > 1)
        leaving.send_signal(number)
        code = leaving.wait(PATIENCE_SECONDS)
        assert code == (-number if number == signal.SIGKILL else 128 + number)
        until(lambda: mark not in processes(engine, task))
    finally:
        leaving.kill()
        leaving.communicate()


def test_a_terminal_that_goes_away_leaves_nothing_behind(cluster: Cluster, task: str, engine: Engine) -> None:
    with Typist([*SHOAL, "exec", "-it", task, "--", "sh"], cluster.environment) as typist:
        typist.sees("# ")
        typist.type("sleep 1999 & sleep 1999\r")
        until(lambda: processes(engine, task).count("sleep 1999") == 2)
        typist.process.kill()
        until(lambda: "sleep 1999" not in processes(engine, task))


def test_ctrl_c_without_a_terminal_reaches_the_command(cluster: Cluster, task: str, engine: Engine) -> None:
    script = "trap 'echo caught; exit 9' INT; echo there; while :; do sleep 0.1; done"
    with Typist([*SHOAL, "exec", task, "--", "sh", "-c", script], cluster.environment) as typist:
        typist.sees("there")
        typist.type("\x03")
        typist.sees("caught")
        assert typist.left() == 9


def test_input_that_nobody_reads_keeps_no_signal_waiting(cluster: Cluster, task: str, engine: Engine) -> None:
    script = "trap 'exit 9' TERM INT; echo there; while :; do sleep 0.1; done"
    with Path("/dev/zero").open("rb") as endless:
        pushing = start(cluster, "-i", task, "--", "sh", "-c", script, stdin=endless, stdout=subprocess.PIPE)
    assert pushing.stdout is not None
    try:
        assert pushing.stdout.readline() == b"there\n"
        pushing.send_signal(signal.SIGINT)
        assert pushing.wait(PATIENCE_SECONDS) == 9
    finally:
        pushing.kill()
        pushing.communicate()


def test_a_second_ctrl_c_leaves(cluster: Cluster, task: str, engine: Engine) -> None:
    script = "trap 'echo caught' INT; echo there; while :; do sleep 0.1; done"
    with Typist([*SHOAL, "exec", task, "--", "sh", "-c", script], cluster.environment) as typist:
        typist.sees("there")
        typist.type("\x03")
        typist.sees("caught")
        typist.type("\x03")
        assert typist.left() == 130
    until(lambda: "caught" not in processes(engine, task))


def test_the_terminal_is_whole_again_when_the_connection_breaks(cluster: Cluster, task: str, engine: Engine) -> None:
    with Typist([*SHOAL, "exec", "-it", task, "--", "sh"], cluster.environment) as typist:
        before = typist.modes
        typist.sees("# ")
        typist.type("sleep 1998\r")
        until(lambda: "sleep 1998" in processes(engine, task))
        old = cluster.kill("scheduler")
        assert typist.left() == 4
        assert b"execute it again" in typist.shown
        assert typist.modes == before
        until(lambda: cluster.has_restarted("scheduler", old))
        until(lambda: "sleep 1998" not in processes(engine, task))


def test_what_cannot_be_done_says_why_and_what_to_do(cluster: Cluster, task: str) -> None:
    def refused(*arguments: str) -> tuple[int, str]:
        done = cluster.shoal("exec", *arguments, check=False)
        return done.returncode, done.stderr

    code, said = refused("-it", task, "--", "sh")
    assert code == 2 and "not a terminal: leave out -t" in said
    code, said = refused("f" * 32, "--", "sh")
    assert code == 3 and "no task" in said
    code, said = refused(task, "-c", "web", "--", "sh")
    assert code == 1 and "no container 'web': exec" in said
    closed = asyncio.run(_run(cluster, enabled=False, command=["sleep", "1000"]))
    code, said = refused(closed, "--", "sh")
    assert code == 1 and "--enable-execute-command" in said
    asyncio.run(_stop(cluster, closed))
    code, said = refused(closed, "--", "sh")
    assert code == 1 and "STOPPED" in said
