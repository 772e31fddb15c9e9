"""Why tasks wait, for an answer that describes many of them."""

import asyncio

from shoal_scheduler.control.explain import reason_of_waiting
from shoal_scheduler.model.ask import Ask
from shoal_scheduler.model.task import Task
from shoal_scheduler.state.tables import Tables


class WaitingReasons:
    """Worked out once for all tasks of an answer that ask for the same; after each, others have their turn."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._known: dict[tuple[str, Ask, bool], str] = {}

    async def of(self, task: Task) -> str:
        launch = task.launch
        held = self._tables.held.get(launch.cluster)
        key = (launch.cluster, self._tables.launches[launch.id].ask, held is not None and held.launch == launch.id)
        if key not in self._known:
            self._known[key] = reason_of_waiting(self._tables, task)
            await asyncio.sleep(0)
        return self._known[key]
