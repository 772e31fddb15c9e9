"""CreateService: from a request to a service and its first deployment."""

import msgspec

from shoal_scheduler.control import clusters, run_task
from shoal_scheduler.control.context import Context, Outcome
from shoal_scheduler.control.services import consistency
from shoal_scheduler.control.services import inputs as i
from shoal_scheduler.control.services.new_deployment import begin
from shoal_scheduler.model.refusal import Refused, invalid_field
from shoal_scheduler.model.service import DRAINING, INACTIVE, Service, ServiceRevision
from shoal_scheduler.model.traffic import TargetGroup
from shoal_scheduler.state.overlay import Overlay

SERVICES_MAX = 5000

_SERVICE_SAID = {
    "scheduling_strategy": "schedulingStrategy",
    "desired_count": "desiredCount",
    "configuration": "deploymentConfiguration",
    "grace_seconds": "healthCheckGracePeriodSeconds",
    "expressions": "placementConstraints",
    "distinct_instance": "placementConstraints",
    "strategies": "placementStrategy",
    "zone_rebalancing": "availabilityZoneRebalancing",
    "propagate_tags": "propagateTags",
    "managed_tags": "enableECSManagedTags",
    "tags": "tags",
    "enable_execute_command": "enableExecuteCommand",
    "on_disconnect": "onDisconnect",
}
_REVISION_SAID = {
    "definition": "taskDefinition",
    "launch_type": "launchType",
    "platform_version": "platformVersion",
    "load_balancers": "loadBalancers",
    "registries": "serviceRegistries",
    "network": "networkConfiguration",
}


def create(view: Overlay, request: i.CreateService, context: Context) -> Outcome:
    """The same again is answered with what is there; so is the same client token, whatever has become of it since."""
    asked = request.service
    clusters.find(view, asked.cluster)
    known = view.records.get(Service, asked.cluster, asked.name)
    if known is not None and known.status != INACTIVE:
        return Outcome(_again(view, known, request))
    _check_count(view, asked.cluster)
    definition = run_task.active_definition(view, request.revision.definition)
    consistency.check(asked)
    check_target_groups(view, request.revision)
    check_alarms(view, asked)
    service = msgspec.structs.replace(asked, created_at=context.now)
    revision = msgspec.structs.replace(request.revision, definition=definition.name)
    made, changes = begin(view, service, revision, context)
    return Outcome(made, changes)


def _again(view: Overlay, known: Service, request: i.CreateService) -> Service:
    if known.status == DRAINING:
        raise Refused(
            "conflict",
            f"serviceName: {known.name} was deleted and is still DRAINING: create it anew once its last task has"
            " ended.",
            reason="InvalidParameterException",
        )
    if request.service.client_token and request.service.client_token == known.client_token:
        if request.service.request_digest != known.request_digest:
            raise Refused("conflict", "clientToken: it was used for a different request. Use a new token for each.")
        return known
    revision = view.records.get(ServiceRevision, known.cluster, known.name, known.revision)
    differing = [said for name, said in _SERVICE_SAID.items() if getattr(known, name) != getattr(request.service, name)]
    differing += [
        said for name, said in _REVISION_SAID.items() if getattr(revision, name) != getattr(request.revision, name)
    ]
    if differing:
        raise Refused(
            "conflict",
            f"serviceName: there is a service {known.name} already, with another {', '.join(dict.fromkeys(differing))}:"
            " change it with UpdateService.",
            reason="InvalidParameterException",
        )
    return known


def check_target_groups(view: Overlay, revision: ServiceRevision) -> None:
    """Raises Refused unless those that it names are there."""
    for index, each in enumerate(revision.load_balancers):
        if view.records.get(TargetGroup, revision.cluster, each.target_group) is None:
            raise invalid_field(
                f"loadBalancers[{index}].targetGroupArn",
                f"there is no target group {each.target_group!r} in cluster {revision.cluster!r}: create it first.",
            )


def check_alarms(view: Overlay, service: Service) -> None:
    """The same of alarms."""
    for index, name in enumerate(service.configuration.alarms.names):
        if view.alarm(name) is None:
            raise invalid_field(
                f"deploymentConfiguration.alarms.alarmNames[{index}]",
                f"there is no alarm {name!r}: make it first, with PutMetricAlarm.",
            )


def _check_count(view: Overlay, cluster: str) -> None:
    if len(view.records.of(Service, cluster)) >= SERVICES_MAX:
        raise Refused(
            "exhausted",
            f"serviceName: cluster {cluster!r} has {SERVICES_MAX} services, which is the most: delete some.",
            reason="LimitExceededException",
        )
