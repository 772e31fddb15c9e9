"""The ingress: what it is to route, and what it tells of it."""

import asyncio
import ipaddress
import time
from collections.abc import AsyncGenerator

from shoal.problems import quoted
from shoal.rpc import Identity
from shoal.v1 import traffic_pb2 as pb

from shoal_scheduler.api.agent_checks import text
from shoal_scheduler.api.fields import existing_cluster
from shoal_scheduler.api.traffic.messages import rule_message, target_group_message
from shoal_scheduler.control.traffic import inputs as i
from shoal_scheduler.control.traffic.routes import routed_services, routes_of
from shoal_scheduler.control_plane import ControlPlane
from shoal_scheduler.model.refusal import invalid_field
from shoal_scheduler.model.service import Service
from shoal_scheduler.model.task import TaskKey
from shoal_scheduler.model.traffic import HEALTHY, INITIAL, UNHEALTHY, ListenerRule, TargetGroup, TargetHealth
from shoal_scheduler.state.tables import Tables

# What changes at once is told at once. Where there is much to say it is said less often: the leader has other things to
# do for most of its time.
GATHER_SECONDS = 0.02
PAUSE_PER_SECOND_OF_WORK = 9.0
TEXT_CHARACTERS_MAX = 300
_STATES = (INITIAL, HEALTHY, UNHEALTHY)

# By service, and under "" what is of none: of when it is, and the message.
Parts = dict[str, tuple[int, bytes]]


async def watch(plane: ControlPlane, request: pb.WatchRoutesRequest, _caller: Identity) -> AsyncGenerator[bytes]:
    cluster, told, seen = existing_cluster(plane, request).name, b"no routes", -1
    parts: Parts = {}
    while True:
        seen = await plane.routing.wait_beyond(seen)
        began = time.perf_counter()
        now = encoded_routes(plane, cluster, parts)
        worked_seconds = time.perf_counter() - began
        if now != told:
            yield now
        told = now
        await asyncio.sleep(max(GATHER_SECONDS, worked_seconds * PAUSE_PER_SECOND_OF_WORK))


def encoded_routes(plane: ControlPlane, cluster: str, parts: Parts) -> bytes:
    """A WatchRoutesResponse. Messages one after the other are read as one that has everything of each: only what may
    have changed since `parts` were made is made anew."""
    services = {each.name: each for each in routed_services(plane.tables, cluster)}
    for gone in parts.keys() - services.keys() - {""}:
        del parts[gone]
    for name in ("", *services):
        at = plane.routing.touched_at(cluster, name)
        if name not in parts or parts[name][0] != at:
            made = _of_service(plane.tables, services[name]) if name else _of_records(plane.tables, cluster)
            parts[name] = at, made.SerializeToString()
    return b"".join(parts[name][1] for name in ("", *services))


def _of_records(tables: Tables, cluster: str) -> pb.WatchRoutesResponse:
    """With names of target groups where their ARNs would be: the ingress knows them by their names."""
    messages = []
    for rule in sorted(tables.records.of(ListenerRule, cluster), key=lambda each: each.name):
        message = rule_message(rule)
        tuples = message.actions[0].forward_config.target_groups
        for each, forward in zip(tuples, rule.forwards, strict=True):
            each.target_group_arn = forward.target_group
        messages.append(message)
    groups = sorted(tables.records.of(TargetGroup, cluster), key=lambda each: each.name)
    return pb.WatchRoutesResponse(target_groups=map(target_group_message, groups), rules=messages)


def _of_service(tables: Tables, service: Service) -> pb.WatchRoutesResponse:
    known = routes_of(tables, service)
    return pb.WatchRoutesResponse(
        targets=[
            pb.RoutedTarget(
                target_group=each.target_group, task_id=each.task.id, host=each.place.host, port=each.place.port
            )
            for each in known.targets
        ],
        names=[
            pb.DiscoveredName(
                name=name,
                endpoints=[
                    pb.DiscoveredEndpoint(task_id=each.task.id, host=each.place.host, port=each.place.port)
                    for each in found
                    if _is_address(each.place.host)
                ],
            )
            for name, found in sorted(known.names.items())
        ],
    )


def _is_address(host: str) -> bool:
    """Others cannot be the answer to a question of DNS."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


async def report(plane: ControlPlane, request: pb.ReportTargetsRequest, _caller: Identity) -> pb.ReportTargetsResponse:
    cluster = existing_cluster(plane, request).name
    health: dict[TaskKey, dict[str, TargetHealth]] = {}
    for index, each in enumerate(request.targets):
        key = TaskKey.parse(each.task_id)
        if key is None:
            raise invalid_field(f"targets[{index}].taskId", f"{quoted(each.task_id[:100])} is no id of a task.")
        if each.health.state not in _STATES:
            said = f"{quoted(each.health.state[:100])} is none of {', '.join(_STATES)}."
            raise invalid_field(f"targets[{index}].health.State", said)
        said_health = TargetHealth(each.health.state, _text(each.health.reason), _text(each.health.description))
        health.setdefault(key, {})[each.target_group] = said_health
    for index, count in enumerate(request.counts):
        if count.requests < 0:
            raise invalid_field(f"counts[{index}].requests", f"is {count.requests}: it cannot be less than 0.")
    await plane.engine.submit(i.ReportTargets(cluster, health))
    problems = {each.rule: _text(each.problem) for each in request.problems}
    plane.routing.heard(cluster, problems, plane.engine.now())
    counts = {each.target_group: each.requests for each in request.counts}
    plane.routing.count(plane.tables, plane.metrics, cluster, counts, plane.engine.now() / 1000)
    return pb.ReportTargetsResponse()


def _text(said: str) -> str:
    return text(said, TEXT_CHARACTERS_MAX)
