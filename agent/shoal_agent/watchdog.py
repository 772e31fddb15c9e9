"""`python -m shoal_agent.watchdog`: ends exclusive containers when the agent beside it does not.

The agent ends them itself when no scheduler hears it. But an agent may hang, be stopped or be killed, and then nobody
would, while the scheduler counts on it. So this process reads the agent's lease twice a second, in a session of its
own; when it is over, and the time that a container has to stop is over as well, it kills the container. It outlives
its agent for as long as there is anything to guard. Small: no event loop, nothing of the contract.
"""

import argparse
import fcntl
import logging
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from shoal.cli import engine_http
from shoal.stopping import STOP_TIMEOUT_SECONDS

from shoal_agent import lease_file

log = logging.getLogger("shoal_agent.watchdog")

LOCK = "watchdog.lock"
LOOK_SECONDS = 0.5

# After the agent's own try: it asks containers to end when the lease is over, and then they have their time to stop.
GRACE_SECONDS = 0.5

# Without its agent, how long it waits for an engine that does not answer.
ALONE_SECONDS = 60.0
STOP_SECONDS = "shoal.stop-seconds"
OOM_SCORE = -900


def overdue(running: Mapping[str, Mapping[str, str]], expired_at: float, now: float) -> list[str]:
    """Of these containers, with their labels, those that must have ended by now. Pure."""
    return [name for name, labels in running.items() if now >= expired_at + _stop_seconds(labels) + GRACE_SECONDS]


def _stop_seconds(labels: Mapping[str, str]) -> int:
    said = labels.get(STOP_SECONDS, "")
    return int(said) if said.isascii() and said.isdigit() else STOP_TIMEOUT_SECONDS


def hold(state: Path) -> int | None:
    """The lock of the state folder's watchdog, until this process ends; None if another one has it."""
    file = os.open(state / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        return None
    return file


def runs(state: Path) -> bool:
    """Whether a watchdog guards this state folder now."""
    try:
        file = os.open(state / LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False


def guard(state: Path, docker_host: str, labels: dict[str, str], agent: int) -> None:
    """Until the agent, which began this process, has gone and nothing of it is left to guard."""
    began_at = answered_at = lease_file.boot_time()
    trouble = ""
    while True:
        time.sleep(LOOK_SECONDS)
        found, now = lease_file.read(state / lease_file.FILE), lease_file.boot_time()
        expired_at = found.expires_at if found is not None else began_at
        if now < expired_at:
            answered_at = now
            continue
        try:
            left, error = _end_overdue(docker_host, labels, expired_at), ""
            answered_at = now
        except engine_http.EngineError as silent:
            left, error = now < answered_at + ALONE_SECONDS, str(silent)
        if error and error != trouble:
            log.warning("cannot look error=%s", error)
        trouble = error
        if not left and os.getppid() != agent:
            return


def _end_overdue(docker_host: str, labels: dict[str, str], expired_at: float) -> bool:
    """True if there is anything to guard."""
    running = engine_http.running_containers(docker_host, labels)
    for container_id in overdue(running, expired_at, lease_file.boot_time()):
        log.error("no scheduler hears this host and the agent has not ended it container=%s", container_id[:12])
        engine_http.kill_container(docker_host, container_id)
    return bool(running)


def main() -> int:
    parser = argparse.ArgumentParser("shoal_agent.watchdog", description="Ends what a hung agent cannot.")
    parser.add_argument("--state", required=True, type=Path, help="the agent's state folder")
    parser.add_argument("--docker-host", required=True, help="the engine's address, unix:///path")
    parser.add_argument("--agent", required=True, type=int, metavar="PID", help="the agent, which began this")
    parser.add_argument("--label", dest="labels", action="append", default=[], help="NAME=VALUE of what it guards")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s watchdog %(message)s")
    if hold(arguments.state) is None:
        log.info("another watchdog runs")
        return 0
    try:
        Path("/proc/self/oom_score_adj").write_text(str(OOM_SCORE))
    except OSError as error:
        log.debug("not protected reason=%s", error)
    labels = dict(each.split("=", 1) for each in arguments.labels)
    guard(arguments.state, arguments.docker_host, labels, arguments.agent)
    return 0


if __name__ == "__main__":
    sys.exit(main())
