"""Messages of the fake cluster's plain things."""

from collections.abc import Container, Sequence
from typing import Any

from shoal import arn
from shoal.v1 import cluster_pb2, container_instance_pb2, event_pb2, resource_pb2, task_pb2

from tests.fakes.serving import CLUSTER


def family_of(task: task_pb2.Task) -> str:
    return arn.short(task.task_definition_arn).partition(":")[0]


def event_of(task: task_pb2.Task, revision: int, now: int) -> event_pb2.Event:
    return event_pb2.Event(
        revision=revision,
        time=now,
        detail_type="ECS Task State Change",
        cluster=CLUSTER,
        message=f"{task.last_status}",
        task=task,
    )


def cluster_of(name: str) -> cluster_pb2.ClusterDescription:
    return cluster_pb2.ClusterDescription(cluster_name=name, cluster_arn=arn.cluster_arn(name), status="ACTIVE")


def instance_of(instance_id: str, registered_at: int) -> container_instance_pb2.ContainerInstance:
    def resource(name: str, amount: int) -> resource_pb2.Resource:
        return resource_pb2.Resource(name=name, type="INTEGER", integer_value=amount)

    return container_instance_pb2.ContainerInstance(
        container_instance_arn=arn.container_instance_arn(CLUSTER, instance_id),
        status="ACTIVE",
        agent_connected=True,
        registered_resources=[resource("CPU", 2048), resource("MEMORY", 4096)],
        remaining_resources=[resource("CPU", 1024), resource("MEMORY", 512)],
        registered_at=registered_at,
    )


def key_of(attribute: resource_pb2.Attribute) -> tuple[str, str]:
    return arn.short(attribute.target_id), attribute.name


def copy_into(into: Any, name: str, value: Any) -> None:
    if hasattr(value, "MergeFrom") and not hasattr(value, "CopyFrom"):
        getattr(into, name).MergeFrom(value)
    elif hasattr(value, "CopyFrom"):
        getattr(into, name).CopyFrom(value)
    elif isinstance(value, (str, int, float, bool, bytes)):
        setattr(into, name, value)
    else:
        getattr(into, name).extend(value)


def missing_of(names: Sequence[str], known: Container[str]) -> list[resource_pb2.Failure]:
    return [resource_pb2.Failure(arn=each, reason="MISSING") for each in names if each not in known]


def set_state(
    instance: container_instance_pb2.ContainerInstance,
    request: container_instance_pb2.UpdateContainerInstancesStateRequest,
    now_millis: int,
) -> None:
    instance.status = request.status
    instance.ClearField("interruption")
    if request.HasField("interruption_seconds"):
        instance.interruption.source = "operator"
        instance.interruption.deadline = now_millis + request.interruption_seconds * 1000
