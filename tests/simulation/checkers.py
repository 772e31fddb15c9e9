"""What must hold, each a function named for what it says: the first fault in words, or None. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from shoal import lifecycle
from shoal.interruption import STOP_CODES, is_interrupted
from shoal_scheduler.model.ask import Resources
from shoal_scheduler.model.instance import Instance
from shoal_scheduler.model.task import Launch, Task
from shoal_scheduler.state.tables import Tables

from tests.simulation.containers import Box
from tests.simulation.job_checkers import jobs_are_what_the_store_holds
from tests.simulation.service_checkers import services_are_what_the_store_holds

Fault = str | None

# A leader listens for some moments before it is seen to lead.
BEGINNING_SECONDS = 0.1


def a_container_of_a_task_runs_once(box: Box, runs_before: int) -> Fault:
    return f"container {box.container} of task {box.task} runs a second time, on {box.id}" if runs_before else None


def what_is_over_is_not_started(box: Box, recorded: str) -> Fault:
    return f"task {box.task} is recorded as STOPPED and starts on {box.id}" if recorded == "STOPPED" else None


def only_the_leader_writes(epoch: int, leader: int) -> Fault:
    return f"a write of epoch {epoch} was stored while epoch {leader} leads" if epoch != leader else None


def no_older_epoch_is_obeyed(host: str, epoch: int, highest: int) -> Fault:
    return f"{host} obeys epoch {epoch} after {highest}" if epoch < highest else None


def who_leads_holds_the_lease(scheduler: str, epoch: int, leader: int) -> Fault:
    """By its own clock, which counts from when it asked for the lease: so it stops before etcd lets the lease go."""
    return f"{scheduler} leads with epoch {epoch}, and the leader's key has {leader}" if epoch != leader else None


def agents_are_told_only_what_is_stored(task: str, is_stored: bool) -> Fault:
    return None if is_stored else f"an agent is told of task {task}, which the store does not hold"


def acknowledged_is_stored(what: str, is_stored: bool) -> Fault:
    return None if is_stored else f"{what} was acknowledged, and the store does not hold it"


def all_or_nothing(launch: Launch, tasks: Mapping[int, Task]) -> Fault:
    if sorted(tasks) != list(range(launch.count)):
        return f"of launch {launch.id} {len(tasks)} of {launch.count} tasks are stored"
    return None


def one_launch_per_submission(launches: Iterable[Launch]) -> Fault:
    counted = Counter(launch.started_by for launch in launches if not launch.replaces)
    twice = [name for name, count in counted.items() if count > 1]
    return f"{twice[0]} was launched {counted[twice[0]]} times" if twice else None


def statuses_only_move_forward(task: Task, before: str) -> Fault:
    if before == task.last_status or lifecycle.may_move(before, task.last_status):
        return None
    return f"task {task.id} was {before} and is {task.last_status}"


def a_wish_to_stop_is_kept(task: Task, before: str) -> Fault:
    if before == "STOPPED" and task.desired_status != "STOPPED":
        return f"task {task.id} was to stop, and is to run again"
    return None


def exit_codes_are_never_guessed(task: Task, boxes: Mapping[str, Box], *, clock_jumped: bool) -> Fault:
    """Only what a container answered itself, or to the stop it was asked for. What an engine did on its way up stands
    in its events by the wall clock: nobody finds it there once the clock was set."""
    for state in task.containers:
        if state.exit_code is None:
            continue
        box = boxes.get(state.name)
        if box is None or box.state != "exited":
            return f"task {task.id}: {state.name} has exit code {state.exit_code} and has not ended"
        if box.ended_by not in ("itself", "agent") and not (clock_jumped and box.ended_by == "engine"):
            return f"task {task.id}: {state.name} ended by {box.ended_by}, {state.exit_code} is made up"
        if box.exit_code != state.exit_code:
            return f"task {task.id}: {state.name} ended with {box.exit_code}, not {state.exit_code}"
    return None


def running_means_started(task: Task, essential: Sequence[str], boxes: Mapping[str, Box]) -> Fault:
    missing = [name for name in essential if name not in boxes or not boxes[name].runs]
    if task.last_status == "RUNNING" and missing:
        return f"task {task.id} is RUNNING, and {missing[0]} was never started"
    return None


def stopped_means_ended(task: Task, boxes: Mapping[str, Box], *, given_up: bool) -> Fault:
    """A task of a healthy host is not given up for lost. One whose host was deregistered by force is."""
    running = [name for name, box in boxes.items() if box.state == "running"]
    if task.is_stopped and running and not given_up:
        return f"task {task.id} is STOPPED ({task.stopped_reason}), and its {running[0]} runs"
    return None


def what_is_lost_is_replaced_once(launches: Iterable[Launch]) -> Fault:
    counted = Counter(launch.replaces for launch in launches if launch.replaces)
    twice = [name for name, count in counted.items() if count > 1]
    return f"task {twice[0]} was replaced {counted[twice[0]]} times" if twice else None


def nothing_comes_to_who_goes(task: Task, interrupted: Iterable[str]) -> Fault:
    return f"task {task.id} is placed on {task.instance}, which goes" if task.instance in interrupted else None


def who_goes_is_empty(instance: Instance, tasks: Sequence[Task]) -> Fault:
    """At the end: all that was there has stopped."""
    if instance.interruption is not None and tasks:
        return f"{instance.id} goes, and still has {tasks[0].id}, which is {tasks[0].last_status}"
    return None


def what_goes_with_its_host_goes_on_elsewhere(task: Task, is_replaced: bool) -> Fault:
    wanted = bool(task.launch.on_disconnect) and is_interrupted(task.stop_code)
    wanted &= task.launch.job is None and task.launch.service is None  # which see to that themselves
    if wanted == is_replaced or task.stop_code not in (*STOP_CODES.values(), "UserInitiated"):
        return None
    return f"task {task.id} ended with {task.stop_code} and is {'' if is_replaced else 'not '}replaced"


def is_over_in_time(box: Box, now: float, ends_at: float) -> Fault:
    if now > ends_at:
        return f"{box.id} of task {box.task} ended {now - ends_at:.1f} s after its host's time"
    return None


def no_false_loss(task: Task, silent_seconds: float, led_seconds: float, deadline_seconds: float) -> Fault:
    """Nobody is given up who was heard within the deadline, nor before a new leader has listened for as long."""
    if min(silent_seconds, led_seconds) < deadline_seconds - BEGINNING_SECONDS:
        heard = f"{task.instance} was heard {silent_seconds:.1f} s ago by who leads for {led_seconds:.1f} s"
        return f"task {task.id} is lost, and {heard}; the deadline is {deadline_seconds:.1f} s"
    return None


def capacity_holds(instance: Instance, held: Iterable[tuple[Task, Resources]]) -> Fault:
    """Counted from the tasks that are not STOPPED, never from a stored sum."""
    cpu = memory = 0
    ports: Counter[tuple[str, int]] = Counter()
    gpus: Counter[str] = Counter()
    for task, wanted in held:
        cpu, memory = cpu + wanted.cpu, memory + wanted.memory_mib
        for port in wanted.ports:
            ports.update((port.protocol, number) for number in range(port.first, port.last + 1))
        for ids in (task.gpu_ids or {}).values():
            gpus.update(dict.fromkeys(ids, wanted.gpu_milli))
    if cpu > instance.cpu or memory > instance.memory_mib:
        return f"{instance.id} has {instance.cpu} cpu, {instance.memory_mib} MiB; given are {cpu}, {memory}"
    if twice := [port for port, owners in ports.items() if owners > 1]:
        return f"{instance.id}: port {twice[0]} has {ports[twice[0]]} owners"
    if over := [gpu for gpu, milli in gpus.items() if milli > 1000 or gpu not in instance.gpu_ids]:
        return f"{instance.id}: gpu {over[0]} is given {gpus[over[0]]} thousandths"
    return None


def tables_are_what_the_store_holds(tables: Tables, stored: Tables) -> Fault:
    """Applying the history and loading the store are the same."""
    mine = {task.id: task for task in tables.tasks()}
    theirs = {task.id: task for task in stored.tasks()}
    if different := [name for name in {**mine, **theirs} if mine.get(name) != theirs.get(name)]:
        return f"task {different[0]} is {mine.get(different[0])} in the tables, {theirs.get(different[0])} in the store"
    for what in ("instances", "definitions", "clusters", "tokens"):
        if getattr(tables, what) != getattr(stored, what):
            return f"the {what} of the tables and of the store differ"
    return jobs_are_what_the_store_holds(tables.batch, stored.batch) or services_are_what_the_store_holds(
        tables, stored
    )


def a_stranger_is_left_alone(box: Box, instance: str, own: Mapping[str, str]) -> Fault:
    if all(box.labels.get(name) == value for name, value in own.items()):
        return None
    return f"the agent of {instance} touches {box.name}, which is not its own"


def few_come_at_once(crowd: Sequence[str], hosts: int) -> Fault:
    """After a long outage agents come back spread over time: `crowd` are those that dial within a moment."""
    if len(crowd) > max(6, hosts * 2 // 3):
        return f"{len(crowd)} of {hosts} agents dial at once"
    return None


def first(faults: Iterable[Any]) -> Fault:
    return next((fault for fault in faults if fault), None)
