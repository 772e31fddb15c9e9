"""By which digests the images of a revision are known, and how many tasks start before."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec
from shoal_scheduler.control.services.digests import most_to_start, resolved
from shoal_scheduler.control.services.view import ServiceView
from shoal_scheduler.model.task import ContainerState, Task

from tests.unit.scheduler.services.views import OLD, seen, task, tasks, under_way, with_containers


def unresolved(running: Sequence[Task] = (), **more: Any) -> ServiceView:
    return seen(running, is_resolved=False, **more)


def test_one_task_starts_first() -> None:
    assert most_to_start(unresolved(tasks(4, OLD))) == 1
    waiting = task(9, last_status="PROVISIONING", instance="", started_at=0)
    assert most_to_start(unresolved([*tasks(4, OLD), waiting])) == 0


def test_when_it_is_to_stop_the_next_one_tries() -> None:
    assert most_to_start(unresolved([task(9, desired_status="STOPPED")])) == 1


def test_all_others_follow_once_it_has_told() -> None:
    view = unresolved([task(9)])
    known = resolved(view)
    assert known is not None
    assert (known.images, known.is_resolved) == ((("app", "web@sha256:11"),), True)
    assert most_to_start(replace(view, revision=known)) is None


def test_what_is_known_never_changes() -> None:
    assert resolved(seen([task(9)])) is None


def test_nothing_more_starts_of_what_was_given_up() -> None:
    assert most_to_start(seen([], under_way(is_halted=True))) == 0


def test_images_that_are_digests_already_need_none() -> None:
    containers = (
        {"name": "app", "image": "web@sha256:22"},
        {"name": "log", "image": "log:3@sha256:33"},
        {"name": "aid", "image": "aid", "versionConsistency": "disabled"},
    )
    known = resolved(unresolved([], definition=with_containers(*containers)))
    assert known is not None
    assert (known.images, known.is_resolved) == ((), True)


def test_every_container_is_waited_for() -> None:
    definition = with_containers(
        {"name": "app", "image": "registry:5000/web:7"},
        {"name": "log", "image": "log:3"},
        {"name": "aid", "image": "aid:1", "versionConsistency": "disabled"},
    )
    app = ContainerState("app", "RUNNING", "id-1", image_digest="sha256:11")
    for log in (ContainerState("log"), ContainerState("log", "STOPPED", reason="CannotPullContainerError")):
        assert resolved(unresolved([task(9, containers=(app, log))], definition=definition)) is None
    log = ContainerState("log", "PENDING", "id-2", image_digest="sha256:22")
    known = resolved(unresolved([task(9, containers=(app, log))], definition=definition))
    assert known is not None
    assert known.images == (("app", "registry:5000/web@sha256:11"), ("log", "log@sha256:22"))


def test_an_image_that_no_registry_has_stays_as_it_is_named() -> None:
    local = task(9, containers=(ContainerState("app", "RUNNING", "id-1"),))
    known = resolved(unresolved([local]))
    assert known is not None
    assert (known.images, known.is_resolved) == ((), True)


def test_only_a_task_of_the_revision_tells() -> None:
    assert resolved(unresolved(tasks(4, OLD))) is None


def test_a_task_that_is_to_stop_tells_no_more() -> None:
    """Another has been started in its place, by a tag that may mean another image now."""
    assert resolved(unresolved([task(9, desired_status="STOPPED")])) is None


def test_nothing_is_said_of_a_definition_that_is_not_there() -> None:
    view = unresolved([task(9)])
    other = msgspec.structs.replace(view.revision, definition="web:9")
    assert resolved(replace(view, revision=other)) is None
