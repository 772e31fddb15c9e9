"""StopServiceDeployment: somebody wants a deployment to end where it is, or to go back. The look at the service carries
it out."""

import msgspec

from shoal_scheduler.control.context import Context, Outcome
from shoal_scheduler.control.services import find
from shoal_scheduler.control.services import inputs as i
from shoal_scheduler.model.refusal import Refused
from shoal_scheduler.model.service import (
    IN_PROGRESS,
    PENDING,
    ROLLBACK_IN_PROGRESS,
    ROLLBACK_REQUESTED,
    STOP_REQUESTED,
)
from shoal_scheduler.state.overlay import Overlay
from shoal_scheduler.state.records import PutRecord

ABORT, ROLLBACK = "ABORT", "ROLLBACK"

# What each asks for, and what is that request already.
_REQUESTED = {ABORT: STOP_REQUESTED, ROLLBACK: ROLLBACK_REQUESTED}
_IS_IT = {ABORT: {STOP_REQUESTED}, ROLLBACK: {ROLLBACK_REQUESTED, ROLLBACK_IN_PROGRESS}}
_WHY = {ABORT: "It was stopped on request.", ROLLBACK: "It was rolled back on request."}


def stop(view: Overlay, request: i.StopServiceDeployment, context: Context) -> Outcome:
    """A second time is the same answer."""
    deployment = find.deployment(view.records, request.cluster, request.service, request.deployment)
    if deployment.status in _IS_IT[request.stop_type]:
        return Outcome(deployment)
    if deployment.status not in (PENDING, IN_PROGRESS):
        raise Refused(
            "failed_precondition",
            f"serviceDeploymentArn: the deployment is {deployment.status} and cannot be stopped any more.",
            reason="ConflictException",
        )
    if request.stop_type == ROLLBACK and not deployment.sources:
        raise Refused(
            "failed_precondition",
            "stopType: the deployment is the service's first, there is nothing to go back to: use ABORT.",
            reason="ConflictException",
        )
    asked = msgspec.structs.replace(
        deployment,
        status=_REQUESTED[request.stop_type],
        reason=_WHY[request.stop_type],
        updated_at=context.now,
    )
    return Outcome(asked, [PutRecord(asked)])
