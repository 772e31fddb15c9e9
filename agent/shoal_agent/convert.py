"""The contract's messages and our values, one into the other. Pure; no other module but the session knows both."""

from collections.abc import Iterable, Mapping

from google.protobuf.message import Message
from shoal.awsjson.write import to_document
from shoal.v1 import agent_pb2, container_instance_pb2, resource_pb2, task_pb2

from shoal_agent import VERSION
from shoal_agent.fingerprint import Fingerprint
from shoal_agent.interruption import Notice, Word
from shoal_agent.task import Assignment, ContainerReport, JobAttempt, Report
from shoal_agent.watch import Health

PROTOCOL_VERSION = 1


def hello(
    cluster: str,
    incarnation: int,
    run: str,
    host: Fingerprint,
    engine_version: str,
    engine: Health,
    watchdog: bool = False,
    notice: Notice | None = None,
) -> agent_pb2.AgentMessage:
    version = container_instance_pb2.VersionInfo(agent_version=VERSION, docker_version=engine_version)
    return agent_pb2.AgentMessage(
        hello=agent_pb2.Hello(
            protocol_version=PROTOCOL_VERSION,
            cluster=cluster,
            incarnation=incarnation,
            version_info=version,
            resources=_resources(host),
            attributes=[resource_pb2.Attribute(name=name, value=value) for name, value in host.attributes.items()],
            tags=[resource_pb2.Tag(key=key, value=value) for key, value in host.tags.items()],
            hostname=host.hostname,
            engine=_heartbeat(engine),
            run_id=run,
            watchdog=watchdog,
            interruption=_notice(notice) if notice is not None else None,
        )
    )


def _resources(host: Fingerprint) -> list[resource_pb2.Resource]:
    numbers = (("CPU", host.cpu), ("MEMORY", host.memory_mib), *host.custom.items())
    sets: tuple[tuple[str, Iterable[object]], ...] = (
        ("PORTS", host.ports),
        ("PORTS_UDP", host.ports_udp),
        ("GPU", host.gpus),
    )
    whole = [resource_pb2.Resource(name=name, type="INTEGER", integer_value=value) for name, value in numbers]
    return whole + [
        resource_pb2.Resource(name=name, type="STRINGSET", string_set_value=[str(value) for value in values])
        for name, values in sets
    ]


def interruption(notice: Notice) -> agent_pb2.AgentMessage:
    return agent_pb2.AgentMessage(interruption=_notice(notice))


def _notice(notice: Notice) -> agent_pb2.HostInterruption:
    return agent_pb2.HostInterruption(remaining_millis=round(notice.seconds * 1000), reason=notice.reason)


def word(message: Message) -> Word | None:
    """What a scheduler says of this host's interruption, in its welcome or on its own; None if there is none."""
    said = message.interruption if isinstance(message, agent_pb2.Welcome) else message
    assert isinstance(said, agent_pb2.HostInterruption)
    if not said.HasField("remaining_millis"):
        return None
    return Word(said.stop_code, said.reason, said.remaining_millis / 1000)


def inventory(reports: Iterable[Report]) -> agent_pb2.AgentMessage:
    return agent_pb2.AgentMessage(inventory=agent_pb2.Inventory(tasks=map(report_message, reports)))


def reports(sequence: int, newest: Iterable[Report]) -> agent_pb2.AgentMessage:
    message = agent_pb2.Reports(sequence=sequence, tasks=map(report_message, newest))
    return agent_pb2.AgentMessage(reports=message)


def heartbeat(engine: Health, sequence: int) -> agent_pb2.AgentMessage:
    message = _heartbeat(engine)
    message.sequence = sequence
    return agent_pb2.AgentMessage(heartbeat=message)


def _heartbeat(engine: Health) -> agent_pb2.Heartbeat:
    return agent_pb2.Heartbeat(engine_status=engine.status, engine_status_reason=engine.reason or None)


def report_message(report: Report) -> agent_pb2.TaskReport:
    return agent_pb2.TaskReport(
        task_id=report.task_id,
        last_status=report.last_status,
        containers=map(_container_message, report.containers),
        pull_started_at=report.pull_started_at,
        pull_stopped_at=report.pull_stopped_at,
        started_at=report.started_at,
        execution_stopped_at=report.execution_stopped_at,
        stop_code=report.stop_code,
        stopped_reason=report.stopped_reason,
        trace=[
            task_pb2.Span(name=it.name, start_micros=it.start_micros, duration_micros=it.duration_micros)
            for it in report.trace
        ],
    )


def _container_message(container: ContainerReport) -> task_pb2.Container:
    return task_pb2.Container(
        name=container.name,
        last_status=container.last_status,
        runtime_id=container.runtime_id,
        exit_code=container.exit_code,
        reason=container.reason,
        image_digest=container.image_digest,
        health_status=container.health_status,
        restart_count=container.restart_count or None,
        network_bindings=[
            task_pb2.NetworkBinding(
                bind_ip=port.host_ip,
                container_port=port.container_port,
                host_port=port.host_port,
                protocol=port.protocol,
            )
            for port in container.ports
        ],
        network_interfaces=[task_pb2.NetworkInterface(private_ipv4_address=container.ipv4_address)]
        if container.ipv4_address
        else [],
    )


def assignments(message: agent_pb2.Assignments) -> list[Assignment]:
    """Each with the document of the definition it names, if the message carries that."""
    documents = {it.task_definition_arn: to_document(it) for it in message.task_definitions}
    return [_assignment(entry, documents) for entry in message.assignments]


def _assignment(entry: agent_pb2.Assignment, documents: Mapping[str, Mapping[str, object]]) -> Assignment:
    return Assignment(
        task_id=entry.task_id,
        desired_status=entry.desired_status or "RUNNING",
        last_status=entry.last_status or "PENDING",
        definition=documents.get(entry.task_definition_arn),
        definition_arn=entry.task_definition_arn,
        overrides=_document(entry, "overrides"),
        fence=entry.fence,
        stop_code=entry.stop_code or None,
        stopped_reason=entry.stopped_reason or None,
        gpu_ids={name: tuple(ids.values) for name, ids in entry.gpu_ids.items()},
        forget=entry.forget,
        group=entry.group,
        on_disconnect=entry.on_disconnect,
        tags={tag.key: tag.value for tag in entry.tags},
        job=_job(entry.job) if entry.HasField("job") else None,
        images=dict(entry.images),
        refreshes_images=entry.refresh_images,
        replaced_first=entry.replaced_first,
    )


def _job(message: agent_pb2.JobAttempt) -> JobAttempt:
    return JobAttempt(
        message.job_id,
        message.job_queue,
        message.compute_environment,
        message.attempt,
        message.array_size,
        message.array_index,
    )


def _document(message: Message, field: str) -> Mapping[str, object]:
    return to_document(getattr(message, field)) if message.HasField(field) else {}
