"""Instances that fell silent: which of their tasks count as lost, and what takes their place. Pure.

A task says itself what becomes of it, by `onDisconnect`; L is the session deadline.

    (absent)    as in ECS: it stays as it is until its instance returns or is deregistered
    keep        lost after L. Should the instance return, it finds the task STOPPED and ends its copy
    stop        its agent ends it when it has heard no scheduler for L. Lost after L, 1 % for clocks that do not run
                alike, the time its containers have to stop, and a margin
    exclusive   as stop, if a watchdog beside the agent ends what a hung agent cannot. Without one it is lost only when
                an operator deregisters the instance by force, which says that nothing runs there any more

What is lost becomes STOPPED, without an exit code, and a new task of a new launch waits for room in its place: both in
one transaction, so that nothing is replaced twice or not at all, whoever leads. What was being stopped is not replaced,
unless it was because its host goes: see control.interruption.
"""

from collections.abc import Container, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from math import inf
from typing import NamedTuple

import msgspec
from shoal.interruption import NOTICE, is_interrupted
from shoal.stopping import stop_seconds

from shoal_scheduler.control import definitions
from shoal_scheduler.control.context import Context
from shoal_scheduler.model.children import chunk_of
from shoal_scheduler.model.instance import Instance
from shoal_scheduler.model.pace import session_deadline_seconds
from shoal_scheduler.model.task import ContainerState, Task, TaskKey
from shoal_scheduler.state import changes as c
from shoal_scheduler.state import keys
from shoal_scheduler.state.tables import Tables
from shoal_scheduler.state.weight import BYTES_PER_KEY, chunk_bytes

HOST_LOST = "HostLost"
KEEP, STOP, EXCLUSIVE = "keep", "stop", "exclusive"
ON_DISCONNECT = (KEEP, STOP, EXCLUSIVE)

# No two clocks run at quite the same speed.
CLOCK_DRIFT = 1.01

# For the agent to see that its time is over, and for the engine to do what it is told.
MARGIN_SECONDS = 4.0

# What one step may touch for losses, so that it fits a transaction of any etcd: the rest comes in the next, at once.
KEYS_PER_STEP = 80


class Look(NamedTuple):
    """`due_at`: when to look again, unless a session ends before; infinity if nothing is coming."""

    changes: Sequence[c.Change]
    due_at: float


def look(tables: Tables, last_heard: Mapping[str, float], led_since: float, now: float, context: Context) -> Look:
    """The changes that the silence of instances asks for now.

    last_heard: by instance, when its agent last said anything; led_since: when this process began to listen; now.
    Seconds of one clock that never goes back.
    """
    lost: list[c.Change] = []
    touched, weight, due_at = set[object](), 0, inf
    deadline = session_deadline_seconds(len(tables.instances))
    for instance in _silent(tables):
        since = max(led_since, last_heard.get(instance.id, led_since))
        if now < since + deadline:
            due_at = min(due_at, since + deadline)
            continue
        reason = silence(instance, context.now - round((now - since) * 1000))
        for task in tables.tasks_on(instance.id):
            gone_at = max(since + deadline, _gone_at(instance, task, now, context.now))
            lost_at = min(since + seconds_until_lost(tables, instance, task), gone_at)
            if now < lost_at:
                due_at = min(due_at, lost_at)
            elif len(touched) >= KEYS_PER_STEP or weight >= KEYS_PER_STEP * BYTES_PER_KEY:
                return Look(lost, now)
            else:
                weight += weight_of_losing(task, touched)
                lost += losing(task, HOST_LOST, reason, context)
                touched |= touched_by_losing(task)
    return Look(lost, due_at)


def weight_of_losing(task: Task, touched: Container[object]) -> int:
    """About how many bytes more it writes than what is touched already."""
    is_known = (task.launch.id, task.index // keys.TASKS_PER_CHUNK) in touched
    return 0 if is_known else chunk_bytes(task.launch, task.index)


def touched_by_losing(task: Task) -> set[object]:
    """What stands for each key: of the task's chunk, of its group's usage, of its replacement's launch and chunk, or of
    its job's state and chunk."""
    own: set[object] = {(task.launch.id, task.index // keys.TASKS_PER_CHUNK), task.launch.group}
    if task.launch.job is not None:
        job, (chunk, _) = task.launch.job.job, chunk_of(task.launch.job.child(task.index))
        own |= {job, (job, chunk)}
    return own | {(task.key, "launch"), (task.key, "chunk")} if is_replaced(task) else own


def _silent(tables: Tables) -> Iterator[Instance]:
    """Instances that have tasks and no session."""
    for instance_id, live in tables.live_tasks.items():
        if live and instance_id not in tables.sessions:
            yield tables.instances[instance_id]


def seconds_until_lost(tables: Tables, instance: Instance, task: Task) -> float:
    """How long its instance must be silent; infinity if no silence is enough."""
    kind, deadline = task.launch.on_disconnect, session_deadline_seconds(len(tables.instances))
    if kind == KEEP:
        return deadline
    if kind == STOP or (kind == EXCLUSIVE and instance.watchdog):
        definition = definitions.find(tables, task.launch.definition)
        return deadline * CLOCK_DRIFT + stop_seconds(definition.containers) + MARGIN_SECONDS
    return inf


def _gone_at(instance: Instance, task: Task, now: float, now_millis: int) -> float:
    """When what says nothing of silence is lost all the same: its host got a notice that its time is over, and is
    silent since. Its agent, which knew of it, has ended the task by then. Infinity of any other."""
    why = instance.interruption
    if why is None or why.source != NOTICE or task.launch.on_disconnect:
        return inf
    return now + (why.deadline - now_millis) / 1000 + MARGIN_SECONDS


def losing(task: Task, stop_code: str, reason: str, context: Context) -> list[c.Change]:
    """The task as STOPPED, and what takes its place. Nobody knows how it ended: exit codes are those already seen."""
    if task.desired_status == "STOPPED" and task.stopped_reason:
        reason = f"{reason}; it was being stopped: {task.stopped_reason}"
        stop_code = task.stop_code if is_interrupted(task.stop_code) else stop_code
    stopped = msgspec.structs.replace(
        task,
        last_status="STOPPED",
        desired_status="STOPPED",
        stop_code=stop_code,
        stopped_reason=reason,
        stopping_at=task.stopping_at or context.now,
        stopped_at=context.now,
        version=task.version + 1,
    )
    return [c.PutTask(stopped), *(replacing(task, context) if is_replaced(task) else [])]


def is_replaced(task: Task) -> bool:
    """Once it is lost: not what was to stop anyway, unless that was because its host goes; nor an attempt of a job,
    which makes the next one itself, nor a service's, whose loop does."""
    was_to_stop = task.desired_status == "STOPPED" and not is_interrupted(task.stop_code)
    is_ordinary = task.launch.job is None and task.launch.service is None
    return bool(task.launch.on_disconnect) and not was_to_stop and is_ordinary


def was_ended_in_time(before: Task, after: Task) -> bool:
    """Its agent has ended it, and its host may still tell: because that goes, or for want of a scheduler."""
    if not (is_replaced(before) and after.is_stopped):
        return False
    obeys = before.launch.on_disconnect in (STOP, EXCLUSIVE)
    return is_interrupted(after.stop_code) or (obeys and after.stop_code == HOST_LOST)


def replacing(task: Task, context: Context) -> list[c.Change]:
    """A new task of a new launch, alike in everything, which waits for room."""
    before = task.launch
    launch = msgspec.structs.replace(
        before,
        id=context.ids.launch_id(),
        created_at=context.now,
        count=1,
        queue=True,
        replaces=task.id,
        tags=before.tags if task.tags is None else task.tags,
        client_token="",
        request_digest="",
        failures=(),
    )
    containers = tuple(ContainerState(state.name) for state in task.containers)
    waiting = Task(launch=launch, index=0, last_status="PROVISIONING", containers=containers)
    # The whole queue is looked at for it, in this very step.
    return [c.PutLaunch(launch), c.PutTask(waiting), c.SetUnsettled(launch.cluster, True)]


def replaced_by(tables: Tables, task: Task) -> str:
    """Id of the task that took its place; "" if none did."""
    launch = tables.replacements.get(task.id)
    return TaskKey(launch, 0).id if launch else ""


def silence(instance: Instance, since: int) -> str:
    """`since` in milliseconds of the wall clock."""
    moment = datetime.fromtimestamp(since / 1000, UTC).isoformat(timespec="seconds")
    return f"Container instance {name_of(instance)} has been silent since {moment}"


def name_of(instance: Instance) -> str:
    """As people know it."""
    return f"{instance.id} ({instance.hostname})" if instance.hostname else instance.id


def outlook(tables: Tables, task: Task, silent_since: float, now: float, now_millis: int) -> str:
    """Of a task whose instance has no session: since when, and what is to become of it."""
    instance, kind = tables.instances[task.instance], task.launch.on_disconnect
    words = silence(instance, now_millis - round((now - silent_since) * 1000))
    left = seconds_until_lost(tables, instance, task) - (now - silent_since)
    if not kind:
        return f"{words}: the task stays as it is until the instance returns or is deregistered"
    if left == inf:
        return (
            f"{words}. Its agent runs no watchdog (watchdog = true in its agent.toml), so nobody can tell that an"
            " exclusive task has ended there: once the host is certainly off, deregister the instance with force"
        )
    then = "replaced" if is_replaced(task) else "STOPPED"
    return f"{words}: unless it returns, the task is {then} in {max(0, round(left))} s"
