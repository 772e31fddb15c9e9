"""What each field of RegisterTaskDefinition does here, and the test that shows it.

runs      it does what it does in ECS
noted     accepted; registering says in a warning what happens instead
refused   registers; RunTask refuses it by name, and so does the agent

A row with `whole` is about everything inside the field, too. docs/task-definition.md is made from these rows by
`python -m tests.fields.page`.
"""

from pathlib import Path

from tests.fields import rows_of_containers, rows_of_tasks
from tests.fields.row import Row

MODEL = Path(__file__).parents[1] / "fixtures" / "register_task_definition.txt"

GROUPS: dict[str, tuple[Row, ...]] = {**rows_of_tasks.GROUPS, **rows_of_containers.GROUPS}


def published_paths() -> tuple[str, ...]:
    lines = MODEL.read_text().splitlines()
    return tuple(line for line in lines if line and not line.startswith("#"))
