"""Compute environments: create, update, delete."""

from collections.abc import Mapping
from typing import Any

import msgspec
from shoal import arn
from shoal.problems import quoted

from shoal_scheduler.control import clusters
from shoal_scheduler.control.batch import inputs as i
from shoal_scheduler.control.context import Context, Outcome
from shoal_scheduler.model.job_queue import DISABLED, ComputeEnvironment
from shoal_scheduler.model.refusal import Refused
from shoal_scheduler.state import batch_changes as b
from shoal_scheduler.state.batch_overlay import BatchOverlay
from shoal_scheduler.state.overlay import Overlay

_EACH_MAX = 1000
_SAID = {
    "cluster": "cluster",
    "expression": "expression",
    "state": "state",
    "max_vcpus": "unmanagedvCpus",
    "tags": "tags",
}


def create(view: Overlay, request: i.CreateComputeEnvironment, context: Context) -> Outcome:
    """The same again is answered with what is there."""
    known = view.batch.environment(request.environment.name)
    if known is not None:
        return Outcome(unchanged("computeEnvironmentName", known, request.environment, _SAID))
    check_count("compute environments", len(view.batch.environments()))
    clusters.find(view, request.environment.cluster)
    environment = msgspec.structs.replace(request.environment, created_at=context.now)
    return Outcome(environment, [b.PutComputeEnvironment(environment)])


def update(view: Overlay, request: i.UpdateComputeEnvironment, _context: Context) -> Outcome:
    """Tasks that run go on, also where they would not be placed any more."""
    before = find(view.batch, request.name)
    environment = msgspec.structs.replace(before, **request.fields)
    clusters.find(view, environment.cluster)
    return Outcome(environment, [b.PutComputeEnvironment(environment)] if environment != before else [])


def delete(view: Overlay, request: i.DeleteComputeEnvironment, _context: Context) -> Outcome:
    environment = find(view.batch, request.name)
    queues = sorted(queue.name for queue in view.batch.queues() if environment.name in queue.environments)
    if queues:
        raise Refused(
            "failed_precondition",
            f"computeEnvironment: {environment.name} is in the order of {len(queues)} job queues, first {queues[0]}:"
            " take it out with UpdateJobQueue, or delete them.",
        )
    if environment.state != DISABLED:
        raise Refused(
            "failed_precondition",
            f"computeEnvironment: {environment.name} is ENABLED: disable it first, with UpdateComputeEnvironment.",
        )
    return Outcome(None, [b.DeleteComputeEnvironment(environment.name)])


def find(view: BatchOverlay, name: str, field: str = "computeEnvironment") -> ComputeEnvironment:
    """By name or ARN. Raises Refused."""
    environment = view.environment(arn.short(name))
    if environment is None:
        advice = "List them with DescribeComputeEnvironments, or create it."
        raise Refused("not_found", f"{field}: there is no compute environment {quoted(name)}. {advice}")
    return environment


def check_count(what: str, known: int) -> None:
    """Raises Refused if there may be no more of them: each step looks at all queues. AWS has 50 of each."""
    if known >= _EACH_MAX:
        raise Refused("exhausted", f"There are {known} {what}; there may be no more. Delete some.")


def unchanged(field: str, known: Any, asked: Any, said: Mapping[str, str]) -> Any:
    """What is there, if it is what was asked for; so that creating it twice, as after a lost answer, is once. Raises
    Refused if they differ. `said`: fields of the record, and what the request calls them."""
    different = [name for each, name in said.items() if getattr(known, each) != getattr(asked, each)]
    if different:
        raise Refused(
            "conflict",
            f"{field}: {known.name} is there already, with another {', '.join(different)}: change it with an update,"
            " or choose another name.",
        )
    return known
