"""To which revision a service goes back when a deployment failed. Pure."""

from collections.abc import Container, Iterable

from shoal_scheduler.model.service import Deployment


def good_revision(deployments: Iterable[Deployment], known: Container[str], but: str) -> str:
    """The revision that last did well; "" if none did.

    `deployments`: of the service, in any order. `known`: revisions that are still there. `but`: the revision that is to
    be left, which is never the answer.

    The last word on a revision is the last deployment that had one: it is good if that was SUCCESSFUL or came back to
    it with success, and it is not if that failed. One that was superseded or stopped by somebody says nothing, nor does
    a rollback that failed of the revision it led back to.
    """
    heard = {but}
    for deployment in sorted(deployments, key=lambda each: (each.created_at, each.id), reverse=True):
        good, bad = deployment.vouches_for, deployment.speaks_against
        if good and good not in heard and good in known:
            return good
        heard |= {good, bad}
    return ""
