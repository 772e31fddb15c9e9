"""All tasks of this instance: takes assignments and what the engine shows, and hands them to the lanes."""

import asyncio
import logging
from collections.abc import Iterable, Sequence, Set

from shoal_agent.definition import labels
from shoal_agent.definition.plan import plans
from shoal_agent.engine.port import Event, Listed
from shoal_agent.life.case import Surroundings
from shoal_agent.life.runner import Lane
from shoal_agent.networks.loan import Borrower
from shoal_agent.task import (
    ABSENT,
    CREATED,
    EXITED,
    RUNNING,
    Assignment,
    ContainerPlan,
    Interruption,
    Report,
    Seen,
    Span,
    Task,
    View,
)

log = logging.getLogger(__name__)

# A lane that stumbles over a fault of ours is set going again, but not in a tight loop.
STUMBLE_SECONDS = 5.0

_STATES_OF = {CREATED: ("created",), RUNNING: ("running", "paused", "restarting"), EXITED: ("exited", "dead")}


class Worker:
    def __init__(self, around: Surroundings, remembered: Iterable[Task]) -> None:
        """`remembered`: what the journal knows. Needs a running event loop; `close` ends the lanes."""
        self._around = around
        self._lanes: dict[str, Lane] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._engine_up = False
        self._lease_over = False
        self._interruption: Interruption | None = None
        self._set_complete = False
        if around.networks is not None:
            around.networks.lost = self._lose_network
        for task in remembered:
            self._open(task)

    def lane(self, task_id: str) -> Lane | None:
        return self._lanes.get(task_id)

    @property
    def task_ids(self) -> frozenset[str]:
        return frozenset(self._lanes)

    @property
    def has_exclusive(self) -> bool:
        return any(lane.task.on_disconnect == "exclusive" for lane in self._lanes.values())

    def __len__(self) -> int:
        return len(self._lanes)

    # From the scheduler.

    def apply(self, assignments: Sequence[Assignment], received_micros: int) -> None:
        for wanted in assignments:
            lane = self._lanes.get(wanted.task_id)
            if lane is None and wanted.forget:
                continue
            if lane is None:
                containers = plans(wanted.definition) if wanted.definition else ()
                trace = (Span("agent.received", received_micros, 0),)
                lane = self._open(Task(wanted.task_id, containers), trace)
            lane.assign(wanted)

    def keep_only(self, named: Set[str]) -> None:
        """The scheduler has told its complete set: whatever is known beyond it is to be ended and forgotten, and so
        is what is found later, for an assigned task has its lane already."""
        self._set_complete = True
        for task_id, lane in self._lanes.items():
            if task_id not in named:
                lane.forget()

    def acknowledged(self, task_ids: Iterable[str]) -> None:
        """The scheduler has stored that these are over."""
        for task_id in task_ids:
            lane = self._lanes.get(task_id)
            if lane is not None:
                lane.acknowledge()

    def inventory(self) -> list[Report]:
        """Everything the scheduler may not know yet."""
        lanes = self._lanes.values()
        return [lane.report() for lane in lanes if not (lane.task.acknowledged or lane.task.forget)]

    # From the engine.

    def observe(self, listing: Sequence[Listed]) -> int:
        """What the engine has now. Unknown containers of ours are adopted; differences are looked at. Returns the
        highest epoch that a label names."""
        present: set[tuple[str, str]] = set()
        epoch = 0
        for entry in listing:
            tag = labels.read(entry.labels)
            if tag is None:
                continue
            present.add((tag.task_id, tag.container))
            epoch = max(epoch, tag.epoch)
            lane = self._lanes.get(tag.task_id) or self._adopt(tag)
            lane.learn(tag.containers)
            if not _agrees(lane.seen(tag.container), entry):
                lane.doubt(tag.container)
        for task_id, lane in self._lanes.items():
            lane.learn(map(ContainerPlan, sorted(lane.task.launched)))
            for name, seen in lane.all_seen().items():
                if seen.status != ABSENT and (task_id, name) not in present:
                    lane.doubt(name)
        self._engine_up = True
        for lane in self._lanes.values():
            lane.engine_up(True)
        self._evict()
        return epoch

    def engine_down(self) -> None:
        self._engine_up = False
        if self._around.networks is not None:
            self._around.networks.engine_down()
        for lane in self._lanes.values():
            lane.engine_up(False)

    def hint(self, event: Event) -> None:
        """Something happened to a container of ours; the listing would show it within 20 s anyway."""
        tag = labels.read(event.labels)
        lane = self._lanes.get(tag.task_id) if tag is not None else None
        if lane is not None and tag is not None:
            lane.doubt(tag.container)

    async def settled(self) -> None:
        """Returns when every container that was found has been looked at once."""
        for lane in list(self._lanes.values()):
            while not lane.over and not lane.settled:
                await lane.stepped()

    def _lose_network(self, borrower: Borrower) -> None:
        lane = self._lanes.get(borrower.task_id)
        if lane is not None:
            lane.lose_network(borrower.container)

    # From the lease.

    def lease_over(self, over: bool) -> None:
        """Whether what must not run twice is to end; a task that was told so ends, whatever is said later."""
        if over == self._lease_over:
            return
        if over:
            log.warning("no scheduler hears this instance: tasks that must not run twice are ended")
        self._lease_over = over
        for lane in self._lanes.values():
            lane.lease_over(over)

    # Of the host itself.

    def interrupt(self, interruption: Interruption | None) -> None:
        """It goes, and everything is to end before. None: it does not go (any more); what was told to end ends."""
        if interruption == self._interruption:
            return
        self._interruption = interruption
        for lane in self._lanes.values():
            lane.interrupt(interruption)

    # Lanes.

    def _open(self, task: Task, trace: tuple[Span, ...] = ()) -> Lane:
        view = View(
            engine_up=self._engine_up, lease_over=self._lease_over, interruption=self._interruption, trace=trace
        )
        lane = Lane(task, view, self._around)
        self._lanes[task.id] = lane
        self._running[task.id] = asyncio.create_task(self._run(task.id, lane), name=f"lane {task.id}")
        return lane

    def _adopt(self, tag: labels.Tag) -> Lane:
        log.info("adopted task=%s container=%s", tag.task_id, tag.container)
        lane = self._open(Task(tag.task_id, tag.containers, on_disconnect=tag.on_disconnect))
        if self._set_complete:
            lane.forget()
        return lane

    async def _run(self, task_id: str, lane: Lane) -> None:
        while not lane.over:
            try:
                await lane.run()
            except Exception:
                log.exception("lane stumbled task=%s", task_id)
                await asyncio.sleep(STUMBLE_SECONDS)
        if self._lanes.get(task_id) is lane:
            del self._lanes[task_id], self._running[task_id]

    def images_wanted(self) -> set[str]:
        """Images that tasks need which are not over."""
        lanes = self._lanes.values()
        return {image for lane in lanes if lane.task.outcome is None and not lane.task.forget for image in lane.images}

    def dead_tasks(self) -> list[tuple[int, str]]:
        """Tasks that are over and still have containers, with the moment of their end, the first that ended first."""
        dead = []
        for lane in self._lanes.values():
            ends = [seen.finished_at or 0 for seen in lane.all_seen().values() if seen.status == EXITED]
            if ends and (lane.task.outcome is not None or lane.task.forget):
                dead.append((max(ends), lane.task.id))
        return sorted(dead)

    def _evict(self) -> None:
        """Keeps the number of dead containers bounded: the oldest go before their time."""
        dead = self.dead_tasks()
        for _, task_id in dead[: max(0, len(dead) - self._around.rules.dead_containers_max)]:
            self._lanes[task_id].evict()

    async def close(self) -> None:
        """Ends the lanes; containers go on."""
        running = list(self._running.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def _agrees(seen: Seen | None, entry: Listed) -> bool:
    if seen is None or entry.state not in _STATES_OF.get(seen.status, ()):
        return False
    return seen.status != RUNNING or entry.health_status in (seen.health_status, None)
