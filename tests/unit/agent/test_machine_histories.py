"""Thousands of random lives of one task of several containers; which they are is a seed.

Whatever happens, no container is started beyond its restart policy, what was told is never taken back, an exit code
is never made up, containers come up in the order of their dependencies and go down in the reverse; and however the
life is cut, the task ends when it is asked to, and nothing of it is left.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from random import Random

import pytest
from shoal_agent.task import HEALTHY, Task

from tests.unit.agent.history import World

HAPPENINGS_MAX = 150
STEPS_MAX = 400
BLOCK = 100


# How often each comes, against each other, while it can.
_WEIGHTS = {
    "step": 8.0,
    "answer": 12.0,
    "health": 3.0,
    "report": 2.0,
    "time": 1.0,
    "doubt": 1.0,
    "crash": 0.6,
    "end": 0.7,
    "lost answer": 0.7,
    "old journal": 0.2,
    "lost journal": 0.2,
    "stop": 0.1,
    "take away": 0.2,
    "engine restart": 0.1,
}


def go_on(world: World) -> None:
    """Whatever chance brings next."""
    possible = dict(_happenings(world))
    names = list(possible)
    (name,) = world.rng.choices(names, [_WEIGHTS[name] for name in names])
    possible[name]()


def _happenings(world: World) -> Iterator[tuple[str, Callable[[], object]]]:
    rng = world.rng
    yield "step", world.step
    yield "report", world.report
    yield "time", lambda: setattr(world, "now", world.now + rng.choice((10, 1000, 70_000, 400_000)))
    yield "doubt", lambda: world.doubt(rng.choice(world.plans).name)
    yield "crash", lambda: world.crash(world.disk)
    if not world.taken_away:  # together with what was taken away, nobody could know
        yield "old journal", lambda: world.crash(rng.choice(world.disks))
        yield "lost journal", lambda: world.crash(Task("t", world.plans))
    if world.calls:
        called = rng.choice(sorted(world.calls))
        yield "answer", lambda: world.answer(called)
        yield "lost answer", lambda: world.answer(called, lost=True)
    if running := world.running():
        yield from _of_running(world, rng.choice(running))


def _of_running(world: World, name: str) -> Iterator[tuple[str, Callable[[], object]]]:
    rng, box = world.rng, world.boxes[name]

    def end() -> None:
        world.end(name, rng.choice((0, 0, 1, 3)))
        world.doubt(name)

    def vanish() -> None:
        del world.boxes[name]
        world.taken_away = True
        world.doubt(name)

    def health() -> None:
        box.health_status = rng.choice(("HEALTHY", "HEALTHY", "UNHEALTHY"))
        box.reached |= {HEALTHY} if box.health_status == "HEALTHY" else set()
        world.doubt(name)

    yield "end", end
    if name in world.disk.launched:
        yield "take away", vanish
    yield "engine restart", world.engine_restart
    yield "stop", lambda: setattr(world, "task", replace(world.task, desired_status="STOPPED"))
    if box.health_status is not None:
        yield "health", health


def live(seed: int) -> World:
    """The life with this seed, up to the moment when trouble is over."""
    rng = Random(seed)
    world = World(rng)
    for _ in range(rng.randrange(HAPPENINGS_MAX)):
        if world.forgotten:
            break
        go_on(world)
    return world


def settle(world: World) -> None:
    """Every call is answered and time passes, until there is nothing more to do."""
    for _ in range(STEPS_MAX):
        if world.forgotten:
            return
        world.report()
        world.task = replace(world.task, acknowledged=world.task.acknowledged or world.recorded == "STOPPED")
        went_on = world.step()
        for name in list(world.calls):
            world.answer(name)
            went_on = True
        until = world.until()
        if until is not None and not went_on:
            world.now = max(world.now, until)
        elif not went_on:
            return
    raise AssertionError("it never comes to rest")


def check(seed: int) -> None:
    world = live(seed)
    settle(world)
    if not world.forgotten:
        assert world.recorded in ("PENDING", "RUNNING"), "it neither runs nor ends"
        assert not world.calls
        world.task = replace(world.task, desired_status="STOPPED")
        settle(world)
    assert world.forgotten, "it was asked to end and did not"
    assert not world.boxes


@pytest.mark.parametrize(
    "block", [*range(3), *(pytest.param(block, marks=pytest.mark.slow) for block in range(3, 10_000 // BLOCK))]
)
def test_every_prefix_of_a_life_leads_on(block: int) -> None:
    for seed in range(block * BLOCK, (block + 1) * BLOCK):
        try:
            check(seed)
        except AssertionError as wrong:
            raise AssertionError(f"seed {seed}: {wrong}") from wrong


def test_the_lives_are_worth_living() -> None:
    """Chance reaches what the rules are about: many containers up, restarts, crashes, ends of every kind."""
    worlds = [live(seed) for seed in range(300)]
    assert sum("RUNNING" in world.statuses for world in worlds) > 50
    assert sum(world.lives > 3 for world in worlds) > 80
    assert sum(world.restarted for world in worlds) > 5
    codes = {world.task.outcome.stop_code for world in worlds if world.task.outcome is not None}
    assert codes >= {"EssentialContainerExited", "TaskFailedToStart", "InfrastructureHealth"}
