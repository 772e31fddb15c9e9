"""A whole cluster from one seed: built, put to work, troubled, healed, and at the end looked at."""

from collections.abc import Callable
from random import Random
from typing import Any

from shoal_scheduler.control import inputs as i
from shoal_scheduler.control.batch.job_inputs import SubmitJob, TerminateJob

from tests.simulation import big_array, checkers, faults, workload
from tests.simulation.agent import Host
from tests.simulation.clock import Clock
from tests.simulation.convergence import unsettled
from tests.simulation.jobs import JobUsers
from tests.simulation.lives import Crashed, Life, Violated
from tests.simulation.network import End, Network
from tests.simulation.plan import JOBS, SERVICES, Plan
from tests.simulation.registry import Registry
from tests.simulation.scaling import Scaling
from tests.simulation.scheduler import CountedIds, Scheduler
from tests.simulation.services import ServiceUsers
from tests.simulation.shell import EPOCH_SECONDS
from tests.simulation.store import Members
from tests.simulation.trace import Trace
from tests.simulation.users import Users
from tests.simulation.witness import Witness, is_of_users

CONVERGENCE_SECONDS = 60

# Services: deployments go in waves of 40 seconds and more, and what is protected is so for two minutes at most.
SERVICES_CONVERGENCE_SECONDS = 900
RESTART_SECONDS = 2.0
LAST_ORDERS_SECONDS = 20


class Cluster:
    def __init__(self, plan: Plan, clock: Clock, *, keep_trace: bool = False) -> None:
        self.plan, self.clock = plan, clock
        self.trace = Trace(clock, keep_trace)
        self.skews: dict[str, float] = {}
        self.furthest = 0.0
        self.crash_chance = 0.0
        self.stop_soon = 0.2
        self.healing = False
        self._chance = self._rng("chance")
        self._ids = CountedIds()
        self.network = Network(clock, self._rng("network"))
        self.registry = Registry()
        self.members = Members(clock, self.network, self._rng("etcd"))
        self.schedulers = [self._scheduler(f"scheduler-{number}") for number in range(plan.schedulers)]
        self.witness = Witness(self.trace, self.members, self.schedulers, plan)
        self.hosts = [self._host(f"host-{number}") for number in range(plan.hosts)]
        self.witness.services.agent_knows = lambda name: any(each.goes for each in self.hosts if each.name == name)
        self.users = Users(clock, self.network, self.schedulers, self._rng("users"))
        self.users.on_answer, self.users.on_silence = self._answered, self._unanswered
        self.jobs = JobUsers(self.users, clock, self._rng("jobs"), str(plan.seed), self._is_healing)
        seen, rng = self.witness.services, self._rng("services")
        self.services = ServiceUsers(self.users, clock, rng, self.registry, seen, self._is_healing)
        self.services.scaling = Scaling(
            self.users, clock, self._rng("scaling"), self.schedulers, seen, self._is_healing
        )
        self.services.engines = self.services.ingress.engines = [host.engine for host in self.hosts]
        self._work = self._rng("work")
        self._going = self._rng("going")
        self.left_going: set[str] = set()

    def _is_healing(self) -> bool:
        return self.healing

    def _rng(self, name: str) -> Random:
        return Random(f"{self.plan.seed} {name}")

    def ids_given(self) -> int:
        return self._ids.given

    def _scheduler(self, name: str) -> Scheduler:
        self.skews[name] = 0.0
        scheduler = Scheduler(name, self.clock, self.network, self.members, self._rng(name), self._ids)
        scheduler.on_exit = lambda it: self.crash_scheduler(it, RESTART_SECONDS)
        scheduler.crash_point = lambda it: self._maybe_crash(it.life, lambda: self.crash_scheduler(it, 1.0))
        scheduler.on_lead = lambda it: self.witness.leads(it)
        scheduler.on_commit = lambda *seen: self.witness.committed(*seen)
        return scheduler

    def _host(self, name: str) -> Host:
        self.skews[name] = 0.0
        rng = self._rng(name)
        resources = (rng.choice((1024, 2048, 4096)), rng.choice((2048, 4096)), ("gpu-a", "gpu-b")[: rng.randint(0, 2)])
        host = Host(name, self.clock, self.network, rng, lambda: self.wall(name), resources, self.registry)
        names = [each.name for each in self.schedulers]
        host.schedulers = tuple(rng.sample(names, len(names)))  # any order will do
        host.dial = self._dial
        host.on_obey, host.on_told = self.witness.obeyed, self.witness.told
        host.on_dial = self.witness.dialled
        host.on_exit = lambda it: self.crash_agent(it, RESTART_SECONDS)
        host.crash_point = lambda it: self._maybe_crash(it.life, lambda: self.crash_agent(it, 1.0))
        host.engine.on_start = lambda box: self.witness.started(host, box)
        host.engine.on_end = lambda box: self.witness.ended(host, box)
        host.engine.on_touch = lambda box: self.witness.touched(host, box)
        return host

    def wall(self, name: str) -> int:
        return int((EPOCH_SECONDS + self.clock.now + self.skews[name]) * 1000)

    def _dial(self, host: Host, name: str) -> End:
        scheduler = next(each for each in self.schedulers if each.name == name)
        return self.network.connect(host.name, name, scheduler.accept if scheduler.is_up else None)

    # What faults do.

    def later(self, seconds: float, act: Callable[[], Any]) -> None:
        """What is mended at the latest when everything is."""
        self.clock.after(seconds, lambda: None if self.healing else act())

    def crash_scheduler(self, scheduler: Scheduler, seconds: float, *, silently: bool = False) -> None:
        if scheduler.is_up:
            self.trace.say(scheduler.name, "crashes")
            scheduler.crash(silently=silently)
            self.clock.after(seconds, self.start_scheduler, scheduler)

    def start_scheduler(self, scheduler: Scheduler) -> None:
        scheduler.start(lambda: self.skews[scheduler.name])

    def crash_agent(self, host: Host, seconds: float, *, silently: bool = False) -> None:
        if host.is_up:
            self.trace.say(host.name, "agent crashes")
            host.crash(silently=silently)
            self.clock.after(seconds, self.start_agent, host)

    def start_agent(self, host: Host) -> None:
        host.start(lambda: self.skews[host.name])

    def pause(self, life: Life | None, seconds: float) -> None:
        if life is not None and life.alive and not life.paused:
            self.trace.say(life.name, f"pauses for {seconds:.1f} s")
            life.pause()
            self.network.fall_silent(life.name, lambda: life.alive and life.paused)
            self.later(seconds, life.resume)

    def _maybe_crash(self, life: Life | None, crash: Callable[[], None]) -> None:
        if self.crash_chance and self._chance.random() < self.crash_chance:
            at_work = Life.current is life
            crash()
            if at_work:
                raise Crashed

    # Users' work.

    def submit(self, count: int) -> None:
        rng = self._work
        on_disconnect = rng.choice(workload.ON_DISCONNECT)
        self.users.run(rng.choice(workload.FAMILIES), count, queue=rng.random() < 0.6, on_disconnect=on_disconnect)

    def _answered(self, request: i.Input, reply: Any) -> None:
        self.witness.answered(request, reply)
        if isinstance(request, SubmitJob):
            self.jobs.answered(request, reply)
        self.services.answered(request, reply)
        if isinstance(request, i.RunTask) and not self.healing:
            for task in reply.tasks:
                if self._work.random() < self.stop_soon:
                    moment = self._work.choice((0.0, 0.5, 5.0)) * self._work.random()
                    stop = i.StopTask("default", task.id, "enough")
                    self.later(moment, lambda stop=stop: self.users.ask(stop))  # type: ignore[misc]

    def _unanswered(self, request: i.Input) -> None:
        if isinstance(request, SubmitJob):
            self.jobs.unanswered(request)
        self.services.unanswered(request)

    # A run.

    def run(self) -> None:
        """Raises Violated."""
        for scheduler in self.schedulers:
            self.start_scheduler(scheduler)
        faults.standing(self, self._rng("standing"))
        for host in self.hosts:
            self.start_agent(host)
            host.look_after()
        if self.plan.array:
            big_array.schedule(self)
        else:
            self._schedule()
        self.clock.run(self.plan.seconds, self._look)
        self.heal()
        self._converge()

    def _schedule(self) -> None:
        workload.schedule(self, self._work)
        faults.schedule(self, self._rng("faults"))
        if self.plan.has(JOBS):
            self.jobs.begin(self.plan.seconds)
        if self.plan.has(SERVICES):
            self.services.begin(self.plan.seconds)

    def heal(self) -> None:
        self.trace.say("fault", "all is mended")
        self.healing = True
        self.registry.away = False
        self.network.mend_all()
        self.crash_chance = self.users.repeats = self.members.unknown = self.members.slow = 0.0
        self.members.available, self.members.full = True, False
        self.members.model.extend_all()
        if self.plan.has(SERVICES):
            self._set_clocks()
        for scheduler in self.schedulers:
            self._resume(scheduler.life)
            self.start_scheduler(scheduler)
        for host in self.hosts:
            self._resume(host.life)
            host.notice = None
            host.disk.full, host.disk.slow = False, 0.0
            host.engine.troubles = type(host.engine.troubles)()
            if not host.engine.up:
                host.engine.come_back(host_was_down=not host.is_up)
            self.start_agent(host)
            self.users.ask(self._last_word(host.name))
        if self.plan.has(JOBS) and not self.plan.array:
            self.jobs.last_words()

    def _set_clocks(self) -> None:
        """To the latest that any has shown: what waits for a moment that was written down comes when it should."""
        latest = max(self.furthest, *self.skews.values())
        self.skews = dict.fromkeys(self.skews, latest)

    def _last_word(self, host: str) -> i.UpdateInstances:
        """It takes tasks again; or it goes, and stays as it is."""
        is_needed = (self.plan.has(JOBS) or self.plan.has(SERVICES)) and host == self.hosts[0].name
        if self.plan.has("interruption") and not is_needed and self._going.random() < 0.3:
            self.left_going.add(host)
            return i.UpdateInstances("default", (host,), "DRAINING", 600, "for good")
        if self.plan.has(SERVICES) and self.plan.has("drain") and not is_needed and self._going.random() < 0.3:
            self.left_going.add(host)
            return i.UpdateInstances("default", (host,), "DRAINING")
        return i.UpdateInstances("default", (host,), "ACTIVE")

    def _resume(self, life: Life | None) -> None:
        if life is not None and life.paused:
            life.resume()

    def _converge(self) -> None:
        """The time to settle begins anew with each task that ends: whatever number still queues for few places."""
        has_services = self.plan.has(SERVICES)
        bound = SERVICES_CONVERGENCE_SECONDS if has_services else CONVERGENCE_SECONDS
        second, settles_by, ended = 0, bound, self._ended()
        reasons: list[str] = []
        while second < settles_by:
            second += 1
            if second == 20:
                self._take_all_back()
            if second % LAST_ORDERS_SECONDS == 0 and (self.plan.has(JOBS) or has_services):
                self._make_room()
                self.services.look_after()
            self.clock.run(self.plan.seconds + second, self._look)
            reasons = unsettled(self)
            if not reasons:
                return
            if self._ended() > ended and not has_services:
                settles_by, ended = second + CONVERGENCE_SECONDS, self._ended()
        raise Violated(f"{bound} s after the last fault or end of a task: {'; '.join(reasons[:5])}")

    def _ended(self) -> int:
        return sum(task.is_stopped for task in self.witness.recorded.values())

    def _take_all_back(self) -> None:
        """As the operator is told to: who was deregistered is started again, and who still told of its notice when all
        was mended is to take tasks."""
        leader = next((each for each in self.schedulers if each.leads), None)
        for host in self.hosts:
            instance = leader.plane.tables.instances.get(host.name) if leader and leader.plane else None
            if instance is not None and instance.status == "INACTIVE":
                host.crash()
                self.start_agent(host)
            elif instance is not None and instance.interruption is not None and host.name not in self.left_going:
                self.users.ask(i.UpdateInstances("default", (host.name,), "ACTIVE"))

    def _make_room(self) -> None:
        """Every job is to come to its end: what else runs or waits is stopped. So is what its timeout does not end for
        long: a clock was set back, or who leads now has one that is minutes behind the last leader's."""
        for task in self.witness.recorded.values():
            if not task.is_stopped and is_of_users(task.launch) and task.desired_status != "STOPPED":
                self.users.ask(i.StopTask("default", task.id, "last orders"))
        leader = next((each.plane for each in self.schedulers if each.plane is not None), None)
        for instance in leader.tables.instances.values() if leader is not None else ():
            if instance.status == "DRAINING" and instance.id not in self.left_going:  # who drained it was heard late
                self.users.ask(i.UpdateInstances("default", (instance.id,), "ACTIVE"))
        is_late = self.plan.has("clock jump") or self.plan.has("clock skew")
        for state in self.witness.jobs.open() if is_late else ():
            self.users.ask(TerminateJob(state.job, "last orders"))

    def _look(self) -> None:
        self.witness.leadership()
        if self.witness.services.waits:
            self.witness.demand(checkers.first(self.witness.services.late(self.clock.now)))
