"""What the load asks for: task definitions of many sizes and submissions of many counts, the same for a seed."""

import random
from collections.abc import Iterator, Sequence
from typing import Any

from shoal import arn, awsjson
from shoal.v1 import cluster_pb2_grpc, task_definition_pb2, task_pb2

DEFINITIONS = 20
CPU_UNITS = (0, 64, 128, 256, 512, 1024)
MEMORY_MIB = (32, 64, 128, 256, 512, 1024)
COUNTS = (1, 1, 1, 2, 5, 10, 20, 50, 100)
STRATEGIES: Sequence[Sequence[tuple[str, str]]] = (
    (),
    (("spread", "instanceId"),),
    (("spread", "attribute:zone"), ("binpack", "memory")),
    (("binpack", "cpu"),),
)
DESCRIPTION = (
    f"{DEFINITIONS} definitions (0-1024 units, 32-1024 MiB), counts 1-100 (mean "
    f"{sum(COUNTS) / len(COUNTS):.0f}), one fourth each: no strategy, spread by instance, spread by zone then binpack "
    "by memory, binpack by cpu"
)


def definition(family: str, rng: random.Random) -> dict[str, Any]:
    container = {
        "name": "app",
        "image": f"registry.example.com/{family}:1",
        "cpu": rng.choice(CPU_UNITS),
        "memory": rng.choice(MEMORY_MIB),
        "environment": [{"name": "FAMILY", "value": family}],
    }
    return {"family": family, "networkMode": "bridge", "containerDefinitions": [container]}


async def register(cluster: "cluster_pb2_grpc.ClusterAsyncStub", document: dict[str, Any]) -> str:
    """As family:revision."""
    request, _ = awsjson.to_message(document, task_definition_pb2.RegisterTaskDefinitionRequest)
    answer = await cluster.RegisterTaskDefinition(request)
    return arn.short(answer.task_definition.task_definition_arn)


async def register_all(cluster: "cluster_pb2_grpc.ClusterAsyncStub", rng: random.Random) -> list[str]:
    return [await register(cluster, definition(f"mix-{number}", rng)) for number in range(DEFINITIONS)]


def submissions(names: Sequence[str], rng: random.Random) -> Iterator[task_pb2.RunTaskRequest]:
    """Without end."""
    while True:
        strategy = rng.choice(STRATEGIES)
        yield task_pb2.RunTaskRequest(
            task_definition=rng.choice(names),
            count=rng.choice(COUNTS),
            placement_strategy=[task_pb2.PlacementStrategy(type=kind, field=field) for kind, field in strategy],
            client_token=f"{rng.getrandbits(128):032x}",
        )
