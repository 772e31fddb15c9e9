"""The protection of tasks of services: update, get."""

from shoal import arn
from shoal.rpc import Identity
from shoal.v1 import agent_pb2, resource_pb2
from shoal.v1 import service_pb2 as pb

from shoal_scheduler.api import convert
from shoal_scheduler.api.fields import bounded, existing_cluster, refuse
from shoal_scheduler.api.validate_values import between
from shoal_scheduler.control.services import inputs as i
from shoal_scheduler.control.services.protection import MISSING, NOT_VALID, ONLY_SERVICES
from shoal_scheduler.control_plane import ControlPlane
from shoal_scheduler.engine import now_millis
from shoal_scheduler.model.refusal import invalid_field
from shoal_scheduler.model.task import Task, TaskKey

UPDATED_MAX = 10
DESCRIBED_MAX = 100
MINUTES_DEFAULT, MINUTES_MAX = 120, 2880


async def update(
    plane: ControlPlane, request: pb.UpdateTaskProtectionRequest, _caller: Identity
) -> pb.UpdateTaskProtectionResponse:
    cluster = existing_cluster(plane, request)
    names = bounded(request.tasks, "tasks", UPDATED_MAX)
    if not request.HasField("protection_enabled"):
        raise invalid_field("protectionEnabled", "is required: true or false.")
    done = await plane.engine.submit(i.ProtectTasks(cluster.name, tuple(dict.fromkeys(names)), _minutes(request)))
    assert isinstance(done, i.TasksProtected)
    return pb.UpdateTaskProtectionResponse(
        protected_tasks=map(_message, done.tasks), failures=convert.failure_messages(done.failures)
    )


async def of_agent(
    plane: ControlPlane, request: agent_pb2.ProtectTaskRequest, caller: Identity
) -> agent_pb2.ProtectTaskResponse:
    """What a task asks for by the agent of its instance."""
    key = TaskKey.parse(request.task_id)
    task = plane.tables.task(key) if key is not None else None
    if task is None or task.instance != caller.name:
        return agent_pb2.ProtectTaskResponse(failure=resource_pb2.Failure(arn=request.task_id, reason=MISSING))
    if request.HasField("protection_enabled"):
        change = i.ProtectTasks(task.launch.cluster, (task.id,), _minutes(request))
        done = await plane.engine.submit(change)
        assert isinstance(done, i.TasksProtected)
        if done.failures:
            (failure,) = convert.failure_messages(done.failures)
            return agent_pb2.ProtectTaskResponse(failure=failure)
        (task,) = done.tasks
    return agent_pb2.ProtectTaskResponse(protected_task=_message(task))


def _minutes(request: pb.UpdateTaskProtectionRequest | agent_pb2.ProtectTaskRequest) -> int:
    """0 takes it away. Raises Refused."""
    minutes = request.expires_in_minutes if request.HasField("expires_in_minutes") else None
    refuse(between("expiresInMinutes", minutes, 1, MINUTES_MAX, "minutes"), "InvalidParameterException")
    if not request.protection_enabled and minutes is not None:
        raise invalid_field("expiresInMinutes", "goes with protectionEnabled true; leave it out.")
    return (minutes or MINUTES_DEFAULT) if request.protection_enabled else 0


async def get(
    plane: ControlPlane, request: pb.GetTaskProtectionRequest, _caller: Identity
) -> pb.GetTaskProtectionResponse:
    cluster, response = existing_cluster(plane, request), pb.GetTaskProtectionResponse()
    for name in bounded(request.tasks, "tasks", DESCRIBED_MAX):
        key = TaskKey.parse(arn.short(name))
        task = plane.tables.task(key) if key is not None else None
        if task is None or task.launch.cluster != cluster.name:
            response.failures.append(resource_pb2.Failure(arn=name, reason=MISSING))
        elif task.launch.service is None:
            response.failures.append(resource_pb2.Failure(arn=name, reason=NOT_VALID, detail=ONLY_SERVICES))
        else:
            response.protected_tasks.append(_message(task))
    return response


def _message(task: Task) -> pb.ProtectedTask:
    """It is over by itself when its time is."""
    until = task.protected_until if task.protected_until > now_millis() else 0
    return pb.ProtectedTask(
        task_arn=arn.task_arn(task.launch.cluster, task.id),
        protection_enabled=until > 0,
        expiration_date=until or None,
    )
