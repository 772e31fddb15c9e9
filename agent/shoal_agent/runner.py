"""One task's lane: asks the machine for one step, does it, tells what changed, asks again.

A lane waits for nobody but the engine and the journal, so a container that hangs delays its own task only. Faults
of the engine never end a lane: what they leave unclear is looked at again when the engine answers.
"""

import asyncio
import logging
from dataclasses import replace

from shoal_agent import machine, record, steps
from shoal_agent.case import Case, Surroundings, now_millis
from shoal_agent.engine import EngineError, EngineTimeout, EngineUnavailable
from shoal_agent.journal import JournalFault
from shoal_agent.pause import either
from shoal_agent.plan import plans
from shoal_agent.task import Assignment, Report, Seen, Task, View
from shoal_agent.verdict import report_of

log = logging.getLogger(__name__)

PAUSE_SECONDS_MIN, PAUSE_SECONDS_MAX = 0.5, 30.0


class Lane:
    def __init__(self, task: Task, view: View, around: Surroundings) -> None:
        self._case = Case(task, view, around)
        self._stepped = asyncio.Event()
        self._pause_seconds = PAUSE_SECONDS_MIN
        self._noted_acknowledged = task.acknowledged
        self._tried_to_kill = False
        self.over = False

    # What it knows.

    @property
    def task(self) -> Task:
        return self._case.task

    def seen(self, container: str) -> Seen | None:
        return self._case.view.of(container)

    def all_seen(self) -> dict[str, Seen]:
        return dict(self._case.view.seen)

    def report(self) -> Report:
        return report_of(self._case.task, self._case.view)

    @property
    def settled(self) -> bool:
        """True if nothing that was found or remembered still has to be looked at."""
        unseen = [name for name in self.task.launched if self.seen(name) is None]
        return not unseen and not self._case.view.unclear

    async def stepped(self) -> None:
        """Returns after the lane's next step."""
        self._stepped.clear()
        await self._stepped.wait()

    # What others tell it: quick, and it wakes.

    def assign(self, wanted: Assignment) -> None:
        """A desired status never goes back from STOPPED, and a forgotten task is not taken up again."""
        case, task = self._case, self._case.task
        stopped = "STOPPED" in (task.desired_status, wanted.desired_status)
        case.task = replace(
            task,
            containers=plans(wanted.definition) if wanted.definition else task.containers,
            desired_status="STOPPED" if stopped else "RUNNING",
            last_status=wanted.last_status,
            assigned=task.assigned or wanted.definition is not None,
            stop_code=wanted.stop_code or task.stop_code,
            stopped_reason=wanted.stopped_reason or task.stopped_reason,
            # It was told of as stopped, and yet it is wanted: the scheduler has not stored that, so tell it again.
            acknowledged=task.acknowledged and wanted.last_status == "STOPPED",
        )
        if case.wanted is None or wanted.definition is not None:
            case.wanted = wanted
        case.told = None
        case.changed.set()
        if wanted.forget:
            self.forget()

    def forget(self) -> None:
        self._case.task = replace(self._case.task, forget=True)
        self._case.around.reporter.drop(self._case.task.id)
        self._case.changed.set()

    def acknowledge(self) -> None:
        self._case.task = replace(self._case.task, acknowledged=True)
        self._case.changed.set()

    def doubt(self, container: str) -> None:
        """Something says that a container is not as it was seen."""
        self._case.doubt([container])
        self._case.changed.set()

    def engine_up(self, up: bool) -> None:
        if self._case.view.engine_up != up:
            self._case.view = replace(self._case.view, engine_up=up)
            self._case.changed.set()

    def evict(self) -> None:
        self._case.view = replace(self._case.view, evict=True)
        self._case.changed.set()

    # What it does.

    async def run(self) -> None:
        case = self._case
        await self._remember()
        self._tell()
        while not self.over:
            case.changed.clear()
            keep_millis = int(case.around.rules.dead_container_keep_seconds * 1000)
            action = machine.next_action(case.task, case.view, now_millis(), keep_millis)
            try:
                await self._perform(action)
                self._pause_seconds = PAUSE_SECONDS_MIN
            except (EngineError, JournalFault) as error:
                step = type(action).__name__.lower()
                log.warning("step failed task=%s step=%s error=%s", case.task.id, step, error)
                case.doubt_all()
                if isinstance(error, EngineUnavailable | EngineTimeout):
                    case.around.engine_trouble.set()
                await self._pause()
            self._tell()

    async def _perform(self, action: machine.Action) -> None:
        case = self._case
        match action:
            case machine.Wait(until):
                await self._wait(until)
            case machine.Inspect(name):
                await steps.inspect(case, name)
            case machine.Pull(name):
                await steps.pull(case, name)
            case machine.Create(name):
                await steps.create(case, name)
            case machine.Start(name):
                await steps.start(case, name)
            case machine.Stop(names):
                self._tell(("STOPPING",))
                await steps.stop(case, names)
            case machine.Kill(names):
                await self._kill(names)
            case machine.Finish(outcome):
                await steps.finish(case, outcome)
            case machine.Remove(names):
                await steps.remove(case, names)
            case machine.Forget():
                await steps.forget(case)
                self.over = True

    async def _wait(self, until: int | None) -> None:
        case = self._case
        if case.task.acknowledged and not self._noted_acknowledged:
            await case.around.journal.append(record.acknowledged(case.task.id))
            self._noted_acknowledged = True
        await either(case.changed, None if until is None else max(0.0, (until - now_millis()) / 1000))

    async def _kill(self, names: tuple[str, ...]) -> None:
        if self._tried_to_kill:  # it does not die at once: not in a tight loop
            await self._pause()
        self._tried_to_kill = True
        await steps.kill(self._case, names)

    async def _remember(self) -> None:
        """The assignment is on disk before anything is done for it."""
        while True:
            try:
                with self._case.span("journal"):
                    await self._case.around.journal.append(record.task(self.task.id, self.task.containers))
                return
            except JournalFault:
                await self._pause()

    async def _pause(self) -> None:
        await either(self._case.changed, self._pause_seconds)
        self._pause_seconds = min(2 * self._pause_seconds, PAUSE_SECONDS_MAX)

    def _tell(self, statuses: tuple[str, ...] = ("RUNNING", "STOPPED")) -> None:
        """What is news: not that a task waits, and that it ends only if that takes a while."""
        case = self._case
        self._stepped.set()
        if case.task.forget or case.task.acknowledged or not (self.settled or case.task.outcome):
            return
        report = report_of(case.task, case.view)
        if report.last_status in statuses and report != case.told:
            case.told = report
            case.around.reporter.offer(report)
