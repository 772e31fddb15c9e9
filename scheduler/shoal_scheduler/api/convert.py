"""Records to messages. The other direction is in each noun's module, beside its checks."""

from collections.abc import Iterable
from typing import Any

from shoal import arn, awsjson
from shoal.v1 import cluster_pb2, container_instance_pb2, event_pb2, resource_pb2, task_definition_pb2, task_pb2

from shoal_scheduler.api.alarm_convert import alarm_message
from shoal_scheduler.api.batch.job_messages import summary
from shoal_scheduler.api.remembered import Remembered
from shoal_scheduler.control import host_loss
from shoal_scheduler.events import EventRecord, ServiceSaid, message_of
from shoal_scheduler.model.alarm import Alarm
from shoal_scheduler.model.ask import Port
from shoal_scheduler.model.candidate import Candidate
from shoal_scheduler.model.cluster import Cluster
from shoal_scheduler.model.definition import Definition
from shoal_scheduler.model.instance import Health
from shoal_scheduler.model.job import JobState
from shoal_scheduler.model.service import ACTIVE, Service
from shoal_scheduler.model.task import ContainerState, Failure, Launch, Task
from shoal_scheduler.state.tables import Tables
from shoal_scheduler.traces import Span

TASK_EVENT = "ECS Task State Change"
INSTANCE_EVENT = "ECS Container Instance State Change"
ALARM_EVENT = "CloudWatch Alarm State Change"
JOB_EVENT = "Batch Job State Change"
SERVICE_EVENT = "ECS Service Action"

# Of a container: in its document, and in its message as text.
_SIZES = (("cpu", "cpu"), ("memory", "memory"), ("memoryReservation", "memory_reservation"))


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
    """Not to be changed: it is the same one for all tasks of the launch."""
    return _overrides.of(launch.id, launch)


def _overrides_message(launch: Launch) -> task_pb2.TaskOverride:
    message, _ = awsjson.to_message(launch.overrides, task_pb2.TaskOverride)
    return message


_overrides = Remembered(_overrides_message)

# Members of a message by their names, as its constructor takes them; what is None is not set.
Fields = dict[str, Any]


def task_message(tables: Tables, task: Task, *, with_tags: bool = False, trace: Iterable[Span] = ()) -> task_pb2.Task:
    fields = task_fields(tables, task, launch_fields(tables, task.launch), with_tags=with_tags)
    return task_pb2.Task(trace=[task_pb2.Span(**span._asdict()) for span in trace], **fields)


def launch_fields(tables: Tables, launch: Launch) -> Fields:
    """What the messages of all its tasks have in common."""
    family, _, revision = launch.definition.rpartition(":")
    resources = tables.resources(launch.id) if launch.id in tables.launches else None
    return {
        "cluster_arn": arn.cluster_arn(launch.cluster),
        "task_definition_arn": arn.task_definition_arn(family, int(revision)),
        "group": launch.group,
        "launch_type": launch.launch_type,
        "created_at": launch.created_at,
        "started_by": launch.started_by or None,
        "enable_execute_command": launch.enable_execute_command,
        "cpu": str(resources.cpu) if resources else None,
        "memory": str(resources.memory_mib) if resources else None,
        "overrides": overrides_message(launch) if launch.overrides else None,
        "on_disconnect": launch.on_disconnect or None,
        "replaces": arn.task_arn(launch.cluster, launch.replaces) if launch.replaces else None,
    }


def task_fields(tables: Tables, task: Task, of_launch: Fields, *, with_tags: bool = False) -> Fields:
    launch = task.launch
    task_arn = arn.task_arn(launch.cluster, task.id)
    definition = _definition_of(tables, launch)
    tags = launch.tags if task.tags is None else task.tags
    replaced_by = host_loss.replaced_by(tables, task)
    return {
        **of_launch,
        "task_arn": task_arn,
        "last_status": task.last_status,
        "desired_status": task.desired_status,
        "version": task.version,
        "connectivity": "CONNECTED" if task.instance in tables.sessions else "DISCONNECTED",
        "container_instance_arn": arn.container_instance_arn(launch.cluster, task.instance) if task.instance else None,
        "pull_started_at": task.pull_started_at or None,
        "pull_stopped_at": task.pull_stopped_at or None,
        "started_at": task.started_at or None,
        "stopping_at": task.stopping_at or None,
        "execution_stopped_at": task.execution_stopped_at or None,
        "stopped_at": task.stopped_at or None,
        "health_status": _health_status(task, definition),
        "stop_code": task.stop_code or None,
        "stopped_reason": task.stopped_reason or None,
        "containers": [_container_fields(task, task_arn, state, definition) for state in task.containers],
        "tags": [{"key": key, "value": value} for key, value in tags.items()] if with_tags else None,
        "attachments": _attachments(task),
        "replaced_by": arn.task_arn(launch.cluster, replaced_by) if replaced_by else None,
    }


def _attachments(task: Task) -> list[Fields]:
    """The network interface of a task that has a network of its own, as ECS shows it."""
    address = next((state.ipv4_address for state in task.containers if state.ipv4_address), None)
    if address is None:
        return []
    return [
        {
            "id": _attachment_id(task),
            "type": "ElasticNetworkInterface",
            "status": "DELETED" if task.is_stopped else "ATTACHED",
            "details": [{"name": "privateIPv4Address", "value": address}],
        }
    ]


def _attachment_id(task: Task) -> str:
    """A task has one at most, which has its name; ECS writes it as a UUID."""
    name = task.id
    return "-".join((name[:8], name[8:12], name[12:16], name[16:20], name[20:]))


def _health_status(task: Task, definition: Definition | None) -> str:
    """Of the essential containers that have a health check the worst counts: UNHEALTHY, UNKNOWN, HEALTHY."""
    containers = definition.containers if definition else []
    essential = {container["name"] for container in containers if container.get("essential", True) is not False}
    found = {state.health_status for state in task.containers if state.name in essential and state.health_status}
    return next((status for status in ("UNHEALTHY", "UNKNOWN", "HEALTHY") if status in found), "UNKNOWN")


def _definition_of(tables: Tables, launch: Launch) -> Definition | None:
    family, _, revision = launch.definition.rpartition(":")
    return tables.definition(family, int(revision))


def _container_fields(task: Task, task_arn: str, state: ContainerState, definition: Definition | None) -> Fields:
    documents = definition.containers if definition else []
    document = next((container for container in documents if container["name"] == state.name), {})
    fields = {
        "container_arn": arn.container_arn(task.launch.cluster, task.id, state.name),
        "task_arn": task_arn,
        "name": state.name,
        "last_status": state.last_status,
        "image": document.get("image"),
        "runtime_id": state.runtime_id or None,
        "reason": state.reason or None,
        "image_digest": state.image_digest or None,
        "health_status": state.health_status or None,
        "exit_code": state.exit_code,
        "restart_count": state.restart_count or None,
        "essential": document.get("essential", True) is not False if document else None,
        "gpu_ids": (task.gpu_ids or {}).get(state.name, ()),
        "network_bindings": [
            {
                "bind_ip": binding.bind_ip,
                "container_port": binding.container_port,
                "host_port": binding.host_port,
                "protocol": binding.protocol,
            }
            for binding in state.bindings
        ],
    }
    if state.ipv4_address:
        interface = {"attachment_id": _attachment_id(task), "private_ipv4_address": state.ipv4_address}
        fields["network_interfaces"] = [interface]
    for json_name, name in _SIZES:
        if json_name in document:
            fields[name] = str(document[json_name])
    return fields


def cluster_message(tables: Tables, cluster: Cluster, *, with_tags: bool) -> cluster_pb2.ClusterDescription:
    message, _ = awsjson.to_message(cluster.document, cluster_pb2.ClusterDescription)
    room = tables.room(cluster.name)
    message.cluster_name = cluster.name
    message.cluster_arn = arn.cluster_arn(cluster.name)
    message.status = cluster.status
    message.registered_container_instances_count = room.registered
    message.running_tasks_count = int(room.running.sum())
    message.pending_tasks_count = int(room.pending.sum())
    message.active_services_count = sum(each.status == ACTIVE for each in tables.records.of(Service, cluster.name))
    if with_tags:
        message.tags.extend(tag_messages(cluster.tags))
    return message


def health_message(health: Health | None) -> container_instance_pb2.ContainerInstanceHealthStatus:
    """While no agent is connected nobody knows."""
    said = health or Health("INSUFFICIENT_DATA", "No agent is connected")
    check = container_instance_pb2.InstanceHealthCheckResult(
        type="CONTAINER_RUNTIME",
        status=said.status,
        status_reason=said.reason or None,
        last_updated=said.since or None,
        last_status_change=said.since or None,
    )
    return container_instance_pb2.ContainerInstanceHealthStatus(overall_status=said.status, details=[check])


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
    if instance.revoked_at:
        message.identity_revoked_at = instance.revoked_at
        message.identity_revoked_by = instance.revoked_by
    if instance.copy_seen_at:
        message.identity_copy_seen_at = instance.copy_seen_at
        message.identity_copy_host = instance.copy_host
    if (why := instance.interruption) is not None:
        message.interruption.source, message.interruption.reason = why.source, why.reason
        message.interruption.noticed_at, message.interruption.deadline = why.noticed_at, why.deadline
    message.attributes.extend(
        resource_pb2.Attribute(name=name, value=value) for name, value in sorted(instance.attributes.items())
    )
    tcp_used = _ports_used(used.ports, "tcp")
    udp_used = _ports_used(used.ports, "udp")
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
        message.remaining_resources.add(name="GPU", type="STRINGSET", string_set_value=candidate.free_gpus)
    for name, amount in sorted(instance.custom.items()):
        message.registered_resources.add(name=name, type="INTEGER", integer_value=amount)
        message.remaining_resources.add(name=name, type="INTEGER", integer_value=candidate.free_custom(name))
    if with_tags:
        message.tags.extend(tag_messages(instance.tags))
    return message


def _ports_used(ports: Iterable[Port], protocol: str) -> list[int]:
    return [number for port in ports if port.protocol == protocol for number in range(port.first, port.last + 1)]


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
    elif isinstance(event.subject, Alarm):
        message.detail_type = ALARM_EVENT
        message.alarm.CopyFrom(alarm_message(event.subject))
    elif isinstance(event.subject, JobState):
        message.detail_type = JOB_EVENT
        if event.subject.job in tables.batch.jobs:
            message.job.CopyFrom(summary(tables, event.subject.job))
    elif isinstance(event.subject, ServiceSaid):
        message.detail_type = SERVICE_EVENT
        message.service_action.service_arn = arn.service_arn(event.subject.cluster, event.subject.service)
        message.service_action.id = event.subject.event.id
    else:
        message.detail_type = INSTANCE_EVENT
        message.container_instance.CopyFrom(instance_message(tables.candidate(event.subject)))
    return message
