"""The generated stubs of all services that a leader serves, as one: no two have methods of the same name."""

from collections.abc import Callable
from typing import Any

import grpc
import grpc.aio

from shoal.v1 import (
    alarms_pb2_grpc,
    autoscaling_pb2_grpc,
    batch_pb2_grpc,
    cluster_pb2_grpc,
    metrics_pb2_grpc,
    rebalance_pb2_grpc,
    services_pb2_grpc,
    traffic_pb2_grpc,
)

# What a service's methods are called, and what calls them.
_SERVICES: tuple[tuple[type, Callable[[grpc.aio.Channel], Any]], ...] = (
    (cluster_pb2_grpc.ClusterServicer, cluster_pb2_grpc.ClusterStub),
    (metrics_pb2_grpc.MetricsServicer, metrics_pb2_grpc.MetricsStub),
    (alarms_pb2_grpc.AlarmsServicer, alarms_pb2_grpc.AlarmsStub),
    (autoscaling_pb2_grpc.AutoscalingServicer, autoscaling_pb2_grpc.AutoscalingStub),
    (batch_pb2_grpc.BatchServicer, batch_pb2_grpc.BatchStub),
    (rebalance_pb2_grpc.RebalancingServicer, rebalance_pb2_grpc.RebalancingStub),
    (services_pb2_grpc.ServicesServicer, services_pb2_grpc.ServicesStub),
    (traffic_pb2_grpc.TrafficServicer, traffic_pb2_grpc.TrafficStub),
    (traffic_pb2_grpc.IngressServicer, traffic_pb2_grpc.IngressStub),
)
STREAMING = frozenset({"Watch", "ReadLogs", "RunTasks", "ExecuteCommand", "PullImage", "WatchRoutes"})


def is_method(name: str) -> bool:
    return any(hasattr(servicer, name) for servicer, _ in _SERVICES)


class Methods:
    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stubs = tuple(stub(channel) for _, stub in _SERVICES)

    def __getattr__(self, method: str) -> Any:
        return next(getattr(stub, method) for stub in self._stubs if hasattr(stub, method))
