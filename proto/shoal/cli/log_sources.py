"""Which containers' output is meant: of named tasks, of a task group, or of a log group."""

from collections.abc import Sequence
from dataclasses import dataclass

from shoal import arn, errors
from shoal.cli import find, tasks, text
from shoal.cli.failures import NOT_FOUND, Failed, warn
from shoal.cli.session import Session
from shoal.log_names import log_name
from shoal.v1 import task_definition_pb2, task_pb2

# Each is a stream of its own, and an instance gives 64.
SOURCES_MAX = 50


@dataclass(frozen=True, slots=True)
class Source:
    """`container` is empty for the task's default one; `label` tells it from the others."""

    task_id: str
    container: str
    label: str


async def of_tasks(session: Session, names: Sequence[str], container: str | None) -> list[Source]:
    """Raises Failed or NotFound for a name that fits no task, and Failed for too many containers."""
    ids = list(dict.fromkeys(await find.task_ids(session, names)))
    answer = await find.describe_tasks(session, ids)
    if answer.failures:
        missing = ", ".join(arn.short(failure.arn) for failure in answer.failures[:5])
        raise errors.NotFound(f"There is no task {missing}.", "shoal ps -a; tasks that stopped long ago are forgotten")
    found = [source for task in answer.tasks for source in sources(task, container)]
    if len(found) > SOURCES_MAX:
        raise Failed(f"These are {len(found):,} containers; {SOURCES_MAX} can be read at once.", "name fewer tasks")
    return found


async def of_group(session: Session, group: str, container: str | None, running: bool) -> list[Source]:
    """Of all tasks of that group, or of those that run: the newest first."""
    filters = {"desired_status": "RUNNING"} if running else {}
    answer = await find.describe_tasks(session, await find.task_arns(session, group=group, **filters))
    found = [each for task in tasks.newest_first(answer.tasks) for each in sources(task, container)]
    return _newest(found, f"task group {group!r}", "shoal ps -a -o wide shows the group of each task")


async def of_log_group(session: Session, group: str, container: str | None, running: bool) -> list[Source]:
    """Of all containers whose awslogs-group it is, by the names of their streams."""
    filters = {"desired_status": "RUNNING"} if running else {}
    answer = await find.describe_tasks(session, await find.task_arns(session, **filters))
    definitions: dict[str, task_definition_pb2.TaskDefinition] = {}
    found: list[Source] = []
    for task in tasks.newest_first(answer.tasks):
        if len(found) > SOURCES_MAX:
            break
        defined = definitions.get(task.task_definition_arn)
        if defined is None:
            request = task_definition_pb2.DescribeTaskDefinitionRequest(task_definition=task.task_definition_arn)
            defined = (await session.client.cluster.DescribeTaskDefinition(request)).task_definition
            definitions[task.task_definition_arn] = defined
        runtime_ids = {each.name: each.runtime_id for each in task.containers}
        for each in defined.container_definitions:
            name = log_name(each, tasks.task_id(task), runtime_ids.get(each.name, ""))
            if name is not None and name.group == group and container in (None, each.name):
                found.append(Source(tasks.task_id(task), each.name, name.stream))
    return _newest(found, f"log group {group!r}", "shoal describe shows the logConfiguration of a definition")


def sources(task: task_pb2.Task, container: str | None = None) -> list[Source]:
    """Its containers, or the one that is named."""
    task_id, names = tasks.task_id(task), [each.name for each in task.containers] or [""]
    short = text.short_task(task_id)
    if container is not None:
        return [Source(task_id, container, f"{short} {container}")]
    if len(names) == 1:
        return [Source(task_id, names[0], short)]
    return [Source(task_id, name, f"{short} {name}") for name in names]


def _newest(found: list[Source], what: str, hint: str) -> list[Source]:
    if not found:
        raise Failed(f"No task's output belongs to {what}.", hint, NOT_FOUND)
    if len(found) > SOURCES_MAX:
        warn(f"only the newest {SOURCES_MAX} containers of {what} are shown")
    return found[:SOURCES_MAX]
