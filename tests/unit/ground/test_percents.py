"""The judge of the percents is itself judged: each way of breaking them is planted and found."""

import pytest
from shoal.v1.event_pb2 import Event
from shoal.v1.task_pb2 import Task

from tests.ground.percents import Percents

BY_THE_SERVICE = "ServiceSchedulerInitiated"


def event(revision: int, name: str, last: str, wanted: str = "RUNNING", **fields: object) -> Event:
    """Of a task of the service, HEALTHY if it is RUNNING and nothing else is said."""
    said = {"health_status": "HEALTHY" if last == "RUNNING" else "UNKNOWN", "version": revision, **fields}
    task = Task(task_arn=name, group="service:web", last_status=last, desired_status=wanted)
    for field, value in said.items():
        setattr(task, field, value)
    return Event(revision=revision, task=task)


def running(count: int, first: int = 0) -> list[Event]:
    return [event(1, f"t{number}", "RUNNING") for number in range(first, first + count)]


def stopped(revision: int, name: str, code: str = BY_THE_SERVICE, last: str = "DEACTIVATING") -> Event:
    return event(revision, name, last, "STOPPED", stop_code=code)


def heard(*events: Event, desired: int = 4, minimum: int = 100, maximum: int = 150) -> Percents:
    percents = Percents("web", {desired}, minimum, maximum)
    percents.hear([*running(4), *events])
    return percents


def test_a_rolling_deployment_within_the_percents_is_well() -> None:
    new = [event(2, f"t{number}", "PROVISIONING") for number in (4, 5)]
    up = [event(3, f"t{number}", "RUNNING") for number in (4, 5)]
    more = [event(5, "t6", "PENDING"), event(6, "t6", "RUNNING")]
    percents = heard(*new, *up, stopped(4, "t0"), stopped(4, "t1"), stopped(5, "t0", last="STOPPED"), *more)
    assert percents.broken == []
    assert (percents.highest, percents.revisions, percents.healthy) == (6, 6, 5)


def test_one_task_too_many_is_found() -> None:
    """Those that wait for room count, those that are stopping do not; the percents round as ECS rounds."""
    more = [event(2, f"t{number}", "PROVISIONING") for number in range(4, 7)]
    assert heard(*more).broken == ["revision 2: 7 tasks are more than 6"]
    assert heard(*more, desired=5).broken == []
    assert heard(stopped(2, "t0"), *more, minimum=50).broken == []
    assert heard(event(2, "t4", "PENDING"), maximum=124).broken == ["revision 2: 5 tasks are more than 4"]


def test_one_healthy_task_too_few_is_found() -> None:
    assert heard(stopped(2, "t0")).broken == ["revision 2: 1 taken out, 3 healthy are fewer than 4"]
    assert heard(stopped(2, "t0"), minimum=75).broken == []
    assert heard(stopped(2, "t0"), minimum=76).broken == ["revision 2: 1 taken out, 3 healthy are fewer than 4"]


@pytest.mark.parametrize("last, health", [("PENDING", "UNKNOWN"), ("RUNNING", "UNKNOWN"), ("RUNNING", "UNHEALTHY")])
def test_a_replacement_counts_once_it_is_healthy(last: str, health: str) -> None:
    events = [event(2, "t4", last, health_status=health), stopped(3, "t0")]
    assert heard(*events).broken == ["revision 3: 1 taken out, 3 healthy are fewer than 4"]
    percents = Percents("web", {4}, has_check=False)
    percents.hear([*running(4), *events])
    assert bool(percents.broken) == (last != "RUNNING"), "without a check, who is RUNNING counts"


@pytest.mark.parametrize("code", ["EssentialContainerExited", "HostLost", "UserInitiated", "TerminationNotice"])
def test_what_the_service_did_not_stop_is_not_its_doing(code: str) -> None:
    assert heard(stopped(2, "t0", code, "STOPPED")).broken == []
    taken_out = heard(stopped(2, "t0", code, "STOPPED"), stopped(3, "t1"))
    assert taken_out.broken == ["revision 3: 1 taken out, 2 healthy are fewer than 4"]


def test_an_unhealthy_task_may_be_stopped() -> None:
    assert heard(event(2, "t0", "RUNNING", health_status="UNHEALTHY"), stopped(3, "t0")).broken == []


def test_all_of_a_transaction_is_one_instant() -> None:
    assert heard(stopped(2, "t0"), event(2, "t4", "RUNNING")).broken == []
    assert heard(event(2, "t4", "PENDING"), stopped(2, "t0"), maximum=100, minimum=75).broken == []


def test_while_another_count_is_being_reached_both_are_taken() -> None:
    percents = heard(desired=4)
    percents.desired = {2, 4}
    percents.hear([stopped(2, "t0"), stopped(2, "t1"), event(3, "t4", "PENDING"), event(3, "t5", "PENDING")])
    assert percents.broken == []
    percents.hear([stopped(4, "t2")])
    assert percents.broken == ["revision 4: 1 taken out, 1 healthy are fewer than 2"]


def test_another_service_and_what_is_old_are_nothing_to_it() -> None:
    other = event(2, "t9", "RUNNING")
    other.task.group = "service:other"
    percents = heard(other, stopped(3, "t0"), event(4, "t0", "RUNNING", version=2), minimum=50)
    assert (percents.healthy, percents.revisions) == (3, 3)
