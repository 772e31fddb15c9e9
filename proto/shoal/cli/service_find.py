"""Services by their names."""

from collections.abc import Sequence

from shoal import arn
from shoal.cli import find, text
from shoal.cli.failures import NOT_FOUND, Failed
from shoal.cli.session import Session
from shoal.v1 import service_pb2 as pb

# Each comes with its last hundred events.
DESCRIBED_AT_ONCE = 20


async def services(session: Session, names: Sequence[str], *, with_tags: bool = False) -> list[pb.Service]:
    """In the order given. Raises Failed if there is none of a name."""
    found: dict[str, pb.Service] = {}
    include = ["TAGS"] if with_tags else []
    for batch in find.batches(list(dict.fromkeys(names)), DESCRIBED_AT_ONCE):
        request = pb.DescribeServicesRequest(cluster=session.cluster, services=batch, include=include)
        answer = await session.client.services.DescribeServices(request)
        found |= {each.service_name: each for each in answer.services}
    missing = [name for name in map(arn.short, names) if name not in found]
    if missing:
        raise Failed(f"There is no service {text.sentence_list(missing)}.", "shoal service ls", NOT_FOUND)
    return [found[arn.short(name)] for name in names]


async def service(session: Session, name: str) -> pb.Service:
    (found,) = await services(session, [name])
    return found


async def every_name(session: Session) -> list[str]:
    """Of those that were not deleted."""
    request = pb.ListServicesRequest(cluster=session.cluster)
    return [
        arn.short(each)
        async for page in find.pages(session.client.services.ListServices, request)
        for each in page.service_arns
    ]


async def deployments(session: Session, name: str) -> list[pb.ServiceDeploymentBrief]:
    """The newest first."""
    request = pb.ListServiceDeploymentsRequest(cluster=session.cluster, service=name)
    return [
        each
        async for page in find.pages(session.client.services.ListServiceDeployments, request)
        for each in page.service_deployments
    ]


async def deployment(session: Session, name: str) -> pb.ServiceDeployment:
    """By its ARN. Raises Failed."""
    request = pb.DescribeServiceDeploymentsRequest(service_deployment_arns=[name])
    answer = await session.client.services.DescribeServiceDeployments(request)
    if not answer.service_deployments:
        raise Failed(f"There is no deployment {name}.", "shoal service deployments SERVICE", NOT_FOUND)
    return answer.service_deployments[0]


async def revision(session: Session, name: str) -> pb.ServiceRevision:
    """By its ARN. Raises Failed."""
    request = pb.DescribeServiceRevisionsRequest(service_revision_arns=[name])
    answer = await session.client.services.DescribeServiceRevisions(request)
    if not answer.service_revisions:
        raise Failed(f"There is no revision {name}.", "shoal service deployments SERVICE", NOT_FOUND)
    return answer.service_revisions[0]


def primary(service: pb.Service) -> pb.Deployment:
    """Of what the service is to run. An empty one of a service that is gone."""
    return next((each for each in service.deployments if each.status == "PRIMARY"), pb.Deployment())


def is_steady(service: pb.Service) -> bool:
    """It runs what is wanted and nothing else, and no deployment is under way."""
    (only,) = service.deployments if len(service.deployments) == 1 else (None,)
    return (
        only is not None
        and only.rollout_state != "IN_PROGRESS"
        and service.running_count == service.desired_count
        and service.pending_count == 0
    )
