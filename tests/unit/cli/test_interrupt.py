"""Ctrl-C during `shoal run IMAGE`, in a process of its own; and that a signal is noticed at once, in this one."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import click
import pytest
from shoal.cli.options import Target
from shoal.cli.session import Session, call
from shoal.v1 import event_pb2, task_pb2

from tests.fakes.cluster_service import ClusterService
from tests.unit.cli.conftest import Shoal

PATIENCE_SECONDS = 30.0


def until(true: Callable[[], bool]) -> None:
    give_up = time.monotonic() + PATIENCE_SECONDS
    while not true():
        assert time.monotonic() < give_up, "it never became true"
        time.sleep(0.02)


@pytest.fixture(autouse=True)
def heeds_interrupts() -> Iterator[None]:
    """What a shell starts with `&` ignores SIGINT, as does all that it starts, as `shoal` then should: undo that.

    A child of a process that handles a signal begins with that signal's default.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_it_stops_the_task_and_waits_for_its_end(shoal: Shoal, cluster: ClusterService) -> None:
    cluster.state.exits_with = None
    command = [sys.executable, "-m", "shoal.cli", "run", "--image", "busybox"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ) as process:
        try:
            until(lambda: any(isinstance(each, task_pb2.DescribeTasksRequest) for each in cluster.state.requests))
            assert any(isinstance(each, event_pb2.WatchRequest) for each in cluster.state.requests)
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=PATIENCE_SECONDS)
        finally:
            process.kill()
    assert process.returncode == 130, said
    assert "Stopping the task" in said
    (task,) = cluster.state.tasks.values()
    assert task.stopped_reason == "interrupted by the user"


def test_it_is_noticed_when_another_thread_took_the_signal(shoal: Shoal, cluster: ClusterService) -> None:
    """The kernel may give it to any thread; asyncio's wait, in the main one, then goes on."""

    def interrupt() -> None:
        signal.pthread_kill(threading.get_ident(), signal.SIGINT)

    async def work(_: Session) -> None:
        taker = threading.Timer(0.1, interrupt)
        taker.start()
        await asyncio.sleep(PATIENCE_SECONDS)

    began = time.monotonic()
    with click.Context(click.Command("wait"), obj=Target()), pytest.raises(KeyboardInterrupt):
        call(work)
    assert time.monotonic() - began < PATIENCE_SECONDS / 2


def test_who_was_told_to_ignore_it_does(shoal: Shoal, cluster: ClusterService) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    async def work(_: Session) -> str:
        signal.raise_signal(signal.SIGINT)
        await asyncio.sleep(0.05)
        return "went on"

    with click.Context(click.Command("wait"), obj=Target()):
        assert call(work) == "went on"
