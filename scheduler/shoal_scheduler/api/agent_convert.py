"""Messages of an agent's session to inputs, and records to assignments."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from sys import intern

from shoal import arn
from shoal.v1 import agent_pb2 as pb
from shoal.v1 import command_pb2, image_pb2, log_pb2, task_pb2

from shoal_scheduler.api.agent_checks import is_custom, text
from shoal_scheduler.api.convert import definition_message, overrides_message, tag_messages
from shoal_scheduler.api.remembered import Remembered
from shoal_scheduler.control import host_loss
from shoal_scheduler.control import inputs as i
from shoal_scheduler.control.services.drain import is_draining
from shoal_scheduler.dispatch import CommandWanted, LogsWanted, PullWanted
from shoal_scheduler.model.definition import Definition
from shoal_scheduler.model.instance import Instance
from shoal_scheduler.model.interruption import Noticed
from shoal_scheduler.model.job import JobPart
from shoal_scheduler.model.task import Binding, ContainerState, Task, TaskKey
from shoal_scheduler.state.tables import Tables
from shoal_scheduler.traces import Span

ASSIGNMENTS_PER_MESSAGE = 200
DEFINITION_BYTES_PER_MESSAGE = 1024 * 1024

# Docker puts the whole output of a failed hook into an error; the reason is what begins it.
REASON_CHARACTERS_MAX = 255
STOPPED_REASON_CHARACTERS_MAX = 1024
NAME_CHARACTERS_MAX = 253
SPANS_MAX = 50


def hello_input(hello: pb.Hello, instance: str) -> i.AgentHello:
    resources = {resource.name: resource for resource in hello.resources}

    def number(name: str) -> int:
        return resources[name].integer_value if name in resources else 0

    def texts(name: str) -> Sequence[str]:
        return resources[name].string_set_value if name in resources else ()

    return i.AgentHello(
        cluster=hello.cluster,
        instance=instance,
        incarnation=hello.incarnation,
        hostname=text(hello.hostname, NAME_CHARACTERS_MAX),
        cpu=number("CPU"),
        memory_mib=number("MEMORY"),
        gpu_ids=tuple(dict.fromkeys(texts("GPU"))),
        reserved_tcp=tuple(int(port) for port in texts("PORTS")),
        reserved_udp=tuple(int(port) for port in texts("PORTS_UDP")),
        agent_version=text(hello.version_info.agent_version, NAME_CHARACTERS_MAX),
        docker_version=text(hello.version_info.docker_version, NAME_CHARACTERS_MAX),
        attributes={attribute.name: attribute.value for attribute in hello.attributes},
        tags={tag.key: tag.value for tag in hello.tags},
        custom={
            name: resource.integer_value
            for name, resource in resources.items()
            if is_custom(resource) and resource.integer_value
        },
        watchdog=hello.watchdog,
        health_status=hello.engine.engine_status or "OK",
        health_reason=text(hello.engine.engine_status_reason, REASON_CHARACTERS_MAX),
        run=hello.run_id,
        notice=_noticed(hello.interruption) if hello.HasField("interruption") else None,
    )


def notice_input(notice: pb.HostInterruption, instance: str, incarnation: int) -> i.InterruptionNoticed:
    return i.InterruptionNoticed(instance, incarnation, _noticed(notice))


def _noticed(notice: pb.HostInterruption) -> Noticed:
    return Noticed(notice.remaining_millis, text(notice.reason, REASON_CHARACTERS_MAX))


def interruption_message(instance: Instance, now: int) -> pb.HostInterruption | None:
    """What its agent is to know of it; None if it is not interrupted."""
    why = instance.interruption
    if why is None:
        return None
    words = why.words(host_loss.name_of(instance))
    return pb.HostInterruption(remaining_millis=max(0, why.deadline - now), reason=words, stop_code=why.stop_code)


def health_input(heartbeat: pb.Heartbeat, instance: str, incarnation: int) -> i.EngineHealth:
    reason = text(heartbeat.engine_status_reason, REASON_CHARACTERS_MAX)
    return i.EngineHealth(instance, incarnation, heartbeat.engine_status or "OK", reason)


def report_input(report: pb.TaskReport, instance: str, incarnation: int) -> i.TaskReport:
    return i.TaskReport(
        instance=instance,
        incarnation=incarnation,
        task=report.task_id,
        last_status=intern(report.last_status),
        containers=tuple(map(_container, report.containers)),
        pull_started_at=report.pull_started_at,
        pull_stopped_at=report.pull_stopped_at,
        started_at=report.started_at,
        execution_stopped_at=report.execution_stopped_at,
        stop_code=report.stop_code,
        stopped_reason=text(report.stopped_reason, STOPPED_REASON_CHARACTERS_MAX),
    )


def _container(message: task_pb2.Container) -> ContainerState:
    """Texts that many tasks have in common are kept once."""
    return ContainerState(
        name=intern(message.name),
        last_status=intern(message.last_status),
        runtime_id=message.runtime_id,
        exit_code=message.exit_code if message.HasField("exit_code") else None,
        reason=text(message.reason, REASON_CHARACTERS_MAX),
        image_digest=intern(message.image_digest),
        health_status=intern(message.health_status),
        bindings=tuple(
            Binding(b.container_port, b.host_port, b.protocol or "tcp", b.bind_ip or "0.0.0.0")
            for b in message.network_bindings
        ),
        restart_count=message.restart_count,
        ipv4_address=message.network_interfaces[0].private_ipv4_address if message.network_interfaces else "",
    )


def spans(messages: Iterable[task_pb2.Span]) -> list[Span]:
    return [Span(text(m.name, 64), m.start_micros, m.duration_micros) for m in islice(messages, SPANS_MAX)]


def assignment_messages(tables: Tables, keys: Iterable[TaskKey], *, full: bool) -> Iterator[bytes]:
    """The tasks in messages of bounded size, each with the definitions it names. A full set is always sent, even
    if it is empty: then the agent knows that it is to run nothing."""
    current = _Part(full)
    for key in keys:
        task = tables.task(key)
        if task is None:
            continue
        if current.is_full():
            yield current.encoded(more=full)
            current = _Part(full)
        current.add(tables, task)
    if full or current.assignments.assignments:
        yield current.encoded(more=False)


class _Part:
    """One message of assignments, to which tasks are added."""

    def __init__(self, full: bool) -> None:
        self._message = pb.SchedulerMessage(assignments=pb.Assignments(full=full))
        self._definitions: dict[str, bytes] = {}
        self._definition_bytes = 0
        self.assignments = self._message.assignments

    def is_full(self) -> bool:
        count = len(self.assignments.assignments)
        if count >= ASSIGNMENTS_PER_MESSAGE:
            return True
        if count % 10 != 9:
            return False
        return self._definition_bytes + self.assignments.ByteSize() > DEFINITION_BYTES_PER_MESSAGE

    def add(self, tables: Tables, task: Task) -> None:
        launch = task.launch
        family, _, number = launch.definition.rpartition(":")
        drains = is_draining(task)  # of which its agent is to know nothing yet
        assignment = self.assignments.assignments.add(
            task_id=task.id,
            task_arn=arn.task_arn(launch.cluster, task.id),
            task_definition_arn=arn.task_definition_arn(family, int(number)),
            desired_status="RUNNING" if drains else task.desired_status,
            last_status="RUNNING" if drains else task.last_status,
            fence=task.fence,
            group=launch.group,
            started_by=launch.started_by,
            on_disconnect=launch.on_disconnect or None,
            tags=tag_messages(launch.tags if task.tags is None else task.tags),
            images=dict(launch.service.images) if launch.service is not None else None,
            replaced_first=launch.service is not None or None,
            refresh_images=(launch.service is not None and launch.service.resolves) or None,
        )
        if launch.job is not None:
            assignment.job.CopyFrom(_job_message(launch.job, task.index))
        if launch.overrides:
            assignment.overrides.CopyFrom(overrides_message(launch))
        for container, ids in (task.gpu_ids or {}).items():
            assignment.gpu_ids[container].values.extend(ids)
        if task.stop_code and not drains:
            assignment.stop_code, assignment.stopped_reason = task.stop_code, task.stopped_reason
        definition = tables.definition(family, int(number))
        if definition is not None and launch.definition not in self._definitions:
            named = _named_definitions.of(launch.definition, definition)
            self._definitions[launch.definition] = named
            self._definition_bytes += len(named)

    def encoded(self, *, more: bool) -> bytes:
        """Messages written one after another are read as one that has what each of them has: so protobuf says."""
        if more:
            self.assignments.more = True
        return b"".join((*self._definitions.values(), self._message.SerializeToString()))


def _job_message(part: JobPart, index: int) -> pb.JobAttempt:
    """Of the launch's task of this index. What all tasks of the launch have in common is short: a child's own is its
    number alone."""
    message = pb.JobAttempt(
        job_id=part.job, job_queue=part.queue, compute_environment=part.environment, attempt=part.attempt
    )
    if part.array_size:
        message.array_size, message.array_index = part.array_size, part.child(index)
    return message


def _named_definition(definition: Definition) -> bytes:
    """The message that names this definition and has no assignments."""
    assignments = pb.Assignments(task_definitions=[definition_message(definition)])
    return pb.SchedulerMessage(assignments=assignments).SerializeToString()


_named_definitions = Remembered(_named_definition)


def forget_message(task_ids: Iterable[str]) -> pb.SchedulerMessage:
    """Tasks that are none of this instance's: to be ended and dropped."""
    return pb.SchedulerMessage(
        assignments=pb.Assignments(
            full=False,
            assignments=[pb.Assignment(task_id=task_id, desired_status="STOPPED", forget=True) for task_id in task_ids],
        )
    )


def command_request_message(wanted: CommandWanted) -> pb.SchedulerMessage:
    rows, columns = wanted.size
    start = command_pb2.ExecuteCommandStart(
        task=wanted.task,
        container=wanted.container,
        command=wanted.command,
        tty=wanted.tty,
        interactive=wanted.interactive,
        size=command_pb2.TerminalSize(rows=rows, columns=columns),
    )
    return pb.SchedulerMessage(command_request=pb.CommandRequest(request_id=wanted.request_id, start=start))


def pull_request_message(wanted: PullWanted) -> pb.SchedulerMessage:
    request = image_pb2.PullRequest(request_id=wanted.request_id, image=wanted.image, background=wanted.background)
    return pb.SchedulerMessage(pull_request=request)


def log_request_message(wanted: LogsWanted) -> pb.SchedulerMessage:
    request = log_pb2.ReadLogsRequest(
        task=wanted.task,
        container=wanted.container or None,
        follow=wanted.follow,
        since=wanted.since,
        tail=wanted.tail,
        after=wanted.after or None,
    )
    return pb.SchedulerMessage(log_request=pb.LogRequest(request_id=wanted.request_id, request=request))
