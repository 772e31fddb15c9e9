"""CreateService and UpdateService: what is refused at the door, and what is accepted but does nothing here. Limits and
words are those of the ECS API model; what comes later is refused by name."""

import re
from collections.abc import Sequence
from itertools import islice

from shoal import arn
from shoal.problems import Problem, quoted

from shoal_scheduler.api.services.validate_deployment import configuration_problems
from shoal_scheduler.api.validate_names import cluster_name_problems, tags_problems
from shoal_scheduler.api.validate_run_task import CLIENT_TOKEN, strategy_problems, word_problems
from shoal_scheduler.api.validate_task_definition import COMPATIBILITIES, CONSTRAINTS_MAX, constraint_problems
from shoal_scheduler.api.validate_values import Document, Problems, at_most, between, one_of, required, unique
from shoal_scheduler.control.host_loss import ON_DISCONNECT
from shoal_scheduler.model.service import DAEMON, REPLICA

REQUEST_BYTES_MAX = 128 * 1024
DESIRED_COUNT_MAX = 5000
GRACE_SECONDS_MAX = 2**31 - 1
TARGET_GROUPS_MAX = 5
REGISTRIES_MAX = 1
PORT_MAX = 65_535
REMOVABLE = ("loadBalancers", "serviceRegistries", "placementConstraints", "placementStrategy")
_PROBLEMS_MAX = 50
_NAME = re.compile(r"[A-Za-z0-9_-]{1,255}")

_NOT_YET = {
    "capacityProviderStrategy": "capacity providers are not there yet; leave it out",
    "volumeConfigurations": "volumes cannot be made with a task yet; leave it out",
    "vpcLatticeConfigurations": "there is no VPC Lattice here; use loadBalancers",
    "gatewayConnectors": "there are no gateways here; use loadBalancers",
    "monitoring": "the metrics of services are always there; leave it out",
}
_WITHOUT_EFFECT = {
    "role": "has no effect: the load balancer needs no role here",
    "platformVersion": "has no effect: tasks run on this cluster's own instances",
    "networkConfiguration": "has no effect yet: a task's network is on the bridge of its instance",
}

# What makes a revision, so that it cannot stand beside one that is named.
_OF_REVISIONS = ("taskDefinition", "loadBalancers", "serviceRegistries", "networkConfiguration", "platformVersion")


def create_problems(document: Document, definition: Document | None) -> list[Problem]:
    """Of CreateService. `definition`: the task definition it names."""
    return list(islice(_create_problems(document, definition), _PROBLEMS_MAX))


def update_problems(document: Document, definition: Document | None) -> list[Problem]:
    """Of UpdateService. `definition`: the one its tasks will be of."""
    return list(islice(_update_problems(document, definition), _PROBLEMS_MAX))


def service_warnings(document: Document) -> list[Problem]:
    """What either asks for that does nothing here."""
    warnings = [Problem(key, why) for key, why in _WITHOUT_EFFECT.items() if document.get(key)]
    if document.get("launchType") in ("FARGATE", "MANAGED_INSTANCES"):
        warnings.append(Problem("launchType", f"{document['launchType']} runs on this cluster's own instances"))
    return warnings


def _create_problems(document: Document, definition: Document | None) -> Problems:
    name = document.get("serviceName")
    yield from required("", document, "serviceName", "taskDefinition")
    if name and not _NAME.fullmatch(name):
        rule = "use 1 to 255 letters (A-Z, a-z), digits, hyphens and underscores"
        yield Problem("serviceName", f"{quoted(name)} is not a service name; {rule}")
    strategy = document.get("schedulingStrategy", REPLICA)
    yield from one_of("schedulingStrategy", strategy, (REPLICA, DAEMON))
    if strategy == DAEMON:
        yield from _daemon_problems(document)
    elif "desiredCount" not in document:
        yield Problem("desiredCount", "is required: how many tasks are to run")
    yield from one_of("launchType", document.get("launchType"), COMPATIBILITIES)
    yield from tags_problems("tags", document.get("tags", ()))
    yield from _common_problems(document, definition)
    yield from configuration_problems(document.get("deploymentConfiguration", {}))


def _daemon_problems(document: Document) -> Problems:
    for key in ("desiredCount", "placementStrategy"):
        if key in document:
            yield Problem(key, "a DAEMON service has one task on each instance; leave it out")
    if document.get("availabilityZoneRebalancing") == "ENABLED":
        yield Problem("availabilityZoneRebalancing", "is for REPLICA services; leave it out")


def _update_problems(document: Document, definition: Document | None) -> Problems:
    yield from required("", document, "service")
    for index, name in enumerate(document.get("remove", ())):
        yield from one_of(f"remove[{index}]", name, REMOVABLE)
        if document.get(name):
            yield Problem(f"remove[{index}]", f"{name} is given as well; keep one of them")
    if "serviceRevisionArn" in document:
        beside = [*(key for key in _OF_REVISIONS if key in document), *document.get("remove", ())]
        for key in beside:
            if key in _OF_REVISIONS:
                yield Problem(key, "cannot stand beside serviceRevisionArn, which says it as well; keep one of them")
    yield from _common_problems(document, definition)
    yield from configuration_problems(document.get("deploymentConfiguration", {}))


def _common_problems(document: Document, definition: Document | None) -> Problems:
    cluster = document.get("cluster")
    if cluster is not None:
        yield from cluster_name_problems("cluster", arn.short(cluster))
    yield from word_problems("clientToken", document, CLIENT_TOKEN, "1 to 64 visible ASCII characters")
    yield from between("desiredCount", document.get("desiredCount"), 0, DESIRED_COUNT_MAX)
    grace = document.get("healthCheckGracePeriodSeconds")
    yield from between("healthCheckGracePeriodSeconds", grace, 0, GRACE_SECONDS_MAX, "seconds")
    yield from one_of("propagateTags", document.get("propagateTags"), ("TASK_DEFINITION", "SERVICE", "NONE"))
    rebalancing = document.get("availabilityZoneRebalancing")
    yield from one_of("availabilityZoneRebalancing", rebalancing, ("ENABLED", "DISABLED"))
    yield from one_of("onDisconnect", document.get("onDisconnect"), ON_DISCONNECT)
    yield from _refused_problems(document)
    yield from constraint_problems(document, ("distinctInstance", "memberOf"))
    yield from _constraint_count_problems(document, definition)
    yield from strategy_problems(document)
    yield from load_balancer_problems(document.get("loadBalancers", ()), definition)
    yield from _registry_problems(document.get("serviceRegistries", ()), definition)


def _refused_problems(document: Document) -> Problems:
    for key, why in _NOT_YET.items():
        if key in document:
            yield Problem(key, why)
    controller = document.get("deploymentController", {}).get("type")
    if controller in ("CODE_DEPLOY", "EXTERNAL"):
        yield Problem("deploymentController.type", f"{controller} is not there yet; use ECS, or leave it out")
    else:
        yield from one_of("deploymentController.type", controller, ("ECS",))
    connect = document.get("serviceConnectConfiguration")
    if connect is not None and connect.get("enabled", True):
        yield Problem("serviceConnectConfiguration", "Service Connect is not there yet; use serviceRegistries")


def _constraint_count_problems(document: Document, definition: Document | None) -> Problems:
    own, given = len((definition or {}).get("placementConstraints", ())), len(document.get("placementConstraints", ()))
    if own and given <= CONSTRAINTS_MAX < own + given:
        how_many = f"has {given} entries and the task definition {own} more"
        yield Problem("placementConstraints", f"{how_many}; at most {CONSTRAINTS_MAX} are allowed together")


def load_balancer_problems(entries: Sequence[Document], definition: Document | None) -> Problems:
    """Whether the target groups are there is for the rule to say."""
    yield from at_most("loadBalancers", entries, TARGET_GROUPS_MAX)
    for index, entry in enumerate(entries[:TARGET_GROUPS_MAX]):
        path = f"loadBalancers[{index}]"
        if "loadBalancerName" in entry:
            yield Problem(f"{path}.loadBalancerName", "there are no classic load balancers here; use targetGroupArn")
        else:
            yield from required(path, entry, "targetGroupArn")
        if "advancedConfiguration" in entry:
            yield Problem(f"{path}.advancedConfiguration", "is for BLUE_GREEN, which is not there yet; leave it out")
        yield from required(path, entry, "containerName", "containerPort")
        yield from _port_problems(path, entry, definition)
    named = [
        (f"loadBalancers[{index}].targetGroupArn", entry.get("targetGroupArn", ""))
        for index, entry in enumerate(entries[:TARGET_GROUPS_MAX])
    ]
    yield from unique([each for each in named if each[1]], "{value} is also {first}; name each target group once")


def _registry_problems(entries: Sequence[Document], definition: Document | None) -> Problems:
    yield from at_most("serviceRegistries", entries, REGISTRIES_MAX)
    for index, entry in enumerate(entries[:REGISTRIES_MAX]):
        path = f"serviceRegistries[{index}]"
        yield from required(path, entry, "registryArn")
        yield from between(f"{path}.port", entry.get("port"), 1, PORT_MAX)
        if ("containerName" in entry) != ("containerPort" in entry):
            missing = "containerPort" if "containerName" in entry else "containerName"
            yield Problem(f"{path}.{missing}", "is required: containerName and containerPort go together")
        elif "port" in entry and "containerPort" in entry:
            yield Problem(f"{path}.port", "cannot stand beside containerPort; keep one of them")
        else:
            yield from _port_problems(path, entry, definition)


def _port_problems(path: str, entry: Document, definition: Document | None) -> Problems:
    """The container must be one of the definition, and publish the port."""
    name, port = entry.get("containerName"), entry.get("containerPort")
    yield from between(f"{path}.containerPort", port, 1, PORT_MAX)
    if definition is None or not name:
        return
    containers = {each.get("name"): each for each in definition.get("containerDefinitions", ())}
    if name not in containers:
        known = ", ".join(map(str, containers))
        yield Problem(f"{path}.containerName", f"{quoted(name)} is no container of the task definition; it has {known}")
        return
    ports = [each.get("containerPort") for each in containers[name].get("portMappings", ())]
    if port and port not in ports:
        has = ", ".join(map(str, filter(None, ports))) or "none"
        why = f"{port} is not among the portMappings of container {name}, which has {has}"
        yield Problem(f"{path}.containerPort", f"{why}; register the task definition with it")
