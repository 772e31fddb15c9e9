"""From what a person types to the things it names: reads all pages of a list, takes unique prefixes."""

import shlex
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import Any, TypeVar

from shoal import arn
from shoal.cli import text
from shoal.cli.failures import NOT_FOUND, Failed
from shoal.cli.session import Session
from shoal.v1 import container_instance_pb2, task_pb2

Item = TypeVar("Item")
# Keeps an answer of described objects well below the 4 MiB of a message.
DESCRIBED_AT_ONCE = 100
# Of names only; the most that a cluster gives at once.
RESULTS_MAX = 1000

# What else a description of instances may have.
HEALTH = "CONTAINER_INSTANCE_HEALTH"
IMAGES = "IMAGES"


def batches(items: Sequence[Item], size: int = DESCRIBED_AT_ONCE) -> Iterator[Sequence[Item]]:
    for begin in range(0, len(items), size):
        yield items[begin : begin + size]


async def pages(method: Callable[[Any], Awaitable[Any]], request: Any) -> AsyncIterator[Any]:
    """Every answer of a paginated call, until there is no next token."""
    if not request.HasField("max_results"):
        request.max_results = RESULTS_MAX
    while True:
        answer = await method(request)
        yield answer
        if not answer.next_token:
            return
        request.next_token = answer.next_token


async def task_arns(session: Session, **filters: Any) -> list[str]:
    """filters: the fields of ListTasksRequest. Without desired_status: tasks that run, then stopped ones."""
    statuses = [filters.pop("desired_status")] if "desired_status" in filters else ["RUNNING", "STOPPED"]
    found: dict[str, None] = {}
    for wanted in statuses:
        request = task_pb2.ListTasksRequest(cluster=session.cluster, desired_status=wanted, **filters)
        async for page in pages(session.client.cluster.ListTasks, request):
            found |= dict.fromkeys(page.task_arns)
    return list(found)


async def describe_tasks(
    session: Session, names: Sequence[str], include: Sequence[str] = ()
) -> task_pb2.DescribeTasksResponse:
    """All of them in one answer, however many."""
    whole = task_pb2.DescribeTasksResponse()
    for batch in batches(names):
        request = task_pb2.DescribeTasksRequest(cluster=session.cluster, tasks=batch, include=include)
        whole.MergeFrom(await session.client.cluster.DescribeTasks(request))
    return whole


async def instance_arns(session: Session, **filters: Any) -> list[str]:
    request = container_instance_pb2.ListContainerInstancesRequest(cluster=session.cluster, **filters)
    return [
        each
        async for page in pages(session.client.cluster.ListContainerInstances, request)
        for each in page.container_instance_arns
    ]


async def describe_instances(
    session: Session, names: Sequence[str], include: Sequence[str] = ()
) -> container_instance_pb2.DescribeContainerInstancesResponse:
    whole = container_instance_pb2.DescribeContainerInstancesResponse()
    for batch in batches(names):
        request = container_instance_pb2.DescribeContainerInstancesRequest(
            cluster=session.cluster, container_instances=batch, include=include
        )
        whole.MergeFrom(await session.client.cluster.DescribeContainerInstances(request))
    return whole


async def task_ids(session: Session, names: Sequence[str]) -> list[str]:
    """The id of each named task. Lists the tasks only if a name is not complete.

    Raises Failed if a name fits none (exit code 3), or several.
    """
    if all(is_complete(name) for name in names):
        return [arn.short(name) for name in names]
    known = [arn.short(each) for each in await task_arns(session)]
    return [choose(name, known, "task", text.short_task) for name in names]


async def instance_ids(session: Session, names: Sequence[str]) -> list[str]:
    """The id of each named instance; the name of its host is one, too, where no other host is called so."""
    if all(is_complete(name) for name in names):
        return [arn.short(name) for name in names]
    known = [arn.short(each) for each in await instance_arns(session)]
    described = (await describe_instances(session, known)).container_instances
    ids = [(each.ec2_instance_id, arn.short(each.container_instance_arn)) for each in described]
    by_host = {host: id_ for host, id_ in ids if host and [name for name, _ in ids].count(host) == 1}
    return [by_host.get(name) or choose(name, known, "instance", text.short_instance) for name in names]


def is_complete(name: str) -> bool:
    return name.startswith("arn:") or (len(name) == text.ID_LENGTH and text.could_be_id(name))


def choose(name: str, known: Sequence[str], kind: str, short: Callable[[str], str]) -> str:
    if is_complete(name):
        return arn.short(name)
    found = [each for each in known if text.matches(name, each)]
    if not found:
        raise Failed(f"There is no {kind} {name!r}.", _where_to_look(kind, name), NOT_FOUND)
    if len(found) > 1:
        names = text.sentence_list(short(each) for each in found)
        raise Failed(f"{name!r} fits {len(found):,} {kind}s: {names}.", "give more of the id")
    return found[0]


def _where_to_look(kind: str, name: str) -> str:
    if kind != "task":
        return "shoal instances"
    # What can be no id may be the family of the tasks that were meant.
    return "shoal ps -a" if text.could_be_id(name) else f"shoal ps -a; shoal ps --family {shlex.quote(name)}"
