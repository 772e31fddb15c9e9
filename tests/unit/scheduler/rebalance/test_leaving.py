"""What a rebalance means for a service: which tasks leave, and where nothing is placed meanwhile."""

import msgspec
from shoal_scheduler.control.rebalance.leaving import leaving_expression, leaving_tasks, under_way
from shoal_scheduler.model.rebalance import Move, Rebalance
from shoal_scheduler.placement.expression import parse
from shoal_scheduler.state.records import PutRecord

from tests.populated import CLUSTER, Populated

UNDER_WAY = Rebalance(
    cluster=CLUSTER,
    id="r",
    created_at=1,
    moves=(Move("t1", "web", "b"), Move("t2", "db", "c")),
    planned=(Move("t3", "web", "d"),),
    over=(Move("t4", "web", "e"),),
    closed=("a",),
)


def test_only_what_is_under_way_leaves() -> None:
    assert leaving_tasks(UNDER_WAY, "web") == {"t1": "b"}
    assert leaving_expression(UNDER_WAY, "web") == "not (attribute:shoal.instance in [a, b])"
    assert leaving_expression(UNDER_WAY, "other") == "not (attribute:shoal.instance in [a])"


def test_one_that_is_over_means_nothing() -> None:
    over = msgspec.structs.replace(UNDER_WAY, status="STOPPED")
    for each in (over, None):
        assert (leaving_tasks(each, "web"), leaving_expression(each, "web")) == ({}, "")


def test_instances_are_known_by_their_ids() -> None:
    made = Populated()
    for name in "abc":
        made.instance(name)
    mask = parse(leaving_expression(UNDER_WAY, "web")).mask(made.tables.room(CLUSTER))
    assert mask.tolist() == [False, False, True]


def test_one_is_under_way_in_a_cluster() -> None:
    made = Populated()
    assert under_way(made.view, CLUSTER) is None
    made.apply(PutRecord(msgspec.structs.replace(UNDER_WAY, id="q", status="COMPLETED")), PutRecord(UNDER_WAY))
    assert under_way(made.view, CLUSTER) == UNDER_WAY
