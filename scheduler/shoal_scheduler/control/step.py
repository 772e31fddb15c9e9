"""The control plane as one function: (tables, inputs, now, ids, chance) -> (changes, replies).

It takes inputs in order until what they touch fills a transaction; the rest waits for the next step. Each input is
answered on its own: a refused one changes nothing and disturbs no other.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from shoal.interruption import is_interrupted

from shoal_scheduler.control import (
    alarm_inputs,
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
from shoal_scheduler.control.autoscaling.rules import AUTOSCALING_RULES
from shoal_scheduler.control.batch import follow, job_inputs, start, stopping, submit, time_limits
from shoal_scheduler.control.batch.queue_look import CannotStart
from shoal_scheduler.control.batch.rules import BATCH_RULES
from shoal_scheduler.control.context import Context, Outcome
from shoal_scheduler.control.rebalance.rules import REBALANCE_RULES
from shoal_scheduler.control.services import follow as service_follow
from shoal_scheduler.control.services import reconcile
from shoal_scheduler.control.services.rules import SERVICE_RULES
from shoal_scheduler.control.traffic import inputs as traffic
from shoal_scheduler.control.traffic.rules import TRAFFIC_RULES
from shoal_scheduler.model.refusal import Refused
from shoal_scheduler.model.task import TaskKey
from shoal_scheduler.state.batch_changes import SetAside
from shoal_scheduler.state.changes import Change, SetUnsettled
from shoal_scheduler.state.keys import TASKS_PER_CHUNK
from shoal_scheduler.state.overlay import Overlay
from shoal_scheduler.state.service_tables import SetServiceLooked
from shoal_scheduler.state.tables import Tables

# With what RunTask may carry at its longest, a step of as many keys is still within the 1.5 MiB that etcd takes.
KEYS_PER_STEP = 255

# The most that any other input touches, or a launch that waits: a launch of 10,000 tasks and its 40 chunks.
KEYS_PER_INPUT = 41

# For what follows for jobs from others, at the beginning of a step: whatever else time asks for.
KEYS_FOR_JOBS = 60
JOBS_PER_STEP = 500

# For services that are looked at, after the jobs; one that cannot be looked at is again after so long.
KEYS_FOR_SERVICES = 60
SERVICES_PER_STEP = 200
LOOK_AGAIN_MILLIS = 10_000

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
    alarm_inputs.PutAlarm: alarms.put,
    alarm_inputs.DeleteAlarms: alarms.delete,
    alarm_inputs.SetAlarmState: alarms.set_state,
    alarm_inputs.EnableAlarmActions: alarms.enable,
    alarm_inputs.AlarmDelivered: alarms.delivered,
    i.TaskReport: tasks.report,
    job_inputs.SubmitJob: submit.submit,
    job_inputs.CancelJob: stopping.cancel,
    job_inputs.TerminateJob: stopping.terminate,
    **BATCH_RULES,
    **REBALANCE_RULES,
    **SERVICE_RULES,
    **TRAFFIC_RULES,
    **AUTOSCALING_RULES,
}


def step(
    tables: Tables, inputs: Sequence[i.Input], context: Context, due: Sequence[Change] = (), *, alone: bool = False
) -> Step:
    """`due` are changes that time itself asks for. `alone`: only what the inputs ask for. Nothing is mutated."""
    overlay = Overlay(tables)
    _carry_out(overlay, due, context)
    overlay, stuck = _look_at_jobs(tables, overlay, context) if not alone else (overlay, [])
    overlay, unseen = _look_at_services(tables, overlay, context) if not alone else (overlay, [])
    # The first input is taken whatever it needs: room for it is left.
    overlay, faults = _wake(tables, overlay, overlay.unsettled, context, KEYS_PER_STEP - 2 * KEYS_PER_INPUT)
    overlay, failed = _start_jobs(tables, overlay, context) if not alone else (overlay, [])
    replies: list[i.Reply | Refused | Fault] = []
    for request in inputs:
        if replies and not _has_room(overlay, request):
            break
        before = len(overlay.changes)
        try:
            outcome = RULES[type(request)](overlay, request, context)
            _carry_out(overlay, outcome.changes, context, placed=outcome.placed)
        except Refused as refused:
            replies.append(refused)
            continue
        except Exception as error:
            # One poisonous input must not stop the control plane for everybody; what it took is given back.
            overlay = _again(tables, overlay.changes[:before])
            replies.append(Fault(error))
            continue
        replies.append(outcome.reply)
    overlay, more = _wake(tables, overlay, list(overlay.stirred), context, KEYS_PER_STEP - KEYS_PER_INPUT)
    return Step(overlay.changes, replies, (*stuck, *unseen, *faults, *failed, *more))


def _carry_out(overlay: Overlay, changes: Sequence[Change], context: Context, *, placed: bool = False) -> None:
    """Proposes the changes, and what it means that tasks end by them, or begin to run."""
    accrued = () if placed else usage.accrued(overlay, changes)
    ended = () if placed else follow.ending_now(overlay, changes)
    turns = () if placed else service_follow.turning_now(overlay, changes)
    overlay.propose(changes, placed=placed)
    overlay.propose(accrued)
    follow.ended(overlay, ended, context)
    service_follow.turned(overlay, turns, context)


def _look_at_jobs(tables: Tables, overlay: Overlay, context: Context) -> tuple[Overlay, list[Fault]]:
    """What time asks for of them, and what follows for them from others. One that cannot be looked at stops nothing
    else."""
    faults = []
    keys_max = len(overlay.touched) + KEYS_FOR_JOBS
    time_limits.enforce(overlay, context, keys_max)
    for job in overlay.batch.unsettled(JOBS_PER_STEP):
        if overlay.is_full(keys_max):
            break
        before = len(overlay.changes)
        try:
            follow.settle(overlay, job, context, keys_max)
        except Exception as error:
            overlay = _again(tables, overlay.changes[:before])
            overlay.propose([SetAside(job)])  # or the next step would come at once, and fail again
            faults.append(Fault(error))
    return overlay, faults


def _look_at_services(tables: Tables, overlay: Overlay, context: Context) -> tuple[Overlay, list[Fault]]:
    """Those of which something changed, or for which it is time. One that cannot be looked at stops nothing else."""
    faults = []
    keys_max = len(overlay.touched) + KEYS_FOR_SERVICES
    for service in overlay.services_to_look_at(context.now, SERVICES_PER_STEP):
        if overlay.is_full(keys_max):
            break
        before = len(overlay.changes)
        try:
            reconcile.look(overlay, service, context, keys_max)
        except Exception as error:
            overlay = _again(tables, overlay.changes[:before])
            overlay.propose([SetServiceLooked(service, context.now + LOOK_AGAIN_MILLIS)])
            faults.append(Fault(error))
    return overlay, faults


def _wake(
    tables: Tables, overlay: Overlay, clusters: Sequence[str], context: Context, keys_max: int
) -> tuple[Overlay, list[Fault]]:
    """What waits for room, where something changed. A queue that cannot be looked at stops nothing else."""
    faults = []
    for cluster in clusters:
        if not (overlay.waiting(cluster) or overlay.held(cluster)):
            continue
        before = len(overlay.changes)
        try:
            queue.wake(overlay, cluster, context, keys_max)
        except Exception as error:
            overlay = _again(tables, overlay.changes[:before])
            overlay.propose([SetUnsettled(cluster, False)])  # or the next step would come at once, and fail again
            faults.append(Fault(error))
    return overlay, faults


def _start_jobs(tables: Tables, overlay: Overlay, context: Context) -> tuple[Overlay, list[Fault]]:
    """What of the jobs can start, after the ordinary tasks that wait: as things were when the step began. So a job that
    comes back to its place because a task of it is over stands there before the room of that task is given away."""
    before = len(overlay.changes)
    try:
        start.start(overlay, context, KEYS_PER_STEP - 2 * KEYS_PER_INPUT)
    except CannotStart as error:
        overlay = _again(tables, overlay.changes[:before])
        overlay.propose([SetAside(error.job, waits=True)])  # the next step looks at the others
        return overlay, [Fault(error)]
    except Exception as error:
        overlay = _again(tables, overlay.changes[:before])
        overlay.propose(start.settled(overlay))
        return overlay, [Fault(error)]
    return overlay, []


def _has_room(overlay: Overlay, request: i.Input) -> bool:
    """Whether the transaction has room for whatever comes of the request."""
    match request:
        case i.RunTask(count=count):
            keys = 1 + -(-count // TASKS_PER_CHUNK)
        case i.TaskReport(last_status="STOPPED") if _may_be_replaced(overlay, request):
            keys = 3 + USAGE_KEYS + follow.KEYS_PER_END
        case i.TaskReport():
            keys = 1 + USAGE_KEYS + follow.KEYS_PER_END
        case job_inputs.SubmitJob():
            keys = 2
        case job_inputs.CancelJob() | job_inputs.TerminateJob():
            keys = 1 + follow.KEYS_PER_END
        case i.AgentHello() | i.SessionClosed() | i.EngineHealth() | i.InterruptionNoticed():
            keys = 1
        case i.StopTask() | i.UseJoinToken():
            keys = 1
        case i.ImagesHeld() | traffic.ReportTargets():
            keys = 0
        case _:
            keys = KEYS_PER_INPUT
    is_light = len(overlay.changes) < TASKS_PER_STEP and not overlay.is_full(KEYS_PER_STEP)
    return is_light and len(overlay.touched) + keys <= KEYS_PER_STEP


def _may_be_replaced(overlay: Overlay, report: i.TaskReport) -> bool:
    """Who says why it ended says so; else it was as it was asked to end."""
    code = report.stop_code
    if not code and (key := TaskKey.parse(report.task)) is not None and (task := overlay.task(key)) is not None:
        code = task.stop_code
    return code == host_loss.HOST_LOST or is_interrupted(code)


def _again(tables: Tables, changes: Sequence[Change]) -> Overlay:
    """These proposals, counted anew."""
    fresh = Overlay(tables)
    fresh.propose(changes)
    return fresh
