"""`shoal repository`: the repositories of the image registry, and how each is set up."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import click

from shoal import errors
from shoal.cli import show, text
from shoal.cli.failures import one_by_one
from shoal.cli.options import connected, output_option, parse_pairs
from shoal.cli.registry_reach import registry_option
from shoal.cli.repository_calls import all_of, ask, image_id
from shoal.cli.repository_events import events
from shoal.cli.repository_lifecycle import lifecycle
from shoal.cli.repository_mutability import mutability_options, mutability_request, mutability_words
from shoal.cli.repository_policy import policy
from shoal.cli.repository_templates import on_push, template

COLUMNS = ("REPOSITORY", "TAGS", "CREATED", "URI")


@click.group()
def repository() -> None:
    """Repositories of the image registry: immutable tags, lifecycle, policies, events."""


for command in (events, lifecycle, on_push, policy, template):
    repository.add_command(command)


@repository.command()
@click.argument("name")
@mutability_options
@click.option("--tag", "tags", multiple=True, metavar="KEY=VALUE", callback=parse_pairs, help="Of the repository.")
@output_option
@registry_option
@connected
def create(
    name: str, immutable: bool, exceptions: Sequence[str], tags: Mapping[str, str], output: str, registry: str | None
) -> None:
    """Create a repository.

    \b
    shoal repository create team/web --immutable --except latest
    """
    labels = [{"Key": key, "Value": value} for key, value in tags.items()]
    request = {"repositoryName": name, "tags": labels, **mutability_request(immutable, exceptions)}
    answer = ask(registry, "CreateRepository", request)
    if output in ("json", "yaml"):
        show.print_document(output, answer)
    else:
        click.echo(answer["repository"]["repositoryUri"])


@repository.command("ls")
@click.argument("names", metavar="[NAME...]", nargs=-1)
@output_option
@registry_option
@connected
def list_all(names: tuple[str, ...], output: str, registry: str | None) -> None:
    """List repositories."""
    request = {"repositoryNames": names} if names else {"maxResults": 1000}
    found = all_of(registry, "DescribeRepositories", request, "repositories")
    now_millis = int(time.time() * 1000)
    show.emit(
        output,
        lambda: show.Table(
            COLUMNS, [_row(each, now_millis) for each in found], "No repositories: the first push makes one."
        ),
        lambda: {"repositories": found},
        [each["repositoryName"] for each in found],
    )


@repository.command()
@click.argument("name")
@click.option("-o", "--output", type=click.Choice(("table", "json", "yaml")), default="table", help="How to print.")
@registry_option
@connected
def describe(name: str, output: str, registry: str | None) -> None:
    """Show how a repository is set up, and what is in it."""
    (found,) = ask(registry, "DescribeRepositories", {"repositoryNames": [name]})["repositories"]
    if output != "table":
        show.print_document(output, found)
        return
    request = {"repositoryName": name, "maxResults": 1000, "filter": {"imageStatus": "ANY"}}
    images = all_of(registry, "DescribeImages", request, "imageDetails")
    labels = ask(registry, "ListTagsForResource", {"resourceArn": found["repositoryArn"]})["tags"]
    archived = sum(each["imageStatus"] == "ARCHIVED" for each in images)
    show.print_fields(
        found["repositoryName"],
        [
            ("uri", found["repositoryUri"]),
            ("arn", found["repositoryArn"]),
            ("created", text.moment(int(found["createdAt"] * 1000))),
            ("image tags", mutability_words(found)),
            ("images", f"{len(images)}, of which {archived} archived" if archived else str(len(images))),
            ("last push", _last(images, "imagePushedAt")),
            ("last pull", _last(images, "lastRecordedPullTime")),
            ("lifecycle policy", _rules(registry, name)),
            ("tags", "\n".join(f"{each['Key']}={each['Value']}" for each in labels)),
        ],
    )


@repository.command("set")
@click.argument("name")
@mutability_options
@registry_option
@connected
def change(name: str, immutable: bool, exceptions: Sequence[str], registry: str | None) -> None:
    """Let tags be moved again, or, with --immutable, no longer.

    \b
    shoal repository set team/web                                any tag may be moved
    shoal repository set team/web --immutable --except latest    only latest may be
    """
    request = {"repositoryName": name, **mutability_request(immutable, exceptions)}
    answer = ask(registry, "PutImageTagMutability", request)
    click.echo(f"{name}: {mutability_words(answer)}")


@repository.command("rm")
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@click.option("--force", is_flag=True, help="With the images in it.")
@registry_option
@connected
def remove(names: tuple[str, ...], force: bool, registry: str | None) -> int:
    """Delete repositories."""

    def delete(name: str) -> None:
        try:
            ask(registry, "DeleteRepository", {"repositoryName": name, "force": force})
        except errors.Conflict as error:
            error.hint = f"shoal repository rm --force {name}"
            raise

    return one_by_one(names, delete)


@repository.command()
@click.argument("image", metavar="NAME:TAG|NAME@DIGEST")
@registry_option
@connected
def archive(image: str, registry: str | None) -> None:
    """Keep an image so that it cannot be pulled until it is restored."""
    _move(registry, image, "ARCHIVE")


@repository.command()
@click.argument("image", metavar="NAME:TAG|NAME@DIGEST")
@registry_option
@connected
def restore(image: str, registry: str | None) -> None:
    """Let an archived image be pulled again."""
    _move(registry, image, "STANDARD")


def _move(registry: str | None, image: str, to: str) -> None:
    answer = ask(registry, "UpdateImageStorageClass", {**image_id(registry, image), "targetStorageClass": to})
    click.echo(f"{image} {answer['imageStatus']}")


def _row(found: Mapping[str, Any], now_millis: int) -> Sequence[str]:
    age = text.age(int(found["createdAt"] * 1000), now_millis)
    return (found["repositoryName"], mutability_words(found), f"{age} ago", found["repositoryUri"])


def _last(images: Sequence[Mapping[str, Any]], field: str) -> str:
    times = [each[field] for each in images if field in each]
    return text.moment(int(max(times) * 1000)) if times else "never"


def _rules(registry: str | None, name: str) -> str:
    import json

    try:
        found = ask(registry, "GetLifecyclePolicy", {"repositoryName": name})
    except errors.NotFound:
        return "none"
    except errors.Denied:
        return "only for operators to see"
    rules = text.plural(len(json.loads(found["lifecyclePolicyText"])["rules"]), "rule")
    if "lastEvaluatedAt" not in found:
        return f"{rules}, not evaluated yet"
    return f"{rules}, last evaluated {text.moment(int(found['lastEvaluatedAt'] * 1000))}"
