"""ExplainPlacement: why a task waits, or where tasks would go if they were run now."""

from typing import Any

from shoal import awsjson
from shoal.rpc import Identity
from shoal.v1 import placement_pb2 as pb
from shoal.v1 import task_pb2

from shoal_scheduler.api import explain_convert as convert
from shoal_scheduler.api.definitions import checked_document
from shoal_scheduler.api.fields import cluster_name, existing_cluster, refuse, required
from shoal_scheduler.api.tasks import run_task_input
from shoal_scheduler.api.validate_run_task import (
    REQUEST_BYTES_MAX,
    run_task_problems,
    run_task_warnings,
    runnable_problems,
)
from shoal_scheduler.api.validate_task_definition import CPU_UNITS_MIN
from shoal_scheduler.api.validate_values import size_problems
from shoal_scheduler.control.definitions import find as find_definition
from shoal_scheduler.control.explain import dry_run, why_waiting
from shoal_scheduler.control.run_task import active_definition
from shoal_scheduler.control.tasks import find as find_task
from shoal_scheduler.control_plane import ControlPlane
from shoal_scheduler.model.definition import Definition
from shoal_scheduler.model.refusal import invalid_field
from shoal_scheduler.placement.demands import Least
from shoal_scheduler.state.overlay import Overlay


async def explain(
    plane: ControlPlane, request: pb.ExplainPlacementRequest, _caller: Identity
) -> pb.ExplainPlacementResponse:
    is_run = request.HasField("run_task") or request.HasField("task_definition")
    if request.task and is_run:
        raise invalid_field("task", "is one thing to explain, and runTask or taskDefinition another; ask for one.")
    if is_run:
        return _of_run(plane, request)
    return _of_task(plane, request)


def _of_task(plane: ControlPlane, request: pb.ExplainPlacementRequest) -> pb.ExplainPlacementResponse:
    required(request, "task", "task")
    view = Overlay(plane.tables)
    task = find_task(view, existing_cluster(plane, request).name, request.task)
    if task.instance or task.is_stopped:
        return convert.of_placed(plane.tables, task)
    definition = find_definition(view, task.launch.definition)
    least = _least(definition.document, task.launch.overrides)
    return convert.of_waiting(plane.tables, task, why_waiting(plane.tables, task, least))


def _of_run(plane: ControlPlane, request: pb.ExplainPlacementRequest) -> pb.ExplainPlacementResponse:
    run = task_pb2.RunTaskRequest()
    run.CopyFrom(request.run_task)
    _agree_on_the_cluster(request, run)
    refuse(size_problems(run.ByteSize(), REQUEST_BYTES_MAX), "InvalidParameterException")
    definition = _definition(plane, request, run)
    refuse(runnable_problems(definition.document))
    document = awsjson.to_document(run)
    refuse(run_task_problems(document, definition.document), "InvalidParameterException")
    asked = run_task_input(run, document)
    planned = dry_run(plane.tables, asked, definition, _least(definition.document, asked.overrides))
    answer = convert.of_dry_run(plane.tables, asked, planned)
    for warning in run_task_warnings(document):
        answer.warnings.add(field=warning.field, message=warning.message)
    return answer


def _agree_on_the_cluster(request: pb.ExplainPlacementRequest, run: task_pb2.RunTaskRequest) -> None:
    """Either may name it."""
    if not run.cluster:
        run.cluster = request.cluster
    elif request.cluster and cluster_name(request) != cluster_name(run):
        raise invalid_field("cluster", "is not the one that runTask names; leave out one of them.")
    if not run.cluster:
        run.ClearField("cluster")


def _definition(plane: ControlPlane, request: pb.ExplainPlacementRequest, run: task_pb2.RunTaskRequest) -> Definition:
    """What would run: the definition that is given, as if it were registered, or the one that is named."""
    if not request.HasField("task_definition"):
        return active_definition(Overlay(plane.tables), required(run, "task_definition", "taskDefinition"))
    document, tags = checked_document(request.task_definition)
    run.task_definition = document["family"]
    return Definition(family=document["family"], revision=0, registered_at=0, document=document, tags=tags)


def _least(document: dict[str, Any], overrides: dict[str, Any]) -> Least:
    """A task's own cpu has a minimum; that of a container has none."""
    return Least(cpu=CPU_UNITS_MIN) if overrides.get("cpu") or document.get("cpu") else Least()
