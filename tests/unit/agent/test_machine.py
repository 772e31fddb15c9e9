"""The machine by tables: one line is one situation and the one right step."""

from dataclasses import replace
from typing import Any

import pytest
from shoal_agent.life.machine import (
    Action,
    Create,
    End,
    Finish,
    Forget,
    Inspect,
    Kill,
    Pull,
    Remove,
    Start,
    Stop,
    Wait,
    next_actions,
)
from shoal_agent.life.verdict import report_of, status_of
from shoal_agent.task import (
    ABSENT,
    COMPLETE,
    CREATED,
    EXITED,
    HEALTHY,
    RUNNING,
    START,
    SUCCESS,
    ContainerPlan,
    Dependency,
    Ending,
    Report,
    RestartPolicy,
    Restarts,
    Seen,
    Task,
    View,
)

NOW, KEEP = 1_000_000, 60_000
WEB = Task("t", (ContainerPlan("web"),), assigned=True)
LAUNCHED = replace(WEB, launched=frozenset({"web"}))
TWO = Task("t", (ContainerPlan("web"), ContainerPlan("side", essential=False)), assigned=True)
OVER = replace(LAUNCHED, outcome=Report("t", "STOPPED"))
STORED = replace(OVER, acknowledged=True)
PAUSE_ENDED = Ending("InfrastructureHealth", "The container that holds the task's network and namespaces ended")
EXIT = Ending("EssentialContainerExited", "Essential container in task exited")


def stopped(task: Task) -> Task:
    return replace(task, desired_status="STOPPED", stop_code="UserInitiated", stopped_reason="enough")


def view(**seen: Seen) -> View:
    return View(seen=seen)


def seen(status: str, **more: Any) -> Seen:
    return replace(Seen(status, "id", finished_at=NOW - 10 if status == EXITED else None), **more)


def waiting(condition: str, **first: Any) -> Task:
    """`app` waits for `first`."""
    plans = (
        ContainerPlan("first", essential=False, **first),
        ContainerPlan("app", True, (Dependency("first", condition),)),
    )
    return Task("t", plans, assigned=True, launched=frozenset({"first"}))


def restarting(*ignored: int) -> Task:
    plan = ContainerPlan("web", restart=RestartPolicy(ignored, 60))
    return replace(LAUNCHED, containers=(plan,))


def ran(seconds: int, exit_code: int | None = 1) -> View:
    return view(web=seen(EXITED, exit_code=exit_code, started_at=NOW - 10 - 1000 * seconds))


FAILED = replace(WEB, failures={"web": "CannotPullContainerError: no"})
SIDE_FAILED = replace(TWO, failures={"side": "CannotPullContainerError: no"})
EXIT_WORDS = ("EssentialContainerExited", "Essential container")
SANDBOXED = Task("t", (ContainerPlan("~pause", essential=False, internal=True), ContainerPlan("web")), assigned=True)
LIMITED = waiting(HEALTHY, start_timeout_seconds=5)


@pytest.mark.parametrize(
    ("task", "view", "actions"),
    [
        # forward
        (WEB, View(), [Create("web")]),
        (WEB, View(image_missing=frozenset({"web"})), [Pull("web")]),
        (WEB, View(image_missing=frozenset({"web"}), pulled=frozenset({"web"})), [Create("web")]),
        (WEB, view(web=seen(CREATED)), [Start("web")]),
        (LAUNCHED, view(web=seen(CREATED)), [Start("web")]),
        (LAUNCHED, view(web=seen(RUNNING)), []),
        (LAUNCHED, replace(view(web=seen(RUNNING)), ports_open=frozenset({"web"})), [Inspect("web")]),
        (LAUNCHED, replace(view(web=seen(RUNNING, ports=())), ports_open=frozenset({"web"})), []),
        # side by side, and none for one that is busy
        (TWO, View(), [Create("web"), Create("side")]),
        (TWO, view(web=seen(RUNNING)), [Create("side")]),
        (TWO, View(busy=frozenset({"web"})), [Create("side")]),
        (TWO, View(unclear=frozenset({"web"})), [Inspect("web"), Create("side")]),
        (TWO, View(unclear=frozenset({"web"}), busy=frozenset({"web"})), [Create("side")]),
        (TWO, view(web=seen(RUNNING), side=seen(EXITED)), []),
        (SIDE_FAILED, View(), [Create("web")]),
        # in the order of the dependencies
        (waiting(START), view(first=seen(CREATED)), [Start("first")]),
        (waiting(START), view(first=seen(RUNNING)), [Create("app")]),
        (waiting(START), view(first=seen(EXITED, exit_code=9)), [Create("app")]),
        (waiting(START), replace(view(first=seen(RUNNING)), busy=frozenset({"first"})), []),
        (waiting(COMPLETE), view(first=seen(RUNNING)), []),
        (waiting(COMPLETE), view(first=seen(EXITED, exit_code=9)), [Create("app")]),
        (waiting(SUCCESS), view(first=seen(EXITED, exit_code=0)), [Create("app")]),
        (waiting(HEALTHY), view(first=seen(RUNNING, health_status="UNKNOWN")), []),
        (waiting(HEALTHY), view(first=seen(RUNNING, health_status="UNHEALTHY")), []),
        (waiting(HEALTHY), view(first=seen(RUNNING, health_status="HEALTHY")), [Create("app")]),
        (waiting(HEALTHY), view(first=seen(RUNNING, health_status="UNHEALTHY"), app=seen(RUNNING)), []),
        (LIMITED, view(first=seen(RUNNING, started_at=NOW - 4000)), [Wait(NOW + 1000)]),
        (LIMITED, view(first=seen(RUNNING, started_at=NOW - 9000, health_status="HEALTHY")), [Create("app")]),
        (LIMITED, view(first=seen(RUNNING, started_at=NOW - 9000), app=seen(RUNNING)), []),
        # the agent's own containers are the first to start and the last to stop
        (SANDBOXED, View(), [Create("~pause")]),
        (SANDBOXED, view(**{"~pause": seen(RUNNING)}), [Create("web")]),
        # and what the engine chose for them is known before the others are made
        (
            SANDBOXED,
            replace(view(**{"~pause": seen(RUNNING)}), ports_open=frozenset({"~pause"})),
            [Inspect("~pause")],
        ),
        (stopped(SANDBOXED), view(**{"~pause": seen(RUNNING), "web": seen(RUNNING)}), [Stop("web")]),
        (stopped(SANDBOXED), view(**{"~pause": seen(RUNNING), "web": seen(EXITED)}), [Stop("~pause")]),
        # once more, if the restart policy says so
        (restarting(), ran(60), [Start("web")]),
        (replace(restarting(), assigned=False), ran(60), []),
        (restarting(2), ran(60, exit_code=1), [Start("web")]),
        (replace(restarting(), restarts={"web": Restarts(3, NOW - 10)}), ran(60), [Start("web")]),
        (stopped(restarting()), replace(ran(60), busy=frozenset({"web"})), []),
        # nothing is made for a task of which only the journal or a label speaks
        (replace(WEB, assigned=False), View(), []),
        (replace(WEB, assigned=False), view(web=seen(CREATED)), []),
        (Task("t"), View(), []),
        # nothing is done blindly
        (WEB, View(engine_up=False), []),
        (stopped(LAUNCHED), View(engine_up=False), []),
        (LAUNCHED, View(), [Inspect("web")]),
        (LAUNCHED, View(unclear=frozenset({"web"}), seen={"web": seen(RUNNING)}), [Inspect("web")]),
        (LAUNCHED, View(unclear=frozenset({"web"}), seen={"web": seen(EXITED)}), [Inspect("web"), End(EXIT)]),
        (replace(WEB, last_status="RUNNING"), View(), [Inspect("web")]),
        (stopped(WEB), View(busy=frozenset({"web"})), []),
        # towards the end
        (stopped(LAUNCHED), view(web=seen(RUNNING)), [Stop("web")]),
        (stopped(LAUNCHED), replace(view(web=seen(RUNNING)), stop_sent=frozenset({"web"})), [Kill("web")]),
        (stopped(TWO), view(web=seen(RUNNING), side=seen(RUNNING)), [Stop("web"), Stop("side")]),
        (TWO, view(web=seen(EXITED), side=seen(RUNNING)), [End(EXIT)]),
        (SANDBOXED, view(**{"~pause": seen(EXITED), "web": seen(RUNNING)}), [End(PAUSE_ENDED)]),
        (SANDBOXED, view(**{"~pause": seen(RUNNING), "web": seen(EXITED)}), [End(EXIT)]),
        (replace(TWO, ending=EXIT), view(web=seen(EXITED), side=seen(RUNNING)), [Stop("side")]),
        (FAILED, view(web=seen(RUNNING)), [End(Ending("TaskFailedToStart", "CannotPullContainerError: no"))]),
        (stopped(waiting(START)), view(first=seen(RUNNING), app=seen(RUNNING)), [Stop("app")]),
        (stopped(waiting(START)), view(first=seen(RUNNING), app=seen(EXITED)), [Stop("first")]),
        (stopped(waiting(START)), view(first=seen(RUNNING), app=seen(CREATED)), [Stop("first")]),
        (
            stopped(waiting(START)),
            replace(view(first=seen(RUNNING), app=seen(RUNNING)), busy=frozenset({"app"})),
            [],
        ),
        (
            stopped(waiting(START)),
            replace(view(first=seen(RUNNING), app=seen(EXITED)), unclear=frozenset({"app"})),
            [Inspect("app")],
        ),
        # after it
        (OVER, view(web=seen(EXITED, finished_at=NOW - KEEP)), []),
        (STORED, view(web=seen(EXITED)), [Wait(NOW - 10 + KEEP)]),
        (STORED, view(web=seen(EXITED, finished_at=NOW - KEEP)), [Remove("web")]),
        (OVER, replace(view(web=seen(EXITED)), evict=True), [Remove("web")]),
        (OVER, view(web=seen(CREATED)), [Remove("web")]),
        (OVER, view(web=seen(RUNNING)), [Stop("web")]),
        (OVER, view(web=seen(ABSENT)), []),
        (STORED, view(web=seen(ABSENT)), [Forget()]),
        (replace(WEB, forget=True), View(), [Forget()]),
        (replace(WEB, forget=True), View(busy=frozenset({"web"})), []),
        (replace(LAUNCHED, forget=True), View(), [Inspect("web")]),
        (replace(LAUNCHED, forget=True), view(web=seen(RUNNING)), [Stop("web")]),
        (replace(LAUNCHED, forget=True), view(web=seen(EXITED)), [Wait(NOW - 10 + KEEP)]),
        (replace(LAUNCHED, forget=True), view(web=seen(ABSENT)), [Forget()]),
    ],
)
def test_the_next_steps(task: Task, view: View, actions: list[Action]) -> None:
    assert list(next_actions(task, view, NOW, KEEP)) == actions


NEVER = "dependency graph: failed to resolve container ordering dependency [first] for target [app] "


@pytest.mark.parametrize(
    ("task", "view", "stop_code", "reason", "exit_code"),
    [
        (stopped(WEB), View(), "UserInitiated", "enough", None),
        (stopped(WEB), view(web=seen(CREATED)), "UserInitiated", "enough", None),
        (stopped(LAUNCHED), view(web=seen(EXITED, exit_code=143)), "UserInitiated", "enough", 143),
        (LAUNCHED, view(web=seen(EXITED, exit_code=3)), "EssentialContainerExited", "Essential container", 3),
        (LAUNCHED, view(web=seen(EXITED, exit_code=0)), "EssentialContainerExited", "Essential container", 0),
        (replace(LAUNCHED, ending=EXIT), view(web=seen(EXITED, with_engine=True)), *EXIT_WORDS, None),
        (
            LAUNCHED,
            view(web=seen(EXITED, exit_code=137, oom_killed=True)),
            "EssentialContainerExited",
            "OutOfMemoryError: ",
            137,
        ),
        (LAUNCHED, view(web=seen(EXITED, with_engine=True)), "InfrastructureHealth", "The container engine", None),
        (LAUNCHED, view(web=seen(ABSENT)), "InfrastructureHealth", "The container is missing", None),
        (
            replace(WEB, last_status="RUNNING"),
            view(web=Seen(ABSENT)),
            "InfrastructureHealth",
            "The container is missing",
            None,
        ),
        (FAILED, View(), "TaskFailedToStart", "CannotPullContainerError: no", None),
        # a restart policy that does not apply
        (restarting(), ran(59), *EXIT_WORDS, 1),
        (restarting(1), ran(60), *EXIT_WORDS, 1),
        (restarting(), ran(60, exit_code=None), *EXIT_WORDS, None),
        (stopped(restarting()), ran(60), "UserInitiated", "enough", 1),
        (
            replace(restarting(), failures={"web": "CannotStartContainerError: no"}, restarts={"web": Restarts(1, 0)}),
            ran(60),
            "EssentialContainerExited",
            "CannotStartContainerError: no",
            1,
        ),
        # what can never be met
        (
            waiting(SUCCESS),
            view(first=seen(EXITED, exit_code=3)),
            "TaskFailedToStart",
            NEVER + "as dependency did not exit successfully (exit code 3)",
            3,
        ),
        (
            waiting(SUCCESS),
            view(first=seen(EXITED)),
            "TaskFailedToStart",
            NEVER + "as dependency did not exit successfully (exit code unknown)",
            None,
        ),
        (
            waiting(HEALTHY),
            view(first=seen(EXITED, exit_code=0)),
            "TaskFailedToStart",
            NEVER + "as dependency stopped before it was healthy",
            0,
        ),
        (waiting(START), view(first=seen(ABSENT)), "TaskFailedToStart", NEVER + "because dependency is missing", None),
        (
            replace(waiting(START), launched=frozenset(), failures={"first": "CannotPullContainerError: no"}),
            View(),
            "TaskFailedToStart",
            NEVER + "because dependency will never start: CannotPullContainerError: no",
            None,
        ),
    ],
)
def test_the_end_and_why(task: Task, view: View, stop_code: str, reason: str, exit_code: int | None) -> None:
    (action,) = next_actions(task, view, NOW, KEEP)
    assert isinstance(action, Finish)
    outcome = action.outcome
    assert outcome.last_status == "STOPPED"
    assert outcome.stop_code == stop_code
    assert outcome.stopped_reason is not None and outcome.stopped_reason.startswith(reason)
    assert outcome.containers[0].exit_code == exit_code
    assert {container.last_status for container in outcome.containers} == {"STOPPED"}


def test_a_lost_container_of_a_new_task_is_made_not_mourned() -> None:
    """A create whose answer got lost and that did not happen: nothing was launched, so nothing is lost."""
    assert next_actions(WEB, view(web=seen(ABSENT)), NOW, KEEP) == (Create("web"),)


def test_waiting_for_too_long_ends_the_task() -> None:
    late = view(first=seen(RUNNING, started_at=NOW - 5000))
    (action,) = next_actions(LIMITED, late, NOW, KEEP)
    words = "dependency graph: container ordering dependency [first] for target [app] has timed out"
    assert action == End(Ending("TaskFailedToStart", words, "app"))
    ended = replace(LIMITED, ending=action.why)
    assert next_actions(ended, late, NOW, KEEP) == (Stop("first"),)
    (finish,) = next_actions(ended, view(first=seen(EXITED, exit_code=143)), NOW, KEEP)
    assert isinstance(finish, Finish) and finish.outcome.stopped_reason == words
    assert [container.reason for container in finish.outcome.containers] == [None, words]
    assert finish.outcome.started_at is None


def test_the_agents_own_containers_are_never_told_of() -> None:
    up = view(**{"~pause": seen(RUNNING, started_at=1), "web": seen(RUNNING, started_at=5)})
    report = report_of(SANDBOXED, up)
    assert report.last_status == "RUNNING" and [it.name for it in report.containers] == ["web"]
    only = replace(SANDBOXED, failures={"~pause": "ResourceInitializationError: no"})
    (finish,) = next_actions(only, View(), NOW, KEEP)
    assert isinstance(finish, Finish) and finish.outcome.stop_code == "TaskFailedToStart"
    assert finish.outcome.stopped_reason == "ResourceInitializationError: no"


@pytest.mark.parametrize(
    ("pause", "reason"),
    [
        (seen(EXITED, exit_code=137), "The container that holds the task's network and namespaces ended"),
        (seen(EXITED, with_engine=True), "The container engine went away"),
        (seen(ABSENT), "The container is missing"),
    ],
)
def test_a_task_ends_with_the_container_that_holds_what_it_shares(pause: Seen, reason: str) -> None:
    begun = replace(SANDBOXED, launched=frozenset({"~pause", "web"}))
    (action,) = next_actions(begun, view(**{"~pause": pause, "web": seen(RUNNING)}), NOW, KEEP)
    assert isinstance(action, End) and action.why.stop_code == "InfrastructureHealth"
    assert action.why.reason is not None and action.why.reason.startswith(reason)


def test_only_what_ended_by_itself_was_killed_for_its_memory() -> None:
    """An engine says it of all containers below the limit that was reached."""
    dead = {"exit_code": 137, "oom_killed": True}
    both = replace(view(web=seen(EXITED, **dead), side=seen(EXITED, **dead)), stop_sent=frozenset({"side"}))
    task = replace(TWO, launched=frozenset({"web", "side"}), ending=EXIT)
    (finish,) = next_actions(task, both, NOW, KEEP)
    assert isinstance(finish, Finish)
    reasons = {it.name: (it.reason or "").partition(":")[0] for it in finish.outcome.containers}
    assert reasons == {"web": "OutOfMemoryError", "side": ""}


@pytest.mark.parametrize(
    ("task", "view", "status"),
    [
        (TWO, view(web=seen(RUNNING)), "PENDING"),
        (TWO, view(web=seen(RUNNING), side=seen(RUNNING)), "RUNNING"),
        (TWO, view(web=seen(RUNNING), side=seen(EXITED)), "RUNNING"),
        (SIDE_FAILED, view(web=seen(RUNNING)), "RUNNING"),
        (restarting(), ran(60), "RUNNING"),
        (restarting(), ran(59), "STOPPING"),
        # what was told before this agent began is not taken back
        (replace(TWO, last_status="RUNNING"), View(), "RUNNING"),
        (replace(TWO, last_status="STOPPING"), View(), "STOPPING"),
    ],
)
def test_the_status(task: Task, view: View, status: str) -> None:
    assert status_of(task, view) == status


def test_a_container_that_is_started_again_is_told_as_running() -> None:
    """The number of restarts is told without the one that is still to be done."""
    task = replace(restarting(), restarts={"web": Restarts(2, NOW - 10)})
    (container,) = report_of(task, ran(60)).containers
    assert (container.last_status, container.exit_code, container.restart_count) == ("RUNNING", None, 1)
    (container,) = report_of(task, view(web=seen(RUNNING))).containers
    assert (container.last_status, container.restart_count) == ("RUNNING", 2)


def test_health_is_told_while_it_runs() -> None:
    task = replace(LAUNCHED, containers=(ContainerPlan("web", has_health_check=True),))
    told = [
        report_of(task, view(web=it)).containers[0].health_status
        for it in (seen(RUNNING), seen(RUNNING, health_status="UNHEALTHY"), seen(EXITED, exit_code=1))
    ]
    assert told == ["UNKNOWN", "UNHEALTHY", "UNKNOWN"]
    assert report_of(LAUNCHED, view(web=seen(RUNNING))).containers[0].health_status is None
