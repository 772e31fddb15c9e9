"""Deployments as messages: as DescribeServices shows them in a service, and each alone."""

from typing import Any

from shoal import arn
from shoal.v1 import service_pb2 as pb

from shoal_scheduler.api.services.configuration_message import configuration_message
from shoal_scheduler.api.services.revision_messages import fields_of_revision
from shoal_scheduler.api.services.tally import Tally, tally_of
from shoal_scheduler.control.services import circuit_breaker
from shoal_scheduler.model.service import (
    INACTIVE,
    PENDING,
    ROLLBACK_FAILED,
    ROLLBACK_SUCCESSFUL,
    STOPPED,
    SUCCESSFUL,
    Deployment,
    Service,
    ServiceRevision,
)
from shoal_scheduler.state.tables import Tables

_SHOWN_OF_REVISION = ("task_definition", "launch_type", "platform_version", "network_configuration")


def deployment_messages(tables: Tables, service: Service, tally: Tally) -> list[pb.Deployment]:
    """One for the revision that is wanted, and one for each other that has tasks, the newest first."""
    if service.status == INACTIVE:
        return []
    latest = _latest_by_revision(tables, service)
    others = sorted(
        tally.by_revision.keys() - {service.revision}, key=lambda name: _began(latest.get(name)), reverse=True
    )
    revisions = {each.id: each for each in tables.records.of(ServiceRevision, service.cluster, service.name)}
    current = tables.records.get(Deployment, service.cluster, service.name, service.deployment)
    return [
        _deployment(service, revisions[name], latest.get(name), current, tally)
        for name in (service.revision, *others)
        if name in revisions
    ]


def _deployment(
    service: Service,
    revision: ServiceRevision,
    deployment: Deployment | None,
    current: Deployment | None,
    tally: Tally,
) -> pb.Deployment:
    """`deployment`: the last that led to the revision; `current`: the service's last. After a rollback they differ."""
    counts, is_primary = tally.of(revision.id), revision.id == service.revision
    said = current if is_primary else deployment
    shown = fields_of_revision(revision)
    message = pb.Deployment(
        status="PRIMARY" if is_primary else "ACTIVE",
        desired_count=tally.desired if is_primary else counts.wanted,
        running_count=counts.running,
        pending_count=counts.pending,
        healthy_count=counts.healthy,
        created_at=revision.created_at,
        updated_at=revision.created_at,
        service_revision_arn=arn.service_revision_arn(service.cluster, service.name, revision.id),
        **{key: shown[key] for key in _SHOWN_OF_REVISION},
    )
    if deployment is not None:
        message.id, message.failed_tasks = deployment.started_by, deployment.failed_tasks
        message.created_at, message.updated_at = deployment.created_at, deployment.updated_at
        message.service_deployment_arn = _arn(deployment)
    if said is not None:
        message.rollout_state = _rollout_state(said, is_primary=is_primary)
        if reason := said.rollback_reason or said.reason:
            message.rollout_state_reason = reason
        if is_primary and said.retry_at and not said.is_over:
            message.throttled_until = said.retry_at
    return message


def _rollout_state(deployment: Deployment, *, is_primary: bool) -> str:
    """A rollback that succeeded has completed what it went back to, and not what it came from."""
    match deployment.status:
        case "SUCCESSFUL":
            return "COMPLETED"
        case "ROLLBACK_SUCCESSFUL":
            return "COMPLETED" if is_primary else "FAILED"
        case "STOPPED":  # an older one that did not fail had its place taken
            return "FAILED" if is_primary or deployment.has_failed else "IN_PROGRESS"
        case "ROLLBACK_FAILED":
            return "FAILED"
        case "ROLLBACK_REQUESTED" | "ROLLBACK_IN_PROGRESS":
            return "IN_PROGRESS" if is_primary else "FAILED"
        case _:
            return "IN_PROGRESS"


def service_deployment_message(
    tables: Tables, service: Service, deployment: Deployment, now: int
) -> pb.ServiceDeployment:
    names, tally = (service.cluster, service.name), tally_of(tables, service, now)
    message = pb.ServiceDeployment(
        service_deployment_arn=_arn(deployment),
        service_arn=arn.service_arn(*names),
        cluster_arn=arn.cluster_arn(service.cluster),
        source_service_revisions=[_summary(service, name, tally) for name in deployment.sources],
        target_service_revision=_summary(service, deployment.revision, tally),
        status=deployment.status,
        status_reason=deployment.reason or None,
        deployment_configuration=configuration_message(service.configuration),
        lifecycle_stage=_stage(deployment),
        failed_tasks=deployment.failed_tasks,
        deployment_circuit_breaker=_breaker(service, deployment, tally.desired),
        alarms=_alarms(service, deployment),
        **_times(deployment),
    )
    if deployment.rollback_revision:
        message.rollback.reason = deployment.rollback_reason
        message.rollback.started_at = deployment.rollback_started_at
        message.rollback.service_revision_arn = arn.service_revision_arn(*names, deployment.rollback_revision)
    return message


def brief_message(deployment: Deployment) -> pb.ServiceDeploymentBrief:
    names = deployment.cluster, deployment.service
    times = _times(deployment)
    return pb.ServiceDeploymentBrief(
        service_deployment_arn=_arn(deployment),
        service_arn=arn.service_arn(*names),
        cluster_arn=arn.cluster_arn(deployment.cluster),
        created_at=times["created_at"],
        started_at=times["started_at"],
        finished_at=times["finished_at"],
        target_service_revision_arn=arn.service_revision_arn(*names, deployment.revision),
        status=deployment.status,
        status_reason=deployment.reason or None,
    )


def _times(deployment: Deployment) -> dict[str, Any]:
    finished = deployment.status in (SUCCESSFUL, ROLLBACK_SUCCESSFUL, ROLLBACK_FAILED)
    return {
        "created_at": deployment.created_at,
        "started_at": deployment.started_at or None,
        "updated_at": deployment.updated_at or None,
        "finished_at": deployment.updated_at if finished else None,
        "stopped_at": (deployment.stopped_at or deployment.updated_at) if deployment.status == STOPPED else None,
    }


def _summary(service: Service, revision: str, tally: Tally) -> pb.ServiceRevisionSummary:
    counts = tally.of(revision)
    return pb.ServiceRevisionSummary(
        arn=arn.service_revision_arn(service.cluster, service.name, revision),
        requested_task_count=tally.desired if revision == service.revision else counts.wanted,
        running_task_count=counts.running,
        pending_task_count=counts.pending,
    )


def _stage(deployment: Deployment) -> str | None:
    if deployment.is_over:
        return "CLEAN_UP"
    if deployment.status == PENDING:
        return None
    return "BAKE_TIME" if deployment.healthy_at else "SCALE_UP"


def _monitors(deployment: Deployment, *, enabled: bool, triggered: bool) -> str:
    if not enabled:
        return "DISABLED"
    if triggered:
        return "TRIGGERED"
    return "MONITORING_COMPLETE" if deployment.is_over else "MONITORING"


def _breaker(service: Service, deployment: Deployment, desired: int) -> pb.ServiceDeploymentCircuitBreaker:
    breaker = service.configuration.circuit_breaker
    is_triggered = bool(deployment.has_failed or deployment.rollback_revision) and circuit_breaker.is_tripped(
        breaker, deployment.failed_tasks, desired
    )
    return pb.ServiceDeploymentCircuitBreaker(
        status=_monitors(deployment, enabled=breaker.enable, triggered=is_triggered),
        failure_count=deployment.failed_tasks,
        threshold=circuit_breaker.threshold(breaker, desired),
    )


def _alarms(service: Service, deployment: Deployment) -> pb.ServiceDeploymentAlarms | None:
    alarms = service.configuration.alarms
    if not alarms.names:
        return None
    return pb.ServiceDeploymentAlarms(
        status=_monitors(deployment, enabled=alarms.enable, triggered=bool(deployment.triggered_alarms)),
        alarm_names=alarms.names,
        triggered_alarm_names=deployment.triggered_alarms,
    )


def _latest_by_revision(tables: Tables, service: Service) -> dict[str, Deployment]:
    """The last deployment that leads to each revision."""
    deployments = tables.records.of(Deployment, service.cluster, service.name)
    return {each.revision: each for each in sorted(deployments, key=_began)}


def _began(deployment: Deployment | None) -> tuple[int, str]:
    return (0, "") if deployment is None else (deployment.created_at, deployment.id)


def _arn(deployment: Deployment) -> str:
    return arn.service_deployment_arn(deployment.cluster, deployment.service, deployment.id)
