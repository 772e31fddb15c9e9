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
from shoal_scheduler.control.traffic.routes import Routes, routes
from shoal_scheduler.control_plane import ControlPlane
from shoal_scheduler.model.refusal import invalid_field
from shoal_scheduler.model.task import TaskKey
from shoal_scheduler.model.traffic import HEALTHY, INITIAL, UNHEALTHY, TargetHealth

# What changes at once is told at once. Where there is much to say it is said less often: the leader has other things to
# do for most of its time.
GATHER_SECONDS = 0.02
PAUSE_PER_SECOND_OF_WORK = 9.0
TEXT_CHARACTERS_MAX = 300
_STATES = (INITIAL, HEALTHY, UNHEALTHY)


async def watch(
    plane: ControlPlane, request: pb.WatchRoutesRequest, _caller: Identity
) -> AsyncGenerator[pb.WatchRoutesResponse]:
    cluster, told, seen = existing_cluster(plane, request).name, None, -1
    while True:
        seen = await plane.routing.wait_beyond(seen)
        began = time.perf_counter()
        now = _message(routes(plane.tables, cluster))
        worked_seconds = time.perf_counter() - began
        if now != told:
            yield now
        told = now
        await asyncio.sleep(max(GATHER_SECONDS, worked_seconds * PAUSE_PER_SECOND_OF_WORK))


def _message(known: Routes) -> pb.WatchRoutesResponse:
    """With names of target groups where their ARNs would be: the ingress knows them by their names."""
    rules = []
    for rule in known.rules:
        message = rule_message(rule)
        tuples = message.actions[0].forward_config.target_groups
        for each, forward in zip(tuples, rule.forwards, strict=True):
            each.target_group_arn = forward.target_group
        rules.append(message)
    return pb.WatchRoutesResponse(
        target_groups=map(target_group_message, known.groups),
        rules=rules,
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
