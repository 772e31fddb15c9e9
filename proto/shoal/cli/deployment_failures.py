"""Why tasks of a deployment ended."""

from collections import Counter

from shoal import arn
from shoal.cli import find, tasks, text
from shoal.cli.failures import NO_EXIT_CODE
from shoal.cli.session import Session
from shoal.v1 import task_pb2

# So many of the last ones are looked at, and so many different reasons are told.
TASKS_MAX = 100
REASONS_MAX = 3

# What its tasks are started by, before the deployment's id.
STARTED_BY = "ecs-svc/"
STOPPED_BY_ITS_SERVICE = "ServiceSchedulerInitiated"


async def reasons(session: Session, deployment: str) -> list[str]:
    """Of those that ended by themselves, the most frequent reasons first. `deployment`: its ARN."""
    started_by = f"{STARTED_BY}{arn.short(deployment)}"
    names = await find.task_arns(session, started_by=started_by, desired_status="STOPPED")
    found = (await find.describe_tasks(session, names[-TASKS_MAX:])).tasks
    counted = Counter(_reason(each) for each in found if each.stop_code != STOPPED_BY_ITS_SERVICE)
    return [f"{text.plural(count, 'task')}: {reason}" for reason, count in counted.most_common(REASONS_MAX)]


def _reason(task: task_pb2.Task) -> str:
    code = tasks.exit_code(task)
    said = tasks.why(task) or task.stop_code
    return said if code == NO_EXIT_CODE else f"{said}, exit code {code}"
