"""A deployment, one look after another: how it ends, and when."""

from dataclasses import replace

import msgspec
import pytest
from shoal_scheduler.control.services.deployments import progress
from shoal_scheduler.model.alarm import ALARM, OK, Alarm
from shoal_scheduler.model.service import (
    DAEMON,
    DRAINING,
    IN_PROGRESS,
    PENDING,
    ROLLBACK_FAILED,
    ROLLBACK_IN_PROGRESS,
    ROLLBACK_REQUESTED,
    ROLLBACK_SUCCESSFUL,
    STOP_REQUESTED,
    STOPPED,
    SUCCESSFUL,
    CircuitBreaker,
    DeploymentAlarms,
)
from shoal_scheduler.model.task import Task

from tests.unit.scheduler.services.views import BREAKER, NEW, NOW, OLD, deployment, seen, tasks, under_way

MINUTE = 60_000
GOOD = deployment("d1", OLD, SUCCESSFUL)
GOING_BACK = under_way(
    status=ROLLBACK_IN_PROGRESS, rollback_revision=OLD, progressed_at=NOW - MINUTE, reason="It failed."
)


def alarm(state: str) -> Alarm:
    return Alarm(
        name="errors",
        namespace="n",
        metric="m",
        statistic="Sum",
        period=60,
        evaluation_periods=2,
        datapoints_to_alarm=2,
        threshold=1,
        comparison="GreaterThanThreshold",
        state=state,
    )


HEEDED = DeploymentAlarms(("errors",), enable=True, rollback=True)


def test_a_deployment_begins_with_the_first_look() -> None:
    gone = progress(seen(tasks(4, OLD), deployment(status=PENDING)))
    assert gone.deployment is not None
    assert (gone.deployment.status, gone.deployment.started_at, gone.deployment.progressed_at) == (
        IN_PROGRESS,
        NOW,
        NOW,
    )


def test_it_is_successful_once_all_are_healthy_and_none_is_left() -> None:
    gone = progress(seen(tasks(4)))
    assert gone.deployment is not None
    assert (gone.deployment.status, gone.deployment.stopped_at) == (SUCCESSFUL, NOW)
    assert gone.events == ("(service web) (deployment ecs-svc/d2) deployment completed.",)


@pytest.mark.parametrize(
    "running",
    [
        tasks(3),
        [*tasks(4), *tasks(1, OLD, first=9)],
        [*tasks(4), *tasks(1, OLD, first=9, desired_status="STOPPED", last_status="STOPPING")],
        [*tasks(3), *tasks(1, first=9, started_at=NOW - 39_000)],
        [*tasks(3), *tasks(1, first=9, last_status="PENDING", started_at=0)],
    ],
    ids=["one is missing", "an old one runs", "an old one still ends", "one has run for 39 s", "one is starting"],
)
def test_it_goes_on_while(running: list[Task]) -> None:
    gone = progress(seen(running, under_way(most_healthy=4, fewest_left=0)))
    assert gone.deployment is None and not gone.events
    assert gone.due_at == NOW - 100_000 + 30 * MINUTE


def test_a_service_that_wants_nothing_is_reached_when_nothing_is_left() -> None:
    gone = progress(seen([], desired=0))
    assert gone.deployment is not None and gone.deployment.status == SUCCESSFUL


def test_it_bakes_first() -> None:
    begun = progress(seen(tasks(4), bake_minutes=2))
    assert begun.deployment is not None and begun.deployment.status == IN_PROGRESS
    assert (begun.deployment.healthy_at, begun.due_at) == (NOW, NOW + 2 * MINUTE)
    later = progress(seen(tasks(4), begun.deployment, bake_minutes=2, now=NOW + 2 * MINUTE))
    assert later.deployment is not None and later.deployment.status == SUCCESSFUL


def test_one_that_dies_while_it_bakes_is_waited_for() -> None:
    baked = under_way(healthy_at=NOW - 3 * MINUTE, most_healthy=4, fewest_left=0)
    gone = progress(seen(tasks(3), baked, bake_minutes=2))
    assert gone.deployment is None
    assert gone.due_at == NOW - MINUTE + 30 * MINUTE


def test_the_circuit_breaker_rolls_back() -> None:
    gone = progress(seen(tasks(4, OLD), under_way(failed_tasks=3), earlier=[GOOD], breaker=BREAKER))
    assert gone.deployment is not None and gone.service is not None
    assert (gone.deployment.status, gone.deployment.rollback_revision) == (ROLLBACK_IN_PROGRESS, OLD)
    assert gone.deployment.rollback_reason == "Deployment failed: tasks failed to start."
    assert (gone.service.revision, gone.service.deployment) == (OLD, "d2")
    assert gone.events == (
        "(service web) (deployment ecs-svc/d2) deployment failed: tasks failed to start.",
        "(service web) (deployment ecs-svc/d2) rolling back to revision old.",
    )


def test_below_its_threshold_nothing_happens() -> None:
    gone = progress(seen(tasks(4, OLD), under_way(failed_tasks=2), earlier=[GOOD], breaker=BREAKER))
    assert gone.deployment is None


def test_without_one_that_was_successful_it_only_fails() -> None:
    gone = progress(seen([], under_way(failed_tasks=3), breaker=BREAKER))
    assert gone.deployment is not None and gone.service is None
    assert gone.deployment.status == STOPPED
    assert gone.deployment.has_failed and gone.deployment.is_halted
    assert "nothing to go back to" in gone.deployment.reason


def test_without_rollback_it_only_fails() -> None:
    breaker = CircuitBreaker(enable=True)
    gone = progress(seen(tasks(4, OLD), under_way(failed_tasks=3), earlier=[GOOD], breaker=breaker))
    assert gone.deployment is not None and gone.service is None
    assert (gone.deployment.status, gone.deployment.reason) == (STOPPED, "Deployment failed: tasks failed to start.")


def test_a_circuit_breaker_that_is_off_ends_nothing() -> None:
    gone = progress(seen(tasks(4, OLD), under_way(failed_tasks=99), earlier=[GOOD]))
    assert gone.deployment is None


def test_images_whose_digests_nobody_could_tell_end_it_after_three() -> None:
    breaker = CircuitBreaker(enable=True, rollback=True, threshold_type="COUNT", threshold_value=50)
    tried = under_way(failed_tasks=3)
    assert progress(seen(tasks(4, OLD), tried, earlier=[GOOD], breaker=breaker)).deployment is None
    gone = progress(seen(tasks(4, OLD), tried, earlier=[GOOD], breaker=breaker, is_resolved=False))
    assert gone.deployment is not None and gone.deployment.status == ROLLBACK_IN_PROGRESS


def test_an_alarm_rolls_back() -> None:
    gone = progress(seen(tasks(4), earlier=[GOOD], alarms=HEEDED, known_alarms={"errors": alarm(ALARM)}))
    assert gone.deployment is not None
    assert (gone.deployment.status, gone.deployment.triggered_alarms) == (ROLLBACK_IN_PROGRESS, ("errors",))
    assert gone.deployment.reason == "Deployment failed: alarm detected: errors."


def test_an_alarm_only_fails_it_where_no_rollback_is_wanted() -> None:
    heeded = DeploymentAlarms(("errors",), enable=True)
    gone = progress(seen(tasks(4), earlier=[GOOD], alarms=heeded, known_alarms={"errors": alarm(ALARM)}))
    assert gone.deployment is not None
    assert (gone.deployment.status, gone.deployment.is_halted) == (STOPPED, True)
    assert gone.deployment.triggered_alarms == ("errors",)


def test_an_alarm_that_rang_when_it_began_is_not_heeded() -> None:
    rings = {"errors": alarm(ALARM)}
    begun = progress(seen([], deployment(status=PENDING), alarms=HEEDED, known_alarms=rings)).deployment
    assert begun is not None
    gone = progress(seen(tasks(4), begun, earlier=[GOOD], alarms=HEEDED, known_alarms=rings))
    assert gone.deployment is not None and gone.deployment.status == SUCCESSFUL


def test_alarms_have_the_time_to_ring() -> None:
    gone = progress(seen(tasks(4), alarms=HEEDED, known_alarms={"errors": alarm(OK)}))
    assert gone.deployment is not None and gone.deployment.status == IN_PROGRESS
    assert gone.due_at == NOW + 2 * MINUTE


def test_who_gets_no_further_for_too_long_fails() -> None:
    stuck = under_way(progressed_at=NOW - 30 * MINUTE, most_healthy=2)
    running = [*tasks(2), *tasks(1, first=5, last_status="PROVISIONING", instance=""), *tasks(4, OLD, first=9)]
    gone = progress(seen(running, stuck, earlier=[GOOD], breaker=BREAKER))
    assert gone.deployment is not None and gone.deployment.status == ROLLBACK_IN_PROGRESS
    assert gone.deployment.reason == (
        "Deployment failed: it got no further for 30 minutes: 2 of 4 tasks healthy, 1 waiting for room,"
        " 4 left of other revisions."
    )


def test_with_the_circuit_breaker_off_the_service_tries_on_when_the_time_is_over() -> None:
    late = under_way(progressed_at=NOW - 30 * MINUTE, most_healthy=2, fewest_left=0)
    gone = progress(seen(tasks(2), late, earlier=[GOOD]))
    assert gone.deployment is not None and gone.service is None
    assert (gone.deployment.status, gone.deployment.has_failed, gone.deployment.is_halted) == (STOPPED, True, False)


def test_if_that_succeeds_its_revision_is_known_to_be_good() -> None:
    failed = under_way(status=STOPPED, has_failed=True, stopped_at=NOW)
    assert (progress(seen(tasks(3), failed)).deployment, failed.speaks_against) == (None, NEW)
    later = progress(seen(tasks(4), failed))
    assert later.deployment is not None
    assert (later.deployment.status, later.deployment.recovered_at, later.deployment.vouches_for) == (STOPPED, NOW, NEW)
    assert later.events == ("(service web) (deployment ecs-svc/d2) all tasks are healthy after all.",)
    assert progress(seen(tasks(4), later.deployment)).deployment is None
    assert progress(seen(tasks(4), under_way(status=STOPPED, has_failed=True, is_halted=True))).deployment is None


def test_one_more_healthy_task_than_ever_gives_it_more_time_and_clears_the_count() -> None:
    gone = progress(seen(tasks(2), under_way(progressed_at=NOW - 30 * MINUTE, most_healthy=1, failed_tasks=2)))
    assert gone.deployment is not None
    assert (gone.deployment.progressed_at, gone.deployment.most_healthy, gone.deployment.failed_tasks) == (NOW, 2, 0)
    assert gone.due_at == NOW + 30 * MINUTE


def test_the_count_is_kept_where_healthy_tasks_are_not_to_clear_it() -> None:
    breaker = CircuitBreaker(enable=True, reset_on_healthy_task=False)
    gone = progress(seen(tasks(2), under_way(most_healthy=1, failed_tasks=2), breaker=breaker))
    assert gone.deployment is not None and gone.deployment.failed_tasks == 2


def test_who_has_all_that_is_wanted_does_not_fail_for_what_is_yet_to_stop() -> None:
    late = under_way(progressed_at=NOW - 30 * MINUTE, most_healthy=4, fewest_left=1)
    gone = progress(seen([*tasks(4), *tasks(1, OLD, first=9)], late, breaker=BREAKER, earlier=[GOOD]))
    assert gone.deployment is None


def test_a_daemon_that_stays_where_an_instance_is_drained_is_not_waited_for() -> None:
    stays = tasks(1, OLD, first=9, instance="x")
    view = seen([*tasks(4), *stays])
    gone = progress(replace(view, draining_others=frozenset("x"))).deployment
    assert gone is not None and gone.status == SUCCESSFUL


def test_one_fewer_of_the_old_ones_gives_it_more_time() -> None:
    late = under_way(progressed_at=NOW - 30 * MINUTE, most_healthy=4, fewest_left=2)
    gone = progress(seen([*tasks(4), *tasks(1, OLD, first=9)], late))
    assert gone.deployment is not None
    assert (gone.deployment.status, gone.deployment.fewest_left, gone.due_at) == (IN_PROGRESS, 1, NOW + 30 * MINUTE)


def test_a_new_leader_gives_it_time_to_tell_how_far_it_is() -> None:
    late = under_way(progressed_at=NOW - 60 * MINUTE, fewest_left=0)
    elected = replace(seen([], late), led_since=NOW - MINUTE)
    assert (progress(elected).deployment, progress(elected).due_at) == (None, NOW + 4 * MINUTE)
    gone = progress(replace(elected, now=NOW + 4 * MINUTE)).deployment
    assert gone is not None and gone.has_failed


def test_no_daemon_is_waited_for_where_the_agent_is_away() -> None:
    view = seen(tasks(3), under_way(most_healthy=3, fewest_left=0))
    daemon = msgspec.structs.replace(view.service, scheduling_strategy=DAEMON)
    view = replace(view, service=daemon, daemon_on=("a", "b", "c", "d"))
    assert progress(view).deployment is None
    elected = progress(replace(view, away=frozenset("d"), led_since=NOW - MINUTE))
    assert (elected.deployment, elected.due_at) == (None, NOW + 4 * MINUTE)
    gone = progress(replace(view, away=frozenset("d"))).deployment
    assert gone is not None and gone.status == SUCCESSFUL


def test_protected_tasks_are_waited_for() -> None:
    late = under_way(progressed_at=NOW - 60 * MINUTE, most_healthy=4, fewest_left=1)
    gone = progress(seen([*tasks(4), *tasks(1, OLD, first=9, protected_until=NOW + MINUTE)], late))
    assert gone.deployment is None
    assert gone.due_at == NOW + 31 * MINUTE


def test_what_was_told_to_stop_and_does_not_end_makes_nothing_fail() -> None:
    late = under_way(progressed_at=NOW - 30 * MINUTE, most_healthy=4, fewest_left=1)
    lingers = tasks(1, OLD, first=9, desired_status="STOPPED", last_status="RUNNING")
    gone = progress(seen([*tasks(4), *lingers], late, breaker=BREAKER, earlier=[GOOD]))
    assert gone.deployment is not None and gone.deployment.status == SUCCESSFUL


def test_stopped_on_request() -> None:
    gone = progress(seen(tasks(2), under_way(status=STOP_REQUESTED, reason="It was stopped on request.")))
    assert gone.deployment is not None and gone.service is None
    assert (gone.deployment.status, gone.deployment.is_halted, gone.deployment.has_failed) == (STOPPED, True, False)
    assert gone.deployment.reason == "It was stopped on request."


def test_rolled_back_on_request() -> None:
    asked = under_way(status=ROLLBACK_REQUESTED, reason="It was rolled back on request.")
    gone = progress(seen(tasks(4), asked, earlier=[GOOD]))
    assert gone.deployment is not None and gone.service is not None
    assert (gone.deployment.status, gone.service.revision) == (ROLLBACK_IN_PROGRESS, OLD)
    gone = progress(seen(tasks(4), asked))
    assert gone.deployment is not None
    assert (gone.deployment.status, gone.deployment.is_halted) == (STOPPED, True)
    assert "nothing to go back to" in gone.deployment.reason


def test_a_rollback_is_over_once_the_old_ones_are_back() -> None:
    gone = progress(seen([*tasks(4, OLD), *tasks(1, first=9)], GOING_BACK))
    assert gone.deployment is not None and gone.deployment.status == ROLLBACK_IN_PROGRESS
    gone = progress(seen(tasks(4, OLD), gone.deployment))
    assert gone.deployment is not None
    assert (gone.deployment.status, gone.deployment.reason) == (ROLLBACK_SUCCESSFUL, "It failed.")


def test_a_rollback_fails_by_its_own_tasks_and_the_service_tries_on() -> None:
    gone = progress(seen(tasks(2, OLD), msgspec.structs.replace(GOING_BACK, rollback_failed_tasks=3), breaker=BREAKER))
    assert gone.deployment is not None and gone.service is None
    assert (gone.deployment.status, gone.deployment.is_halted) == (ROLLBACK_FAILED, False)
    assert gone.deployment.reason == "It failed. The rollback failed: tasks failed to start."


def test_a_rollback_fails_by_time() -> None:
    late = msgspec.structs.replace(GOING_BACK, progressed_at=NOW - 30 * MINUTE, most_healthy=2, fewest_left=0)
    gone = progress(seen(tasks(2, OLD), late))
    assert gone.deployment is not None and gone.deployment.status == ROLLBACK_FAILED


@pytest.mark.parametrize("status", [SUCCESSFUL, STOPPED, ROLLBACK_SUCCESSFUL, ROLLBACK_FAILED])
def test_what_is_over_stays_so(status: str) -> None:
    gone = progress(seen([], under_way(status=status, failed_tasks=9), breaker=BREAKER))
    assert (gone.deployment, gone.service, gone.events, gone.due_at) == (None, None, (), None)


def test_a_deleted_service_goes_nowhere() -> None:
    view = seen([], under_way(failed_tasks=9), breaker=BREAKER)
    deleted = msgspec.structs.replace(view.service, status=DRAINING)
    assert progress(replace(view, service=deleted)).deployment is None
