"""The control plane as one function: (tables, inputs, now, ids, chance) -> (changes, replies).

It takes inputs in order until what they touch fills a transaction; the rest waits for the next step. Each input is
answered on its own: a refused one changes nothing and disturbs no other.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from shoal.interruption import is_interrupted

from shoal_scheduler.control import (
    alarms,
    clusters,
    definitions,
    host_loss,
    instances,
    interruption,
    joining,
    queue,
    run_task,
    tags,
    tasks,
    usage,
)
from shoal_scheduler.control import inputs as i
from shoal_scheduler.control.context import Context, Outcome
from shoal_scheduler.model.refusal import Refused
from shoal_scheduler.model.task import TaskKey
from shoal_scheduler.state.changes import Change, SetUnsettled
from shoal_scheduler.state.keys import TASKS_PER_CHUNK
from shoal_scheduler.state.overlay import Overlay
from shoal_scheduler.state.tables import Tables

# With what RunTask may carry at its longest, a step of as many keys is still within the 1.5 MiB that etcd takes.
KEYS_PER_STEP = 255

# The most that any other input touches, or a launch that waits: a launch of 10,000 tasks and its 40 chunks.
KEYS_PER_INPUT = 41

# The sums of a task that ends: of this month, and of the last if it began there.
USAGE_KEYS = 2

# etcd takes 1.5 MiB a request; 10,000 tasks are about 0.8 MiB.
TASKS_PER_STEP = 4_000


class Fault(NamedTuple):
    """A rule failed: a fault of this program. On an input it is answered to that caller alone."""

    error: Exception


class Step(NamedTuple):
    changes: Sequence[Change]

    # One for each of the first inputs; the inputs beyond wait.
    replies: Sequence[i.Reply | Refused | Fault]

    # Queues that could not be looked at; they are again when something changes there.
    faults: Sequence[Fault] = ()


Rule = Callable[[Overlay, Any, Context], Outcome]

RULES: dict[type, Rule] = {
    i.RegisterTaskDefinition: definitions.register,
    i.DeregisterTaskDefinition: definitions.deregister,
    i.DeleteTaskDefinitions: definitions.delete,
    i.RunTask: run_task.run,
    i.StopTask: tasks.stop,
    i.PutClusterDocument: clusters.put,
    i.DeleteCluster: clusters.delete,
    i.UpdateInstances: instances.update_state,
    i.DeregisterInstance: instances.deregister,
    i.ChangeAttributes: instances.change_attributes,
    i.ChangeTags: tags.change,
    i.AgentHello: instances.hello,
    i.SessionClosed: instances.session_closed,
    i.EngineHealth: instances.engine_health,
    i.InterruptionNoticed: interruption.notice,
    i.ImagesHeld: instances.images_held,
    i.CopySeen: joining.copy_seen,
    i.CreateJoinToken: joining.create_token,
    i.UseJoinToken: joining.use_token,
    i.RevokeJoinToken: joining.revoke_token,
    i.RevokeInstance: joining.revoke_instance,
    i.PutAlarm: alarms.put,
    i.DeleteAlarms: alarms.delete,
    i.SetAlarmState: alarms.set_state,
    i.EnableAlarmActions: alarms.enable,
    i.AlarmDelivered: alarms.delivered,
    i.TaskReport: tasks.report,
}


def step(tables: Tables, inputs: Sequence[i.Input], context: Context, due: Sequence[Change] = ()) -> Step:
    """`due` are changes that time itself asks for. Nothing is mutated."""
    overlay = Overlay(tables)
    overlay.propose([*due, *usage.accrued(overlay, due)])
    # The first input is taken whatever it needs: room for it is left.
    overlay, faults = _wake(tables, overlay, overlay.unsettled, context, KEYS_PER_STEP - 2 * KEYS_PER_INPUT)
    replies: list[i.Reply | Refused | Fault] = []
    for request in inputs:
        if replies and not _has_room(overlay, request):
            break
        try:
            outcome = RULES[type(request)](overlay, request, context)
        except Refused as refused:
            replies.append(refused)
            continue
        except Exception as error:
            # One poisonous input must not stop the control plane for everybody; what it took is given back.
            overlay = _again(tables, overlay)
            replies.append(Fault(error))
            continue
        ended = () if outcome.placed else usage.accrued(overlay, outcome.changes)
        overlay.propose(outcome.changes, placed=outcome.placed)
        overlay.propose(ended)
        replies.append(outcome.reply)
    overlay, more = _wake(tables, overlay, list(overlay.stirred), context, KEYS_PER_STEP - KEYS_PER_INPUT)
    return Step(overlay.changes, replies, (*faults, *more))


def _wake(
    tables: Tables, overlay: Overlay, clusters: Sequence[str], context: Context, keys_max: int
) -> tuple[Overlay, list[Fault]]:
    """What waits for room, where something changed. A queue that cannot be looked at stops nothing else."""
    faults = []
    for cluster in clusters:
        if not (overlay.waiting(cluster) or overlay.held(cluster)):
            continue
        try:
            queue.wake(overlay, cluster, context, keys_max)
        except Exception as error:
            overlay = _again(tables, overlay)
            overlay.propose([SetUnsettled(cluster, False)])  # or the next step would come at once, and fail again
            faults.append(Fault(error))
    return overlay, faults


def _has_room(overlay: Overlay, request: i.Input) -> bool:
    """Whether the transaction has room for whatever comes of the request."""
    match request:
        case i.RunTask(count=count):
            keys = 1 + -(-count // TASKS_PER_CHUNK)
        case i.TaskReport(last_status="STOPPED") if _may_be_replaced(overlay, request):
            keys = 3 + USAGE_KEYS
        case i.TaskReport():
            keys = 1 + USAGE_KEYS
        case i.AgentHello() | i.SessionClosed() | i.EngineHealth() | i.InterruptionNoticed():
            keys = 1
        case i.StopTask() | i.UseJoinToken():
            keys = 1
        case i.ImagesHeld():
            keys = 0
        case _:
            keys = KEYS_PER_INPUT
    return len(overlay.touched) + keys <= KEYS_PER_STEP and len(overlay.changes) < TASKS_PER_STEP


def _may_be_replaced(overlay: Overlay, report: i.TaskReport) -> bool:
    """Who says why it ended says so; else it was as it was asked to end."""
    code = report.stop_code
    if not code and (key := TaskKey.parse(report.task)) is not None and (task := overlay.task(key)) is not None:
        code = task.stop_code
    return code == host_loss.HOST_LOST or is_interrupted(code)


def _again(tables: Tables, overlay: Overlay) -> Overlay:
    """The same proposals, counted anew."""
    fresh = Overlay(tables)
    fresh.propose(overlay.changes)
    return fresh
