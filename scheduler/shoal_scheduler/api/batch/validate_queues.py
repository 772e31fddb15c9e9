"""Job queues, compute environments and consumable resources: what is refused at the door."""

from collections.abc import Sequence

from shoal import arn
from shoal.problems import Problem, quoted

from shoal_scheduler.api.batch.validate_jobs import PATTERN_CHARACTERS_MAX, name_problems
from shoal_scheduler.api.validate_names import cluster_name_problems
from shoal_scheduler.api.validate_values import (
    Document,
    Problems,
    at_most,
    between,
    no_longer_than,
    one_of,
    required,
    unique,
)
from shoal_scheduler.control.batch.consumables import QUANTITY_MAX
from shoal_scheduler.model.job_queue import NON_REPLENISHABLE, REPLENISHABLE

STATES = ("ENABLED", "DISABLED")
ENVIRONMENTS_MAX = 3
INT32_MAX = 2**31 - 1
LIMIT_SECONDS_MIN, LIMIT_SECONDS_MAX = 600, 86_400
TIME_LIMITS_MAX = 10
EXPRESSION_CHARACTERS_MAX = 2000

_NO_CAPACITY = "capacity is not bought here: instances join by themselves, and expression chooses among them"
_QUEUE_REFUSED = {
    "schedulingPolicyArn": "fair shares are not there yet: jobs start by priority and time; leave it out",
    "serviceEnvironmentOrder": "there is no SageMaker here; use computeEnvironmentOrder",
}
_ENVIRONMENT_REFUSED = {
    "computeResources": f"is for MANAGED environments: {_NO_CAPACITY}",
    "updatePolicy": f"is for MANAGED environments: {_NO_CAPACITY}",
    "eksConfiguration": "there is no Kubernetes here; leave it out",
    "context": "is reserved; leave it out",
    "ecsSettings": "metrics of containers are always there; leave it out",
}


def queue_problems(document: Document, *, create: bool) -> Problems:
    """Of CreateJobQueue and UpdateJobQueue."""
    if create:
        yield from name_problems("jobQueueName", document.get("jobQueueName"))
        yield from required("", document, "priority")
        if "computeEnvironmentOrder" not in document and "serviceEnvironmentOrder" not in document:
            yield Problem("computeEnvironmentOrder", f"is required: 1 to {ENVIRONMENTS_MAX} compute environments")
    yield from one_of("state", document.get("state"), STATES)
    yield from one_of("jobQueueType", document.get("jobQueueType"), ("ECS",))
    yield from between("priority", document.get("priority"), 0, INT32_MAX)
    yield from between("maxConcurrent", document.get("maxConcurrent"), 0, INT32_MAX)
    yield from between("overtakingMax", document.get("overtakingMax"), 0, INT32_MAX)
    yield from (Problem(key, why) for key, why in _QUEUE_REFUSED.items() if key in document)
    yield from _order_problems("computeEnvironmentOrder", document.get("computeEnvironmentOrder", ()))
    limits = document.get("jobStateTimeLimitActions", ())
    yield from at_most("jobStateTimeLimitActions", limits, TIME_LIMITS_MAX)
    if limits and document.get("removeTimeLimits"):
        yield Problem("removeTimeLimits", "cannot stand beside jobStateTimeLimitActions; keep one of them")
    for index, limit in enumerate(limits[:TIME_LIMITS_MAX]):
        yield from _limit_problems(f"jobStateTimeLimitActions[{index}]", limit)


def _order_problems(path: str, order: Sequence[Document]) -> Problems:
    yield from at_most(path, order, ENVIRONMENTS_MAX)
    if len(order) > ENVIRONMENTS_MAX:
        return
    names, numbers = [], []
    for index, entry in enumerate(order):
        at, name, number = f"{path}[{index}]", entry.get("computeEnvironment", ""), entry.get("order")
        if "order" not in entry:
            yield Problem(f"{at}.order", "is required: environments are tried in ascending order, as 1, 2, 3")
        yield from between(f"{at}.order", number, 0, INT32_MAX)
        yield from name_problems(f"{at}.computeEnvironment", arn.short(name))
        names.append((f"{at}.computeEnvironment", arn.short(name)))
        numbers.append((f"{at}.order", str(number)))
    yield from unique(names, "{value} is also {first}; name each environment once")
    yield from unique(numbers, "{value} is also {first}; give each environment an order of its own")


def _limit_problems(path: str, limit: Document) -> Problems:
    yield from required(path, limit, "reason", "state", "maxTimeSeconds", "action")
    yield from no_longer_than(f"{path}.reason", limit.get("reason"), PATTERN_CHARACTERS_MAX)
    yield from one_of(f"{path}.state", limit.get("state") or None, ("RUNNABLE",))
    seconds = limit.get("maxTimeSeconds")
    yield from between(f"{path}.maxTimeSeconds", seconds, LIMIT_SECONDS_MIN, LIMIT_SECONDS_MAX, "seconds")
    if limit.get("action") == "TERMINATE":
        yield Problem(f"{path}.action", "TERMINATE is for SageMaker; what is RUNNABLE does not run yet: use CANCEL")
    else:
        yield from one_of(f"{path}.action", limit.get("action") or None, ("CANCEL",))


def environment_problems(document: Document, *, create: bool) -> Problems:
    """Of CreateComputeEnvironment and UpdateComputeEnvironment. Whether the expression can be parsed is placement's
    to say."""
    if create:
        yield from name_problems("computeEnvironmentName", document.get("computeEnvironmentName"))
        if "type" not in document:
            yield Problem("type", "is required: UNMANAGED")
    if document.get("type") == "MANAGED":
        yield Problem("type", f"MANAGED environments are not there yet; use UNMANAGED: {_NO_CAPACITY}")
    else:
        yield from one_of("type", document.get("type"), ("UNMANAGED",))
    yield from one_of("state", document.get("state"), STATES)
    yield from between("unmanagedvCpus", document.get("unmanagedvCpus"), 0, INT32_MAX)
    if "cluster" in document:
        yield from cluster_name_problems("cluster", arn.short(document["cluster"]))
    yield from no_longer_than("expression", document.get("expression"), EXPRESSION_CHARACTERS_MAX)
    yield from (Problem(key, why) for key, why in _ENVIRONMENT_REFUSED.items() if key in document)


def consumable_problems(document: Document) -> Problems:
    """Of CreateConsumableResource."""
    yield from name_problems("consumableResourceName", document.get("consumableResourceName"))
    yield from between("totalQuantity", document.get("totalQuantity"), 0, QUANTITY_MAX)
    yield from one_of("resourceType", document.get("resourceType"), (REPLENISHABLE, NON_REPLENISHABLE))


def consumable_update_problems(document: Document) -> Problems:
    """Of UpdateConsumableResource. AWS takes the operation in any case."""
    yield from required("", document, "consumableResource", "operation", "quantity")
    yield from one_of("operation", document.get("operation", "SET").upper(), ("SET", "ADD", "REMOVE"))
    yield from between("quantity", document.get("quantity"), 0, QUANTITY_MAX)
    token = document.get("clientToken", "x")
    if not (1 <= len(token) <= 64 and token.isascii() and token.isprintable()):
        yield Problem("clientToken", f"{quoted(token)} is not allowed; use 1 to 64 visible ASCII characters")
