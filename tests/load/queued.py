"""How long a step takes where many jobs wait: the pure step, without network or store."""

import gc
import random
import time
from collections import deque
from typing import Any

from shoal_scheduler.control import inputs as i
from shoal_scheduler.control.batch.job_inputs import SubmitJob
from shoal_scheduler.control.step import Step, step
from shoal_scheduler.model.task import TaskKey
from shoal_scheduler.state.changes import PutTask

from tests.load.report import summary
from tests.unit.scheduler.batch.yard import Yard
from tests.unit.scheduler.plane import instance, report

SEED = 7
SIZES = {f"s{cpu}": cpu for cpu in (256, 512, 1024, 2048, 4096, 8192)}
HOSTS, HOST_CPU, HOST_MEMORY_MIB = 200, 16 * 1024, 1024 * 1024
ENDED_PER_STEP = 20
SUBMITTED_AT_ONCE = 80  # as many as a transaction takes, with what starts


async def measure(jobs: int, steps: int) -> dict[str, Any]:
    """`jobs` wait for a full cluster; in every step some tasks end, what waits takes their place, and as many new
    jobs come. Seconds that each step takes, with what it costs to make it true in the tables."""
    rng = random.Random(SEED)
    yard = Yard(SEED)
    hosts = [instance(f"{number:032x}", HOST_CPU, HOST_MEMORY_MIB) for number in range(HOSTS)]
    await yard.open(*hosts, sizes=SIZES)
    running: deque[TaskKey] = deque()
    while sum(map(len, yard.tables.batch.waiting.values())) < jobs:
        running.extend(_step(yard, [_job(rng) for _ in range(SUBMITTED_AT_ONCE)])[1])
    while yard.tables.is_unsettled:
        running.extend(_step(yard, [])[1])
    waiting = sum(map(len, yard.tables.batch.waiting.values()))
    gc.collect()
    gc.freeze()
    took = []
    for _ in range(steps):
        ended = [yard.tables.task(running.popleft()) for _ in range(min(ENDED_PER_STEP, len(running)))]
        inputs: list[i.Input] = [
            report(task, "STOPPED", stop_code="EssentialContainerExited") for task in ended if task
        ]
        seconds, placed = _step(yard, [*inputs, *(_job(rng) for _ in range(len(inputs)))])
        running.extend(placed)
        took.append(seconds * 1000)
    gc.unfreeze()
    return {"jobs": waiting, "hosts": HOSTS, "step_ms": summary(took), "ended_per_step": ENDED_PER_STEP}


def _job(rng: random.Random) -> SubmitJob:
    size = rng.choice(list(SIZES))
    priority = rng.randrange(3)
    document = {"jobName": "load", "jobQueue": "q", "jobDefinition": size, "schedulingPriorityOverride": priority}
    return SubmitJob(document)


def _step(yard: Yard, inputs: list[i.Input]) -> tuple[float, list[TaskKey]]:
    """Seconds, and the tasks it placed."""
    yard.now += 1000
    began = time.perf_counter()
    result: Step = step(yard.tables, inputs, yard.context)
    yard.tables.apply(result.changes, yard.tables.revision + 1)
    seconds = time.perf_counter() - began
    assert len(result.replies) == len(inputs), "a step took fewer inputs than it was given"
    assert not any(isinstance(reply, Exception) for reply in result.replies)
    placed = [
        change.task.key
        for change in result.changes
        if isinstance(change, PutTask) and change.task.instance and not change.task.is_stopped
    ]
    return seconds, placed
