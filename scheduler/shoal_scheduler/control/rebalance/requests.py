"""Starts and stops rebalances: at most one is in progress in a cluster."""

import msgspec

from shoal_scheduler.control import clusters
from shoal_scheduler.control.context import Context, Outcome
from shoal_scheduler.control.rebalance.inputs import StartRebalance, StopRebalance, Wanted
from shoal_scheduler.control.rebalance.leaving import under_way
from shoal_scheduler.control.rebalance.plan import Plan, plan
from shoal_scheduler.model.rebalance import COMPLETED, GIVEN_UP, STOPPED, Rebalance
from shoal_scheduler.model.refusal import Refused, invalid_field
from shoal_scheduler.model.service import Service
from shoal_scheduler.state.changes import Change
from shoal_scheduler.state.overlay import Overlay
from shoal_scheduler.state.records import DeleteRecord, PutRecord

# Of each cluster, for those who ask what became of one.
KEPT = 10
NOTHING_TO_MOVE = "nothing is to be moved"


def start(view: Overlay, request: StartRebalance, context: Context) -> Outcome:
    """The same client token is answered with the same rebalance."""
    clusters.find(view, request.cluster)
    known = view.records.of(Rebalance, request.cluster)
    for each in known:
        if request.client_token and each.client_token == request.client_token:
            return Outcome(each)
    before = under_way(view, request.cluster)
    if before is not None:
        raise Refused(
            "failed_precondition",
            f"Rebalance {before.id} of cluster {request.cluster!r} is in progress: wait until it is over, or stop it.",
            reason="UpdateInProgressException",
        )
    check(view, request.cluster, request.wanted)
    planned = plan(view, request.cluster, request.wanted, context.now)
    made = rebalance_of(request, planned, context)
    return Outcome(made, [PutRecord(made), *forgetting(known)] if made.is_in_progress else [])


def rebalance_of(request: StartRebalance, planned: Plan, context: Context) -> Rebalance:
    made = Rebalance(
        cluster=request.cluster,
        id=context.ids.job_id(),
        created_at=context.now,
        planned=planned.moves,
        kind=request.wanted.kind,
        created_by=request.created_by,
        client_token=request.client_token,
        parallel=request.wanted.budget.parallel,
        closed=planned.closed,
    )
    if planned.moves:
        return made
    return msgspec.structs.replace(made, status=COMPLETED, stopped_at=context.now, reason=NOTHING_TO_MOVE)


def forgetting(known: list[Rebalance]) -> list[Change]:
    """All but the last ones, when one more is put."""
    by_age = sorted(known, key=lambda each: (each.created_at, each.id), reverse=True)
    return [DeleteRecord(Rebalance, (each.cluster, each.id)) for each in by_age[KEPT - 1 :]]


def stop(view: Overlay, request: StopRebalance, context: Context) -> Outcome:
    """What is under way stays where it is by then; one that is over stays as it is."""
    clusters.find(view, request.cluster)
    found = view.records.get(Rebalance, request.cluster, request.id) if request.id else under_way(view, request.cluster)
    if found is None:
        what = f"rebalance {request.id!r}" if request.id else "rebalance in progress"
        raise Refused("not_found", f"Cluster {request.cluster!r} has no {what}.", reason="ResourceNotFoundException")
    if not found.is_in_progress:
        return Outcome(found)
    left = (*found.moves, *found.planned)
    reason = request.reason or "stopped on request"
    given_up = [msgspec.structs.replace(move, outcome=GIVEN_UP, detail=reason, ended_at=context.now) for move in left]
    stopped = msgspec.structs.replace(
        found,
        status=STOPPED,
        stopped_at=context.now,
        reason=reason,
        moves=(),
        planned=(),
        over=(*found.over, *given_up),
    )
    return Outcome(stopped, [PutRecord(stopped)])


def check(view: Overlay, cluster: str, wanted: Wanted) -> None:
    """Raises Refused if it names what is not there."""
    for at, name in enumerate(wanted.instances):
        instance = view.instance(name)
        if instance is None or instance.cluster != cluster or instance.status == "INACTIVE":
            raise invalid_field(f"containerInstances[{at}]", f"there is no instance {name!r} in cluster {cluster!r}.")
    for at, name in enumerate(wanted.services):
        if view.records.get(Service, cluster, name) is None:
            raise invalid_field(f"services[{at}]", f"there is no service {name!r} in cluster {cluster!r}.")
