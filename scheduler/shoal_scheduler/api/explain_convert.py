"""Explanations to messages, with the one sentence that says it all."""

from collections.abc import Sequence
from typing import Any

from shoal import arn
from shoal.v1 import placement_pb2 as pb
from shoal.v1 import resource_pb2

from shoal_scheduler.control import inputs as i
from shoal_scheduler.control.explain import DryRun, queue_position
from shoal_scheduler.model.instance import Instance
from shoal_scheduler.model.task import Task
from shoal_scheduler.placement.choices import Choice
from shoal_scheduler.placement.demand import Shortfall
from shoal_scheduler.placement.explain import NEXT_TURN, Explanation, Near, name_of
from shoal_scheduler.placement.kinds import Kind
from shoal_scheduler.placement.place import Spot
from shoal_scheduler.placement.suggest import Suggestion
from shoal_scheduler.state.instance_table import InstanceTable
from shoal_scheduler.state.tables import Tables

PLACEMENTS_MAX = 1000


def of_placed(tables: Tables, task: Task) -> pb.ExplainPlacementResponse:
    """Of a task that does not wait."""
    answer = pb.ExplainPlacementResponse(
        instance_count=tables.room(task.launch.cluster).registered, task_count=1, placed_count=1 if task.instance else 0
    )
    if not task.instance:
        answer.reason = f"It was stopped before it was placed: {task.stopped_reason}."
        return answer
    instance = tables.instances.get(task.instance)
    where = task.instance[:8] if instance is None else name_of(instance)
    answer.container_instance_arn = arn.container_instance_arn(task.launch.cluster, task.instance)
    if task.is_stopped:
        answer.reason = f"It was placed on {where} and has stopped: {task.stopped_reason}."
    else:
        answer.reason = f"It is {task.last_status} on {where}: there is nothing to explain."
    return answer


def of_waiting(tables: Tables, task: Task, explanation: Explanation | None) -> pb.ExplainPlacementResponse:
    cluster = task.launch.cluster
    room = tables.room(cluster)
    answer = pb.ExplainPlacementResponse(reason=NEXT_TURN, instance_count=room.registered, task_count=1, placed_count=0)
    if explanation is not None:
        answer.reason = explanation.reason
        _add_explanation(answer, room, explanation)
    answer.queue.position = queue_position(tables, task)
    answer.queue.waiting_count = tables.waiting_count[cluster]
    held = tables.held.get(cluster)
    if held is not None:
        answer.queue.held_container_instance_arn = arn.container_instance_arn(cluster, held.instance)
        answer.queue.held_for_this_task = held.launch == task.launch.id
    return answer


def of_dry_run(tables: Tables, asked: i.RunTask, planned: DryRun) -> pb.ExplainPlacementResponse:
    room = tables.room(asked.cluster)
    answer = pb.ExplainPlacementResponse(
        reason=_sentence(asked, planned, room),
        instance_count=room.registered,
        task_count=asked.count,
        placed_count=len(planned.spots),
    )
    by_row: dict[int, list[Spot]] = {}
    for spot in planned.spots:
        by_row.setdefault(spot.row, []).append(spot)
    for row, spots in list(by_row.items())[:PLACEMENTS_MAX]:
        answer.placements.append(_placement(room, row, spots, planned.choices.get(row)))
    if planned.unplaced is not None:
        _add_explanation(answer, room, planned.unplaced)
    return answer


def _sentence(asked: i.RunTask, planned: DryRun, room: InstanceTable) -> str:
    placed, rest = len(planned.spots), "would wait" if asked.queue else "would not be placed"
    rows = list(dict.fromkeys(spot.row for spot in planned.spots))
    on = name_of(_instance(room, rows[0])) if len(rows) == 1 else f"{len(rows)} instances"
    if planned.unplaced is None:
        return f"It would go to {on}." if asked.count == 1 else f"All {asked.count} tasks would be placed, on {on}."
    if asked.count == 1:
        return f"It {rest}: {planned.unplaced.reason}."
    if not placed:
        return f"All {asked.count} tasks {rest}: {planned.unplaced.reason}."
    return f"{placed} of {asked.count} tasks would be placed, on {on}; the others {rest}: {planned.unplaced.reason}."


def _placement(room: InstanceTable, row: int, spots: Sequence[Spot], choice: Choice | None) -> pb.PlacementChoice:
    instance = _instance(room, row)
    gpus = dict.fromkeys(instance.gpu_ids[gpu] for spot in spots for gpu in spot.gpus)
    message = pb.PlacementChoice(**_named(instance), task_count=len(spots), gpu_ids=gpus)
    if choice is not None:
        message.fitting_count, message.equal_count = choice.fit, choice.equal
        for ranked in choice.ranked:
            kind, field = ranked.strategy
            message.strategies.add(type=kind, field=field or None, value=ranked.value, equal_count=ranked.equal)
    return message


def _add_explanation(answer: pb.ExplainPlacementResponse, room: InstanceTable, explanation: Explanation) -> None:
    for reason, count in sorted(explanation.refusals.items(), key=lambda item: (-item[1], item[0])):
        answer.refusals.add(reason=reason, instance_count=count)
    answer.nearest.extend(map(_near, explanation.nearest))
    answer.kept_away.extend(map(_near, explanation.kept_away))
    if explanation.suggestion is not None:
        answer.smallest_change.CopyFrom(_change(room, explanation.suggestion))
    answer.one_more_instance.CopyFrom(_kind(explanation.one_more))


def _near(near: Near) -> pb.NearInstance:
    return pb.NearInstance(**_named(near.instance), shortfalls=map(_shortfall, near.shortfalls))


def _shortfall(shortfall: Shortfall) -> pb.Shortfall:
    return pb.Shortfall(
        reason=shortfall.reason,
        field=shortfall.field,
        wanted=shortfall.wanted or None,
        has=shortfall.has or None,
        missing=shortfall.missing or None,
        unit=shortfall.unit or None,
    )


def _change(room: InstanceTable, suggestion: Suggestion) -> pb.SmallestChange:
    message = pb.SmallestChange(**_named(_instance(room, suggestion.row)))
    for change in suggestion.changes:
        message.changes.add(**{**change._asdict(), "unit": change.unit or None})
    return message


def _kind(kind: Kind) -> pb.OneMoreInstance:
    amounts = [("CPU", kind.cpu), ("MEMORY", kind.memory_mib), ("GPU", kind.gpus), *kind.custom]
    message = pb.OneMoreInstance(
        instance_type=kind.type or None,
        resources=[
            resource_pb2.Resource(name=name, type="INTEGER", integer_value=amount) for name, amount in amounts if amount
        ],
        attributes=[resource_pb2.Attribute(name=name, value=value) for name, value in kind.attributes],
        expressions=kind.expressions,
    )
    if kind.like is not None:
        like = _named(kind.like)
        message.like_container_instance_arn = like["container_instance_arn"]
        message.like_ec2_instance_id = like["ec2_instance_id"]
        message.instance_count = kind.number
    return message


def _named(instance: Instance) -> dict[str, Any]:
    return {
        "container_instance_arn": arn.container_instance_arn(instance.cluster, instance.id),
        "ec2_instance_id": instance.hostname,
    }


def _instance(room: InstanceTable, row: int) -> Instance:
    instance = room.instances[row]
    assert instance is not None, "a spot is on an instance"
    return instance
