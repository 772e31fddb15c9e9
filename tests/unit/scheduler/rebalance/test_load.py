"""The fullest instances are relieved by services to which it is all the same."""

from collections import Counter
from typing import Any

from shoal_scheduler.control.rebalance.inputs import Wanted
from shoal_scheduler.control.rebalance.leaving import leaving_expression
from shoal_scheduler.control.rebalance.plan import plan
from shoal_scheduler.model.ask import Strategy
from shoal_scheduler.model.rebalance import Budget, Move, Rebalance

from tests.populated import CLUSTER, NOW, Populated


def crowded(services: int = 10, **more: Any) -> Populated:
    """Each with a task on both of two instances, which are 62 % full; a third is empty."""
    made = Populated()
    for name in "abc":
        made.instance(name)
    for number in range(services):
        made.service(f"s{number}", desired_count=2, **more)
        for name in "ab":
            made.task(f"s{number}", name)
    return made


def moves(made: Populated, most: int = 100) -> tuple[Move, ...]:
    return plan(made.view, CLUSTER, Wanted(budget=Budget(most)), NOW).moves


def tasks(made: Populated) -> Counter[str]:
    return Counter(task.instance for service in made.services() for task in made.tasks_of(service.name))


def test_a_new_instance_gets_tasks_of_services_that_are_even_without_it() -> None:
    made = crowded()
    found = moves(made)
    assert {(move.target, move.is_pinned) for move in found} == {("c", True)}
    assert found[0].reason == "its instance is 62% full, the other one 0%"
    made.carry_out(found)
    assert tasks(made) == {"a": 8, "b": 8, "c": 4}
    for service in made.services():
        assert set(made.counts(service.name)[1].values()) <= {0, 1}
    assert not moves(made)


def test_no_more_than_are_allowed() -> None:
    assert len(moves(crowded(), 2)) == 2


def test_not_worth_it_where_they_are_near_to_each_other() -> None:
    assert not moves(crowded(4))


def test_what_is_packed_stays() -> None:
    assert not moves(crowded(strategies=(Strategy("binpack", "cpu"),)))
    assert not moves(crowded(strategies=(Strategy("spread", "instanceId"), Strategy("binpack", "cpu"))))


def test_a_replacement_that_is_pinned_goes_there_alone() -> None:
    move = Move("t1", "web", "a", "c", is_pinned=True)
    under_way = Rebalance(cluster=CLUSTER, id="r", created_at=1, moves=(move,))
    assert leaving_expression(under_way, "web") == "attribute:shoal.instance in [c]"
    assert not leaving_expression(under_way, "other")
