"""Tasks that wait for room: placed in the order in which they came, as soon as a change could help.

Every step that makes room somewhere, or changes a fact of an instance, ends with a look at the queue. A launch that
does not fit lets later ones pass. So that a stream of small ones cannot keep it waiting for ever, one instance is
held for the oldest launch that waits and could fit: the one that lacks least. Nothing else is placed there until the
launch has found its room.
"""

from collections.abc import Iterable

import msgspec
import numpy as np

from shoal_scheduler.control import definitions
from shoal_scheduler.control.assignment import held_row, place_of
from shoal_scheduler.control.context import Context
from shoal_scheduler.model.ask import Ask
from shoal_scheduler.model.task import Launch
from shoal_scheduler.placement.filters import NO_ROW, fitting, is_volatile
from shoal_scheduler.placement.place import place
from shoal_scheduler.placement.shortfall import shortfall
from shoal_scheduler.state import changes as c
from shoal_scheduler.state.instance_table import InstanceTable
from shoal_scheduler.state.overlay import Overlay
from shoal_scheduler.state.tables import Held

# Up to so many instances are looked at one by one before all of them are in one pass.
FEW_ROWS_MAX = 8


def wake(view: Overlay, cluster: str, context: Context, keys_max: int) -> None:
    """Proposes all that can be placed now, until the step has touched `keys_max` keys; the next step goes on."""
    room, was_unsettled = view.room(cluster), cluster in view.unsettled
    stirred = None if was_unsettled else [room.rows[each] for each in view.stirred[cluster] if each in room.rows]
    while True:
        before = len(view.changes)
        if not _place_all(view, cluster, context, keys_max, stirred):
            view.propose([c.SetUnsettled(cluster, True)])
            return
        if len(view.changes) > before and any(is_volatile(view.ask(each)) for each in view.waiting(cluster)):
            continue  # an older one may fit beside what was placed just now, and did not when it was looked at
        held = view.held(cluster)
        _hold(view, cluster)
        if held is None or view.held(cluster) == held:
            break
        # What was kept from the others until now is open to them: they have not been looked at there.
        if stirred is not None:
            stirred = [room.rows[held.instance]] if held.instance in room.rows else []
    if was_unsettled:
        view.propose([c.SetUnsettled(cluster, False)])


def _place_all(view: Overlay, cluster: str, context: Context, keys_max: int, stirred: list[int] | None) -> bool:
    """False if it ended because the step has touched enough."""
    room, hopeless, kept = view.room(cluster), set[Ask](), view.held(cluster)
    for launch in view.waiting(cluster):
        ask = view.ask(launch)
        # Without what is kept from the others, there may be room for the one for which it is kept.
        if ask in hopeless and (kept is None or kept.launch != launch.id):
            continue
        held = held_row(view, cluster, launch.id)
        if not _may_fit(ask, room, held, stirred):
            hopeless.add(ask)
        elif view.is_full(keys_max):
            return False
        elif not _place_waiting(view, launch, ask, context, held) and held == NO_ROW:
            hopeless.add(ask)
    return True


def _may_fit(ask: Ask, room: InstanceTable, held: int, stirred: list[int] | None) -> bool:
    """Only where something changed: nothing fitted anywhere before. `stirred` is None for all rows."""
    few = stirred is not None and len(stirred) <= FEW_ROWS_MAX
    if few and stirred is not None and not is_volatile(ask):
        wanted = ask.resources
        if not any(room.free_cpu[r] >= wanted.cpu and room.free_memory[r] >= wanted.memory_mib for r in stirred):
            return False
    return bool((fitting(ask, room, held) == 0).any())


def _place_waiting(view: Overlay, launch: Launch, ask: Ask, context: Context, held: int) -> bool:
    """True if every task of the launch has found room."""
    waiting = list(view.waiting_tasks(launch))
    if not waiting:
        return True
    definition = definitions.find(view, launch.definition)
    placed = place(ask, len(waiting), view.room(launch.cluster), context.rng, held)
    changes = []
    for task, spot in zip(waiting, placed.spots, strict=False):
        where = place_of(view, launch, definition, spot)
        fields = {"instance": where.instance, "gpu_ids": where.gpu_ids, "last_status": "PENDING"}
        changes.append(c.PutTask(msgspec.structs.replace(task, **fields, version=task.version + 1)))
    view.propose(changes, placed=True)
    return len(placed.spots) == len(waiting)


def _hold(view: Overlay, cluster: str) -> None:
    """Proposes which instance is held from now on, if that changes."""
    held = view.held(cluster)
    wanted = _to_be_held(view, cluster, held)
    if wanted != held:
        view.propose([c.SetHeld(cluster, *(wanted or ()))])


def _to_be_held(view: Overlay, cluster: str, held: Held | None) -> Held | None:
    room, impossible = view.room(cluster), set[Ask]()
    for launch in _still_waiting(view, cluster):
        ask = view.ask(launch)
        if ask in impossible:
            continue
        lacks = shortfall(ask, room)
        row = room.rows.get(held.instance) if held is not None and held.launch == launch.id else None
        if row is not None and np.isfinite(lacks[row]):
            return held
        if len(lacks) and np.isfinite(lacks.min()):
            instance = room.instances[int(lacks.argmin())]
            assert instance is not None, "a row that could take a task is an instance"
            return Held(instance.id, launch.id)
        impossible.add(ask)
    return None


def _still_waiting(view: Overlay, cluster: str) -> Iterable[Launch]:
    return (launch for launch in view.waiting(cluster) if any(True for _ in view.waiting_tasks(launch)))
