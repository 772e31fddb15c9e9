"""Which service, deployment or revision a name means."""

from collections.abc import Iterable

from shoal import arn
from shoal.problems import quoted

from shoal_scheduler.model.refusal import Refused
from shoal_scheduler.model.service import ACTIVE, Deployment, Service, ServiceRevision
from shoal_scheduler.state.records import Records, RecordsOverlay

Known = Records | RecordsOverlay
_NAMES_TOLD_MAX = 10


def service(records: Known, cluster: str, name: str, field: str = "service") -> Service:
    """By name or ARN, whatever its status. Raises Refused."""
    found = records.get(Service, cluster, arn.short(name))
    if found is None:
        known = _listed(each.name for each in records.of(Service, cluster) if each.status == ACTIVE)
        advice = f"There are: {known}." if known else "There are none: make one with CreateService."
        raise Refused(
            "not_found",
            f"{field}: there is no service {quoted(name)} in cluster {cluster!r}. {advice}",
            reason="ServiceNotFoundException",
        )
    return found


def active_service(records: Known, cluster: str, name: str) -> Service:
    """Raises Refused for one that was deleted as well."""
    found = service(records, cluster, name)
    if found.status != ACTIVE:
        raise Refused(
            "failed_precondition",
            f"service: {found.name} is {found.status}: it was deleted. Create it anew once it is INACTIVE.",
            reason="ServiceNotActiveException",
        )
    return found


def deployment(records: Known, cluster: str, service_name: str, deployment_id: str) -> Deployment:
    """Raises Refused."""
    found = records.get(Deployment, cluster, service_name, deployment_id)
    if found is None:
        name = arn.service_deployment_arn(cluster, service_name, deployment_id)
        raise Refused(
            "not_found",
            f"serviceDeploymentArn: there is no deployment {quoted(name)}. List them with ListServiceDeployments.",
            reason="ServiceDeploymentNotFoundException",
        )
    return found


def revision(records: Known, of: Service, revision_id: str) -> ServiceRevision:
    """Of the service. Raises Refused."""
    found = records.get(ServiceRevision, of.cluster, of.name, revision_id)
    if found is None:
        raise Refused(
            "not_found",
            f"serviceRevisionArn: service {of.name} has no revision {quoted(revision_id)}. Its deployments name them:"
            " ListServiceDeployments.",
            reason="ServiceNotFoundException",
        )
    return found


def _listed(names: Iterable[str]) -> str:
    told = sorted(names)
    more = len(told) - _NAMES_TOLD_MAX
    return ", ".join(told[:_NAMES_TOLD_MAX]) + (f" and {more} more" if more > 0 else "")
