"""What a rebalance would do now: which tasks move, why, and what each instance has before and after. Pure."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from shoal_scheduler.control.rebalance.candidates import Candidate, candidates, is_over_zones
from shoal_scheduler.control.rebalance.empty import Emptied, Stays, consolidated, named
from shoal_scheduler.control.rebalance.inputs import Wanted
from shoal_scheduler.control.rebalance.load import relieving
from shoal_scheduler.control.rebalance.spread import ALL_LEVELS, spread
from shoal_scheduler.model.rebalance import EMPTY, SPREAD, ZONES, Move
from shoal_scheduler.state.overlay import Overlay


class Effect(NamedTuple):
    """On an instance: its tasks, and what they take, before and after."""

    instance: str
    tasks_before: int
    tasks_after: int
    cpu_before: int
    cpu_after: int
    memory_mib_before: int
    memory_mib_after: int


@dataclass(frozen=True, slots=True)
class Plan:
    """`fixed`: services none of whose tasks moves, with the reason. `stays`: tasks of instances that are emptied.
    `closed`: instances where nothing of a service is placed meanwhile. `note`: why there is nothing to move, where
    that is to be said."""

    moves: tuple[Move, ...] = ()
    stays: tuple[Stays, ...] = ()
    fixed: tuple[tuple[str, str], ...] = ()
    closed: tuple[str, ...] = ()
    effects: tuple[Effect, ...] = ()
    note: str = ""


def plan(view: Overlay, cluster: str, wanted: Wanted, now: int) -> Plan:
    """Nothing is proposed to the view, and nothing is taken there."""
    known = candidates(view, cluster)
    chosen = [each for each in known if not wanted.services or each.service.name in wanted.services]
    found = _emptied(view, cluster, chosen, wanted, now) if wanted.kind == EMPTY else Emptied()
    if wanted.kind != EMPTY:
        room, depth = view.room_to_read(cluster).copy(), 1 if wanted.kind == ZONES else ALL_LEVELS
        free = [each for each in chosen if not each.fixed and (wanted.kind != ZONES or is_over_zones(each.ask))]
        found.moves = spread(view, free, room, wanted.budget.moves, now, depth)
        if wanted.kind == SPREAD:
            left = wanted.budget.moves - len(found.moves)
            services = {each.service.name: each for each in free}
            found.moves += relieving(view, services, room, tuple(found.moves), now, left)
    return Plan(
        moves=tuple(found.moves),
        stays=tuple(found.stays),
        fixed=tuple((each.service.name, each.fixed) for each in chosen if each.fixed),
        closed=tuple(found.closed),
        effects=_effects(view, cluster, known, found.moves),
        note=found.note,
    )


def _emptied(view: Overlay, cluster: str, chosen: Sequence[Candidate], wanted: Wanted, now: int) -> Emptied:
    services = {each.service.name: each for each in chosen}
    room, moves_max = view.room_to_read(cluster).copy(), wanted.budget.moves
    if wanted.instances:
        return named(view, services, room, wanted.instances, moves_max, now)
    return consolidated(view, services, room, cluster, moves_max, now)


def _effects(view: Overlay, cluster: str, known: Sequence[Candidate], moves: Sequence[Move]) -> tuple[Effect, ...]:
    """Of the instances that any task leaves or comes to."""
    resources = {each.service.name: each.ask.resources for each in known}
    tasks, cpu, memory = Counter[str](), Counter[str](), Counter[str]()
    for move in moves:
        for instance, sign in ((move.source, -1), (move.target, 1)):
            tasks[instance] += sign
            cpu[instance] += sign * resources[move.service].cpu
            memory[instance] += sign * resources[move.service].memory_mib
    room = view.room_to_read(cluster)
    found = []
    for instance, change in sorted(tasks.items()):
        row = room.rows[instance]
        count = int(room.running[row] + room.pending[row])
        used = int(room.total_cpu[row] - room.free_cpu[row])
        taken = int(room.total_memory[row] - room.free_memory[row])
        found.append(
            Effect(instance, count, count + change, used, used + cpu[instance], taken, taken + memory[instance])
        )
    return tuple(found)
