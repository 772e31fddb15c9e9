"""One task's life without an agent or an engine: the pure machine against a world that chance rules.

Calls to the engine take their time, fail, or lose their answers; the agent crashes between any two of them, with its
journal kept, old or lost; containers end, vanish and change their health; the engine goes away and takes what runs
with it. Whatever is not allowed is an AssertionError at the moment it happens.
"""

from dataclasses import dataclass, field, replace
from random import Random

from shoal.lifecycle import RANK
from shoal_agent.life import dependencies, machine
from shoal_agent.life.machine import next_actions
from shoal_agent.life.verdict import status_of
from shoal_agent.task import (
    ABSENT,
    COMPLETE,
    CREATED,
    EXITED,
    HEALTHY,
    RUNNING,
    START,
    SUCCESS,
    ContainerPlan,
    Dependency,
    Report,
    RestartPolicy,
    Restarts,
    Seen,
    Task,
    View,
)

KEEP_MILLIS = 1000
PERIOD_SECONDS = 60


@dataclass
class Box:
    """What the engine has of one container. `reached` are the conditions it has ever met."""

    status: str = CREATED
    exit_code: int | None = None
    with_engine: bool = False
    started_at: int | None = None
    finished_at: int | None = None
    health_status: str | None = None
    reached: set[str] = field(default_factory=set)


def random_plans(rng: Random) -> tuple[ContainerPlan, ...]:
    """A definition that could be registered: at least one is essential, nobody waits in a circle or in vain."""
    plans: list[ContainerPlan] = []
    count = rng.randint(1, 5)
    keystone = rng.randrange(count)
    for number in range(count):
        internal = number == 0 and count > 1 and number != keystone and rng.random() < 0.2
        waits = tuple(
            Dependency(other.name, rng.choice(_conditions(other)))
            for other in plans
            if not other.internal and rng.random() < 0.4
        )
        plan = ContainerPlan(
            name=f"c{number}",
            essential=not internal and (number == keystone or rng.random() < 0.4),
            depends_on=waits,
            has_health_check=not internal and rng.random() < 0.5,
            start_timeout_seconds=rng.choice((None, None, 5, 200)),
            restart=RestartPolicy((3,), PERIOD_SECONDS) if not internal and rng.random() < 0.3 else None,
            internal=internal,
        )
        plans.append(plan)
    return tuple(plans)


def _conditions(other: ContainerPlan) -> list[str]:
    return [START, *([] if other.essential else [COMPLETE, SUCCESS]), *([HEALTHY] if other.has_health_check else [])]


class World:
    """The engine's truth, the agent's disk and head, the scheduler's record."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.plans = random_plans(rng)
        self.boxes: dict[str, Box] = {}
        self.ever: dict[str, Box] = {}  # also those that were taken away
        self.disk = Task("t", self.plans)
        self.disks = [self.disk]
        self.task = replace(self.disk, assigned=True)
        self.view = View()
        self.calls: dict[str, machine.OfContainer] = {}
        self.recorded = "PENDING"
        self.statuses: list[str] = []
        self.restarted = 0
        self.taken_away = False
        self.forgotten = False
        self.now = 0
        self.lives = 1

    # The agent.

    def step(self) -> bool:
        """Begins all that can be begun; False if there is nothing."""
        self.now += 1
        actions = next_actions(self.task, self.view, self.now, KEEP_MILLIS)
        names = [action.name for action in actions if isinstance(action, machine.OfContainer)]
        assert len(names) == len(set(names)) and not self.view.busy & set(names), "two at once for one container"
        for action in actions:
            match action:
                case machine.End(why):
                    self.task = replace(self.task, ending=why)
                    self.write(ending=why)
                case machine.Finish(outcome):
                    self.check_outcome(outcome)
                    self.task = replace(self.task, outcome=outcome)
                    self.write(outcome=outcome)
                case machine.Forget():
                    assert not self.boxes, "forgotten, but something is left"
                    self.forgotten = True
                case machine.Wait():
                    pass
                case _:
                    self.begin(action)
        self.check_status()
        return any(not isinstance(action, machine.Wait) for action in actions)

    def until(self) -> int | None:
        actions = next_actions(self.task, self.view, self.now, KEEP_MILLIS)
        return next((action.until for action in actions if isinstance(action, machine.Wait)), None)

    def begin(self, action: machine.OfContainer) -> None:
        name = action.name
        match action:
            case machine.Inspect():
                self.view = replace(self.view, unclear=self.view.unclear - {name})
            case machine.Start():
                self.note_start(name)
            case machine.Stop() | machine.Kill():
                self.check_order_down(name)
                self.view = replace(self.view, stop_sent=self.view.stop_sent | {name})
        self.calls[name] = action
        self.view = replace(self.view, busy=frozenset(self.calls))

    def note_start(self, name: str) -> None:
        seen = self.view.seen[name]
        self.note_launched(name)
        before = self.task.restarts.get(name, Restarts(0, -1))
        if seen.status == EXITED and before.after != seen.finished_at:
            restarts = {**self.task.restarts, name: Restarts(before.count + 1, seen.finished_at or 0)}
            self.task = replace(self.task, restarts=restarts)
            self.write(restarts=restarts)

    def note_launched(self, name: str) -> None:
        if name not in self.task.launched:
            self.task = replace(self.task, launched=self.task.launched | {name})
            self.write(launched=self.task.launched)

    def fail(self, name: str) -> None:
        self.task = replace(self.task, failures={**self.task.failures, name: "CannotStartContainerError: no"})
        if not self.plan(name).essential:
            self.write(failures=self.task.failures)

    def write(self, **fields: object) -> None:
        self.disk = replace(self.disk, **fields)  # type: ignore[arg-type]
        self.disks.append(self.disk)

    def see(self, name: str, seen: Seen) -> None:
        self.view = replace(self.view, seen={**self.view.seen, name: seen})

    def doubt(self, *names: str) -> None:
        self.view = replace(self.view, unclear=self.view.unclear | set(names))

    # The engine.

    def answer(self, name: str, lost: bool = False) -> None:
        """The call takes effect, and the agent learns so unless the answer is lost."""
        action = self.calls.pop(name)
        self.view = replace(self.view, busy=frozenset(self.calls))
        refused = isinstance(action, machine.Create | machine.Start) and self.rng.random() < 0.03
        if not refused:
            self.effect(action)
        if lost or isinstance(action, machine.Stop | machine.Kill):
            self.doubt(name)
        elif refused:
            self.fail(name)
        else:
            self.learn(action)

    def effect(self, action: machine.OfContainer) -> None:
        name = action.name
        match action:
            case machine.Create() if self.rng.random() < 0.2 and name not in self.view.image_missing:
                self.view = replace(self.view, image_missing=self.view.image_missing | {name})
            case machine.Create():
                assert name not in self.boxes, "made twice"
                ran = name in self.ever and self.ever[name].started_at is not None
                assert not ran, "a second run in a new container"
                self.check_order_up(name)
                self.boxes[name] = self.ever[name] = Box()
            case machine.Start() if name in self.boxes:
                self.run(name)
            case machine.Stop() | machine.Kill() if self.status(name) == RUNNING:
                self.end(name, 143)
            case machine.Remove():
                assert self.status(name) != RUNNING, "removed while it runs"
                self.boxes.pop(name, None)

    def run(self, name: str) -> None:
        box = self.boxes[name]
        if box.status == RUNNING:
            return
        if box.status == EXITED:
            self.check_restart(name, box)
            self.restarted += 1
        self.check_order_up(name)
        health = "UNKNOWN" if self.plan(name).has_health_check else None
        box.status, box.started_at, box.finished_at, box.exit_code = RUNNING, self.now, None, None
        box.health_status, box.with_engine = health, False
        box.reached.add(START)

    def end(self, name: str, exit_code: int | None) -> None:
        box = self.boxes[name]
        box.status, box.exit_code, box.finished_at, box.health_status = EXITED, exit_code, self.now, None
        box.with_engine = exit_code is None
        box.reached |= {COMPLETE, SUCCESS} if exit_code == 0 else {COMPLETE}

    def learn(self, action: machine.OfContainer) -> None:
        name = action.name
        match action:
            case machine.Pull():
                self.view = replace(self.view, pulled=self.view.pulled | {name})
            case machine.Create() if name not in self.boxes:
                pass
            case _:
                self.see(name, self.look(name))
                if self.status(name) in (RUNNING, EXITED):
                    self.note_launched(name)

    def look(self, name: str) -> Seen:
        box = self.boxes.get(name)
        if box is None:
            return replace(self.view.of(name) or Seen(ABSENT), status=ABSENT)
        return Seen(
            status=box.status,
            exit_code=box.exit_code,
            with_engine=box.with_engine,
            started_at=box.started_at,
            finished_at=box.finished_at,
            health_status=box.health_status,
        )

    def status(self, name: str) -> str:
        return self.boxes[name].status if name in self.boxes else ABSENT

    def plan(self, name: str) -> ContainerPlan:
        return next(plan for plan in self.plans if plan.name == name)

    def running(self) -> list[str]:
        return [name for name, box in self.boxes.items() if box.status == RUNNING]

    # What happens to them.

    def crash(self, disk: Task) -> None:
        """The agent begins anew with this disk, its labels, and what the scheduler knows. Calls that were under way
        have taken effect or not."""
        for name in list(self.calls):
            if self.rng.random() < 0.5:
                self.effect(self.calls[name])
        self.calls.clear()
        self.lives += 1
        stored = self.recorded == "STOPPED"
        self.task = replace(
            disk,
            assigned=True,
            desired_status=self.task.desired_status,
            last_status=self.recorded,
            forget=stored and disk.outcome is None,
            acknowledged=stored and disk.outcome is not None,
        )
        self.disk = disk
        self.view = View(unclear=frozenset(self.boxes))
        self.check_status()

    def report(self) -> None:
        """What it says now reaches the scheduler."""
        status = status_of(self.task, self.view)
        if RANK[status] > RANK[self.recorded]:
            self.recorded = status
            self.statuses.append(status)

    def engine_restart(self) -> None:
        for name in self.running():
            self.end(name, None)
        self.doubt(*self.boxes)

    # What must hold.

    def check_status(self) -> None:
        if not self.task.forget:
            assert RANK[status_of(self.task, self.view)] >= RANK[self.recorded], "it went back"

    def check_outcome(self, outcome: Report) -> None:
        assert self.task.outcome is None, "a second outcome"
        assert not self.running(), "over, but something runs"
        told = {container.name: container for container in outcome.containers}
        assert told.keys() == {plan.name for plan in self.plans if not plan.internal}
        for name, container in told.items():
            box = self.boxes.get(name)
            code = box.exit_code if box is not None and box.status == EXITED else None
            assert container.exit_code == code, "an exit code was made up"
            assert container.last_status == "STOPPED"

    def check_restart(self, name: str, box: Box) -> None:
        policy = self.plan(name).restart
        assert policy is not None, "started again without a policy"
        assert box.exit_code is not None and box.exit_code not in policy.ignored_exit_codes
        assert box.finished_at is not None and box.started_at is not None
        assert box.finished_at - box.started_at >= policy.attempt_period_seconds * 1000, (
            "it had not run for long enough"
        )

    def check_order_up(self, name: str) -> None:
        for dependency in dependencies.waits_for(self.task, self.plan(name)):
            other = self.ever.get(dependency.container)
            assert other is not None and dependency.condition in other.reached, f"{name} did not wait for {dependency}"

    def check_order_down(self, name: str) -> None:
        early = [other for other in dependencies.dependants(self.task, name) if self.status(other) == RUNNING]
        assert not early, f"{name} is stopped before {early}"
