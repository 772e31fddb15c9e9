"""What users run: definitions with programs of every kind, and when they ask for them."""

from random import Random
from typing import TYPE_CHECKING, Any

from shoal_scheduler.control import inputs as i

if TYPE_CHECKING:
    from tests.simulation.cluster import Cluster

IMAGE = "registry.example/program@sha256:" + "1" * 64


def container(name: str, seconds: float, code: int, ending: float, **more: Any) -> dict[str, Any]:
    """`seconds` until it ends by itself (0 is never), its exit code, how long it takes to end when asked."""
    command = [str(seconds), str(code), str(ending)]
    return {"name": name, "image": IMAGE, "cpu": 100, "memory": 64, "command": command, "stopTimeout": 4, **more}


PORT = {"portMappings": [{"containerPort": 80, "hostPort": 8080}]}
GPU = {"resourceRequirements": [{"type": "GPU", "value": "1"}]}
AFTER = {"dependsOn": [{"containerName": "side", "condition": "START"}]}

DEFINITIONS: dict[str, list[dict[str, Any]]] = {
    "service": [container("app", 0, 0, 1)],
    "stubborn": [container("app", 0, 0, 30)],
    "short": [container("app", 2, 0, 0)],
    "failing": [container("app", 1, 3, 0)],
    "killed": [container("app", 5, 137, 0)],
    "port": [container("app", 0, 0, 2, **PORT)],
    "gpu": [container("app", 10, 0, 1, **GPU)],
    "big": [container("app", 8, 0, 1, cpu=700, memory=900)],
    "pair": [container("side", 0, 0, 1, essential=False), container("app", 6, 0, 1, **AFTER)],
    "tagged": [container("app", 0, 0, 1, image="registry.example/program:latest")],
}
FAMILIES = tuple(DEFINITIONS)
ON_DISCONNECT = ("", "", "keep", "stop", "exclusive")
SETTLE_SECONDS = 0.5


def schedule(cluster: "Cluster", rng: Random) -> None:
    for family, containers in DEFINITIONS.items():
        document = {"family": family, "containerDefinitions": containers}
        request = i.RegisterTaskDefinition(document, {}, "test")
        cluster.clock.after(rng.uniform(0.0, SETTLE_SECONDS), cluster.users.ask, request)
    left = cluster.plan.tasks
    while left > 0:
        count = min(left, rng.choice((1, 1, 1, 2, 3, 5, 10, 40)))
        left -= count
        cluster.clock.after(rng.uniform(SETTLE_SECONDS, cluster.plan.seconds), cluster.submit, count)
