"""How a container instance is told of on a terminal."""

from shoal.cli import text
from shoal.v1.container_instance_pb2 import ContainerInstance


def status(instance: ContainerInstance, now_millis: int) -> str:
    """`DRAINING, goes in 1m30s`"""
    if not instance.HasField("interruption"):
        return instance.status
    return f"{instance.status}, {time_left(instance, now_millis)}"


def time_left(instance: ContainerInstance, now_millis: int) -> str:
    """Of one that is interrupted: `goes in 1m30s`."""
    left = (instance.interruption.deadline - now_millis) / 1000
    return f"goes in {text.span(left)}" if left > 0 else "its time is over"
