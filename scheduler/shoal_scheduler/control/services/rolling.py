"""Which tasks of a REPLICA service start and stop now. Pure."""

from shoal_scheduler.control.services.plan import Plan, Stop
from shoal_scheduler.control.services.view import ServiceView


def plan(view: ServiceView) -> Plan:
    wanted = view.wanted
    missing = view.service.desired_count - len(wanted)
    if missing >= 0:
        return Plan(start=missing)
    return Plan(stop=tuple(Stop(task, "scale in") for task in wanted[missing:]))
