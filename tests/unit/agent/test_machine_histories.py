"""Random histories of one task: crashes of the agent, lost journals, lost answers, containers that end or vanish.

Whatever happens, no container is started after it ran, an outcome never changes, and once the trouble is over the
task comes to rest where it was wanted.
"""

from dataclasses import dataclass, field, replace

from hypothesis import given, settings
from hypothesis import strategies as st
from shoal.lifecycle import RANK
from shoal_agent.machine import (
    Create,
    Finish,
    Forget,
    Inspect,
    Kill,
    Pull,
    Remove,
    Start,
    Stop,
    Wait,
    next_action,
)
from shoal_agent.task import ABSENT, CREATED, EXITED, RUNNING, ContainerPlan, Report, Seen, Task, View
from shoal_agent.verdict import status_of

KEEP = 1000
STEPS_MAX = 60
PLANS = (ContainerPlan("web"), ContainerPlan("side", essential=False))
STATES = {"created": CREATED, "running": RUNNING, "exited": EXITED}


@dataclass
class World:
    """The engine's truth, the agent's disk, the agent's head, the scheduler's record."""

    boxes: dict[str, str] = field(default_factory=dict)
    starts: dict[str, int] = field(default_factory=dict)
    disk: Task = field(default_factory=lambda: Task("t", PLANS))
    task: Task = field(default_factory=lambda: Task("t", PLANS, assigned=True))
    view: View = field(default_factory=View)
    recorded: str = "PENDING"
    outcomes: list[Report] = field(default_factory=list)
    forgotten: bool = False
    now: int = 0

    def step(self, crash_after: bool = False) -> bool:
        """One step of the agent; False if it has nothing to do."""
        self.now += 1
        action = next_action(self.task, self.view, self.now, KEEP)
        if isinstance(action, Wait):
            return False
        self.act(action)
        if crash_after:
            self.crash(lose_journal=False)
        return True

    def act(self, action: object) -> None:  # noqa: C901 - a table of the actions
        match action:
            case Inspect(name):
                state = self.boxes.get(name)
                status = ABSENT if state is None else STATES[state]
                self.view = replace(self.view, unclear=self.view.unclear - {name})
                self.see(name, Seen(status, finished_at=self.now if status == EXITED else None, exit_code=0))
                if status in (RUNNING, EXITED):
                    self.launch(name)
            case Pull(name):
                self.view = replace(self.view, pulled=self.view.pulled | {name})
            case Create(name):
                assert name not in self.boxes, "the engine's name check would refuse"
                self.boxes[name] = "created"
                self.see(name, Seen(CREATED))
            case Start(name):
                self.launch(name)
                if name in self.boxes:
                    self.boxes[name] = "running"
                    self.starts[name] = self.starts.get(name, 0) + 1
                    self.see(name, Seen(RUNNING))
                else:
                    self.see(name, Seen(ABSENT))
            case Stop(names) | Kill(names):
                for name in names:
                    if self.boxes.get(name) == "running":
                        self.boxes[name] = "exited"
                self.view = replace(
                    self.view, stop_sent=self.view.stop_sent | set(names), unclear=self.view.unclear | set(names)
                )
            case Finish(outcome):
                self.outcomes.append(outcome)
                self.disk = replace(self.disk, outcome=outcome)
                self.task = replace(self.task, outcome=outcome)
            case Remove(names):
                for name in names:
                    self.boxes.pop(name, None)
                    self.see(name, replace(self.view.seen[name], status=ABSENT))
            case Forget():
                self.forgotten = True

    def launch(self, name: str) -> None:
        self.disk = replace(self.disk, launched=self.disk.launched | {name})
        self.task = replace(self.task, launched=self.task.launched | {name})

    def see(self, name: str, seen: Seen) -> None:
        self.view = replace(self.view, seen={**self.view.seen, name: seen})

    def crash(self, lose_journal: bool) -> None:
        """The agent begins anew with its disk, its labels and the scheduler's assignment."""
        self.record()
        if lose_journal:
            self.disk = Task("t", PLANS)
        desired = self.task.desired_status
        self.task = replace(self.disk, assigned=True, desired_status=desired, last_status=self.recorded)
        self.view = View(unclear=frozenset(self.boxes))

    def record(self) -> None:
        status = status_of(self.task, self.view)
        if RANK[status] > RANK[self.recorded]:
            self.recorded = status


EVENTS = ("step", "crash", "crash after a step", "lose the journal", "end", "take away", "stop", "report")


def happen(world: World, event: str, name: str) -> None:
    match event:
        case "step":
            world.step()
        case "crash":
            world.crash(lose_journal=False)
        case "crash after a step":
            world.step(crash_after=True)
        case "lose the journal":
            # Together with a container that was taken away nobody could know; but the scheduler's record helps.
            world.record()
            world.crash(lose_journal=True)
        case "end" if world.boxes.get(name) == "running":
            world.boxes[name] = "exited"
            world.view = replace(world.view, unclear=world.view.unclear | {name})
        case "take away" if name in world.boxes and name in world.disk.launched:
            del world.boxes[name]
            world.view = replace(world.view, unclear=world.view.unclear | {name})
        case "stop":
            world.task = replace(world.task, desired_status="STOPPED")
        case "report":
            world.record()


@settings(max_examples=400, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(EVENTS), st.sampled_from(["web", "side"])), max_size=25))
def test_every_prefix_leads_on(events: list[tuple[str, str]]) -> None:
    world = World()
    taken = False
    for event, name in events:
        if world.forgotten:
            break
        if event == "lose the journal" and taken:
            continue  # the only two witnesses gone: no rule can help, and none is claimed
        taken = taken or event == "take away"
        happen(world, event, name)
        assert all(count <= 1 for count in world.starts.values()), "a container ran twice"
    for _ in range(STEPS_MAX):
        if world.forgotten or not world.step():
            break
    else:
        raise AssertionError("it never comes to rest")
    assert all(count <= 1 for count in world.starts.values()), "a container ran twice"
    status = status_of(world.task, world.view)
    if world.task.desired_status == "STOPPED" or world.outcomes:
        assert status == "STOPPED"
        assert "running" not in world.boxes.values()
    else:
        assert status == "RUNNING"


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(EVENTS), st.sampled_from(["web", "side"])), max_size=25))
def test_reported_statuses_never_go_back(events: list[tuple[str, str]]) -> None:
    """Within one life of the agent, and with its journal over several."""
    world = World()
    before = 0
    for event, name in events:
        if world.forgotten or event == "lose the journal":
            break
        happen(world, event, name)
        if event.startswith("crash") or world.view.unclear:
            continue  # what it says before it has looked is not more than it knew
        rank = RANK[status_of(world.task, world.view)]
        assert rank >= before
        before = rank


@given(st.lists(st.tuples(st.sampled_from(EVENTS), st.sampled_from(["web", "side"])), max_size=25))
def test_an_outcome_is_final(events: list[tuple[str, str]]) -> None:
    world = World()
    for event, name in events:
        if world.forgotten or event == "lose the journal":
            break
        happen(world, event, name)
    assert len(world.outcomes) <= 1
