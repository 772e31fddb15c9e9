"""What the ingress says of targets. Nothing of it is stored: it says so again to whoever leads next."""

from collections.abc import Iterator, Mapping

import msgspec

from shoal_scheduler.control.context import Context, Outcome
from shoal_scheduler.control.traffic import inputs as i
from shoal_scheduler.model.task import TaskKey
from shoal_scheduler.model.traffic import TargetHealth
from shoal_scheduler.state.overlay import Overlay
from shoal_scheduler.state.service_tables import SetTargetHealth


def report(view: Overlay, request: i.ReportTargets, context: Context) -> Outcome:
    """What it does not name any more is not known any more."""
    changes: list[SetTargetHealth] = []
    for key in dict.fromkeys([*request.health, *view.known_targets()]):
        task = view.task(key)
        if task is not None and not task.is_stopped and task.launch.cluster == request.cluster:
            changes += _changes(key, view.target_health(key), request.health.get(key, {}), context.now)
    return Outcome(None, changes)


def _changes(
    key: TaskKey, known: Mapping[str, TargetHealth], said: Mapping[str, TargetHealth], now: int
) -> Iterator[SetTargetHealth]:
    for group, health in said.items():
        before = known.get(group)
        since = before.since if before is not None and before.state == health.state else now
        if (changed := msgspec.structs.replace(health, since=since)) != before:
            yield SetTargetHealth(key, group, changed)
    for group in known:
        if group not in said:
            yield SetTargetHealth(key, group, None)
