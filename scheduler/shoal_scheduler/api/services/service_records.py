"""From requests to records: what CreateService asks for, and which fields UpdateService changes. The documents were
checked."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from shoal import arn
from shoal.v1 import service_pb2 as pb

from shoal_scheduler.api.fields import check_expression, cluster_name, tags_of
from shoal_scheduler.api.tasks import digest_of, strategy_of
from shoal_scheduler.control.services import inputs as i
from shoal_scheduler.control.services.consistency import why_not_rebalanced
from shoal_scheduler.model.service import (
    DAEMON,
    CircuitBreaker,
    DeploymentAlarms,
    DeploymentConfiguration,
    LoadBalancer,
    Service,
    ServiceRegistry,
    ServiceRevision,
)

Fields = dict[str, Any]

# Of the document: the fields of a record that have its values as they are.
_PLAIN = {
    "desiredCount": "desired_count",
    "healthCheckGracePeriodSeconds": "grace_seconds",
    "enableECSManagedTags": "managed_tags",
    "enableExecuteCommand": "enable_execute_command",
    "onDisconnect": "on_disconnect",
}
_DAEMON_PERCENTS = {"minimum_healthy_percent": 0, "maximum_percent": 100}


def create_input(request: pb.CreateServiceRequest, document: Fields, definition: str) -> i.CreateService:
    """`definition`: with its revision."""
    cluster, is_daemon = cluster_name(request), document.get("schedulingStrategy") == DAEMON
    percents: Fields = _DAEMON_PERCENTS if is_daemon else {}
    service = Service(
        cluster=cluster,
        name=request.service_name,
        created_at=0,
        scheduling_strategy=document.get("schedulingStrategy", "REPLICA"),
        revision="",
        deployment="",
        configuration=DeploymentConfiguration(**(percents | configuration_fields(document))),
        tags=tags_of(request.tags),
        client_token=request.client_token,
        request_digest=digest_of(document),
        **service_fields(document),
    )
    if "availabilityZoneRebalancing" not in document:
        service = msgspec.structs.replace(service, zone_rebalancing=not why_not_rebalanced(service))
    revision = ServiceRevision(
        cluster=cluster,
        service=request.service_name,
        id="",
        created_at=0,
        launch_type=document.get("launchType", "EC2"),
        **{**revision_fields(document), "definition": definition},
    )
    return i.CreateService(service, revision)


def update_input(request: pb.UpdateServiceRequest, document: Fields) -> i.UpdateService:
    return i.UpdateService(
        cluster=cluster_name(request),
        name=arn.short(request.service),
        service=service_fields(document),
        configuration=configuration_fields(document),
        revision=revision_fields(document),
        back_to=arn.short(request.service_revision_arn),
        is_forced=request.force_new_deployment,
        client_token=request.client_token,
        request_digest=digest_of(document),
    )


def service_fields(document: Fields) -> Fields:
    """Of the record Service, those that are given; without its configuration."""
    fields = {field: document[name] for name, field in _PLAIN.items() if name in document}
    if "availabilityZoneRebalancing" in document:
        fields["zone_rebalancing"] = document["availabilityZoneRebalancing"] == "ENABLED"
    if "propagateTags" in document:
        fields["propagate_tags"] = "" if document["propagateTags"] == "NONE" else document["propagateTags"]
    if "placementConstraints" in document or "placementConstraints" in document.get("remove", ()):
        fields |= _constraints(document.get("placementConstraints", ()))
    if "placementStrategy" in document or "placementStrategy" in document.get("remove", ()):
        fields["strategies"] = tuple(map(strategy_of, document.get("placementStrategy", ())))
    return fields


def _constraints(constraints: Sequence[Fields]) -> Fields:
    for index, constraint in enumerate(constraints):
        if constraint["type"] == "memberOf":
            check_expression(f"placementConstraints[{index}].expression", constraint["expression"])
    return {
        "expressions": tuple(each["expression"] for each in constraints if each["type"] == "memberOf"),
        "distinct_instance": any(each["type"] == "distinctInstance" for each in constraints),
    }


def configuration_fields(document: Fields) -> Fields:
    """Of the record DeploymentConfiguration, those that are given."""
    given = document.get("deploymentConfiguration", {})
    names = {
        "minimumHealthyPercent": "minimum_healthy_percent",
        "maximumPercent": "maximum_percent",
        "bakeTimeInMinutes": "bake_minutes",
        "progressTimeInMinutes": "progress_minutes",
    }
    fields = {field: given[name] for name, field in names.items() if name in given}
    if "deploymentCircuitBreaker" in given:
        fields["circuit_breaker"] = _breaker(given["deploymentCircuitBreaker"])
    if "alarms" in given:
        alarms = given["alarms"]
        names_of = tuple(arn_or_name.rpartition(":")[2] for arn_or_name in alarms.get("alarmNames", ()))
        fields["alarms"] = DeploymentAlarms(names_of, alarms["enable"], alarms["rollback"])
    return fields


def _breaker(document: Mapping[str, Any]) -> CircuitBreaker:
    breaker = CircuitBreaker(
        enable=document["enable"],
        rollback=document["rollback"],
        reset_on_healthy_task=document.get("resetOnHealthyTask", True),
    )
    threshold = document.get("thresholdConfiguration")
    if threshold is None:
        return breaker
    return CircuitBreaker(
        breaker.enable, breaker.rollback, threshold["type"], threshold["value"], breaker.reset_on_healthy_task
    )


def revision_fields(document: Fields) -> Fields:
    """Of the record ServiceRevision, those that are given."""
    removed, fields = document.get("remove", ()), dict[str, Any]()
    if "taskDefinition" in document:
        fields["definition"] = document["taskDefinition"]
    if "platformVersion" in document:
        fields["platform_version"] = document["platformVersion"]
    if "networkConfiguration" in document:
        fields["network"] = document["networkConfiguration"]
    if "loadBalancers" in document or "loadBalancers" in removed:
        fields["load_balancers"] = tuple(
            LoadBalancer(arn.target_group_name(each["targetGroupArn"]), each["containerName"], each["containerPort"])
            for each in document.get("loadBalancers", ())
        )
    if "serviceRegistries" in document or "serviceRegistries" in removed:
        fields["registries"] = tuple(
            ServiceRegistry(
                arn.short(each["registryArn"]),
                each.get("containerName", ""),
                each.get("containerPort", each.get("port", 0)),
            )
            for each in document.get("serviceRegistries", ())
        )
    return fields
