"""What can move target groups, rules and what is known of targets, and how each is answered."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shoal_scheduler.model.task import TaskKey
from shoal_scheduler.model.traffic import ListenerRule, TargetGroup, TargetHealth


@dataclass(frozen=True, slots=True)
class CreateTargetGroup:
    """Answered with the TargetGroup; its `created_at` is the step's to say. So with a rule."""

    group: TargetGroup


@dataclass(frozen=True, slots=True)
class ModifyTargetGroup:
    """`fields`, `health_check`: those of TargetGroup and its HealthCheck that change. Answered with the TargetGroup."""

    cluster: str
    name: str
    fields: Mapping[str, Any]
    health_check: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class DeleteTargetGroup:
    cluster: str
    name: str


@dataclass(frozen=True, slots=True)
class CreateRule:
    """A priority of 0 is the next free one of its port. Answered with the ListenerRule."""

    rule: ListenerRule


@dataclass(frozen=True, slots=True)
class ModifyRule:
    """`fields`: those of ListenerRule that change. Answered with the ListenerRule."""

    cluster: str
    name: str
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class DeleteRule:
    cluster: str
    name: str


@dataclass(frozen=True, slots=True)
class ReportTargets:
    """What the ingress says of all it checks, by task and target group; `since` is the step's to say."""

    cluster: str
    health: Mapping[TaskKey, Mapping[str, TargetHealth]]


TrafficInput = (
    CreateTargetGroup | ModifyTargetGroup | DeleteTargetGroup | CreateRule | ModifyRule | DeleteRule | ReportTargets
)
TrafficReply = TargetGroup | ListenerRule
