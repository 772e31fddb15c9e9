"""Tasks: run, start, stop, describe, list."""

import asyncio
import hashlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from itertools import groupby
from typing import Any

import msgspec
from shoal import arn, awsjson
from shoal.problems import Problem
from shoal.rpc import Identity
from shoal.v1 import resource_pb2
from shoal.v1 import task_pb2 as pb

from shoal_scheduler.api import convert, usage
from shoal_scheduler.api.fields import (
    bounded,
    check_expression,
    cluster_name,
    existing_cluster,
    refuse,
    required,
    tags_of,
)
from shoal_scheduler.api.instances import instance_id
from shoal_scheduler.api.pages import page_of_sorted
from shoal_scheduler.api.remembered import Remembered
from shoal_scheduler.api.sizes import check_answer
from shoal_scheduler.api.status import status_of
from shoal_scheduler.api.validate_run_task import (
    REQUEST_BYTES_MAX,
    run_task_problems,
    run_task_warnings,
    runnable_problems,
    start_task_problems,
)
from shoal_scheduler.api.validate_values import one_of, size_problems
from shoal_scheduler.api.waiting import WaitingReasons
from shoal_scheduler.control import host_loss
from shoal_scheduler.control import inputs as i
from shoal_scheduler.control.definitions import find
from shoal_scheduler.control_plane import ControlPlane
from shoal_scheduler.engine import now_millis
from shoal_scheduler.model.ask import Strategy
from shoal_scheduler.model.definition import Definition
from shoal_scheduler.model.refusal import invalid_field
from shoal_scheduler.model.task import Launch, Task, TaskKey
from shoal_scheduler.model.usage import so_far
from shoal_scheduler.state.tables import Tables
from shoal_scheduler.traces import Span

# Tasks described in the answer of RunTask; the others are named by their ids.
TASKS_IN_ANSWER_MAX = 100
BYTES_IN_ANSWER_MAX = 1024 * 1024
RUN_TASKS_IN_FLIGHT_MAX = 1000


async def run(plane: ControlPlane, request: pb.RunTaskRequest, _caller: Identity) -> pb.RunTaskResponse:
    received = time.time_ns() // 1000
    refuse(size_problems(request.ByteSize(), REQUEST_BYTES_MAX), "InvalidParameterException")
    document = awsjson.to_document(request)
    refuse(run_task_problems(document, _definition(plane, request, document)), "InvalidParameterException")
    launched = await plane.engine.submit(run_task_input(request, document))
    assert isinstance(launched, i.Launched)
    _trace(plane, launched, received)
    return _answer(plane.tables, launched, document)


async def run_stream(
    plane: ControlPlane, requests: AsyncIterator[pb.RunTasksRequest], caller: Identity
) -> AsyncGenerator[pb.RunTasksResponse]:
    """Every submission on its own: a refused one is answered with its error and the stream goes on. Who does not
    read the answers is not listened to either."""
    answers: asyncio.Queue[pb.RunTasksResponse | None] = asyncio.Queue()
    room = asyncio.Semaphore(RUN_TASKS_IN_FLIGHT_MAX)
    running: set[asyncio.Task[None]] = set()

    async def one(request: pb.RunTasksRequest) -> None:
        answer = pb.RunTasksResponse(sequence=request.sequence)
        try:
            answer.response.CopyFrom(check_answer(await run(plane, request.request, caller)))
        except Exception as error:
            answer.error.CopyFrom(status_of(error))
        answers.put_nowait(answer)

    async def read() -> None:
        try:
            async for request in requests:
                await room.acquire()
                submission = asyncio.create_task(one(request))
                running.add(submission)
                submission.add_done_callback(running.discard)
        finally:
            if running:
                await asyncio.wait(running)
            answers.put_nowait(None)

    reading = asyncio.create_task(read())
    try:
        while (answer := await answers.get()) is not None:
            yield answer
            room.release()
        await reading
    finally:
        for task in (reading, *running):
            task.cancel()


async def start(plane: ControlPlane, request: pb.StartTaskRequest, _caller: Identity) -> pb.StartTaskResponse:
    """One task on each named instance: the caller is the scheduler."""
    refuse(size_problems(request.ByteSize(), REQUEST_BYTES_MAX), "InvalidParameterException")
    document = awsjson.to_document(request)
    refuse(start_task_problems(document, _definition(plane, request, document)), "InvalidParameterException")
    launched = await plane.engine.submit(run_task_input(request, document, tuple(request.container_instances)))
    assert isinstance(launched, i.Launched)
    answer = _answer(plane.tables, launched, document)
    return pb.StartTaskResponse(tasks=answer.tasks, failures=answer.failures, warnings=answer.warnings)


def _definition(
    plane: ControlPlane, request: pb.RunTaskRequest | pb.StartTaskRequest, document: dict[str, Any]
) -> dict[str, Any] | None:
    """The definition that would run, which must be runnable. None for a repeated request: whatever has become of
    its definition since, it gets the answer it got."""
    name = required(request, "task_definition", "taskDefinition")
    if plane.tables.launch_by_token(cluster_name(request), document.get("clientToken", "")):
        return None
    definition = find(plane.tables, name)
    refuse(_runnable_problems.of(definition.name, definition))
    return definition.document


def _problems_of(definition: Definition) -> list[Problem]:
    return runnable_problems(definition.document)


_runnable_problems = Remembered(_problems_of)


def run_task_input(
    request: pb.RunTaskRequest | pb.StartTaskRequest, document: dict[str, Any], instances: tuple[str, ...] = ()
) -> i.RunTask:
    constraints = document.get("placementConstraints", ())
    for number, constraint in enumerate(constraints):
        if constraint["type"] == "memberOf":
            check_expression(f"placementConstraints[{number}].expression", constraint["expression"])
    token = document.get("clientToken", "")
    return i.RunTask(
        cluster=cluster_name(request),
        definition=request.task_definition,
        count=document.get("count", 1),
        group=request.group,
        started_by=request.started_by,
        launch_type=document.get("launchType", "EC2"),
        overrides=document.get("overrides", {}),
        tags=tags_of(request.tags),
        propagate_tags=request.propagate_tags == "TASK_DEFINITION",
        expressions=tuple(c["expression"] for c in constraints if c["type"] == "memberOf"),
        distinct_instance=any(c["type"] == "distinctInstance" for c in constraints),
        strategies=tuple(map(strategy_of, document.get("placementStrategy", ()))),
        enable_execute_command=request.enable_execute_command,
        client_token=token,
        request_digest=digest_of(document) if token else "",
        instances=instances,
        queue=document.get("queue", False),
        on_disconnect=document.get("onDisconnect", ""),
    )


def strategy_of(document: dict[str, Any]) -> Strategy:
    """The services take the fields of binpack in any case and print them in lower case."""
    field = document.get("field", "")
    return Strategy(document["type"], field.lower() if document["type"] == "binpack" else field)


def digest_of(document: dict[str, Any]) -> str:
    """Of what is asked for, whatever the token."""
    asked = {name: value for name, value in document.items() if name != "clientToken"}
    return hashlib.sha256(msgspec.json.encode(asked, order="sorted")).hexdigest()[:32]


def _answer(tables: Tables, launched: i.Launched, document: dict[str, Any]) -> pb.RunTaskResponse:
    answer = pb.RunTaskResponse(failures=convert.failure_messages(launched.failures))
    if launched.launch is not None:
        _describe_first(tables, launched.launch, launched.tasks, answer)
        answer.task_id_ranges.add(prefix=launched.launch.id, first=0, last=launched.launch.count - 1)
    for warning in run_task_warnings(document):
        answer.warnings.add(field=warning.field, message=warning.message)
    return answer


def _describe_first(tables: Tables, launch: Launch, tasks: Sequence[Task], answer: pb.RunTaskResponse) -> None:
    """The first ones, as many as an answer has room for."""
    of_launch = convert.launch_fields(tables, launch)
    room_bytes = BYTES_IN_ANSWER_MAX
    for task in tasks[:TASKS_IN_ANSWER_MAX]:
        newest = tables.task(task.key) or task
        described = answer.tasks.add(**convert.task_fields(tables, newest, of_launch, with_tags=True))
        room_bytes -= described.ByteSize()
        if room_bytes < 0:
            if len(answer.tasks) > 1:
                del answer.tasks[-1]
            return


def _trace(plane: ControlPlane, launched: i.Launched, received_micros: int) -> None:
    span = Span("scheduler.run_task", received_micros, time.time_ns() // 1000 - received_micros)
    for task in launched.tasks[:TASKS_IN_ANSWER_MAX]:
        plane.traces.add(task.key, [span])


async def stop(plane: ControlPlane, request: pb.StopTaskRequest, _caller: Identity) -> pb.StopTaskResponse:
    name = required(request, "task", "task")
    if len(request.reason) > 1024:
        raise invalid_field("reason", "has at most 1024 characters.")
    task = await plane.engine.submit(i.StopTask(cluster_name(request), name, request.reason))
    assert isinstance(task, Task)
    return pb.StopTaskResponse(task=convert.task_message(plane.tables, task))


async def describe(
    plane: ControlPlane, request: pb.DescribeTasksRequest, _caller: Identity
) -> pb.DescribeTasksResponse:
    cluster = existing_cluster(plane, request)
    response, reasons = pb.DescribeTasksResponse(), WaitingReasons(plane.tables)
    for name in bounded(request.tasks, "tasks"):
        key = TaskKey.parse(arn.short(name))
        task = plane.tables.task(key) if key else None
        if key is None or task is None or task.launch.cluster != cluster.name:
            response.failures.append(resource_pb2.Failure(arn=name, reason="MISSING"))
            continue
        trace = plane.traces.of(key) if "TRACE" in request.include else ()
        message = convert.task_message(plane.tables, task, with_tags="TAGS" in request.include, trace=trace)
        message.usage.CopyFrom(usage.message(so_far(task, plane.tables.resources(key.launch), now_millis())))
        if task.last_status == "PROVISIONING":
            message.waiting_reason = await reasons.of(task)
        elif not task.is_stopped and task.instance not in plane.tables.sessions:
            message.disconnect_reason = _disconnect_reason(plane, task)
        response.tasks.append(message)
    return response


def _disconnect_reason(plane: ControlPlane, task: Task) -> str:
    engine = plane.engine
    since, now = engine.heard.silent_since(task.instance), engine.clock()
    return host_loss.outlook(plane.tables, task, since, now, engine.now())


async def list_all(plane: ControlPlane, request: pb.ListTasksRequest, _caller: Identity) -> pb.ListTasksResponse:
    """Oldest first. As in ECS, stopped tasks are listed only when asked for with desiredStatus STOPPED."""
    cluster = existing_cluster(plane, request)
    desired = request.desired_status or "RUNNING"
    refuse(one_of("desiredStatus", desired, ("RUNNING", "PENDING", "STOPPED")), "InvalidParameterException")
    instance = instance_id(plane, cluster.name, request.container_instance) if request.container_instance else ""

    def found(after: str) -> Iterator[tuple[str, str]]:
        for task in _tasks(plane.tables, cluster.name, request, _time_in(after)):
            if task.desired_status == desired and instance in ("", task.instance):
                yield _sort_key(task), arn.task_arn(cluster.name, task.id)

    arns, token = page_of_sorted(found, request)
    return pb.ListTasksResponse(task_arns=arns, next_token=token or None)


# Of a time in milliseconds, for a few thousand years.
MILLIS_DIGITS = 14


def _sort_key(task: Task) -> str:
    return f"{task.launch.created_at:0{MILLIS_DIGITS}d}{task.id}"


def _time_in(key: str) -> int:
    """A token may be forged: 0 for what is no key."""
    digits = key[:MILLIS_DIGITS]
    return int(digits) if digits.isascii() and digits.isdigit() else 0


def _tasks(tables: Tables, cluster: str, request: pb.ListTasksRequest, since: int) -> Iterator[Task]:
    """Of submissions from `since` on, the oldest first. The tables have them in the order of their times; those of
    the same time are put in the order of their ids here."""
    fitting = (
        e for e in tables.launches.values() if e.launch.created_at >= since and _fits(e.launch, cluster, request)
    )
    for _, entries in groupby(fitting, key=lambda entry: entry.launch.created_at):
        for entry in sorted(entries, key=lambda entry: entry.launch.id):
            yield from (entry.tasks[index] for index in sorted(entry.tasks))


def _fits(launch: Launch, cluster: str, request: pb.ListTasksRequest) -> bool:
    return (
        launch.cluster == cluster
        and request.family in ("", launch.definition.rpartition(":")[0])
        and request.started_by in ("", launch.started_by)
        and request.group in ("", launch.group)
        and request.launch_type in ("", launch.launch_type)
        and _is_of(launch, request.service_name)
        and not request.daemon_name
    )


def _is_of(launch: Launch, service: str) -> bool:
    """By the service's name or ARN; "" is any."""
    return not service or (launch.service is not None and launch.service.service == arn.short(service))
