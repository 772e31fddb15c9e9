"""The machine by tables: one line is one situation and the one right step."""

from dataclasses import replace
from typing import Any

import pytest
from shoal_agent.machine import (
    Action,
    Create,
    Finish,
    Forget,
    Inspect,
    Kill,
    Pull,
    Remove,
    Start,
    Stop,
    Wait,
    next_action,
)
from shoal_agent.task import (
    ABSENT,
    CREATED,
    EXITED,
    RUNNING,
    ContainerPlan,
    Failure,
    Report,
    Seen,
    Task,
    View,
)

NOW, KEEP = 1_000_000, 60_000
WEB = Task("t", (ContainerPlan("web"),), assigned=True)
LAUNCHED = replace(WEB, launched=frozenset({"web"}))
TWO = Task("t", (ContainerPlan("web"), ContainerPlan("side", essential=False)), assigned=True)
OVER = replace(LAUNCHED, outcome=Report("t", "STOPPED"))


def stopped(task: Task) -> Task:
    return replace(task, desired_status="STOPPED", stop_code="UserInitiated", stopped_reason="enough")


def view(**seen: Seen) -> View:
    return View(seen=seen)


def seen(status: str, **more: Any) -> Seen:
    return replace(Seen(status, "id", finished_at=NOW - 10 if status == EXITED else None), **more)


@pytest.mark.parametrize(
    ("task", "view", "action"),
    [
        # forward
        (WEB, View(), Create("web")),
        (WEB, View(image_missing=frozenset({"web"})), Pull("web")),
        (WEB, View(image_missing=frozenset({"web"}), pulled=frozenset({"web"})), Create("web")),
        (WEB, view(web=seen(CREATED)), Start("web")),
        (LAUNCHED, view(web=seen(CREATED)), Start("web")),
        (LAUNCHED, view(web=seen(RUNNING)), Wait()),
        (LAUNCHED, replace(view(web=seen(RUNNING)), ports_open=frozenset({"web"})), Inspect("web")),
        (LAUNCHED, replace(view(web=seen(RUNNING, ports=())), ports_open=frozenset({"web"})), Wait()),
        (TWO, view(web=seen(RUNNING)), Create("side")),
        (TWO, view(web=seen(RUNNING), side=seen(EXITED)), Wait()),
        # nothing is made for a task of which only the journal or a label speaks
        (replace(WEB, assigned=False), View(), Wait()),
        (replace(WEB, assigned=False), view(web=seen(CREATED)), Wait()),
        (Task("t"), View(), Wait()),
        # nothing is done blindly
        (WEB, View(engine_up=False), Wait()),
        (stopped(LAUNCHED), View(engine_up=False), Wait()),
        (LAUNCHED, View(), Inspect("web")),
        (LAUNCHED, View(unclear=frozenset({"web"}), seen={"web": seen(RUNNING)}), Inspect("web")),
        (replace(WEB, last_status="RUNNING"), View(), Inspect("web")),
        # towards the end
        (stopped(LAUNCHED), view(web=seen(RUNNING)), Stop(("web",))),
        (stopped(LAUNCHED), replace(view(web=seen(RUNNING)), stop_sent=frozenset({"web"})), Kill(("web",))),
        (TWO, view(web=seen(EXITED), side=seen(RUNNING)), Stop(("side",))),
        (replace(WEB, failure=Failure("web", "no")), view(web=seen(RUNNING)), Stop(("web",))),
        # after it
        (OVER, view(web=seen(EXITED)), Wait(NOW - 10 + KEEP)),
        (OVER, view(web=seen(EXITED, finished_at=NOW - KEEP)), Remove(("web",))),
        (OVER, replace(view(web=seen(EXITED)), evict=True), Remove(("web",))),
        (OVER, view(web=seen(CREATED)), Remove(("web",))),
        (OVER, view(web=seen(RUNNING)), Stop(("web",))),
        (OVER, view(web=seen(ABSENT)), Wait()),
        (replace(OVER, acknowledged=True), view(web=seen(ABSENT)), Forget()),
        (replace(WEB, forget=True), View(), Forget()),
        (replace(LAUNCHED, forget=True), View(), Inspect("web")),
        (replace(LAUNCHED, forget=True), view(web=seen(RUNNING)), Stop(("web",))),
        (replace(LAUNCHED, forget=True), view(web=seen(EXITED)), Wait(NOW - 10 + KEEP)),
        (replace(LAUNCHED, forget=True), view(web=seen(ABSENT)), Forget()),
    ],
)
def test_the_next_step(task: Task, view: View, action: Action) -> None:
    assert next_action(task, view, NOW, KEEP) == action


@pytest.mark.parametrize(
    ("task", "view", "stop_code", "reason", "exit_code"),
    [
        (stopped(WEB), View(), "UserInitiated", "enough", None),
        (stopped(WEB), view(web=seen(CREATED)), "UserInitiated", "enough", None),
        (stopped(LAUNCHED), view(web=seen(EXITED, exit_code=143)), "UserInitiated", "enough", 143),
        (LAUNCHED, view(web=seen(EXITED, exit_code=3)), "EssentialContainerExited", "Essential container", 3),
        (LAUNCHED, view(web=seen(EXITED, exit_code=0)), "EssentialContainerExited", "Essential container", 0),
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
        (
            replace(WEB, failure=Failure("web", "CannotPullContainerError: no")),
            View(),
            "TaskFailedToStart",
            "CannotPullContainerError: no",
            None,
        ),
    ],
)
def test_the_end_and_why(task: Task, view: View, stop_code: str, reason: str, exit_code: int | None) -> None:
    action = next_action(task, view, NOW, KEEP)
    assert isinstance(action, Finish)
    outcome = action.outcome
    assert outcome.last_status == "STOPPED"
    assert outcome.stop_code == stop_code
    assert outcome.stopped_reason is not None and outcome.stopped_reason.startswith(reason)
    assert outcome.containers[0].exit_code == exit_code
    assert outcome.containers[0].last_status == "STOPPED"


def test_a_lost_container_of_a_new_task_is_made_not_mourned() -> None:
    """A create whose answer got lost and that did not happen: nothing was launched, so nothing is lost."""
    assert next_action(WEB, view(web=seen(ABSENT)), NOW, KEEP) == Create("web")
