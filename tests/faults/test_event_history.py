"""The history of events goes on where all schedulers ended: what etcd still keeps is read back."""

import pytest
from shoal.client import Client
from shoal.v1 import event_pb2

from tests.conftest import ControlPlaneFactory
from tests.faults.work import at_work
from tests.ground.waiting import wait_until

Told = tuple[int, str, str, str]


async def told(client: Client) -> list[Told]:
    """Every event, as a reader may compare it."""
    found: list[Told] = []
    token: str | None = None
    while True:
        page = await client.cluster.ListEvents(event_pb2.ListEventsRequest(cluster="default", next_token=token))
        for event in page.events:
            subject = event.task.task_arn or event.container_instance.container_instance_arn
            found.append((event.revision, event.detail_type, subject, event.task.last_status))
        token = page.next_token
        if not token:
            return found


@pytest.mark.parametrize("schedulers", [1, 2])
async def test_history_over_the_end_of_all_schedulers(
    control_plane_factory: ControlPlaneFactory, schedulers: int
) -> None:
    plane = control_plane_factory(schedulers=schedulers)
    async with at_work(plane) as work:
        await plane.until_led()
        await work.until_placed(30)
        await work.pause()
        await work.settle()
        before = await told(work.client)
        assert len({subject for _, _, subject, _ in before}) > 30
        plane.kill(*plane.schedulers)
        plane.start(*plane.schedulers)
        await plane.until_led()

        async def history() -> list[Told]:
            return [event for event in await told(work.client) if event[0] <= before[-1][0]]

        def is_there(found: list[Told]) -> bool:
            return len(found) >= len(before)

        after = await wait_until(history, is_there, 20, "the history is there again")
        assert sorted(after) == sorted(before)
