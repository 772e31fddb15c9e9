"""Bugs planted on purpose, by name: each must be caught, or the simulation proves little.

Each takes the place of a function of the programs (or, where a model tells them again, of the model).
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from math import inf
from typing import Any
from unittest.mock import patch

import msgspec
from shoal.lifecycle import RANK
from shoal_agent import pause, schedulers, session, worker
from shoal_agent.definition.labels import Owner
from shoal_agent.life import dependencies, last_moment, steps
from shoal_agent.memory import record
from shoal_agent.task import CREATED, RUNNING, Seen
from shoal_scheduler import dispatch, engine
from shoal_scheduler.control import host_loss, interruption, step, tasks
from shoal_scheduler.control import inputs as i
from shoal_scheduler.control.context import Context, Outcome
from shoal_scheduler.model.pace import session_deadline_seconds
from shoal_scheduler.model.task import Task, TaskKey
from shoal_scheduler.state import capacity, overlay, tables, writes
from shoal_scheduler.state import changes as c
from shoal_scheduler.state.etcd import EtcdStore

from tests.simulation import disk, job_mutants, lease, service_mutants, users
from tests.simulation.plan import JOBS, SERVICES

Patches = Callable[[], Iterator[tuple[Any, str, Any]]]


@dataclass(frozen=True, slots=True)
class Mutant:
    """`kinds` of faults under which it shows: with only these, few seeds are needed. None stands for any."""

    patches: Patches
    kinds: tuple[str, ...] | None


MUTANTS: dict[str, Mutant] = {}


def mutant(*kinds: str) -> Callable[[Patches], Patches]:
    def register(patches: Patches) -> Patches:
        MUTANTS[patches.__name__.replace("_", "-")] = Mutant(patches, kinds or None)
        return patches

    return register


@contextmanager
def planted(name: str) -> Iterator[None]:
    """Nothing for the name ""."""
    with ExitStack() as stack:
        for target, attribute, instead in MUTANTS[name].patches() if name else ():
            if isinstance(target, Mapping):
                stack.enter_context(patch.dict(target, {attribute: instead}))
            else:
                stack.enter_context(patch.object(target, attribute, instead))
        yield


# Leadership and the store.


@mutant("lease revoked", "scheduler crash")
def epoch_guard_dropped() -> Iterator[tuple[Any, str, Any]]:
    guards = EtcdStore._guards
    yield EtcdStore, "_guards", lambda self: guards(self)[1:]


@mutant("unknown outcome")
def step_guard_dropped() -> Iterator[tuple[Any, str, Any]]:
    guards = EtcdStore._guards
    yield EtcdStore, "_guards", lambda self: guards(self)[:1]


@mutant("etcd slow", "cut", "cut one way")
def lease_counted_from_the_answer() -> Iterator[tuple[Any, str, Any]]:
    yield lease, "renewed_at", lambda _sent_at, received_at: received_at


@mutant("cut")
def lease_looked_at_only_between_calls() -> Iterator[tuple[Any, str, Any]]:
    yield lease, "patience", lambda _leadership, seconds: seconds


@mutant("unknown outcome")
def unknown_outcome_taken_for_stored() -> Iterator[tuple[Any, str, Any]]:
    async def settled(self: Any, _write: Any) -> int:
        return int(self.store.revision)

    yield engine.Engine, "_settled", settled


@mutant()
def acknowledged_before_it_is_stored() -> Iterator[tuple[Any, str, Any]]:
    async def carry_out(self: Any, batch: list[Any], *_: Any, **__: Any) -> None:
        now = max(self.now(), self.tables.newest)
        context = Context(now, self._ids, self.rng, self.limits)
        result = step.step(self.tables, [waiting.request for waiting in batch], context, self._due(context))
        taken, rest = batch[: len(result.replies)], batch[len(result.replies) :]
        self._inbox.extendleft(reversed(rest))
        for waiting, reply in zip(taken, result.replies, strict=True):
            engine._answer(waiting, reply)
        write = writes.write_of(self.tables, result.changes, f"{self._step_prefix}-{now}-{len(self._inbox)}")
        revision = await self.store.commit(write) if write else self.tables.revision
        self.tables.apply(result.changes, revision)
        self.on_commit(result.changes, revision, now)

    yield engine.Engine, "_carry_out", carry_out


@mutant()
def chunk_written_without_its_other_tasks() -> Iterator[tuple[Any, str, Any]]:
    yield writes, "_chunk", lambda _tables, _launch, _number, changed: list(changed.values())


# Decisions.


@mutant("loss", "repeated requests", "scheduler crash")
def client_token_forgotten() -> Iterator[tuple[Any, str, Any]]:
    yield overlay.Overlay, "launch_by_token", lambda _self, _cluster, _token: None


@mutant("loss", "scheduler crash")
def try_without_its_token() -> Iterator[tuple[Any, str, Any]]:
    def to_send(request: i.Input, number: int) -> i.Input:
        return (
            replace(request, client_token=f"{request.client_token} {number}")
            if isinstance(request, i.RunTask)
            else request
        )

    yield users, "to_send", to_send


@mutant()
def room_not_taken_within_a_step() -> Iterator[tuple[Any, str, Any]]:
    yield overlay.Overlay, "room", lambda self, cluster: self._tables.room(cluster).copy()


@mutant("burst")
def resources_freed_at_stopping() -> Iterator[tuple[Any, str, Any]]:
    def holds(task: Task) -> bool:
        return bool(task.instance) and RANK[task.last_status] < RANK["STOPPING"]

    yield capacity, "holds", holds
    yield tables, "holds", holds


@mutant("burst")
def port_freed_at_stopping() -> Iterator[tuple[Any, str, Any]]:
    recount = capacity.recount

    def freeing(table: Any, wanted: Any, before: Task | None, after: Task) -> None:
        row = table.rows.get(after.instance)
        was, is_ = before is not None and before.last_status == "STOPPING", after.last_status == "STOPPING"
        if row is not None and was and not is_:
            for port in wanted.ports:
                table.ports.add(port, row, 1, len(table))
        recount(table, wanted, before, after)
        if row is not None and is_ and not was:
            for port in wanted.ports:
                table.ports.add(port, row, -1, len(table))

    yield tables, "recount", freeing
    yield overlay, "recount", freeing


@mutant("reset", "deregister")
def terminal_may_revert() -> Iterator[tuple[Any, str, Any]]:
    def report(view: Any, request: i.TaskReport, _context: Context) -> Outcome:
        key = TaskKey.parse(request.task)
        task = view.task(key) if key else None
        if task is None or task.instance != request.instance:
            return Outcome(i.Verdict(known=False))
        seen = msgspec.structs.replace(task, last_status=request.last_status, version=task.version + 1)
        if request.last_status == "STOPPED":
            seen = tasks.over(seen, request.stop_code, request.stopped_reason, _context.now)
        return Outcome(i.Verdict(known=True), [c.PutTask(seen)])

    yield step.RULES, i.TaskReport, report  # type: ignore[misc]


@mutant("reset", "cut")
def end_of_a_session_ignored() -> Iterator[tuple[Any, str, Any]]:
    yield step.RULES, i.SessionClosed, lambda _view, _request, _context: Outcome(None)  # type: ignore[misc]


@mutant()
def stop_not_told_to_the_agent() -> Iterator[tuple[Any, str, Any]]:
    yield dispatch, "_concerns_agent", lambda task: not task.fence


# The agent.


@mutant("lease revoked", "reset")
def agent_ignores_the_epoch() -> Iterator[tuple[Any, str, Any]]:
    async def obey(self: Any, epoch: int) -> None:
        self._around.owner = replace(self._around.owner, epoch=epoch)

    yield session.Session, "_obey", obey


@mutant("removed by hand", "crash at persist")
def start_noted_after_it_was_made() -> Iterator[tuple[Any, str, Any]]:
    async def start(case: Any, name: str) -> None:
        seen = case.view.seen[name]
        if case.unwanted:
            return
        await case.around.engine.start(case.handle(name))
        case.see(name, steps._started(seen, ()))
        await steps._note_launched(case, name)

    yield steps, "start", start


@mutant("removed by hand", "crash at persist")
def journal_not_synced() -> Iterator[tuple[Any, str, Any]]:
    async def append(self: Any, *entries: record.Entry) -> None:
        self._disk.unsynced += b"".join(map(record.line, entries))
        self._crash()
        for entry in entries:
            self.memory.apply(entry)

    yield disk.Journal, "append", append


@mutant("removed by hand")
def lost_container_run_again() -> Iterator[tuple[Any, str, Any]]:
    yield dependencies, "is_lost", lambda _task, _name, _seen: False


@mutant("engine restart")
def exit_code_of_a_killing_engine_believed() -> Iterator[tuple[Any, str, Any]]:
    yield steps, "exit_code_known", lambda _found, _start: True


@mutant("foreign container")
def containers_of_strangers_adopted() -> Iterator[tuple[Any, str, Any]]:
    yield Owner, "owns", lambda _self, _labels: True
    adopt = steps._adopt

    async def adopting(case: Any, name: str, conflict: Any) -> None:
        await adopt(case, name, conflict)
        box = case.around.engine.find(case.container_name(name))
        if name in case.task.failures:
            case.task = replace(case.task, failures={})
            case.see(name, Seen(CREATED if box.state == "created" else RUNNING, box.id))

    yield steps, "_adopt", adopting


@mutant("deregister", "agent crash")
def complete_set_not_obeyed() -> Iterator[tuple[Any, str, Any]]:
    yield worker.Worker, "keep_only", lambda _self, _named: None


@mutant("etcd away")
def jitter_removed() -> Iterator[tuple[Any, str, Any]]:
    retry_seconds = pause.retry_seconds
    yield schedulers, "retry_seconds", lambda outage, _chance: retry_seconds(outage, 1.0)


# The loss of hosts.


@mutant("scheduler crash", "cut")
def no_fresh_deadline_under_a_new_leader() -> Iterator[tuple[Any, str, Any]]:
    look = host_loss.look

    def at_once(tables: Any, last_heard: Any, _led_since: float, now: float, context: Context) -> Any:
        return look(tables, last_heard, now - 100.0, now, context)

    yield engine, "look", at_once


@mutant("cut", "cut one way")
def agent_goes_on_without_a_lease() -> Iterator[tuple[Any, str, Any]]:
    yield worker.Worker, "lease_over", lambda _self, _over: None


@mutant("cut")
def lost_before_its_agent_has_ended_it() -> Iterator[tuple[Any, str, Any]]:
    def seconds(tables: Any, _instance: Any, task: Task) -> float:
        return float(session_deadline_seconds(len(tables.instances))) if task.launch.on_disconnect else inf

    yield host_loss, "seconds_until_lost", seconds


# Hosts that go at a known time.


@mutant("interruption", "interruption notice")
def what_goes_with_its_host_is_lost() -> Iterator[tuple[Any, str, Any]]:
    ended_in_time = host_loss.was_ended_in_time
    yield (
        host_loss,
        "was_ended_in_time",
        lambda before, after: after.stop_code == host_loss.HOST_LOST and ended_in_time(before, after),
    )


@mutant("interruption")
def stop_timeout_beyond_the_hosts_time() -> Iterator[tuple[Any, str, Any]]:
    yield last_moment, "_seconds_left", lambda _case: last_moment.LOOK_SECONDS


@mutant("interruption")
def interruption_not_worked_off() -> Iterator[tuple[Any, str, Any]]:
    """Neither here nor by its agent: each would do alone."""
    yield interruption, "look", lambda _tables, _context: host_loss.Look((), inf)
    yield worker.Worker, "interrupt", lambda _self, _interruption: None


@mutant("interruption", "burst")
def interrupted_host_still_takes_tasks() -> Iterator[tuple[Any, str, Any]]:
    def interrupted(instance: Any, new: Any) -> Any:
        return msgspec.structs.replace(instance, interruption=new, version=instance.version + 1)

    yield interruption, "interrupted", interrupted


# Jobs.

for _kinds, _patches in job_mutants.BUGS:
    mutant(JOBS, *_kinds)(_patches)


# Services.

for _kinds, _patches in service_mutants.BUGS:
    mutant(SERVICES, *_kinds)(_patches)
