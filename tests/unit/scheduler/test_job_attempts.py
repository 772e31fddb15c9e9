"""How an attempt ended, and which rule of evaluateOnExit decides."""

import pytest
from shoal_scheduler.control.batch.attempts import Ending, ending, matches
from shoal_scheduler.model.job import ExitRule
from shoal_scheduler.model.task import ContainerState, Launch, Task

CONTAINERS = [{"name": "work", "essential": True}, {"name": "beside", "essential": False}]
LAUNCH = Launch(id="0" * 24, cluster="default", definition="batch:flip:1", created_at=1, count=1, group="job-queue:q")


def stopped(*containers: ContainerState, code: str = "EssentialContainerExited") -> Ending:
    running = Task(LAUNCH, 0, instance="x", last_status="RUNNING")
    task = Task(LAUNCH, 0, instance="x", last_status="STOPPED", containers=containers, stop_code=code)
    return ending(running, task, CONTAINERS)


def exited(name: str, code: int | None, reason: str = "") -> ContainerState:
    return ContainerState(name, "STOPPED", exit_code=code, reason=reason)


@pytest.mark.parametrize(
    ("containers", "succeeded"),
    [
        ([exited("work", 0)], True),
        ([exited("work", 0), exited("beside", 1)], True),
        ([exited("work", 1), exited("beside", 0)], False),
        ([exited("work", None)], False),
        ([exited("beside", 0)], False),
        ([], False),
    ],
)
def test_succeeded_is_what_all_essential_containers_are_known_to_have_ended_with_0(
    containers: list[ContainerState], succeeded: bool
) -> None:
    assert (stopped(*containers).container is None) is succeeded
    assert stopped(*containers, code="UserInitiated").container is not None


@pytest.mark.parametrize(("pattern", "matched"), [("*", True), ("13*", True), ("137", True), ("13", False)])
def test_a_rule_of_exit_codes_matches_codes_that_are_known(pattern: str, matched: bool) -> None:
    rule = ExitRule("EXIT", on_exit_code=pattern)
    assert matches(rule, stopped(exited("work", 137))) is matched
    assert not matches(rule, stopped(exited("work", None)))
