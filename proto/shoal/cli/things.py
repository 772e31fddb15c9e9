"""What a name names: a task, an instance, a task definition, a cluster, a service, or by its whole id a job."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from shoal import arn, errors
from shoal.cli import find, job_order, text
from shoal.cli.failures import NOT_FOUND, Failed
from shoal.cli.session import Session
from shoal.v1 import cluster_pb2, service_pb2, task_definition_pb2

TASK, INSTANCE, DEFINITION, CLUSTER, JOB = "task", "container-instance", "task-definition", "cluster", "job"
SERVICE = "service"
_ARN = re.compile(r"arn:[^:]*:[^:]*:[^:]*:[^:]*:([a-z-]+)/(.+)")


@dataclass(frozen=True, slots=True)
class Thing:
    """name: the id of a task, an instance or a job, family:revision, or a cluster's or a service's name."""

    kind: str
    name: str

    def arn(self, cluster: str) -> str:
        if self.kind == TASK:
            return arn.task_arn(cluster, self.name)
        if self.kind == INSTANCE:
            return arn.container_instance_arn(cluster, self.name)
        if self.kind == CLUSTER:
            return arn.cluster_arn(self.name)
        if self.kind == SERVICE:
            return arn.service_arn(cluster, self.name)
        if self.kind == JOB:
            return arn.job_arn(self.name)
        family, _, revision = self.name.partition(":")
        return arn.task_definition_arn(family, int(revision))


async def locate(session: Session, name: str) -> Thing:
    """By ARN; as family:revision; by an id's unique prefix; as a family; as a cluster; as a service. Raises
    Failed."""
    named = _ARN.fullmatch(name)
    if named:
        return Thing(named[1], named[2] if named[1] in (DEFINITION, CLUSTER) else arn.short(name))
    if job_order.ID.fullmatch(name):
        return Thing(JOB, name)
    if ":" in name:
        return Thing(DEFINITION, name)
    found = await _by_id(session, name) if text.could_be_id(name) else []
    if len(found) > 1:
        shorts = (
            f"{each.kind} {text.short_task(each.name) if each.kind == TASK else each.name[:12]}" for each in found
        )
        raise Failed(f"{name!r} fits {len(found):,} things: {text.sentence_list(shorts)}.", "give more of the id")
    thing = next(iter(found), None) or await _definition(session, name) or await _cluster(session, name)
    thing = thing or await _service(session, name)
    if thing is None:
        hint = "shoal ps -a, shoal instances, shoal definitions, shoal service ls"
        raise Failed(f"Nothing is called {name!r}.", hint, NOT_FOUND)
    return thing


async def _by_id(session: Session, name: str) -> Sequence[Thing]:
    tasks = [arn.short(each) for each in await find.task_arns(session)]
    instances = [arn.short(each) for each in await find.instance_arns(session)]
    return [
        *(Thing(TASK, each) for each in tasks if text.matches(name, each)),
        *(Thing(INSTANCE, each) for each in instances if text.matches(name, each)),
    ]


async def _definition(session: Session, name: str) -> Thing | None:
    try:
        answer = await session.client.cluster.DescribeTaskDefinition(
            task_definition_pb2.DescribeTaskDefinitionRequest(task_definition=name)
        )
    except errors.Refused:
        return None
    return Thing(DEFINITION, f"{answer.task_definition.family}:{answer.task_definition.revision}")


async def _cluster(session: Session, name: str) -> Thing | None:
    answer = await session.client.cluster.DescribeClusters(cluster_pb2.DescribeClustersRequest(clusters=[name]))
    return Thing(CLUSTER, name) if answer.clusters else None


async def _service(session: Session, name: str) -> Thing | None:
    request = service_pb2.DescribeServicesRequest(cluster=session.cluster, services=[name])
    answer = await session.client.services.DescribeServices(request)
    return Thing(SERVICE, name) if answer.services else None
