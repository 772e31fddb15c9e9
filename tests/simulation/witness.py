"""Sees everything at the moment it happens, remembers the truth, and asks the checkers. Belongs to nobody's program."""

from collections.abc import Sequence
from typing import Any

from shoal.interruption import is_interrupted
from shoal.v1 import agent_pb2
from shoal_agent.definition.labels import Owner
from shoal_agent.life.verdict import NO_SCHEDULER
from shoal_scheduler.control import inputs as i
from shoal_scheduler.control.batch.job_inputs import SubmitJob
from shoal_scheduler.control.host_loss import HOST_LOST
from shoal_scheduler.model.pace import session_deadline_seconds
from shoal_scheduler.model.task import Launch, Task, TaskKey
from shoal_scheduler.state import changes as c
from shoal_scheduler.state import etcd_v3_pb2 as pb
from shoal_scheduler.state import keys
from shoal_scheduler.state.store import Stored
from shoal_scheduler.state.tables import Tables
from shoal_scheduler.state.writes import loaded

from tests.simulation import checkers
from tests.simulation.agent import CLUSTER, Host
from tests.simulation.containers import Box
from tests.simulation.job_witness import JobWitness
from tests.simulation.lives import Violated
from tests.simulation.plan import JOBS, Plan
from tests.simulation.scheduler import Scheduler
from tests.simulation.service_witness import ServiceWitness
from tests.simulation.store import Members
from tests.simulation.trace import Trace

COMMITS_PER_COMPARISON = 25

LONG_OUTAGE_SECONDS = 8.0

# With these an engine may not do what it is told; and with those an agent may not be there to tell it, which is what a
# watchdog is for.
UNGUARDED = ("engine hangs", "engine restart", "stop hangs", "reply lost")
UNHEARD = ("agent crash", "agent pause", "crash at persist", "host dies", "journal lost", "disk full", "disk slow")
MOMENT_SECONDS = 0.05

# How a loss begins to tell of itself.
SILENT = " has been silent since "

# With these alone every container ends before its host goes: each has a second at least.
CALM = ("interruption", "interruption notice", "burst", "cancel race", "drain", "silent events", JOBS)
IN_TIME_SECONDS = 1.0

# So soon after a pause a leader has looked at its lease.
WAKING_SECONDS = 1.0


def _is_lost(task: Task) -> bool:
    """Given up from here, for silence."""
    return task.stop_code == HOST_LOST or (is_interrupted(task.stop_code) and SILENT in task.stopped_reason)


def is_of(host: Host, box: Box) -> bool:
    """By its labels."""
    return bool(box.task) and not checkers.a_stranger_is_left_alone(box, host.name, Owner(CLUSTER, host.name).labels)


def is_of_users(launch: Launch) -> bool:
    return launch.job is None and launch.service is None


def _deregistered(changes: Sequence[c.Change]) -> set[str]:
    """Instances that a step deregisters, in part if they have more tasks than one may touch; and whose agent may have
    come back in the same step."""
    left = {change.instance for change in changes if isinstance(change, c.SetSession) and not change.incarnation}
    seen = [change.instance for change in changes if isinstance(change, c.PutInstance)]
    return left & {instance.id for instance in seen if instance.status in ("DRAINING", "INACTIVE")}


class Witness:
    def __init__(self, trace: Trace, members: Members, schedulers: Sequence[Scheduler], plan: Plan) -> None:
        self.trace, self.members, self.schedulers = trace, members, schedulers
        self.runs: dict[tuple[str, str], int] = {}
        self.boxes: dict[str, dict[str, Box]] = {}
        self.recorded: dict[str, Task] = {}
        self.held: dict[str, dict[str, Task]] = {}
        self.going: set[str] = set()
        self.given_up: dict[str, None] = {}
        self.forced: set[str] = set()
        self.highest: dict[str, int] = {}
        self.lease_meddled_until = 0.0
        self.commits = 0
        self._changes_seen = -1
        self._leader = 0
        self.dials: list[tuple[float, str]] = []
        self.plan = plan
        self.jobs = JobWitness(trace, self.recorded, plan)
        self.services = ServiceWitness(trace, self.recorded, plan)
        members.on_write = self.wrote

    def demand(self, fault: checkers.Fault) -> None:
        if fault:
            raise Violated(fault)

    # Engines.

    def started(self, host: Host, box: Box) -> None:
        if not is_of(host, box):
            return
        runs = self.runs.get((box.task, box.container), 0)
        self.trace.say(host.name, f"started {box.task} {box.container} in {box.id}")
        self.demand(checkers.a_container_of_a_task_runs_once(box, runs))
        recorded = self.recorded.get(box.task)
        if recorded is not None and box.task not in self.given_up:
            self.demand(checkers.what_is_over_is_not_started(box, recorded.last_status))
        self.runs[box.task, box.container] = runs + 1
        self.boxes.setdefault(box.task, {})[box.container] = box
        self.demand(self.jobs.started(box))
        self.demand(self.services.started(box))

    def ended(self, host: Host, box: Box) -> None:
        going = host.worker._interruption if host.worker is not None else None
        if going is not None and is_of(host, box) and set(self.plan.kinds) <= set(CALM):
            self.demand(checkers.is_over_in_time(box, self.members.clock.now, going.ends_at + IN_TIME_SECONDS))
        self.trace.say(host.name, f"ended {box.task} {box.container} by {box.ended_by}: {box.exit_code}")
        self.jobs.ended(box)
        self.demand(self.services.ended(box, self.members.clock.now))

    def touched(self, host: Host, box: Box) -> None:
        self.demand(checkers.a_stranger_is_left_alone(box, host.name, Owner(CLUSTER, host.name).labels))

    # Agents.

    def obeyed(self, host: Host, epoch: int) -> None:
        self.trace.say(host.name, f"obeys epoch {epoch}")
        highest = self.highest.get(host.name, 0)
        self.demand(checkers.no_older_epoch_is_obeyed(host.name, epoch, highest))
        self.highest[host.name] = max(highest, epoch)

    def dialled(self, host: Host, outage_seconds: float) -> None:
        """Of those who have been without a scheduler for so long that they wait for some seconds between two tries."""
        now = self.members.clock.now
        if outage_seconds >= LONG_OUTAGE_SECONDS:
            self.dials = [(at, name) for at, name in self.dials if at > now - MOMENT_SECONDS] + [(now, host.name)]
            self.demand(checkers.few_come_at_once(sorted({name for _, name in self.dials}), self.plan.hosts))

    def told(self, host: Host, message: agent_pb2.SchedulerMessage) -> None:
        self.demand(
            checkers.no_older_epoch_is_obeyed(host.name, host.session_epoch, self.highest.get(host.name, 0))
            if host.session_epoch
            else None
        )
        for wanted in message.assignments.assignments:
            if not wanted.forget:
                self.demand(
                    checkers.agents_are_told_only_what_is_stored(wanted.task_id, self._holds_task(wanted.task_id))
                )

    def _holds_task(self, task_id: str) -> bool:
        key = TaskKey.parse(task_id)
        return key is not None and self._holds(keys.chunk(CLUSTER, key.launch, key.ordinal // keys.TASKS_PER_CHUNK))

    def _holds(self, key: bytes) -> bool:
        return bool(self.members.model.range(pb.RangeRequest(key=key)).kvs)

    # Schedulers.

    def wrote(self, epoch: int, _request: pb.TxnRequest) -> None:
        self.demand(checkers.only_the_leader_writes(epoch, self.members.leader()[0]))

    def leads(self, scheduler: Scheduler) -> None:
        """What it has loaded follows on what was seen."""
        assert scheduler.plane is not None
        tables = scheduler.plane.tables
        self.trace.say(scheduler.name, f"leads, epoch {scheduler.plane.epoch}, revision {tables.revision}")
        for held in self.held.values():  # of what was dropped meanwhile, nobody was told
            for key in [key for key, task in held.items() if task.launch.id not in tables.launches]:
                del held[key]
        for task in tables.tasks():
            self._saw(scheduler, tables, task)
        for entry in tables.launches.values():
            self.demand(checkers.all_or_nothing(entry.launch, entry.tasks))
        self._check_submissions(tables)
        self.demand(self.jobs.leads(tables))
        self.demand(self.services.leads(tables, self.members.clock.now))
        self.going = {name for name, instance in tables.instances.items() if instance.interruption is not None}
        for instance in tables.instances:
            self._check_capacity(tables, instance)

    def committed(
        self, scheduler: Scheduler, tables: Tables, changes: Sequence[c.Change], revision: int, wall: int
    ) -> None:
        """`wall`: the step's own time, in milliseconds."""
        self.commits += 1
        instances: dict[str, None] = {}
        self.forced = _deregistered(changes)
        for change in changes:
            match change:
                case c.PutTask(task):
                    self._check_interruption(tables, task)
                    self._saw(scheduler, tables, task)
                    if task.instance:
                        instances[task.instance] = None
                case c.PutLaunch(launch):
                    self.trace.say(scheduler.name, f"launch {launch.id}: {launch.count} for {launch.started_by}")
                    self.demand(checkers.all_or_nothing(launch, tables.launches[launch.id].tasks))
                    if is_of_users(launch):
                        self._check_submissions(tables)
                case c.PutInstance(instance):
                    self.trace.say(scheduler.name, f"instance {instance.id} {instance.status} {instance.incarnation}")
                    instances[instance.id] = None
                    (self.going.discard if instance.interruption is None else self.going.add)(instance.id)
                case c.SetSession(instance_id, incarnation):
                    self.trace.say(scheduler.name, f"session {instance_id} {incarnation}")
                case _:
                    pass
        for instance_id in instances:
            self._check_capacity(tables, instance_id)
        if not self._is_deposed(scheduler):  # or who leads now has told of it
            self.demand(self.jobs.committed(tables, changes))
            self.demand(self.services.committed(tables, changes, wall, self.members.clock.now))
        if self.commits % COMMITS_PER_COMPARISON == 0 and revision == self.members.model.revision:
            self.compare(tables)

    def _check_submissions(self, tables: Tables) -> None:
        """Of users: a job or a service starts as often as it needs."""
        launches = [entry.launch for entry in tables.launches.values() if is_of_users(entry.launch)]
        self.demand(checkers.one_launch_per_submission(launches))
        self.demand(checkers.what_is_lost_is_replaced_once(launches))

    def _saw(self, scheduler: Scheduler, tables: Tables, task: Task) -> None:
        before = self.recorded.get(task.id)
        if before is not None and before.version == task.version and before.last_status == task.last_status:
            return
        if before is not None and task.version < before.version and self._is_deposed(scheduler):
            return  # it stood still since, and only now sees the answer to what it wrote while it led
        boxes = self.boxes.get(task.id, {})
        if before is None or before.last_status != task.last_status or before.desired_status != task.desired_status:
            words = f"{task.id} {task.last_status} {task.desired_status} {task.instance} {task.stopped_reason}"
            self.trace.say(scheduler.name, words)
        if before is not None:
            self.demand(checkers.statuses_only_move_forward(task, before.last_status))
            self.demand(checkers.a_wish_to_stop_is_kept(task, before.desired_status))
        clock_jumped = self.plan.has("clock jump")
        self.demand(checkers.exit_codes_are_never_guessed(task, boxes, clock_jumped=clock_jumped))
        if task.is_stopped and self._is_given_up(tables, task):
            self.given_up[task.id] = None
        is_told = task.stopped_reason == NO_SCHEDULER  # by its agent, which ended it
        if before is not None and _is_lost(task) and task.instance not in tables.sessions and not is_told:
            self._check_loss(scheduler, tables, task)
        self.demand(checkers.stopped_means_ended(task, boxes, given_up=task.id in self.given_up))
        self.demand(checkers.running_means_started(task, [], boxes))
        self.recorded[task.id] = task
        held = self.held.setdefault(task.instance, {})
        if task.is_stopped:
            held.pop(task.id, None)
        elif task.instance:
            held[task.id] = task

    def _check_interruption(self, tables: Tables, task: Task) -> None:
        """Before the task is seen as it is now."""
        before = self.recorded.get(task.id)
        if before is None or not before.instance:
            self.demand(checkers.nothing_comes_to_who_goes(task, self.going))
        if task.is_stopped and before is not None and not before.is_stopped:
            is_replaced = task.id in tables.replacements
            self.demand(checkers.what_goes_with_its_host_goes_on_elsewhere(task, is_replaced))

    def _is_deposed(self, scheduler: Scheduler) -> bool:
        return scheduler.plane is not None and scheduler.plane.epoch != self.members.leader()[0]

    def _is_given_up(self, tables: Tables, task: Task) -> bool:
        """It may run on where it was: by an operator's word, by its own, or for want of anybody who could end it."""
        if task.instance and (tables.instances[task.instance].status == "INACTIVE" or task.instance in self.forced):
            return True
        if not _is_lost(task):
            return False
        if not task.launch.on_disconnect:  # by its host's own notice, and by a clock that must not jump
            return any(self.plan.has(kind) for kind in (*UNGUARDED, *UNHEARD, "clock jump", "clock skew"))
        deaf = UNGUARDED if task.launch.on_disconnect == "exclusive" else (*UNGUARDED, *UNHEARD)
        return task.launch.on_disconnect == "keep" or any(self.plan.has(kind) for kind in deaf)

    def _check_loss(self, scheduler: Scheduler, tables: Tables, task: Task) -> None:
        plane, now = scheduler.plane, self.members.clock.now
        if plane is not None and plane.tables is tables:
            silent = now - plane.heard_at.get(task.instance, plane.began_at)
            deadline = session_deadline_seconds(len(tables.instances))
            self.demand(checkers.no_false_loss(task, silent, now - plane.began_at, deadline))

    def _check_capacity(self, tables: Tables, instance_id: str) -> None:
        instance = tables.instances.get(instance_id)
        if instance is not None:
            held = ((task, tables.resources(task.launch.id)) for task in self.held.get(instance_id, {}).values())
            self.demand(checkers.capacity_holds(instance, held))

    def compare(self, tables: Tables) -> None:
        """The leader's tables with what a new leader would load."""
        answer = self.members.model.range(pb.RangeRequest(key=keys.ROOT.encode(), range_end=b"/shoal0"))
        special = (keys.LEADER, keys.STEP)
        records = [Stored(kv.key, kv.value, kv.mod_revision) for kv in answer.kvs if kv.key not in special]
        self.demand(checkers.tables_are_what_the_store_holds(tables, loaded(records, self.members.model.revision)))

    def leadership(self) -> None:
        """After every event. Who was paused has a moment to see it; who lost the lease to meddling cannot know it."""
        now = self.members.clock.now
        if self._changes_seen != self.members.model.changes:
            self._changes_seen, self._leader = self.members.model.changes, self.members.leader()[0]
        for each in self.schedulers:
            process, plane = each.life, each.plane
            if plane is None or plane.epoch == self._leader or now <= self.lease_meddled_until:
                continue
            is_awake = process is not None and process.alive and not process.paused
            if is_awake and process is not None and now > process.resumed_at + WAKING_SECONDS:
                self.demand(checkers.who_leads_holds_the_lease(each.name, plane.epoch, self._leader))

    # Users.

    def answered(self, request: i.Input, reply: Any) -> None:
        match request:
            case i.RunTask():
                self.trace.say("user", f"{request.started_by} answered: {len(reply.tasks)} tasks")
                for task in reply.tasks:
                    stored = self._holds_task(task.id)
                    self.demand(checkers.acknowledged_is_stored(f"task {task.id}", stored))
            case i.StopTask():
                self.trace.say("user", f"stop of {request.task} answered")
            case SubmitJob():
                self.trace.say("user", f"{request.client_token} answered: job {reply.id}")
                self.demand(self.jobs.acknowledged(request, reply, is_stored=self._holds(keys.job(reply.id))))
            case _:
                self.trace.say("user", f"{type(request).__name__} answered")
