"""One task's lane: asks the machine for the next steps, does them side by side, tells what changed, asks again.

A lane waits for nobody but the engine and the journal, and for neither on behalf of another container: one that
hangs delays only those that wait for it. Faults of the engine never end a lane: what they leave unclear is looked at
again when the engine answers.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from shoal.lifecycle import RANK

from shoal_agent.definition.plan import plans
from shoal_agent.engine.port import EngineError, EngineTimeout, EngineUnavailable
from shoal_agent.life import last_moment, machine, steps
from shoal_agent.life.case import Case, Surroundings, now_millis
from shoal_agent.life.verdict import report_of
from shoal_agent.memory import record
from shoal_agent.memory.journal import JournalFault
from shoal_agent.pause import either
from shoal_agent.task import Assignment, ContainerPlan, Interruption, Report, Seen, Task, View

log = logging.getLogger(__name__)

PAUSE_SECONDS_MIN, PAUSE_SECONDS_MAX = 0.5, 30.0


class Lane:
    def __init__(self, task: Task, view: View, around: Surroundings) -> None:
        self._case = Case(task, view, around)
        self._stepped = asyncio.Event()
        self._pauses: defaultdict[str, float] = defaultdict(lambda: PAUSE_SECONDS_MIN)  # by container
        self._noted_acknowledged = task.acknowledged
        self._tried_to_kill: set[str] = set()
        self._looking_at: set[str] = set()
        self._busy: dict[asyncio.Future[None], str] = {}  # what is being done, and to which container
        self._interrupting: asyncio.TimerHandle | None = None
        self.over = False

    # What it knows.

    @property
    def task(self) -> Task:
        return self._case.task

    def seen(self, container: str) -> Seen | None:
        return self._case.view.of(container)

    def is_internal(self, container: str) -> bool:
        """True for a container of ours: its user knows of none by that name."""
        return any(plan.internal and plan.name == container for plan in self._case.task.containers)

    def all_seen(self) -> dict[str, Seen]:
        return dict(self._case.view.seen)

    @property
    def wanted(self) -> Assignment | None:
        """None until the scheduler has named the task to this process."""
        return self._case.wanted

    @property
    def images(self) -> set[str]:
        """Those its definition names, and those their tags were found to mean."""
        return self._case.images

    def handle(self, container: str) -> str:
        """What the engine knows one of its containers by."""
        return self._case.handle(container)

    def report(self) -> Report:
        return report_of(self._case.task, self._case.view)

    @property
    def settled(self) -> bool:
        """True if nothing that was found or remembered still has to be looked at."""
        unseen = [name for name in self.task.launched | self._looking_at if self.seen(name) is None]
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
            last_status=max(wanted.last_status, _told_running(task.last_status), key=RANK.__getitem__),
            on_disconnect=wanted.on_disconnect or task.on_disconnect,
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

    def learn(self, containers: Iterable[ContainerPlan]) -> None:
        """Of containers that neither the scheduler nor the journal has named: a line of it may be lost."""
        task = self._case.task
        known = {plan.name for plan in task.containers}
        new = tuple(plan for plan in containers if plan.name not in known)
        if new:
            self._case.task = replace(task, containers=(*task.containers, *new))
            self._case.changed.set()

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

    def lease_over(self, over: bool) -> None:
        self._case.view = replace(self._case.view, lease_over=over)
        self._case.changed.set()

    def interrupt(self, interruption: Interruption | None) -> None:
        """None: not any more."""
        if self._interrupting is not None:
            self._interrupting.cancel()
            self._interrupting = None
        left = last_moment.seconds_to_run_on(self._case, interruption) if interruption is not None else 0.0
        if left > 0 and not self.over:
            later = min(left, last_moment.LOOK_SECONDS)
            self._interrupting = asyncio.get_running_loop().call_later(later, self.interrupt, interruption)
            return
        self._case.view = replace(self._case.view, interruption=interruption)
        self._case.changed.set()

    def lose_network(self, container: str) -> None:
        """What kept the network that it was lent has ended."""
        self._case.view = replace(self._case.view, network_lost=self._case.view.network_lost | {container})
        self.doubt(container)

    def evict(self) -> None:
        self._case.view = replace(self._case.view, evict=True)
        self._case.changed.set()

    # What it does.

    async def run(self) -> None:
        """Until nothing is left of the task. If it raises, it may be called again: what was begun goes on."""
        try:
            await self._remember()
            self._tell()
            while not self.over:
                await self._step()
        except asyncio.CancelledError:
            await self._abandon()
            raise

    async def _step(self) -> None:
        case = self._case
        case.changed.clear()
        keep_millis = int(case.around.rules.dead_container_keep_seconds * 1000)
        until = None
        for action in machine.next_actions(case.task, case.view, now_millis(), keep_millis):
            match action:
                case machine.Wait(moment):
                    until = moment
                case machine.End() | machine.Finish() | machine.Forget():
                    await self._settle(action)
                    self._tell()
                    return
                case _:
                    self._begin(action)
        if not self._busy:
            await self._note_acknowledged()
        await self._wait(until)
        self._tell()

    async def _settle(self, action: machine.OfTask) -> None:
        """A step of the whole task; nothing else can be decided before it is done."""
        case = self._case
        match action:
            case machine.End(why):
                await steps.end(case, why)
            case machine.Finish(outcome):
                await steps.finish(case, outcome)
            case machine.Forget():
                await steps.forget(case)
                self.over = await self._append(record.forgotten(case.task.id))

    def _begin(self, action: machine.OfContainer) -> None:
        if isinstance(action, machine.Stop):
            self._tell(("STOPPING",))
        self._busy[asyncio.ensure_future(self._perform(action))] = action.name
        self._note_busy()

    def _note_busy(self) -> None:
        self._case.view = replace(self._case.view, busy=frozenset(self._busy.values()))

    async def _perform(self, action: machine.OfContainer) -> None:
        """A step of one container. After a fault of the engine, whatever may have happened is to be looked at."""
        case, name = self._case, action.name
        try:
            await self._do(action)
            await steps.note_failure(case, name)
            self._pauses.pop(name, None)
        except (EngineError, JournalFault) as error:
            step = type(action).__name__.lower()
            log.warning("step failed task=%s container=%s step=%s error=%s", case.task.id, name, step, error)
            case.doubt([name])
            if isinstance(error, EngineUnavailable | EngineTimeout):
                case.around.engine_trouble.set()
            await self._pause(name)

    async def _do(self, action: machine.OfContainer) -> None:
        case = self._case
        match action:
            case machine.Inspect(name):
                self._looking_at.add(name)
                try:
                    await steps.inspect(case, name)
                finally:
                    self._looking_at.discard(name)
            case machine.Pull(name):
                await steps.pull(case, name)
            case machine.Create(name):
                await steps.create(case, name)
            case machine.Start(name):
                await steps.start(case, name)
            case machine.Stop(name):
                await last_moment.stop(case, name)
            case machine.Kill(name):
                if name in self._tried_to_kill:  # it does not die at once: not in a tight loop
                    await self._pause(name)
                self._tried_to_kill.add(name)
                await steps.kill(case, name)
            case machine.Remove(name):
                await steps.remove(case, name)

    async def _wait(self, until: int | None) -> None:
        """For news from outside, for a step to be done, or for the moment `until`."""
        change = asyncio.ensure_future(self._case.changed.wait())
        seconds = None if until is None else max(0.0, (until - now_millis()) / 1000)
        try:
            news: set[asyncio.Future[Any]] = {change, *self._busy}
            done, _ = await asyncio.wait(news, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            change.cancel()
        ended = [step for step in self._busy if step in done]
        for step in ended:
            name = self._busy.pop(step)
            if step.exception() is not None:
                self._case.doubt([name])
        self._note_busy()
        for step in ended:
            step.result()

    async def _abandon(self) -> None:
        for step in self._busy:
            step.cancel()
        await asyncio.gather(*self._busy, return_exceptions=True)
        self._busy.clear()
        self._note_busy()

    async def _note_acknowledged(self) -> None:
        if self.task.acknowledged and not self._noted_acknowledged:
            self._noted_acknowledged = await self._append(record.acknowledged(self.task.id))

    async def _remember(self) -> None:
        """The assignment is on disk before anything is done for it."""
        with self._case.span("journal"):
            while not await self._append(self._assignment()):
                self._case.changed.clear()  # or the next pause would be none

    def _assignment(self) -> record.Entry:
        return record.task(self.task.id, self.task.containers, self.task.on_disconnect)

    async def _append(self, entry: record.Entry) -> bool:
        """False, after a pause, if the disk does not take it."""
        try:
            await self._case.around.journal.append(entry)
        except JournalFault as fault:
            log.warning("not on disk task=%s entry=%s error=%s", self.task.id, entry["kind"], fault)
            await self._pause("")
            return False
        self._pauses.pop("", None)
        return True

    async def _pause(self, container: str) -> None:
        """Longer each time until something succeeds; "" stands for the task itself."""
        seconds = self._pauses[container]
        self._pauses[container] = min(2 * seconds, PAUSE_SECONDS_MAX)
        await either(self._case.changed, seconds)

    def _tell(self, statuses: tuple[str, ...] = ("RUNNING", "STOPPED")) -> None:
        """What is news: not that a task waits, unless part of it is up, and that it ends only if that takes a while."""
        case = self._case
        self._stepped.set()
        looked = all(self.seen(name) is not None for name in case.task.launched | case.view.unclear)
        if case.task.forget or case.task.acknowledged or not (looked or case.task.outcome):
            return
        report = report_of(case.task, case.view)
        if report.last_status == "PENDING":
            report = replace(report, trace=())
            if not _is_partly_up(case.task, report):
                return
        elif report.last_status not in statuses:
            return
        if report != case.told:
            case.told = report
            case.around.reporter.offer(report)
            if report.last_status == "RUNNING":  # not to be taken back while a restarted one has no ports yet
                case.task = replace(case.task, last_status="RUNNING")


def _told_running(status: str) -> str:
    return "RUNNING" if RANK[status] >= RANK["RUNNING"] else "PENDING"


def _is_partly_up(task: Task, report: Report) -> bool:
    """True if some of its containers wait for others that run: that can take long."""
    orders = any(plan.depends_on for plan in task.containers)
    return orders and any(it.last_status == "RUNNING" for it in report.containers)
