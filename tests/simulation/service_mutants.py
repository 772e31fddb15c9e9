"""Bugs planted in what is done for services: see mutants."""

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
from shoal_scheduler.api import agent_convert
from shoal_scheduler.control import host_loss, tasks
from shoal_scheduler.control.autoscaling import evaluate, target_tracking
from shoal_scheduler.control.services import (
    circuit_breaker,
    daemon,
    deployments,
    digests,
    drain,
    follow,
    health,
    launching,
    reconcile,
    rolling,
    scale_in,
)
from shoal_scheduler.control.services.view import ServiceView
from shoal_scheduler.model.service import ROLLBACK_IN_PROGRESS, Deployment
from shoal_scheduler.state import record_writes
from shoal_scheduler.state.records import PutRecord
from shoal_scheduler.state.service_tables import ServiceTables

Patches = Callable[[], Iterator[tuple[Any, str, Any]]]


def minimum_ignored() -> Iterator[tuple[Any, str, Any]]:
    yield ServiceView, "minimum_healthy", property(lambda _seen: 0)


def maximum_ignored() -> Iterator[tuple[Any, str, Any]]:
    yield ServiceView, "maximum_total", property(lambda seen: 3 * seen.desired + 10)


def digest_resolved_per_task() -> Iterator[tuple[Any, str, Any]]:
    launch_of = launching.launch_of

    def as_it_is_named(*arguments: Any) -> Any:
        launch: Any = launch_of(*arguments)
        return msgspec.structs.replace(launch, service=msgspec.structs.replace(launch.service, images=()))

    yield reconcile, "launch_of", as_it_is_named


def everybody_tells_the_digest() -> Iterator[tuple[Any, str, Any]]:
    """All start at once, and the first that tells is believed."""
    most = digests.most_to_start
    yield digests, "most_to_start", lambda seen: None if not seen.deployment.is_halted else most(seen)


def rollback_stops_healthy_target_tasks() -> Iterator[tuple[Any, str, Any]]:
    is_current = ServiceView.is_current

    def of_this_deployment(seen: ServiceView, task: Any) -> bool:
        if seen.deployment.status == ROLLBACK_IN_PROGRESS:
            return bool(task.launch.service.deployment == seen.deployment.id) and is_current(seen, task)
        return is_current(seen, task)

    yield ServiceView, "is_current", of_this_deployment


def failures_counted_in_memory_only() -> Iterator[tuple[Any, str, Any]]:
    put_of = record_writes.put_of

    def put(change: Any) -> Any:
        if isinstance(change, PutRecord) and isinstance(change.record, Deployment):
            record = msgspec.structs.replace(change.record, failed_tasks=0, start_failures=0, retry_at=0)
            change = PutRecord(record)
        return put_of(change)

    yield record_writes, "put_of", put


def throttle_forgotten() -> Iterator[tuple[Any, str, Any]]:
    yield follow, "retry_millis", lambda _failures: 0


def protection_ignored() -> Iterator[tuple[Any, str, Any]]:
    for module in (scale_in, daemon):
        yield module, "is_protected", lambda _seen, _task: False


def drained_host_kept() -> Iterator[tuple[Any, str, Any]]:
    yield ServiceView, "is_leaving", lambda _seen, _task: False


def end_of_a_task_not_looked_at() -> Iterator[tuple[Any, str, Any]]:
    """The service is steady, and nobody looks when a task of it is lost."""
    put_task = ServiceTables.put_task

    def put(self: ServiceTables, task: Any) -> None:
        known = dict(self.unsettled)
        put_task(self, task)
        if task.is_stopped and task.stop_code != reconcile.SERVICE_SCHEDULER:
            self.unsettled = known

    yield ServiceTables, "put_task", put


def new_task_counted_as_healthy() -> Iterator[tuple[Any, str, Any]]:
    for module in (health, rolling, deployments, scale_in, daemon):
        yield module, "is_healthy", lambda _seen, task: health.is_running(task)


def sick_task_kept() -> Iterator[tuple[Any, str, Any]]:
    yield rolling, "is_unhealthy", lambda _seen, _task: False


def breaker_never_trips() -> Iterator[tuple[Any, str, Any]]:
    yield circuit_breaker, "is_tripped", lambda *_, **__: False


def deleted_service_goes_on() -> Iterator[tuple[Any, str, Any]]:
    yield ServiceView, "desired", property(lambda seen: seen.service.desired_count or len(seen.wanted))


def lost_task_replaced_twice() -> Iterator[tuple[Any, str, Any]]:
    """By the loss of its host as well."""
    yield host_loss, "is_replaced", lambda task: bool(task.launch.on_disconnect) and task.launch.job is None


def due_look_forgotten() -> Iterator[tuple[Any, str, Any]]:
    """Nobody comes back when time alone changes something."""
    yield reconcile, "_first", lambda *_: None


def drain_skipped() -> Iterator[tuple[Any, str, Any]]:
    for module in (drain, tasks):
        yield module, "is_to_drain", lambda _task: False


def drained_too_early() -> Iterator[tuple[Any, str, Any]]:
    yield drain, "_ends_at", lambda _seen, task: task.stopping_at


def agent_told_of_what_drains() -> Iterator[tuple[Any, str, Any]]:
    yield agent_convert, "is_draining", lambda _task: False


def missing_data_scales_in() -> Iterator[tuple[Any, str, Any]]:
    """As if what is not known had been as the last that was."""
    vote = target_tracking.vote

    def believing(name: str, policy: Any, points: Any, *more: Any) -> Any:
        known = [point for point in points if point is not None] or list(points[-1:])
        return vote(name, policy, [*[known[-1]] * (len(points) - len(known)), *known], *more)

    yield target_tracking, "vote", believing


def scaled_in_during_a_deployment() -> Iterator[tuple[Any, str, Any]]:
    yield evaluate, "is_deploying", lambda _view, _service: False


# With the faults under which each shows, beside services.
BUGS: tuple[tuple[tuple[str, ...], Patches], ...] = (
    ((), minimum_ignored),
    ((), maximum_ignored),
    ((), digest_resolved_per_task),
    ((), everybody_tells_the_digest),
    ((), rollback_stops_healthy_target_tasks),
    (("scheduler crash",), failures_counted_in_memory_only),
    ((), throttle_forgotten),
    ((), protection_ignored),
    (("drain",), drained_host_kept),
    ((), end_of_a_task_not_looked_at),
    ((), new_task_counted_as_healthy),
    ((), sick_task_kept),
    ((), breaker_never_trips),
    ((), deleted_service_goes_on),
    (("host dies",), lost_task_replaced_twice),
    ((), due_look_forgotten),
    ((), drain_skipped),
    ((), drained_too_early),
    (("reset", "agent crash"), agent_told_of_what_drains),
    ((), missing_data_scales_in),
    ((), scaled_in_during_a_deployment),
)
