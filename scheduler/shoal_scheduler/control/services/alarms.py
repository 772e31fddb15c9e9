"""Alarms that end a deployment, and how long they are heeded after all its tasks are healthy. Pure.

As https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-alarm-failure.html says: an alarm that rings
when a deployment begins says nothing of it, and none is heeded then.
"""

from shoal_scheduler.control.services.view import ServiceView
from shoal_scheduler.model.alarm import ALARM

# Unless the service says how long: until every alarm had the time to ring, as ECS does it, and at most so long.
BAKE_MILLIS_MAX = 5 * 60_000


def ringing(seen: ServiceView) -> tuple[str, ...]:
    """Those that the service names and that are in ALARM, if it wants its deployments to heed them."""
    wanted = seen.service.configuration.alarms
    if not wanted.enable:
        return ()
    return tuple(name for name in wanted.names if name in seen.alarms and seen.alarms[name].state == ALARM)


def bake_millis(seen: ServiceView) -> int:
    """How long a deployment whose tasks are all healthy is watched before it is successful."""
    configuration = seen.service.configuration
    if configuration.bake_minutes or not configuration.alarms.enable or seen.deployment.ignores_alarms:
        return configuration.bake_minutes * 60_000
    known = [seen.alarms[name] for name in configuration.alarms.names if name in seen.alarms]
    return min(max((alarm.period * alarm.evaluation_periods * 1000 for alarm in known), default=0), BAKE_MILLIS_MAX)
