"""How often agents speak, and how long one may be silent before its session is over."""

HEARTBEAT_MIN_SECONDS = 3.0
HEARTBEAT_MAX_SECONDS = 60.0
INSTANCES_PER_HEARTBEAT_SECOND = 100
SESSION_DEADLINE_MIN_SECONDS = 15.0


def heartbeat_seconds(instances: int) -> float:
    """So that the whole cluster beats about a hundred times a second at most."""
    return min(max(instances / INSTANCES_PER_HEARTBEAT_SECOND, HEARTBEAT_MIN_SECONDS), HEARTBEAT_MAX_SECONDS)


def session_deadline_seconds(instances: int) -> float:
    """Never less for more instances. So of all that were ever registered it is no less than any agent was told."""
    return max(SESSION_DEADLINE_MIN_SECONDS, 3 * heartbeat_seconds(instances))
