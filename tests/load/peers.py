"""How fast containers start here, beside Docker Swarm: `python -m tests.load.peers [--quick] [--json FILE]`.

One engine, one run, the same N containers, by turns:

  bare     the engine alone, an aiodocker loop, eight at once as our agent: what no orchestrator can beat by much
  shoal    RunTask with count N
  service  Swarm, a replicated service of N replicas
  job      Swarm, a replicated job of N completions, all at once: nearer to a task, which is not started again

Why it is fair. Image, command, memory limit, log driver, grace period and network are the same, and that is checked
of every container. All are asked through their API by one process, which polls both orchestrators' own word at the
same pace. "Started" is read from the engine, one clock for all. Each warms up once; the order turns round with every
round; an orchestrator without a turn is idle, but there. The image is present, and Swarm is told not to ask a
registry for a newer one at every task, which would be most of its time. What differs: our tasks have CPU shares, as
the bare containers do; Swarm has no word for them.

Two figures of each: from the request until the last container has started (the rate is N through that), and until
the orchestrator says that all run. Networks: bridge, where Swarm puts a task that names none (no overlay is on the
way of either), and host. Swarm has no network mode "none".
"""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import aiodocker
from aiodocker.containers import DockerContainer
from shoal.client import Client

from tests.ground.images import BUSYBOX
from tests.ground.swarm import all_known_to_run, create_service, remove_service, swarm_mode
from tests.ground.waiting import wait_until
from tests.load import sleepers
from tests.load.report import arguments, show, store

NETWORKS = ("bridge", "host")
CONTENDERS = ("bare", "shoal", "service", "job")
POLL_SECONDS = 0.1
WARM_UP = 2

Stop = Callable[[], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Turn:
    """started: the last container, by the engine. known: all run, by the word of who started them. Seconds."""

    count: int
    started: float
    known: float

    @property
    def rate(self) -> float:
        return self.count / self.started


Rounds = list[dict[str, Turn]]


async def main() -> None:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, help="containers of one turn")
    parser.add_argument("--rounds", type=int, help="turns of each, per network")
    options = parser.parse_args()
    count = options.count or (12 if options.quick else 50)
    rounds = options.rounds or (1 if options.quick else 4)
    print(__doc__.partition("\n\n")[2])
    async with sleepers.ground() as (client, docker, _, engine), swarm_mode(engine, docker):
        contest = Contest(client, docker)
        await contest.warm_up()
        measured = {network: await contest.hold(network, count, rounds) for network in NETWORKS}
    _report(options.json, count, measured)


@dataclass(frozen=True, slots=True)
class Contest:
    client: Client
    docker: aiodocker.Docker

    async def warm_up(self) -> None:
        for network in NETWORKS:
            await sleepers.register(self.client, network, network)
        for name in CONTENDERS:
            await self._turn(name, NETWORKS[0], WARM_UP)

    async def hold(self, network: str, count: int, rounds: int) -> Rounds:
        measured = []
        for number in range(rounds):
            order = CONTENDERS if number % 2 == 0 else CONTENDERS[::-1]
            measured.append({name: await self._turn(name, network, count) for name in order})
            rates = ", ".join(f"{name} {turn.rate:.2f}" for name, turn in measured[-1].items())
            print(f"{network}, round {number + 1} of {rounds}, started a second: {rates}", flush=True)
        return measured

    async def _turn(self, name: str, network: str, count: int) -> Turn:
        """Ends with an engine on which nothing runs."""
        starts = dict(zip(CONTENDERS, (self._bare, self._shoal, self._service, self._job), strict=True))
        async with asyncio.timeout(sleepers.TIMEOUT_SECONDS):
            asked_at, began = time.time(), time.monotonic()
            stop = await starts[name](network, count)
            known = time.monotonic() - began
            containers = [await container.show() for container in await self._running()]
            _check(name, containers, network, count)
            await stop()
            await wait_until(self._running, _is_empty, 60.0, f"the end of all of {name}")
        return Turn(count, max(map(_started_at, containers)) - asked_at, known)

    async def _running(self) -> list[DockerContainer]:
        return await self.docker.containers.list()

    async def _bare(self, network: str, count: int) -> Stop:
        containers = await sleepers.start_bare(self.docker, count, network)
        return lambda: sleepers.remove(containers)

    async def _shoal(self, network: str, count: int) -> Stop:
        ids = await sleepers.run(self.client, network, count)
        await sleepers.all_known_to_run(self.client, ids, POLL_SECONDS)
        return lambda: sleepers.stop(self.client, ids)

    async def _service(self, network: str, count: int) -> Stop:
        return await self._swarm(network, count, {"Replicated": {"Replicas": count}})

    async def _job(self, network: str, count: int) -> Stop:
        return await self._swarm(network, count, {"ReplicatedJob": {"MaxConcurrent": count, "TotalCompletions": count}})

    async def _swarm(self, network: str, count: int, mode: dict[str, Any]) -> Stop:
        service = await create_service(self.docker, _template(), mode, network)
        await all_known_to_run(self.docker, service, count, POLL_SECONDS)
        return lambda: remove_service(self.docker, service)


def _is_empty(running: list[DockerContainer]) -> bool:
    return not running


def _check(name: str, containers: Sequence[Mapping[str, Any]], network: str, count: int) -> None:
    """That what was started is what all are to start."""
    assert len(containers) == count, f"{name}: {len(containers)} containers run, not {count}"
    for each in containers:
        config, host = each["Config"], each["HostConfig"]
        said = (
            [each["Path"], *each["Args"]],
            host["Memory"],
            host["LogConfig"],
            list(each["NetworkSettings"]["Networks"]),
        )
        log = {"Type": sleepers.LOG_DRIVER, "Config": sleepers.LOG_OPTIONS}
        assert said == (sleepers.COMMAND, sleepers.MEMORY_BYTES, log, [network]), f"{name}: {said}"
        assert config["Image"] == BUSYBOX, f"{name}: {config['Image']}"


def _started_at(container: Mapping[str, Any]) -> float:
    return datetime.fromisoformat(container["State"]["StartedAt"]).timestamp()


def _template() -> dict[str, Any]:
    memory = {"MemoryBytes": sleepers.MEMORY_BYTES}
    return {
        "ContainerSpec": {
            "Image": BUSYBOX,
            "Args": sleepers.COMMAND,
            "StopGracePeriod": sleepers.GRACE_SECONDS * 10**9,
        },
        "Resources": {"Limits": memory, "Reservations": memory},
        "RestartPolicy": {"Condition": "none"},
        "LogDriver": {"Name": sleepers.LOG_DRIVER, "Options": sleepers.LOG_OPTIONS},
    }


def _report(path: Path | None, count: int, measured: Mapping[str, Rounds]) -> None:
    figures: dict[str, Any] = {"count": count}
    for network, rounds in measured.items():
        show(
            f"{count} containers on network {network}: medians of {len(rounds)}",
            ("", "started/s", "min..max", "started s", "known s", "shoal/it", "it/shoal"),
            [_row(rounds, name) for name in CONTENDERS],
        )
        figures[network] = {
            "rounds": [{name: {**asdict(turn), "rate": turn.rate} for name, turn in each.items()} for each in rounds],
            "shoal_rate_over": {name: _times_as_fast(rounds, name) for name in CONTENDERS},
            "known_over_shoal": {name: _times_as_long(rounds, name) for name in CONTENDERS},
        }
    print("shoal/it: rates. it/shoal: times until known. Above 1, shoal is the faster. Medians of the rounds' ratios.")
    store(path, figures)


def _row(rounds: Rounds, name: str) -> tuple[object, ...]:
    turns = [each[name] for each in rounds]
    rates = [turn.rate for turn in turns]
    return (
        name,
        statistics.median(rates),
        f"{min(rates):.1f}..{max(rates):.1f}",
        statistics.median(turn.started for turn in turns),
        statistics.median(turn.known for turn in turns),
        _times_as_fast(rounds, name),
        _times_as_long(rounds, name),
    )


def _times_as_fast(rounds: Rounds, name: str) -> float:
    """Of pairs of one round each: what else the machine does changes from round to round."""
    return statistics.median(each["shoal"].rate / each[name].rate for each in rounds)


def _times_as_long(rounds: Rounds, name: str) -> float:
    return statistics.median(each[name].known / each["shoal"].known for each in rounds)


if __name__ == "__main__":
    asyncio.run(main())
