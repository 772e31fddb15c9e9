"""Rebalancing: planned, started, stopped, described."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from shoal import arn
from shoal.problems import quoted
from shoal.rpc import Identity
from shoal.v1 import rebalance_pb2 as pb
from shoal.v1 import resource_pb2

from shoal_scheduler.api.calls import Handler
from shoal_scheduler.api.fields import bounded, cluster_name, existing_cluster
from shoal_scheduler.api.validate_run_task import CLIENT_TOKEN
from shoal_scheduler.control.rebalance.inputs import StartRebalance, StopRebalance, Wanted
from shoal_scheduler.control.rebalance.leaving import under_way
from shoal_scheduler.control.rebalance.plan import Effect, Plan, plan
from shoal_scheduler.control.rebalance.requests import check
from shoal_scheduler.control_plane import ControlPlane
from shoal_scheduler.engine import now_millis
from shoal_scheduler.model.rebalance import (
    DEFAULT_BUDGET,
    EMPTY,
    INSTANCES_MAX,
    MOVES_MAX,
    PARALLEL_MAX,
    SPREAD,
    ZONES,
    Budget,
    Move,
    Rebalance,
)
from shoal_scheduler.model.refusal import invalid_field
from shoal_scheduler.state.overlay import Overlay

KINDS = (SPREAD, EMPTY, ZONES)
PLANNED, MOVING = "PLANNED", "MOVING"
SERVICES_MAX, REBALANCES_MAX, REASON_CHARACTERS_MAX = 100, 100, 255
ZONE = "ecs.availability-zone"


async def plan_one(
    plane: ControlPlane, request: pb.PlanRebalanceRequest, _caller: Identity
) -> pb.PlanRebalanceResponse:
    cluster, wanted, view = existing_cluster(plane, request).name, _wanted(request), Overlay(plane.tables)
    check(view, cluster, wanted)
    found = plan(view, cluster, wanted, now_millis())
    return pb.PlanRebalanceResponse(
        moves=_moves(cluster, found.moves, PLANNED),
        effects=[_effect(plane, cluster, effect) for effect in found.effects],
        failures=_failures(cluster, found),
        closed_container_instance_arns=[arn.container_instance_arn(cluster, each) for each in found.closed],
        note=found.note or _note(view, cluster),
    )


def _note(view: Overlay, cluster: str) -> str | None:
    before = under_way(view, cluster)
    return None if before is None else f"Rebalance {before.id} is in progress."


async def start(plane: ControlPlane, request: pb.StartRebalanceRequest, caller: Identity) -> pb.StartRebalanceResponse:
    if request.client_token and not CLIENT_TOKEN.fullmatch(request.client_token):
        raise invalid_field("clientToken", "must be 1 to 64 visible ASCII characters.")
    change = StartRebalance(cluster_name(request), _wanted(request), caller.name, request.client_token)
    started = await plane.engine.submit(change)
    assert isinstance(started, Rebalance)
    return pb.StartRebalanceResponse(rebalance=_message(started))


async def stop(plane: ControlPlane, request: pb.StopRebalanceRequest, _caller: Identity) -> pb.StopRebalanceResponse:
    if len(request.reason) > REASON_CHARACTERS_MAX:
        raise invalid_field("reason", f"has {len(request.reason)} characters, at most {REASON_CHARACTERS_MAX}.")
    change = StopRebalance(cluster_name(request), request.rebalance_id, request.reason)
    stopped = await plane.engine.submit(change)
    assert isinstance(stopped, Rebalance)
    return pb.StopRebalanceResponse(rebalance=_message(stopped))


async def describe(
    plane: ControlPlane, request: pb.DescribeRebalancesRequest, _caller: Identity
) -> pb.DescribeRebalancesResponse:
    cluster = existing_cluster(plane, request).name
    known = {each.id: each for each in plane.tables.records.of(Rebalance, cluster)}
    newest = sorted(known.values(), key=lambda each: (each.created_at, each.id), reverse=True)
    asked = bounded(request.rebalances, "rebalances", REBALANCES_MAX) if request.rebalances else list(known)
    return pb.DescribeRebalancesResponse(
        rebalances=[_message(each) for each in newest if each.id in asked],
        failures=[resource_pb2.Failure(arn=name, reason="MISSING") for name in asked if name not in known],
    )


REBALANCING_METHODS: Mapping[str, Handler] = {
    "PlanRebalance": plan_one,
    "StartRebalance": start,
    "StopRebalance": stop,
    "DescribeRebalances": describe,
}


def _wanted(request: Any) -> Wanted:
    kind = request.kind or SPREAD
    if kind not in KINDS:
        raise invalid_field("kind", f"{quoted(kind[:100])} is none of {', '.join(KINDS)}.")
    if kind != EMPTY and request.container_instances:
        raise invalid_field("containerInstances", "are those that kind EMPTY empties; leave them out.")
    instances = _names(request.container_instances, "containerInstances", INSTANCES_MAX)
    services = _names(request.services, "services", SERVICES_MAX)
    moves = _number(request, "max_moves", "maxMoves", DEFAULT_BUDGET.moves, MOVES_MAX)
    parallel = _number(request, "max_parallel", "maxParallel", DEFAULT_BUDGET.parallel, PARALLEL_MAX)
    return Wanted(kind, instances, services, Budget(moves, parallel))


def _names(values: Iterable[str], field: str, most: int) -> tuple[str, ...]:
    named = [arn.short(value) for value in values]
    return tuple(dict.fromkeys(bounded(named, field, most))) if named else ()


def _number(request: Any, field: str, json_name: str, default: int, most: int) -> int:
    value: int = getattr(request, field) if request.HasField(field) else default
    if not 1 <= value <= most:
        raise invalid_field(json_name, f"is {value}: must be 1 to {most}.")
    return value


def _message(rebalance: Rebalance) -> pb.Rebalance:
    cluster = rebalance.cluster
    moves = [
        *_moves(cluster, rebalance.over, ""),
        *_moves(cluster, rebalance.moves, MOVING),
        *_moves(cluster, rebalance.planned, PLANNED),
    ]
    return pb.Rebalance(
        rebalance_id=rebalance.id,
        kind=rebalance.kind,
        status=rebalance.status,
        status_reason=rebalance.reason or None,
        created_by=rebalance.created_by or None,
        created_at=rebalance.created_at,
        stopped_at=rebalance.stopped_at or None,
        max_parallel=rebalance.parallel,
        moves=moves,
        closed_container_instance_arns=[arn.container_instance_arn(cluster, each) for each in rebalance.closed],
    )


def _moves(cluster: str, moves: Sequence[Move], status: str) -> list[pb.TaskMove]:
    return [
        pb.TaskMove(
            task_arn=arn.task_arn(cluster, move.task),
            service_name=move.service,
            source_container_instance_arn=arn.container_instance_arn(cluster, move.source),
            target_container_instance_arn=arn.container_instance_arn(cluster, move.target),
            reason=move.reason,
            status=move.outcome or status,
            status_reason=move.detail or None,
            started_at=move.began_at or None,
            ended_at=move.ended_at or None,
        )
        for move in moves
    ]


def _effect(plane: ControlPlane, cluster: str, effect: Effect) -> pb.RebalanceEffect:
    instance = plane.tables.instances[effect.instance]
    return pb.RebalanceEffect(
        container_instance_arn=arn.container_instance_arn(cluster, instance.id),
        ec2_instance_id=instance.hostname,
        availability_zone=instance.attribute(ZONE),
        tasks_before=effect.tasks_before,
        tasks_after=effect.tasks_after,
        cpu_before=effect.cpu_before,
        cpu_after=effect.cpu_after,
        memory_before=effect.memory_mib_before,
        memory_after=effect.memory_mib_after,
        cpu=instance.cpu,
        memory=instance.memory_mib,
    )


def _failures(cluster: str, found: Plan) -> list[resource_pb2.Failure]:
    tasks = [
        resource_pb2.Failure(arn=arn.task_arn(cluster, stays.task), reason="STAYS", detail=stays.reason)
        for stays in found.stays
    ]
    services = [
        resource_pb2.Failure(arn=arn.service_arn(cluster, name), reason="FIXED", detail=reason)
        for name, reason in found.fixed
    ]
    return [*tasks, *services]
