"""Tags of anything that has an ARN."""

from typing import Any

import msgspec
from shoal import arn
from shoal.problems import quoted

from shoal_scheduler.control import clusters, definitions, instances, tasks
from shoal_scheduler.control import inputs as i
from shoal_scheduler.control.batch import tags as batch
from shoal_scheduler.control.context import Context, Outcome
from shoal_scheduler.control.services import find as find_service
from shoal_scheduler.control.traffic import listener_rules, target_groups
from shoal_scheduler.model.cluster import Cluster
from shoal_scheduler.model.definition import Definition
from shoal_scheduler.model.refusal import invalid_field
from shoal_scheduler.model.service import Service
from shoal_scheduler.model.task import Task
from shoal_scheduler.model.traffic import ListenerRule, TargetGroup
from shoal_scheduler.state import changes as c
from shoal_scheduler.state.overlay import Overlay
from shoal_scheduler.state.records import PutRecord

TAGS_MAX = 50


def change(view: Overlay, request: i.ChangeTags, _context: Context) -> Outcome:
    record = resolve(view, request.arn)
    merged: dict[str, str | None] = {**tags_of(record), **request.tags}
    tags = {key: value for key, value in merged.items() if value is not None}
    if len(tags) > TAGS_MAX:
        raise invalid_field("tags", f"a resource has at most {TAGS_MAX} tags, this would make {len(tags)}.")
    return Outcome(tags, [_put(msgspec.structs.replace(record, tags=tags))])


def resolve(view: Overlay, name: str) -> Any:
    """The record an ARN names. Raises Refused."""
    if name.startswith(arn.BATCH_PREFIX):
        return batch.resolve(view.batch, name)
    kind = name.removeprefix(arn.PREFIX).partition("/")[0]
    if not name.startswith(arn.PREFIX):
        raise invalid_field("resourceArn", f"{quoted(name)} is not an ARN of this cluster.")
    match kind:
        case "cluster":
            return clusters.find(view, arn.short(name))
        case "task-definition":
            return definitions.find(view, name, revision_required=True)
        case "task":
            return tasks.find(view, arn.cluster_of(name) or "", name)
        case "service":
            return find_service.service(view.records, arn.cluster_of(name) or "", name, "resourceArn")
        case "targetgroup":
            return target_groups.find(view, arn.cluster_of(name) or "", name, "resourceArn")
        case "listener-rule":
            return listener_rules.find(view, arn.cluster_of(name) or "", name, "resourceArn")
        case "container-instance":
            return instances.find(view, arn.cluster_of(name) or "", name)
        case _:
            raise invalid_field("resourceArn", f"{quoted(kind)} has no tags.")


def tags_of(record: Any) -> dict[str, str]:
    return dict(record.launch.tags if record.tags is None else record.tags)


def _put(record: Any) -> c.Change:
    if (change := batch.put_of(record)) is not None:
        return change
    if isinstance(record, Service | TargetGroup | ListenerRule):
        return PutRecord(record)
    if isinstance(record, Cluster):
        return c.PutCluster(record)
    if isinstance(record, Definition):
        return c.PutDefinition(record)
    if isinstance(record, Task):
        return c.PutTask(record)
    return c.PutInstance(record)
