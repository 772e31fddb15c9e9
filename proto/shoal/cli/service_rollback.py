"""`shoal service rollback`: back to what a service ran before, its images by their digests."""

import click

from shoal import arn
from shoal.cli import deployment_follow, service_find, service_words, text
from shoal.cli.failures import NOT_FOUND, OK, Failed
from shoal.cli.options import connected, duration
from shoal.cli.session import Session, call
from shoal.v1 import service_pb2 as pb

DESCRIBED_MAX = 100  # revisions of one DescribeServiceRevisions


@click.command()
@click.argument("name", metavar="SERVICE")
@click.option("--to", "target", metavar="DEPLOYMENT", help="To what this one led to, by the beginning of its id.")
@click.option("--wait/--no-wait", "waits", default=True, show_default=True, help="Stay until it is over.")
@click.option("--timeout", type=duration, default="10m", show_default=True, help="How long to stay, at most.")
@connected
def rollback(name: str, target: str | None, waits: bool, timeout: float) -> int:
    """Go back to what a service ran before.

    A deployment under way is rolled back. Otherwise a new one leads to the revision of the last deployment that
    succeeded with something else, or of --to; that revision's images are the very same, whatever their tags mean now.
    """

    async def work(session: Session) -> int:
        service = await service_find.service(session, name)
        if service.current_service_deployment and target is None:
            return await _stop(session, service, timeout if waits else 0.0)
        chosen = await _chosen(session, service, target)
        request = pb.UpdateServiceRequest(cluster=session.cluster, service=name, service_revision_arn=chosen)
        answer = await session.client.services.UpdateService(request)
        began = deployment_follow.new_deployment(service, answer.service)
        if not began:
            click.echo(f"{name} runs that already.")
            return OK
        click.echo(f"{name}: back to {arn.short(answer.service.task_definition)}")
        return await deployment_follow.attend(session, name, began, timeout) if waits else OK

    return call(work, "Rolling back")


async def _stop(session: Session, service: pb.Service, stay_seconds: float) -> int:
    """It is a success here that the deployment under way ends by going back."""
    under_way = service.current_service_deployment
    request = pb.StopServiceDeploymentRequest(service_deployment_arn=under_way, stop_type="ROLLBACK")
    await session.client.services.StopServiceDeployment(request)
    click.echo(f"{service.service_name}: the deployment under way goes back")
    if not stay_seconds:
        return OK
    code = await deployment_follow.attend(session, service.service_name, under_way, stay_seconds)
    ended = await service_find.deployment(session, under_way)
    return OK if ended.status == "ROLLBACK_SUCCESSFUL" else code


async def _chosen(session: Session, service: pb.Service, target: str | None) -> str:
    """The ARN of the revision to go back to. Raises Failed."""
    known = await service_find.deployments(session, service.service_name)
    hint = f"shoal service deployments {service.service_name}"
    if target is not None:
        wanted = [each for each in known if arn.short(each.service_deployment_arn).startswith(arn.short(target))]
        if not wanted:
            raise Failed(f"{service.service_name} has no deployment {target!r}.", hint, NOT_FOUND)
        if len(wanted) > 1:
            names = text.sentence_list(service_words.short_id(each.service_deployment_arn) for each in wanted)
            raise Failed(f"{target!r} fits {len(wanted)} deployments: {names}.", "give more of the id")
        return wanted[0].target_service_revision_arn
    current = service_find.primary(service).service_revision_arn
    succeeded = [each for each in known if each.status == "SUCCESSFUL" and each.target_service_revision_arn != current]
    others = await _others(session, current, [each.target_service_revision_arn for each in succeeded])
    if not others:
        raise Failed(f"{service.service_name} ran nothing else before that succeeded.", hint)
    return others[0]


async def _others(session: Session, current: str, names: list[str]) -> list[str]:
    """Those of `names`, in their order, that say something else than the current revision.

    `shoal deploy --force` makes one that says the same, by the same digests where no tag was moved.
    """
    asked = list(dict.fromkeys([current, *names]))[:DESCRIBED_MAX]
    request = pb.DescribeServiceRevisionsRequest(service_revision_arns=asked)
    answer = await session.client.services.DescribeServiceRevisions(request)
    said = {each.service_revision_arn: _content(each) for each in answer.service_revisions}
    return [name for name in names if name in said and said[name] != said.get(current)]


def _content(revision: pb.ServiceRevision) -> pb.ServiceRevision:
    content = pb.ServiceRevision()
    content.CopyFrom(revision)
    content.ClearField("service_revision_arn")
    content.ClearField("created_at")
    return content
