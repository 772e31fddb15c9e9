"""To which revision a service goes back when a deployment failed. Pure."""

from collections.abc import Container, Iterable

from shoal_scheduler.model.service import ROLLBACK_FAILED, ROLLBACK_SUCCESSFUL, SUCCESSFUL, Deployment


def good_revision(deployments: Iterable[Deployment], known: Container[str], but: str) -> str:
    """The revision that last did well; "" if none did.

    `deployments`: of the service, in any order. `known`: revisions that are still there. `but`: the revision that is to
    be left, which is never the answer.

    The last word on a revision is the last deployment that had one: it is good if that was SUCCESSFUL or came back to
    it with success, and it is not if that failed. One that was superseded or stopped by somebody says nothing, nor does
    a rollback that failed of the revision it led back to.
    """
    heard: set[str] = {but}
    for deployment in sorted(deployments, key=lambda each: (each.created_at, each.id), reverse=True):
        for revision, is_good in _verdicts(deployment):
            if is_good and revision not in heard and revision in known:
                return revision
            heard.add(revision)
    return ""


def _verdicts(deployment: Deployment) -> list[tuple[str, bool]]:
    """What it says of revisions."""
    if deployment.status == SUCCESSFUL:
        return [(deployment.revision, True)]
    if deployment.status == ROLLBACK_SUCCESSFUL:
        return [(deployment.rollback_revision, True), (deployment.revision, False)]
    if deployment.status == ROLLBACK_FAILED or deployment.has_failed:
        return [(deployment.revision, False)]
    return []
