"""What of a service cannot go together, whichever request said it."""

from shoal_scheduler.control.services.launching import OVER_ZONES
from shoal_scheduler.model.refusal import invalid_field
from shoal_scheduler.model.service import DAEMON, Service

_REBALANCING = "availabilityZoneRebalancing"


def check(service: Service) -> None:
    """Raises Refused."""
    configuration = service.configuration
    if configuration.minimum_healthy_percent >= 100 and configuration.maximum_percent <= 100:
        raise invalid_field(
            "deploymentConfiguration.minimumHealthyPercent",
            "is 100, and maximumPercent too: no task could ever be replaced; raise that, or lower this.",
        )
    if service.scheduling_strategy == DAEMON:
        _check_daemon(service)
    elif service.zone_rebalancing and (why := why_not_rebalanced(service)):
        raise invalid_field(_REBALANCING, f"is ENABLED, and {why}; set it to DISABLED, or change that.")


def _check_daemon(service: Service) -> None:
    if service.configuration.maximum_percent > 100:
        raise invalid_field(
            "deploymentConfiguration.maximumPercent",
            "is 100 for a DAEMON service, which has one task on each instance; leave it out.",
        )
    if service.strategies:
        raise invalid_field("placementStrategy", "a DAEMON service has one task on each instance; leave it out.")
    if service.zone_rebalancing:
        raise invalid_field(_REBALANCING, "is for REPLICA services; leave it out.")


def why_not_rebalanced(service: Service) -> str:
    """Why its tasks cannot be moved between availability zones; empty if they can."""
    if service.scheduling_strategy == DAEMON:
        return "it is a DAEMON service"
    if service.configuration.maximum_percent <= 100:
        return "maximumPercent is 100, so that no task can be started before another stops"
    if service.strategies and service.strategies[0] != OVER_ZONES:
        return f"the first placementStrategy is not spread over {OVER_ZONES.field}"
    return ""
