import time

import click

from shoal import arn, awsjson
from shoal.cli import find, service_find, service_words, show
from shoal.cli.options import connected, output_option
from shoal.cli.session import Session, call
from shoal.v1 import service_pb2 as pb


@click.command()
@click.argument("name", metavar="SERVICE")
@output_option
@connected
def deployments(name: str, output: str) -> None:
    """List the deployments of a service, the newest first."""

    async def work(session: Session) -> tuple[list[pb.ServiceDeploymentBrief], dict[str, str]]:
        found = await service_find.deployments(session, name)
        return found, await _definitions(session, found)

    found, definitions = call(work)
    now_millis = int(time.time() * 1000)
    show.emit(
        output,
        lambda: show.Table(
            service_words.DEPLOYMENT_COLUMNS,
            [
                service_words.deployment_row(each, definitions.get(each.target_service_revision_arn, "-"), now_millis)
                for each in found
            ],
        ),
        lambda: {"serviceDeployments": [awsjson.to_document(each) for each in found]},
        [each.service_deployment_arn for each in found],
    )


async def _definitions(session: Session, found: list[pb.ServiceDeploymentBrief]) -> dict[str, str]:
    """Of each revision the task definition."""
    names = list(dict.fromkeys(each.target_service_revision_arn for each in found))
    known: dict[str, str] = {}
    for batch in find.batches(names):
        request = pb.DescribeServiceRevisionsRequest(service_revision_arns=batch)
        answer = await session.client.services.DescribeServiceRevisions(request)
        known |= {each.service_revision_arn: arn.short(each.task_definition) for each in answer.service_revisions}
    return known
