"""Words for people about services and their deployments. Pure."""

from collections.abc import Sequence

from shoal import arn
from shoal.cli import text
from shoal.v1 import service_pb2 as pb

COLUMNS = ("SERVICE", "STATUS", "DEFINITION", "RUNNING", "PENDING", "DEPLOYMENT", "AGE")
DEPLOYMENT_COLUMNS = ("DEPLOYMENT", "STATUS", "DEFINITION", "CREATED", "TOOK", "WHY")
ID_LENGTH = 8


def row(service: pb.Service, now_millis: int) -> Sequence[str]:
    return (
        service.service_name,
        service.status,
        arn.short(service.task_definition),
        f"{service.running_count}/{wanted(service)}",
        str(service.pending_count),
        rollout(service),
        text.age(service.created_at, now_millis),
    )


def wanted(service: pb.Service) -> str:
    return "each host" if service.scheduling_strategy == "DAEMON" else str(service.desired_count)


def rollout(service: pb.Service) -> str:
    """How its last deployment stands."""
    states = [each.rollout_state for each in service.deployments]
    if "IN_PROGRESS" in states:
        return "in progress"
    if not states:
        return "-"
    return "failed" if "FAILED" in states else "completed"


def short_id(name: str) -> str:
    """Of a deployment's or a revision's ARN."""
    return arn.short(name)[:ID_LENGTH]


def deployment_row(deployment: pb.ServiceDeploymentBrief, definition: str, now_millis: int) -> Sequence[str]:
    ended = deployment.finished_at
    return (
        short_id(deployment.service_deployment_arn),
        deployment.status,
        definition,
        f"{text.age(deployment.created_at, now_millis)} ago",
        text.age(deployment.created_at, ended) if ended else "-",
        deployment.status_reason or "-",
    )


def stands(service: pb.Service) -> str:
    """Old and new tasks in one line, as a deployment goes on.

    >>> new = pb.Deployment(status="PRIMARY", task_definition="web:4", desired_count=3, running_count=1)
    >>> new.pending_count = 1
    >>> stands(pb.Service(deployments=[new, pb.Deployment(status="ACTIVE", task_definition="web:3", running_count=3)]))
    'new web:4: 1 of 3 run, 1 starts; old web:3: 3 run'
    """
    return "; ".join(_of_deployment(each) for each in service.deployments)


def _of_deployment(deployment: pb.Deployment) -> str:
    is_new = deployment.status == "PRIMARY"
    running = f"{deployment.running_count} of {deployment.desired_count}" if is_new else str(deployment.running_count)
    parts = [f"{running} {_verb(deployment.running_count, 'run')}"]
    if deployment.HasField("healthy_count") and deployment.running_count:
        parts.append(f"{deployment.healthy_count} healthy")
    if deployment.pending_count:
        parts.append(f"{deployment.pending_count} {_verb(deployment.pending_count, 'start')}")
    if deployment.failed_tasks:
        parts.append(f"{deployment.failed_tasks} failed")
    return f"{'new' if is_new else 'old'} {arn.short(deployment.task_definition)}: {', '.join(parts)}"


def _verb(count: int, verb: str) -> str:
    return f"{verb}s" if count == 1 and verb != "run" else verb
