import time
from collections.abc import Sequence
from typing import Any

import click
from google.protobuf.message import Message

from shoal.cli import batch_things, find, job_find, screens, service_find, show, things
from shoal.cli.failures import NOT_FOUND, Failed
from shoal.cli.options import connected, output_option
from shoal.cli.session import Session, call
from shoal.v1 import cluster_pb2, job_pb2, service_pb2, task_definition_pb2


@click.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@click.option("--trace", is_flag=True, help="Of a task: also where the time of its start went.")
@output_option
@connected
def describe(names: tuple[str, ...], trace: bool, output: str) -> None:
    """Show all there is to know of tasks, task definitions, instances, clusters, services and jobs.

    NAME is an id, a unique prefix of one, FAMILY, FAMILY:REVISION, a cluster's or a service's name, a job's whole
    id, or any ARN.
    """

    async def work(session: Session) -> list[tuple[things.Thing, Message]]:
        found = [await things.locate(session, name) for name in names]
        return [(thing, await _fetch(session, thing, trace)) for thing in found]

    answers = call(work)
    if output in ("json", "yaml"):
        show.print_document(output, merged([answer for _, answer in answers]))
    elif output == "name":
        for thing, _ in answers:
            click.echo(thing.name)
    else:
        for at, (_, answer) in enumerate(answers):
            if at:
                click.echo()
            screens.show_answer(answer, int(time.time() * 1000))


async def _fetch(session: Session, thing: things.Thing, trace: bool) -> Any:
    cluster = session.client.cluster
    if thing.kind == things.DEFINITION:
        return await cluster.DescribeTaskDefinition(
            task_definition_pb2.DescribeTaskDefinitionRequest(task_definition=thing.name, include=["TAGS"])
        )
    if thing.kind == things.JOB:
        return job_pb2.DescribeJobsResponse(jobs=await job_find.describe(session, [thing.name]))
    if thing.kind == things.SERVICE:
        found = await service_find.services(session, [thing.name], with_tags=True)
        return service_pb2.DescribeServicesResponse(services=found)
    if thing.kind in batch_things.KINDS:
        return await batch_things.fetch(session, thing.kind, thing.name)
    answer: Any
    if thing.kind == things.TASK:
        answer = await find.describe_tasks(session, [thing.name], ["TAGS", "TRACE"] if trace else ["TAGS"])
    elif thing.kind == things.INSTANCE:
        answer = await find.describe_instances(session, [thing.name], ["TAGS", find.HEALTH, find.IMAGES])
    else:
        request = cluster_pb2.DescribeClustersRequest(clusters=[thing.name], include=CLUSTER_PARTS)
        answer = await cluster.DescribeClusters(request)
    if answer.failures:
        raise Failed(f"There is no {thing.kind} {thing.name}.", exit_code=NOT_FOUND)
    return answer


CLUSTER_PARTS = ("SETTINGS", "STATISTICS", "TAGS", "CONFIGURATIONS", "ATTACHMENTS")


def merged(answers: Sequence[Message]) -> dict[str, Any]:
    """One document: lists are joined; several definitions come as taskDefinitions."""
    from shoal import awsjson

    whole: dict[str, Any] = {}
    definitions = []
    for answer in answers:
        document = awsjson.to_document(answer)
        if "taskDefinition" in document:
            definitions.append(document)
            continue
        for key, value in document.items():
            whole[key] = [*whole.get(key, []), *value]
    if len(definitions) == 1:
        return {**definitions[0], **whole}
    if definitions:
        whole["taskDefinitions"] = [each["taskDefinition"] for each in definitions]
    return whole
