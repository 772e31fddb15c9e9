"""Peers of batch on this machine: the rate at which they get through no-ops of their own."""

import statistics
import time
from pathlib import Path
from typing import Any

import aiodocker

from tests.ground.engine import make_engine
from tests.ground.images import BUSYBOX, import_busybox
from tests.ground.slurm import missing_programs, slurm
from tests.ground.swarm import create_service, remove_service, swarm_mode
from tests.ground.waiting import wait_until
from tests.load import sleepers
from tests.load.report import show
from tests.load.starts import bare_rate

SLOTS = 64
NAMES = ("slurm", "swarm")


async def measure(peer: str, folder: Path, *, quick: bool) -> dict[str, Any]:
    if peer == "slurm":
        return await _slurm(folder, 200 if quick else 1000, 1 if quick else 3)
    return await _swarm(folder, 16 if quick else 64, 2 if quick else 5)


async def _slurm(folder: Path, count: int, rounds: int) -> dict[str, Any]:
    if missing := missing_programs():
        raise SystemExit(
            f"--peer slurm: {', '.join(missing)} is not here: apt-get install slurmctld slurmd slurm-client munge"
        )
    rates = []
    with slurm(folder / "slurm", SLOTS) as peer:
        for _ in range(rounds):
            began = time.monotonic()
            peer.submit_array(count)
            await peer.until_empty(sleepers.TIMEOUT_SECONDS)
            rates.append(count / (time.monotonic() - began))
    return {"count": count, "slots": SLOTS, "per_second": rates, "median": statistics.median(rates)}


async def _swarm(folder: Path, count: int, rounds: int) -> dict[str, Any]:
    """By turns with the bare engine, as `starts` has it."""
    engine = make_engine(folder / "engine")
    try:
        engine.start()
        import_busybox(engine)
        async with aiodocker.Docker(url=engine.host) as docker, swarm_mode(engine, docker):
            await _job(docker, 2)
            pairs = [(await bare_rate(docker, count), await _job(docker, count)) for _ in range(rounds)]
    finally:
        engine.end()
    return {
        "count": count,
        "bare_per_second": [bare for bare, _ in pairs],
        "per_second": [ours for _, ours in pairs],
        "median": statistics.median(ours for _, ours in pairs),
        "ratio": statistics.median(ours / bare for bare, ours in pairs),
    }


async def _job(docker: aiodocker.Docker, count: int) -> float:
    """A replicated job of so many completions, as many at once as our agent starts: its rate."""
    mode = {"ReplicatedJob": {"MaxConcurrent": sleepers.CONCURRENCY, "TotalCompletions": count}}
    template = {
        "ContainerSpec": {"Image": BUSYBOX, "Args": ["true"]},
        "RestartPolicy": {"Condition": "none"},
        "LogDriver": {"Name": sleepers.LOG_DRIVER, "Options": sleepers.LOG_OPTIONS},
    }
    began = time.monotonic()
    service = await create_service(docker, template, mode, "bridge")

    async def completed() -> int:
        tasks = await docker.tasks.list(filters={"service": service})
        return sum(task["Status"]["State"] == "complete" for task in tasks)

    def all_are(seen: int) -> bool:
        return seen == count

    await wait_until(completed, all_are, sleepers.TIMEOUT_SECONDS, "the job is complete")
    rate = count / (time.monotonic() - began)
    await remove_service(docker, service)
    return rate


def report(peer: str, figures: dict[str, Any]) -> None:
    if peer == "slurm":
        title = f"Slurm, an array of {figures['count']} processes, {figures['slots']} slots: beside `noop`"
        rows = [(number, rate) for number, rate in enumerate(figures["per_second"], 1)]
        show(title, ("round", "jobs a second"), [*rows, ("median", figures["median"])])
        return
    title = f"Swarm, a replicated job of {figures['count']} containers, bridge: beside `starts`"
    pairs = zip(figures["bare_per_second"], figures["per_second"], strict=True)
    rows3 = [(number, bare, rate, rate / bare) for number, (bare, rate) in enumerate(pairs, 1)]
    show(title, ("turn", "bare aiodocker", "swarm", "ratio"), [*rows3, ("median", "", "", figures["ratio"])])
