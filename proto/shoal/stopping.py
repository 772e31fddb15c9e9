"""How long the containers of a task have to stop once they are asked to, as agent and scheduler both count it."""

from collections.abc import Mapping, Sequence
from typing import Any

# ECS's, for a container whose definition names none.
STOP_TIMEOUT_SECONDS = 30

# What makes containers end one after another: those that others need go last.
_ORDERS = ("dependsOn", "links", "volumesFrom")


def stop_seconds(containers: Sequence[Mapping[str, Any]]) -> int:
    """Of all of them, the container definitions of a task: together, or one after another if any needs another.

    >>> stop_seconds([{"stopTimeout": 5}, {}]), stop_seconds([{"stopTimeout": 5}, {"dependsOn": [{}]}])
    (30, 35)
    """
    timeouts = [container.get("stopTimeout", STOP_TIMEOUT_SECONDS) for container in containers]
    in_order = any(container.get(name) for container in containers for name in _ORDERS)
    return sum(timeouts) if in_order else max(timeouts, default=STOP_TIMEOUT_SECONDS)
