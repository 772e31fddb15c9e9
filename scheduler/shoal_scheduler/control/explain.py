"""Where tasks would go if they were run now, and why one that waits is not placed. Nothing is proposed or changed."""

from collections.abc import Mapping, Sequence
from random import Random
from typing import NamedTuple

from shoal_scheduler.control import clusters
from shoal_scheduler.control import inputs as i
from shoal_scheduler.control.assignment import held_row
from shoal_scheduler.control.context import Context, Limits
from shoal_scheduler.control.run_task import launch_of
from shoal_scheduler.model.definition import Definition
from shoal_scheduler.model.task import Task, ask_of
from shoal_scheduler.placement.choices import Choice, choices
from shoal_scheduler.placement.demands import Least
from shoal_scheduler.placement.explain import Explanation, explain, waiting_reason
from shoal_scheduler.placement.place import Spot, place
from shoal_scheduler.state.overlay import Overlay
from shoal_scheduler.state.seen import shape_of
from shoal_scheduler.state.tables import Tables


class DryRun(NamedTuple):
    """`choices` are why, by row; `unplaced` why the rest goes nowhere, None if all tasks have a spot."""

    spots: Sequence[Spot]
    choices: Mapping[int, Choice]
    unplaced: Explanation | None


class _NoIds:
    def launch_id(self) -> str:
        return ""

    def job_id(self) -> str:
        return ""


def dry_run(tables: Tables, request: i.RunTask, definition: Definition, least: Least) -> DryRun:
    """As `run` would place them in the next step, except for what chance decides between equals."""
    view = Overlay(tables)
    clusters.find(view, request.cluster)
    rng = Random(tables.revision)
    ask = ask_of(launch_of(request, definition, Context(0, _NoIds(), rng, Limits())), definition)
    held = held_row(view, request.cluster)
    room, before = (tables.room(request.cluster).copy() for _ in range(2))
    for each in (room, before):
        each.seen.add(shape_of(ask.resources), request.count)
    placed = place(ask, request.count, room, rng, held)
    return DryRun(
        placed.spots,
        choices(ask, placed.spots, before, held),
        None if placed.unplaceable is None else explain(ask, room, held, least),
    )


def why_waiting(tables: Tables, task: Task, least: Least) -> Explanation | None:
    """None if it could be placed: it only waits for its turn."""
    ask, held = tables.launches[task.launch.id].ask, _held_for_others(tables, task)
    return explain(ask, tables.room(task.launch.cluster), held, least)


def reason_of_waiting(tables: Tables, task: Task) -> str:
    """The same in a sentence."""
    ask, held = tables.launches[task.launch.id].ask, _held_for_others(tables, task)
    return waiting_reason(ask, tables.room(task.launch.cluster), held)


def _held_for_others(tables: Tables, task: Task) -> int:
    return held_row(Overlay(tables), task.launch.cluster, task.launch.id)


def queue_position(tables: Tables, task: Task) -> int:
    """Among all tasks of the cluster that wait, from 1; 0 if it does not."""
    before = 0
    for launch_id, indexes in tables.waiting.get(task.launch.cluster, {}).items():
        if launch_id == task.launch.id:
            return before + list(indexes).index(task.index) + 1 if task.index in indexes else 0
        before += len(indexes)
    return 0
