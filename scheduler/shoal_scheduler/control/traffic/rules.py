"""The rule for each input of traffic: see `control.step`."""

from collections.abc import Callable
from typing import Any

from shoal_scheduler.control.context import Context, Outcome
from shoal_scheduler.control.traffic import inputs as i
from shoal_scheduler.control.traffic import listener_rules, target_groups, targets
from shoal_scheduler.state.overlay import Overlay

TRAFFIC_RULES: dict[type, Callable[[Overlay, Any, Context], Outcome]] = {
    i.CreateTargetGroup: target_groups.create,
    i.ModifyTargetGroup: target_groups.modify,
    i.DeleteTargetGroup: target_groups.delete,
    i.CreateRule: listener_rules.create,
    i.ModifyRule: listener_rules.modify,
    i.DeleteRule: listener_rules.delete,
    i.ReportTargets: targets.report,
}
