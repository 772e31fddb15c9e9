"""Records of services to messages."""

from shoal import arn
from shoal.v1 import service_pb2 as pb
from shoal.v1 import task_pb2

from shoal_scheduler.api.convert import tag_messages
from shoal_scheduler.api.services.configuration_message import configuration_message
from shoal_scheduler.api.services.deployment_messages import deployment_messages
from shoal_scheduler.api.services.revision_messages import fields_of_revision
from shoal_scheduler.api.services.tally import Tally, tally_of
from shoal_scheduler.model.service import (
    INACTIVE,
    Deployment,
    Service,
    ServiceEvents,
    ServiceRevision,
)
from shoal_scheduler.state.tables import Tables


def service_message(tables: Tables, service: Service, now: int, *, with_tags: bool = False) -> pb.Service:
    names = service.cluster, service.name
    revision = tables.records.get(ServiceRevision, *names, service.revision)
    tally = tally_of(tables, service, now)
    events = tables.records.get(ServiceEvents, *names)
    message = pb.Service(
        service_arn=arn.service_arn(*names),
        service_name=service.name,
        cluster_arn=arn.cluster_arn(service.cluster),
        status=service.status,
        desired_count=tally.desired,
        running_count=tally.all.running,
        pending_count=tally.all.pending,
        healthy_count=tally.all.healthy,
        deployment_configuration=configuration_message(service.configuration),
        deployments=deployment_messages(tables, service, tally),
        events=[
            pb.ServiceEvent(id=each.id, created_at=each.at, message=each.message)
            for each in reversed(events.events if events is not None else ())
        ],
        created_at=service.created_at,
        placement_constraints=_constraint_messages(service),
        placement_strategy=[
            task_pb2.PlacementStrategy(type=each.type, field=each.field or None) for each in service.strategies
        ],
        health_check_grace_period_seconds=service.grace_seconds,
        scheduling_strategy=service.scheduling_strategy,
        deployment_controller=pb.DeploymentController(type="ECS"),
        tags=tag_messages(service.tags) if with_tags else [],
        created_by=service.created_by or None,
        enable_ecs_managed_tags=service.managed_tags,
        propagate_tags=service.propagate_tags or "NONE",
        enable_execute_command=service.enable_execute_command,
        availability_zone_rebalancing="ENABLED" if service.zone_rebalancing else "DISABLED",
        on_disconnect=service.on_disconnect,
        **(fields_of_revision(revision) if revision is not None else {}),
    )
    if service.status != INACTIVE:
        _put_current(tables, service, tally, message)
    return message


def _put_current(tables: Tables, service: Service, tally: Tally, message: pb.Service) -> None:
    names = service.cluster, service.name
    deployment = tables.records.get(Deployment, *names, service.deployment)
    if deployment is not None and not deployment.is_over:
        message.current_service_deployment = arn.service_deployment_arn(*names, deployment.id)
        if deployment.retry_at:
            message.throttled_until = deployment.retry_at
    for name in dict.fromkeys([service.revision, *tally.by_revision]):
        counts = tally.of(name)
        message.current_service_revisions.add(
            arn=arn.service_revision_arn(*names, name),
            requested_task_count=tally.desired if name == service.revision else counts.wanted,
            running_task_count=counts.running,
            pending_task_count=counts.pending,
        )


def _constraint_messages(service: Service) -> list[task_pb2.PlacementConstraint]:
    found = [task_pb2.PlacementConstraint(type="memberOf", expression=each) for each in service.expressions]
    if service.distinct_instance:
        found.append(task_pb2.PlacementConstraint(type="distinctInstance"))
    return found
