"""`shoal job submit`: one job from options, or jobs that wait for one another from a file."""

import asyncio
import json
import shlex
import sys
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from shoal import awsjson, errors
from shoal.cli import job_find, job_order, job_wait, show, text
from shoal.cli.failures import OK, Failed
from shoal.cli.options import connected, duration, int32, mebibytes, output_option, parse_pairs
from shoal.cli.register import read_document, read_message
from shoal.cli.session import Session, call
from shoal.v1 import job_pb2, resource_pb2, task_definition_pb2

# Without a file, all of these are needed.
NEEDED = {"queue": "--queue", "definition": "--definition", "name": "--name"}

# Of more jobs nobody reads why they wait.
SHOWN_MAX = 20
LOOKS_SECONDS = (0.0, 0.2, 0.5)

# What either the file says of jobs, or the options do.
OF_JOB = (
    *("array", "depends_on", "parameters", "command", "environment", "container", "vcpus", "memory", "gpus"),
    *("attempts", "attempt_timeout", "max_concurrent", "priority", "tags"),
)


@dataclass(frozen=True, slots=True)
class Submitted:
    name: str
    job_id: str


def words(value: str) -> list[str]:
    """A click type: a command as a JSON array, or as words with spaces between, quoted as in a shell.

    >>> words('["flip", "a b.png"]'), words("flip 'a b.png'")
    (['flip', 'a b.png'], ['flip', 'a b.png'])
    """
    if value.lstrip().startswith("["):
        try:
            found = json.loads(value)
        except ValueError as error:
            raise click.BadParameter(f"{value!r} begins as a JSON array and is none: {error}") from None
        if not all(isinstance(word, str) for word in found):
            raise click.BadParameter("every word of the JSON array has to be a text in double quotes")
        return list(found)
    try:
        return shlex.split(value)
    except ValueError as error:
        raise click.BadParameter(f"{value!r} cannot be taken apart: {error}; or write a JSON array") from None


def dependency(value: str) -> tuple[str, str]:
    """A click type: JOB, JOB:N_TO_N or SEQUENTIAL, as job and type.

    >>> dependency("flip"), dependency("flip:N_TO_N"), dependency("SEQUENTIAL")
    (('flip', ''), ('flip', 'N_TO_N'), ('', 'SEQUENTIAL'))
    """
    if value == "SEQUENTIAL":
        return "", value
    job, colon, kind = value.rpartition(":")
    return (job, kind) if colon and kind == "N_TO_N" else (value, "")


@click.command()
@click.option("--queue", metavar="NAME", help="The job queue.")
@click.option("--definition", metavar="NAME[:REV]", help="The job definition; without REV the newest.")
@click.option("--name", metavar="NAME", help="What the job is called.")
@click.option("--array", type=int32, metavar="N", help="An array of N children, 2 to 1,000,000.")
@click.option(
    "--depends-on",
    type=dependency,
    multiple=True,
    metavar="JOB[:N_TO_N]",
    help="Starts after that job; child by child with N_TO_N. SEQUENTIAL: each child after the one before.",
)
@click.option(
    "-p", "--parameters", multiple=True, metavar="KEY=VALUE", callback=parse_pairs, help="What Ref::KEY becomes."
)
@click.option(
    "--command", type=words, metavar="COMMAND", help="Instead of the definition's: a JSON array, or words with spaces."
)
@click.option(
    "-e",
    "--env",
    "environment",
    multiple=True,
    metavar="KEY=VALUE",
    callback=parse_pairs,
    help="Environment of the container.",
)
@click.option("--container", metavar="NAME", help="Whose --command, --env and sizes these are, of several containers.")
@click.option("--vcpus", metavar="N", help="vCPUs.")
@click.option("-m", "--memory", type=mebibytes, metavar="SIZE", help="Hard limit, as 64 (MiB), 64m or 1g.")
@click.option("--gpus", metavar="N", help="GPUs.")
@click.option("--attempts", type=int32, metavar="N", help="How often it is tried, 1 to 10.")
@click.option("--attempt-timeout", "--timeout", type=duration, metavar="TIME", help="Of each attempt: at least 60s.")
@click.option("--max-concurrent", type=int32, metavar="N", help="Children of the array that run at a time.")
@click.option("--priority", type=int32, metavar="N", help="Within its queue, 0 to 9999; higher first.")
@click.option("--tag", "tags", multiple=True, metavar="KEY=VALUE", callback=parse_pairs, help="A tag of the job.")
@click.option("--client-token", metavar="TOKEN", help="Same token, same jobs: makes it safe to repeat.")
@click.option(
    "-f",
    "--file",
    type=click.Path(path_type=Path, allow_dash=True),
    help='A SubmitJob request as JSON or YAML, or a list of them; "jobId" in "dependsOn" may be a jobName of the file.',
)
@click.option("--wait", "waits", is_flag=True, help="Wait until all are over; exit with 1 if any failed.")
@output_option
@connected
def submit(**options: Any) -> int:
    """Submit jobs; prints their ids.

    \b
    shoal job submit --queue pictures --definition flip --name one -p in=a.png -p out=b.png
    shoal job submit --queue pictures --definition flip --name two --command 'flip a.png b.png'
    shoal job submit --queue pictures --definition flip --name all --array 200 --attempts 3 --wait
    shoal job submit -f jobs.json                  all of the file, each after those it waits for
    """
    documents = _documents(options)
    return call(lambda session: _submit(session, documents, options), "Submitting", timeout_seconds=60.0)


def _documents(options: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """Of the file; None if the options say it all. Raises UsageError, InvalidInput."""
    if options["file"] is None:
        missing = [option for name, option in NEEDED.items() if options[name] is None]
        if missing:
            raise click.UsageError(f"Say {text.sentence_list(missing)}; or -f FILE.")
        return None
    if any(options[name] not in (None, (), {}) for name in (*NEEDED, *OF_JOB)):
        raise click.UsageError("With -f the file says it all: only --wait, --client-token and -o go with it.")
    document = _read(options["file"])
    documents = document if isinstance(document, list) else [document]
    if not documents or not all(isinstance(each, dict) for each in documents):
        raise errors.InvalidInput(f"{options['file']}: is neither a SubmitJob request nor a list of them.")
    return documents


def _read(file: Path) -> Any:
    if file.suffix not in (".yaml", ".yml"):
        return read_document(file)
    import yaml

    try:
        return yaml.safe_load(file.read_bytes())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise errors.InvalidInput(f"{file} is not usable YAML: {error}") from None


async def _submit(session: Session, documents: list[dict[str, Any]] | None, options: Mapping[str, Any]) -> int:
    token = options["client_token"] or uuid.uuid4().hex
    if documents is None:
        request = await _request(session, options)
        request.client_token = token
        answer = await session.client.batch.SubmitJob(request)
        submitted = [Submitted(answer.job_name, answer.job_id)]
    else:
        submitted = await _submit_all(session, documents, token, str(options["file"]))
    session.progress.end()
    _report(submitted, options["output"])
    if options["waits"]:
        return await job_wait.attend(session, [each.job_id for each in submitted])
    if options["output"] in ("table", "wide"):
        await _say_what_waits(session, submitted)
    return OK


async def _say_what_waits(session: Session, submitted: Sequence[Submitted]) -> None:
    """Below the table: why those that could start did not. What finds room is placed within a moment."""
    sys.stdout.flush()
    waiting = [each.job_id for each in submitted[:SHOWN_MAX]]
    jobs: list[job_pb2.JobDetail] = []
    for pause in LOOKS_SECONDS:
        await asyncio.sleep(pause)
        jobs = [job for job in await job_find.describe(session, waiting) if _waits(job)] if waiting else []
        waiting = [job.job_id for job in jobs]
    for job in jobs:
        click.echo(text.printable(f"{job.job_name} waits: {job.status_reason}."), err=True)


def _waits(job: job_pb2.JobDetail) -> bool:
    runnable = job.array_properties.status_summary.get("RUNNABLE", 0) or job.status == "RUNNABLE"
    return bool(runnable and job.status_reason)


def _report(submitted: Sequence[Submitted], output: str) -> None:
    show.emit(
        output,
        lambda: show.Table(("JOB", "NAME"), [(each.job_id, each.name) for each in submitted]),
        lambda: [{"jobName": each.name, "jobId": each.job_id} for each in submitted],
        [each.job_id for each in submitted],
    )


async def _submit_all(session: Session, documents: Sequence[dict[str, Any]], token: str, file: str) -> list[Submitted]:
    """In the order of the file. Raises InvalidInput before anything is submitted; Failed half-way says how far."""
    for number, document in enumerate(documents):  # what cannot be read is told before anything is submitted
        where = f"{file}[{number}]" if len(documents) > 1 else file
        read_message(document, job_pb2.SubmitJobRequest, where, strict=False)
    try:
        order = job_order.ordered(documents)
    except job_order.CannotOrder as error:
        raise errors.InvalidInput(f"{file}: nothing was submitted.", problems=error.problems) from None
    submitted: dict[int, Submitted] = {}
    for number in order:
        ids = {each.name: each.job_id for each in submitted.values()}
        document = job_order.resolved(documents[number], ids)
        request, _ = awsjson.to_message(document, job_pb2.SubmitJobRequest)
        if not request.client_token:
            request.client_token = f"{token}-{number}"
        try:
            answer = await session.client.batch.SubmitJob(request)
        except errors.ShoalError as error:
            raise _half_way(error, documents, number, submitted, token, file) from None
        submitted[number] = Submitted(answer.job_name, answer.job_id)
    return [submitted[number] for number in range(len(documents))]


def _half_way(
    error: errors.ShoalError,
    documents: Sequence[dict[str, Any]],
    number: int,
    submitted: Mapping[int, Submitted],
    token: str,
    file: str,
) -> Exception:
    """What was submitted stays so; the same token makes it safe to send all again."""
    name = documents[number].get("jobName", f"number {number}")
    problems = "".join(f"\n  {each}" for each in error.problems if str(each) not in error.message)
    said = f"{name} was refused: {error.message}{problems}"
    if not submitted:
        return Failed(f"{said}\nNothing was submitted.", error.hint)
    done = "\n".join(f"  {each.name}   {each.job_id}" for each in submitted.values())
    again = f"shoal job submit -f {shlex.quote(file)} --client-token {shlex.quote(token)}"
    return Failed(
        f"{said}\n{len(submitted)} of {len(documents)} jobs were submitted before it:\n{done}",
        f"{again}   submits the others, and these not again",
    )


async def _request(session: Session, options: Mapping[str, Any]) -> job_pb2.SubmitJobRequest:
    request = job_pb2.SubmitJobRequest(
        job_name=options["name"],
        job_queue=options["queue"],
        job_definition=options["definition"],
        parameters=options["parameters"],
        tags=options["tags"],
        scheduling_priority_override=options["priority"],
    )
    if options["array"] is not None or options["max_concurrent"] is not None:
        request.array_properties.CopyFrom(
            job_pb2.ArrayProperties(size=options["array"], max_concurrent=options["max_concurrent"])
        )
    if options["attempts"] is not None:
        request.retry_strategy.attempts = options["attempts"]
    if options["attempt_timeout"] is not None:
        request.timeout.attempt_duration_seconds = int(options["attempt_timeout"])
    named = [job for job, _ in options["depends_on"] if job]
    ids = dict(zip(named, await job_find.job_ids(session, named), strict=True)) if named else {}
    for job, kind in options["depends_on"]:
        request.depends_on.add(job_id=ids.get(job), type=kind or None)
    _put_overrides(request, options)
    return request


def _put_overrides(request: job_pb2.SubmitJobRequest, options: Mapping[str, Any]) -> None:
    """The options that say something of a container."""
    sizes = {"VCPU": options["vcpus"], "MEMORY": options["memory"], "GPU": options["gpus"]}
    said: dict[str, Any] = {
        "command": options["command"] or (),
        "environment": [
            resource_pb2.KeyValuePair(name=key, value=value) for key, value in options["environment"].items()
        ],
        "resource_requirements": [
            task_definition_pb2.ResourceRequirement(type=kind, value=str(value))
            for kind, value in sizes.items()
            if value is not None
        ],
    }
    if not any(said.values()):
        return
    if options["container"] is None:
        request.container_overrides.CopyFrom(job_pb2.ContainerOverrides(**said))
        return
    task = request.ecs_properties_override.task_properties.add()
    task.containers.add(name=options["container"], **said)
