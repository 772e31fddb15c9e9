"""Consumable resources: create, update, delete."""

import msgspec
from shoal import arn
from shoal.problems import quoted

from shoal_scheduler.control.batch import environments
from shoal_scheduler.control.batch import inputs as i
from shoal_scheduler.control.context import Context, Outcome
from shoal_scheduler.model.job_queue import ConsumableResource
from shoal_scheduler.model.refusal import Refused, invalid_field
from shoal_scheduler.state import batch_changes as b
from shoal_scheduler.state.batch_overlay import BatchOverlay
from shoal_scheduler.state.overlay import Overlay

QUANTITY_MAX = 2**53 - 1

# Client tokens that a resource remembers.
_TOKENS_MAX = 32
_SAID = {"type": "resourceType", "total": "totalQuantity", "tags": "tags"}


def create(view: Overlay, request: i.CreateConsumableResource, context: Context) -> Outcome:
    """The same again is answered with what is there."""
    known = view.batch.consumable(request.resource.name)
    if known is not None:
        return Outcome(environments.unchanged("consumableResourceName", known, request.resource, _SAID))
    environments.check_count("consumable resources", len(view.batch.consumables()))
    resource = msgspec.structs.replace(request.resource, created_at=context.now)
    return Outcome(resource, [b.PutConsumableResource(resource)])


def update(view: Overlay, request: i.UpdateConsumableResource, _context: Context) -> Outcome:
    """A total below what is taken lets no more jobs start. The same client token changes it once, and is answered with
    the total as it was then."""
    resource = find(view.batch, request.name)
    asked = f"{request.operation} {request.quantity}"
    for token, digest, total in resource.changed:
        if token != request.client_token:
            continue
        if digest != asked:
            raise Refused("conflict", "clientToken: it was used for a different request. Use a new token for each.")
        return Outcome(msgspec.structs.replace(resource, total=total))
    total = _total(resource, request)
    changed = resource.changed
    if request.client_token:
        changed = (*changed, (request.client_token, asked, total))[-_TOKENS_MAX:]
    resource = msgspec.structs.replace(resource, total=total, changed=changed)
    return Outcome(resource, [b.PutConsumableResource(resource)])


def _total(resource: ConsumableResource, request: i.UpdateConsumableResource) -> int:
    change = {"ADD": request.quantity, "REMOVE": -request.quantity}
    total = resource.total + change[request.operation] if request.operation in change else request.quantity
    if not 0 <= total <= QUANTITY_MAX:
        raise invalid_field(
            "quantity",
            f"{request.operation} {request.quantity} makes {total} of {resource.total}; it must be 0 to"
            f" {QUANTITY_MAX}.",
        )
    return total


def delete(view: Overlay, request: i.DeleteConsumableResource, _context: Context) -> Outcome:
    resource = find(view.batch, request.name)
    jobs = view.batch.open_takers(resource.name)
    if jobs:
        raise Refused(
            "failed_precondition",
            f"consumableResource: {jobs} jobs that are not over take {resource.name}: wait for them, or terminate"
            " them.",
        )
    return Outcome(None, [b.DeleteConsumableResource(resource.name)])


def find(view: BatchOverlay, name: str, field: str = "consumableResource") -> ConsumableResource:
    """By name or ARN. Raises Refused."""
    resource = view.consumable(arn.short(name))
    if resource is None:
        advice = "List them with ListConsumableResources, or create it."
        raise Refused("not_found", f"{field}: there is no consumable resource {quoted(name)}. {advice}")
    return resource
