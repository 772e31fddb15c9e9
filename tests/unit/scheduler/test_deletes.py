"""What a leader deletes, as a follower hears of it from the keys alone."""

import pytest
from shoal_scheduler.model.definition import Definition
from shoal_scheduler.model.join_token import JoinToken
from shoal_scheduler.model.task import Launch
from shoal_scheduler.state import batch_changes as b
from shoal_scheduler.state import changes as c
from shoal_scheduler.state.records import KINDS, DeleteRecord
from shoal_scheduler.state.store import StepMark, Transaction
from shoal_scheduler.state.tables import Tables
from shoal_scheduler.state.writes import changes_in, write_of

from tests.unit.scheduler.plane import DEFINITION

DELETED = (
    c.DeleteDefinition("web", 3),
    c.DeleteUsage("default", "family:a/b", "2026-11"),
    c.DeleteLaunch("1f" * 12),
    c.DeleteJoinToken("default", "ab" * 32),
    c.DeleteAlarm("a/b"),
    b.DeleteJobQueue("q"),
    b.DeleteComputeEnvironment("hosts"),
    b.DeleteConsumableResource("licence"),
    b.DeleteJob("6f2c9f6e-0000-4000-8000-000000000000"),
    *(DeleteRecord(kind.record, ("default", "a/b", "c d")[: len(kind.names)]) for kind in KINDS.values()),
)


@pytest.mark.parametrize("change", DELETED)
def test_what_a_leader_deletes_is_deleted_by_who_follows(change: c.Change) -> None:
    launch = Launch(id="1f" * 12, cluster="default", definition="web:1", created_at=1, count=1, group="g")
    definition = Definition(family="web", revision=1, registered_at=1, document=DEFINITION)
    token = JoinToken(hash="ab" * 32, cluster="default", role="agent", created_at=1, expires_at=2)
    tables = Tables()
    tables.apply([c.PutDefinition(definition), c.PutLaunch(launch), c.PutJoinToken(token)], 1)
    write = write_of(tables, [change], "s")
    assert write is not None
    gone = [key for key in write.deletes if isinstance(key, bytes)]
    assert changes_in(tables, Transaction(7, [], gone, StepMark(7, 1))) == [change]


def test_nothing_else_is_deleted() -> None:
    """Whoever adds a kind of record says here how a follower hears of its end, and compares it with the store."""
    names = {*vars(c), *vars(b)}
    kinds = {name for name in names if name.startswith("Delete")}
    assert kinds == {type(change).__name__ for change in DELETED}
    assert {name for name in names if name.startswith("Put")} == COMPARED


COMPARED = {
    "PutAlarm",
    "PutCluster",
    "PutComputeEnvironment",
    "PutConsumableResource",
    "PutDefinition",
    "PutInstance",
    "PutJob",
    "PutJobChunk",
    "PutJobDefinition",
    "PutJobQueue",
    "PutJobState",
    "PutJoinToken",
    "PutLaunch",
    "PutRecord",
    "PutTask",
    "PutUsage",
}
