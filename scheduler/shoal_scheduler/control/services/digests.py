"""How many tasks of a revision may start before its images are known by their digests. Pure."""

from shoal_scheduler.control.services.view import ServiceView


def most_to_start(seen: ServiceView) -> int | None:
    """At most so many now; None for no bound."""
    return None
