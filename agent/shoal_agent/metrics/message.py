"""A sample as the contract has it. Pure."""

from shoal.v1 import agent_pb2

from shoal_agent.metrics.files import Transfer
from shoal_agent.metrics.sampler import Sample
from shoal_agent.metrics.usage import ContainerUsage, HostUsage, TaskUsage

# What one message may hold on its way through the session beside the reports.
TASKS_PER_MESSAGE_MAX = 2_000


def samples(sample: Sample, dropped: int) -> agent_pb2.AgentMessage:
    """`dropped`: how many were, since the agent began. Of a host with more tasks than a message takes, the first."""
    tasks = map(_task, sample.tasks[:TASKS_PER_MESSAGE_MAX])
    return agent_pb2.AgentMessage(samples=agent_pb2.Samples(host=_host(sample.host), tasks=tasks, dropped=dropped))


def _host(host: HostUsage) -> agent_pb2.HostSample:
    read, written = _bytes(host.storage)
    return agent_pb2.HostSample(
        cpu_percent=host.cpu_percent,
        memory_used_bytes=host.memory.used_bytes if host.memory is not None else None,
        memory_total_bytes=host.memory.total_bytes if host.memory is not None else None,
        disk_used_bytes=host.disk_used_bytes,
        disk_total_bytes=host.disk_total_bytes,
        network_rx_bytes_per_second=host.received_per_second,
        network_tx_bytes_per_second=host.sent_per_second,
        storage_read_bytes=read,
        storage_write_bytes=written,
    )


def _task(task: TaskUsage) -> agent_pb2.TaskSample:
    read, written = _bytes(task.storage)
    return agent_pb2.TaskSample(
        task_id=task.task_id,
        cpu_units=task.cpu,
        memory_bytes=task.memory_bytes,
        network_rx_bytes_per_second=task.received_per_second,
        network_tx_bytes_per_second=task.sent_per_second,
        storage_read_bytes=read,
        storage_write_bytes=written,
        containers=map(_container, task.containers),
    )


def _container(container: ContainerUsage) -> agent_pb2.ContainerSample:
    read, written = _bytes(container.storage)
    return agent_pb2.ContainerSample(
        name=container.name,
        cpu_units=container.cpu,
        memory_bytes=container.memory_bytes,
        storage_read_bytes=read,
        storage_write_bytes=written,
    )


def _bytes(storage: Transfer | None) -> tuple[int | None, int | None]:
    return (None, None) if storage is None else (storage.inward, storage.outward)
