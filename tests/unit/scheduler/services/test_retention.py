"""Which deployments and revisions of a service are kept."""

from typing import Any

import msgspec
from shoal_scheduler.control import retention
from shoal_scheduler.control.context import Limits
from shoal_scheduler.model.service import (
    ROLLBACK_SUCCESSFUL,
    STOPPED,
    SUCCESSFUL,
    Deployment,
    ServiceRevision,
)
from shoal_scheduler.state.records import DeleteRecord, PutRecord

from tests.unit.scheduler.services.stage import KEY, Stage

DAY = 24 * 3600 * 1000


class Archive(Stage):
    """Whose service has had many deployments, each to a revision of its own: `d1` to `r1`, and so on."""

    def __init__(self, **limits: Any) -> None:
        super().__init__()
        self.limits = Limits(**limits)

    async def fill(self, last: int, *, good: tuple[int, ...], status: str = STOPPED, **more: Any) -> None:
        await self.open()
        await self.create(0)
        records: list[PutRecord] = []
        for number in range(1, last + 1):
            records.append(PutRecord(_revision(number)))
            ended = (SUCCESSFUL, {}) if number in good else (status, more)
            records.append(PutRecord(_deployment(number, ended[0], self.now, **ended[1])))
        await self.run([], records)
        await self.change(revision=f"r{last}", deployment=f"d{last}")

    async def clean(self) -> list[int]:
        """How much each step of it dropped."""
        dropped = []
        while found := retention.expired(self.tables, self.context):
            dropped.append(len(found))
            await self.run([], found)
        return dropped

    def kept(self) -> tuple[set[int], set[int]]:
        deployments = {int(each.id[1:]) for each in self.tables.records.of(Deployment, *KEY)}
        return deployments, {int(each.id[1:]) for each in self.tables.records.of(ServiceRevision, *KEY)}


def _revision(number: int) -> ServiceRevision:
    return ServiceRevision(cluster="default", service="web", id=f"r{number}", created_at=number, definition="web:1")


def _deployment(number: int, status: str, now: int, **more: Any) -> Deployment:
    return Deployment(
        cluster="default",
        service="web",
        id=f"d{number}",
        revision=f"r{number}",
        status=status,
        created_at=number,
        stopped_at=now,
        **more,
    )


async def test_the_newest_are_kept_in_steps_that_are_bounded() -> None:
    archive = Archive(deployments_max=100)
    await archive.fill(160, good=(160, 150))
    assert max(await archive.clean()) <= retention.LAUNCHES_PER_STEP
    assert archive.kept() == (set(range(61, 161)), set(range(61, 161)))


async def test_old_ones_go_whatever_their_number() -> None:
    archive = Archive()
    await archive.fill(5, good=(5, 4))
    archive.now += 90 * DAY
    assert await archive.clean() == []
    archive.now += 1
    await archive.clean()
    assert archive.kept() == ({4, 5}, {4, 5})


async def test_what_a_failure_would_lead_back_to_is_kept() -> None:
    archive = Archive(deployments_max=2)
    await archive.fill(9, good=(2, 3), has_failed=True, is_halted=True)
    await archive.clean()
    assert archive.kept() == ({2, 3, 8, 9}, {2, 3, 8, 9})


async def test_what_tasks_are_of_is_kept() -> None:
    archive = Archive(deployments_max=1)
    await archive.fill(4, good=())
    await archive.change(revision="r2", deployment="d2", desired_count=1)
    assert archive.revisions() == {"r2": 1}
    await archive.run([], [PutRecord(msgspec.structs.replace(archive.service, revision="r4", deployment="d4"))])
    found = retention.expired(archive.tables, archive.context)
    assert {change.key[-1] for change in found if isinstance(change, DeleteRecord)} == {"d1", "d3", "r1", "r3"}


async def test_a_revision_that_a_deployment_came_from_or_went_back_to_is_kept() -> None:
    archive = Archive(deployments_max=1)
    await archive.fill(4, good=())
    back = _deployment(4, ROLLBACK_SUCCESSFUL, archive.now, rollback_revision="r1", sources=("r2",))
    await archive.run([], [PutRecord(back)])
    await archive.clean()
    assert archive.kept() == ({4}, {1, 2, 4})
