"""Records to messages. The other direction is in each noun's module, beside its checks."""

from typing import Any

from google.protobuf.message import Message
from shoal import arn, awsjson
from shoal.v1 import cluster_pb2, container_instance_pb2, event_pb2, resource_pb2, task_definition_pb2, task_pb2

from shoal_scheduler.events import EventRecord, message_of
from shoal_scheduler.model.candidate import Candidate
from shoal_scheduler.model.cluster import Cluster
from shoal_scheduler.model.definition import Definition
from shoal_scheduler.model.task import ContainerState, Failure, Launch, Task
from shoal_scheduler.state.tables import Tables
from shoal_scheduler.traces import Span

TASK_EVENT = "ECS Task State Change"
INSTANCE_EVENT = "ECS Container Instance State Change"


def definition_message(definition: Definition) -> task_definition_pb2.TaskDefinition:
    """The definition as it was registered, with the read-only fields."""
    message, _ = awsjson.to_message(definition.document, task_definition_pb2.TaskDefinition)
    message.task_definition_arn = arn.task_definition_arn(definition.family, definition.revision)
    message.revision = definition.revision
    message.status = definition.status
    message.registered_at = definition.registered_at
    message.registered_by = definition.registered_by
    message.compatibilities.extend(definition.document.get("requiresCompatibilities", ["EC2"]))
    if definition.deregistered_at:
        message.deregistered_at = definition.deregistered_at
    if definition.delete_requested_at:
        message.delete_requested_at = definition.delete_requested_at
    return message


def tag_messages(tags: dict[str, str]) -> list[resource_pb2.Tag]:
    return [resource_pb2.Tag(key=key, value=value) for key, value in tags.items()]


def failure_messages(failures: tuple[Failure, ...]) -> list[resource_pb2.Failure]:
    """One for each task that was not placed, as ECS answers."""
    return [
        resource_pb2.Failure(arn=failure.arn, reason=failure.reason, detail=failure.detail)
        for failure in failures
        for _ in range(failure.count)
    ]


def overrides_message(launch: Launch) -> task_pb2.TaskOverride:
    message, _ = awsjson.to_message(launch.overrides, task_pb2.TaskOverride)
    return message


def task_message(
    tables: Tables, task: Task, *, with_tags: bool = False, trace: list[Span] | None = None
) -> task_pb2.Task:
    launch = task.launch
    family, _, revision = launch.definition.rpartition(":")
    resources = tables.resources(launch.id) if launch.id in tables.launches else None
    message = task_pb2.Task(
        task_arn=arn.task_arn(launch.cluster, task.id),
        cluster_arn=arn.cluster_arn(launch.cluster),
        task_definition_arn=arn.task_definition_arn(family, int(revision)),
        last_status=task.last_status,
        desired_status=task.desired_status,
        group=launch.group,
        launch_type=launch.launch_type,
        created_at=launch.created_at,
        version=task.version,
        enable_execute_command=launch.enable_execute_command,
        cpu=str(resources.cpu) if resources else None,
        memory=str(resources.memory_mib) if resources else None,
        connectivity="CONNECTED" if task.instance in tables.sessions else "DISCONNECTED",
    )
    if launch.overrides:
        message.overrides.CopyFrom(overrides_message(launch))
    if task.instance:
        message.container_instance_arn = arn.container_instance_arn(launch.cluster, task.instance)
    _set_present(
        message,
        {
            name: getattr(task, name)
            for name in (
                "pull_started_at",
                "pull_stopped_at",
                "started_at",
                "stopping_at",
                "execution_stopped_at",
                "stopped_at",
                "stop_code",
                "stopped_reason",
            )
        }
        | {"started_by": launch.started_by},
    )
    definition = tables.definition(family, int(revision))
    message.containers.extend(_container(task, state, definition) for state in task.containers)
    if with_tags:
        message.tags.extend(tag_messages(launch.tags if task.tags is None else task.tags))
    for span in trace or ():
        message.trace.add(name=span.name, start_micros=span.start_micros, duration_micros=span.duration_micros)
    return message


def _set_present(message: Message, values: dict[str, Any]) -> None:
    for name, value in values.items():
        if value:
            setattr(message, name, value)


def _container(task: Task, state: ContainerState, definition: Definition | None) -> task_pb2.Container:
    documents = definition.containers if definition else []
    document = next((container for container in documents if container["name"] == state.name), {})
    message = task_pb2.Container(
        container_arn=arn.container_arn(task.launch.cluster, task.id, state.name),
        task_arn=arn.task_arn(task.launch.cluster, task.id),
        name=state.name,
        last_status=state.last_status,
    )
    _set_present(
        message,
        {
            "image": document.get("image"),
            "runtime_id": state.runtime_id,
            "reason": state.reason,
            "image_digest": state.image_digest,
            "health_status": state.health_status,
        },
    )
    for json_name, name in (
        ("cpu", "cpu"),
        ("memory", "memory"),
        ("memoryReservation", "memory_reservation"),
    ):
        if json_name in document:
            setattr(message, name, str(document[json_name]))
    if state.exit_code is not None:
        message.exit_code = state.exit_code
    for binding in state.bindings:
        message.network_bindings.add(
            bind_ip=binding.bind_ip,
            container_port=binding.container_port,
            host_port=binding.host_port,
            protocol=binding.protocol,
        )
    return message


def cluster_message(tables: Tables, cluster: Cluster, *, with_tags: bool) -> cluster_pb2.ClusterDescription:
    message, _ = awsjson.to_message(cluster.document, cluster_pb2.ClusterDescription)
    candidates = tables.candidates(cluster.name)
    message.cluster_name = cluster.name
    message.cluster_arn = arn.cluster_arn(cluster.name)
    message.status = cluster.status
    message.registered_container_instances_count = len(candidates)
    message.running_tasks_count = sum(candidate.used.running for candidate in candidates)
    message.pending_tasks_count = sum(candidate.used.pending for candidate in candidates)
    message.active_services_count = 0
    if with_tags:
        message.tags.extend(tag_messages(cluster.tags))
    return message


def instance_message(candidate: Candidate, *, with_tags: bool = False) -> container_instance_pb2.ContainerInstance:
    instance, used = candidate.instance, candidate.used
    message = container_instance_pb2.ContainerInstance(
        container_instance_arn=arn.container_instance_arn(instance.cluster, instance.id),
        ec2_instance_id=instance.hostname,
        status=instance.status,
        agent_connected=candidate.connected,
        running_tasks_count=used.running,
        pending_tasks_count=used.pending,
        registered_at=instance.registered_at,
        version=instance.version,
        version_info=container_instance_pb2.VersionInfo(
            agent_version=instance.agent_version, docker_version=instance.docker_version
        ),
    )
    message.attributes.extend(
        resource_pb2.Attribute(name=name, value=value) for name, value in sorted(instance.attributes.items())
    )
    tcp_used = [port.number for port in used.ports if port.protocol == "tcp"]
    udp_used = [port.number for port in used.ports if port.protocol == "udp"]
    message.registered_resources.extend(
        _resources(instance.cpu, instance.memory_mib, instance.reserved_tcp, instance.reserved_udp)
    )
    message.remaining_resources.extend(
        _resources(
            candidate.free_cpu,
            candidate.free_memory_mib,
            (*instance.reserved_tcp, *tcp_used),
            (*instance.reserved_udp, *udp_used),
        )
    )
    if instance.gpu_ids:
        message.registered_resources.add(name="GPU", type="STRINGSET", string_set_value=instance.gpu_ids)
    if with_tags:
        message.tags.extend(tag_messages(instance.tags))
    return message


def _resources(cpu: int, memory_mib: int, tcp: tuple[int, ...], udp: tuple[int, ...]) -> list[resource_pb2.Resource]:
    return [
        resource_pb2.Resource(name="CPU", type="INTEGER", integer_value=cpu),
        resource_pb2.Resource(name="MEMORY", type="INTEGER", integer_value=memory_mib),
        resource_pb2.Resource(name="PORTS", type="STRINGSET", string_set_value=map(str, sorted(tcp))),
        resource_pb2.Resource(name="PORTS_UDP", type="STRINGSET", string_set_value=map(str, sorted(udp))),
    ]


def event_message(tables: Tables, event: EventRecord) -> event_pb2.Event:
    message = event_pb2.Event(
        revision=event.revision,
        time=event.time,
        cluster=event.cluster,
        message=message_of(tables, event.subject),
    )
    if isinstance(event.subject, Task):
        message.detail_type = TASK_EVENT
        message.task.CopyFrom(task_message(tables, event.subject))
    else:
        message.detail_type = INSTANCE_EVENT
        message.container_instance.CopyFrom(instance_message(tables.candidate(event.subject)))
    return message
