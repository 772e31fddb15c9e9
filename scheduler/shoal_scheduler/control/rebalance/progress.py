"""How a rebalance goes on: which moves begin, which are over, which are given up. Pure.

A move begins when fewer than `parallel` are under way, and if it would still be planned as things are by then: each of
them is worth it by itself, whatever became of the others. From then on its task is *leaving*: its service starts a
replacement, which is placed elsewhere, and stops it within its percents. The move is over when the task is. One that
cannot begin, or is not over, within GIVE_UP_MILLIS is given up, or at once if its service then finds no room: its task
stays.
"""

from dataclasses import dataclass, field

import msgspec

from shoal_scheduler.control.assignment import held_row
from shoal_scheduler.control.rebalance.candidates import Candidate, candidate_of, may_move
from shoal_scheduler.control.rebalance.leaving import leaving_expression
from shoal_scheduler.control.rebalance.load import Load, is_as_even
from shoal_scheduler.control.rebalance.spread import ALL_LEVELS, by_row, improves
from shoal_scheduler.model.ask import Ask
from shoal_scheduler.model.rebalance import COMPLETED, EMPTY, GIVEN_UP, MOVED, ZONES, Move, Rebalance
from shoal_scheduler.model.service import Service
from shoal_scheduler.model.task import Task, TaskKey
from shoal_scheduler.placement.filters import NO_ROW, refusals
from shoal_scheduler.placement.place import Unplaceable, best, gpus_on
from shoal_scheduler.state.overlay import Overlay

GIVE_UP_MILLIS = 10 * 60_000

# By then what a service starts has a place, if there was room when the move began.
PLACED_MILLIS = 5_000

# Moves that are looked at closely in one step, for each of which all instances are.
LOOKED_AT_MAX = 20


def progressed(view: Overlay, rebalance: Rebalance, now: int) -> Rebalance:
    """The same object if nothing changed. Takes from the view's room what those that begin will take."""
    changing = _Progress(view, rebalance, now, list(rebalance.over))
    for move in rebalance.moves:
        changing.go_on(move)
    for move in rebalance.planned:
        changing.begin(move)
    changing.give_up_what_waits()
    after = msgspec.structs.replace(
        rebalance, moves=tuple(changing.moves), planned=tuple(changing.planned), over=tuple(changing.over)
    )
    if not after.moves and not after.planned:
        moved, count = sum(move.outcome == MOVED for move in after.over), len(after.over)
        reason = f"{moved} of {count} task{'' if count == 1 else 's'} moved"
        after = msgspec.structs.replace(after, status=COMPLETED, stopped_at=now, reason=reason)
    return rebalance if after == rebalance else after


@dataclass
class _Progress:
    """The rebalance as it will be."""

    view: Overlay
    rebalance: Rebalance
    now: int
    over: list[Move]
    moves: list[Move] = field(default_factory=list)
    planned: list[Move] = field(default_factory=list)
    begun: set[str] = field(default_factory=set)
    looked_at: int = 0

    def __post_init__(self) -> None:
        self.room = self.view.room_to_read(self.rebalance.cluster).copy()

    def end(self, move: Move, outcome: str, detail: str = "") -> None:
        self.over.append(msgspec.structs.replace(move, ended_at=self.now, outcome=outcome, detail=detail))

    def go_on(self, move: Move) -> None:
        task = _task(self.view, move)
        if task is None or task.is_stopped:
            self.end(move, MOVED)
        elif task.desired_status == "RUNNING" and self.now >= move.began_at + GIVE_UP_MILLIS:
            self.end(move, GIVEN_UP, self._why_not_replaced(move))
        elif self._keeps_others_waiting(move):
            self.end(move, GIVEN_UP, self._why_not_placed(move))
        else:
            self.moves.append(move)

    def _keeps_others_waiting(self, move: Move) -> bool:
        """Tasks of the service wait for room, perhaps in place of one that broke down, and the move says where they may
        go. Instances that are emptied are closed to them at any rate."""
        if self.rebalance.kind == EMPTY or self.now < move.began_at + PLACED_MILLIS:
            return False
        tasks = self.view.tasks_of_service((self.rebalance.cluster, move.service))
        return any(not task.instance for task in tasks)

    def begin(self, move: Move) -> None:
        """Or let it wait, or give it up."""
        if len(self.moves) >= self.rebalance.parallel or move.service in self.begun:
            self.planned.append(move)
            return
        service = self.view.records.get(Service, self.rebalance.cluster, move.service)
        candidate = candidate_of(self.view, service) if service is not None else None
        task = _task(self.view, move)
        if task is None or task.is_stopped or task.desired_status != "RUNNING":
            self.end(move, GIVEN_UP, "it was to end anyway")
        elif candidate is None:
            self.end(move, GIVEN_UP, "its service is to run nothing any more")
        elif candidate.fixed:
            self.end(move, GIVEN_UP, candidate.fixed)
        elif not may_move(task, self.now):
            self.end(move, GIVEN_UP, "it is protected" if task.protected_until > self.now else "it does not run")
        elif self.looked_at >= LOOKED_AT_MAX or not self._may_join(move, candidate.service):
            self.planned.append(move)
        else:
            self.looked_at += 1
            self._begin_if_worth(move, candidate, task)

    def _begin_if_worth(self, move: Move, candidate: Candidate, task: Task) -> None:
        ask = self._ask(candidate.ask, move)
        source = next(iter(by_row(self.room, [task])), NO_ROW)
        if source == NO_ROW:
            self.end(move, GIVEN_UP, "its instance is not in service")
            return
        rows = best(ask, self.room, held_row(self.view, self.rebalance.cluster))
        if not len(rows):
            self.planned.append(move)
            return
        target = int(rows[0])
        if not self._is_worth(ask, move, source, target):
            self.end(move, GIVEN_UP, "nothing is gained by it any more")
            return
        self.room.take(target, ask.resources, ask.group, gpus_on(ask, target, self.room))
        self.begun.add(move.service)
        self.moves.append(msgspec.structs.replace(move, began_at=self.now))

    def _ask(self, ask: Ask, move: Move) -> Ask:
        """As its replacement will be placed."""
        begun = msgspec.structs.replace(self.rebalance, moves=(*self.moves, move))
        return ask._replace(expressions=(*ask.expressions, leaving_expression(begun, move.service)))

    def _is_worth(self, ask: Ask, move: Move, source: int, target: int) -> bool:
        """Once all that leaves now has left."""
        if self.rebalance.kind == EMPTY:
            return True
        after = self.room.copy()
        for other in self.moves:
            row, task = after.rows.get(other.source), _task(self.view, other)
            if other.service == move.service and row is not None and task is not None and not task.is_stopped:
                after.group(ask.group).add(row, -1, len(after))
        if move.is_pinned:
            is_better = Load.of(after).is_better(ask.resources, source, target)
            return is_better and is_as_even(ask, after, source, target)
        return improves(ask, after, source, target, 1 if self.rebalance.kind == ZONES else ALL_LEVELS)

    def _may_join(self, move: Move, service: Service) -> bool:
        """Beside the moves of the service that are under way: a pinned one is alone, since whatever else is started of
        the service meanwhile goes where it does; and others wait until it is known where the replacements of those
        are: as many tasks as are desired have a place, without those that leave."""
        others = [other for other in self.moves if other.service == move.service]
        if others and any(each.is_pinned for each in (move, *others)):
            return False
        leaving = {other.task for other in others}
        tasks = self.view.tasks_of_service((service.cluster, service.name))
        placed = [task for task in tasks if task.desired_status == "RUNNING" and task.instance]
        return sum(task.id not in leaving for task in placed) >= service.desired_count

    def give_up_what_waits(self) -> None:
        """If nothing is under way that might make room."""
        moments = (self.rebalance.created_at, *(move.ended_at for move in self.over))
        if self.moves or self.now < max(moments) + GIVE_UP_MILLIS:
            return
        for move in self.planned:
            self.end(move, GIVEN_UP, self._why_not_placed(move))
        self.planned = []

    def _why_not_placed(self, move: Move) -> str:
        service = self.view.records.get(Service, self.rebalance.cluster, move.service)
        candidate = candidate_of(self.view, service) if service is not None else None
        if candidate is None:
            return "its service is to run nothing any more"
        refused = refusals(self._ask(candidate.ask, move), self.room, held_row(self.view, self.rebalance.cluster))
        return f"no other instance has room: {Unplaceable(refused).detail}"

    def _why_not_replaced(self, move: Move) -> str:
        tasks = self.view.tasks_of_service((self.rebalance.cluster, move.service))
        if any(not task.instance for task in tasks):
            return self._why_not_placed(move)
        return f"it was not replaced by a healthy task within {GIVE_UP_MILLIS // 60_000} minutes"


def _task(view: Overlay, move: Move) -> Task | None:
    key = TaskKey.parse(move.task)
    return None if key is None else view.task(key)
