"""Ctrl-C during `shoal run IMAGE`, in a process of its own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

from shoal.v1 import event_pb2, task_pb2

from tests.fakes.cluster_service import ClusterService
from tests.unit.cli.conftest import Shoal

PATIENCE_SECONDS = 30.0


def until(true: Callable[[], bool]) -> None:
    give_up = time.monotonic() + PATIENCE_SECONDS
    while not true():
        assert time.monotonic() < give_up, "it never became true"
        time.sleep(0.02)


def test_it_stops_the_task_and_waits_for_its_end(shoal: Shoal, cluster: ClusterService) -> None:
    cluster.state.exits_with = None
    command = [sys.executable, "-m", "shoal.cli", "run", "--image", "busybox"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ)
    until(lambda: any(isinstance(each, task_pb2.DescribeTasksRequest) for each in cluster.state.requests))
    assert any(isinstance(each, event_pb2.WatchRequest) for each in cluster.state.requests)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 130, said
    assert "Stopping the task" in said
    (task,) = cluster.state.tasks.values()
    assert task.stopped_reason == "interrupted by the user"
