"""What the registry holds, in ECR's words: its images are `imageDetails`, named by `imageId`s."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from shoal import errors
from shoal.cli import show, text
from shoal.cli.failures import FAILED, OK
from shoal.cli.image_reach import registry_options, run
from shoal.cli.options import output_option
from shoal.cli.registry_reach import reach

if TYPE_CHECKING:
    from shoal.bridge.names import ImageName
    from shoal.registry import RegistryClient

COLUMNS = ("REPOSITORY", "TAGS", "DIGEST", "SIZE", "PUSHED")
REPOSITORIES_AT_ONCE = 8
DIGEST_CHARACTERS = 19
Detail = Mapping[str, Any]


@click.command()
@click.argument("repository", required=False)
@click.option("-a", "--all", "everything", is_flag=True, help="Also those without a tag.")
@registry_options
@output_option
def ls(repository: str | None, everything: bool, registry: str | None, output: str) -> None:
    """List images in the registry, or in one REPOSITORY of it; the newest first.

    An image for several platforms is one; those for each platform have no tag, and show with --all.
    """
    reached = reach(registry)

    async def work() -> list[Detail]:
        async with reached.client() as client:
            room = asyncio.Semaphore(REPOSITORIES_AT_ONCE)
            if repository:
                return await _images(client, reached.repository(repository), everything, room)
            names = await _repositories(client)
            found = await asyncio.gather(*(_images_if_there(client, name, everything, room) for name in names))
            return [each for of_one in found for each in of_one]

    details = run(work)
    now = int(time.time() * 1000)
    show.emit(
        output,
        lambda: show.Table(COLUMNS, [_row(each, now, output == "wide") for each in details], "No images."),
        lambda: {"imageDetails": details},
        [name for each in details for name in _names(each)],
    )


@click.command()
@click.argument("repository")
@registry_options
@output_option
def tags(repository: str, registry: str | None, output: str) -> None:
    """List the tags of a REPOSITORY, and what each means."""
    reached = reach(registry)

    async def work() -> list[Detail]:
        async with reached.client() as client:
            return await _images(client, reached.repository(repository), False, asyncio.Semaphore(1))

    details = run(work)
    meant = sorted((tag, each["imageDigest"], each) for each in details for tag in each.get("imageTags", ()))
    now = int(time.time() * 1000)
    show.emit(
        output,
        lambda: show.Table(
            ("TAG", "DIGEST", "SIZE", "PUSHED"),
            [(tag, *_row(each, now, output == "wide")[2:]) for tag, _, each in meant],
            "No tags.",
        ),
        lambda: {"imageIds": [{"imageDigest": digest, "imageTag": tag} for tag, digest, _ in meant]},
        [tag for tag, _, _ in meant],
    )


@click.command()
@click.argument("name")
@registry_options
@output_option
def describe(name: str, registry: str | None, output: str) -> None:
    """Show all there is to know of an image in the registry: NAME is REPOSITORY[:TAG] or REPOSITORY@DIGEST."""
    from shoal.cli import image_description

    reached = reach(registry)
    described = run(lambda: image_description.read(reached, name))
    if output in ("json", "yaml"):
        show.print_document(output, described.document())
    elif output == "name":
        click.echo(described.detail["imageDigest"])
    else:
        show.print_fields(described.title, described.fields(int(time.time() * 1000)))


@click.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@registry_options
@output_option
def rm(names: tuple[str, ...], registry: str | None, output: str) -> int:
    """Delete images or tags from the registry.

    REPOSITORY:TAG deletes the tag, and the image with its last tag; REPOSITORY@DIGEST the image with all its tags.
    """
    reached = reach(registry)

    async def work() -> dict[str, Any]:
        from shoal.bridge import names as names_of

        # What is meant to be deleted is said in full.
        wanted = [names_of.parse_whole(each, reached.registry) for each in names]
        async with reached.client() as client:
            return await _delete(client, wanted)

    answer = run(work)
    if output in ("json", "yaml"):
        show.print_document(output, answer)
    for each in answer["imageIds"] if output not in ("json", "yaml") else ():
        click.echo(_id(each))
    for each in answer["failures"]:
        click.echo(f"Not deleted: {_id(each['imageId'])}: {each['failureReason']}", err=True)
    return FAILED if answer["failures"] else OK


async def _delete(client: "RegistryClient", wanted: "Sequence[ImageName]") -> dict[str, Any]:
    by_repository: dict[str, list[dict[str, str]]] = {}
    for each in wanted:
        identity = {"imageDigest": each.digest} if each.digest else {"imageTag": each.tag or ""}
        by_repository.setdefault(each.repository, []).append(identity)
    whole: dict[str, Any] = {"imageIds": [], "failures": []}
    for repository, ids in by_repository.items():
        try:
            answer = await client.call("BatchDeleteImage", {"repositoryName": repository, "imageIds": ids})
        except errors.Refused as refused:
            if len(by_repository) == 1:
                raise
            # What was deleted elsewhere is said all the same.
            answer = {"imageIds": [], "failures": [{"imageId": each, "failureReason": str(refused)} for each in ids]}
        whole["imageIds"] += answer["imageIds"]
        whole["failures"] += answer["failures"]
    return whole


async def _repositories(client: "RegistryClient") -> list[str]:
    return [each["repositoryName"] async for each in client.pages("DescribeRepositories", {}, "repositories")]


async def _images(client: "RegistryClient", name: str, everything: bool, room: asyncio.Semaphore) -> list[Detail]:
    request = {"repositoryName": name, "filter": {"tagStatus": "ANY" if everything else "TAGGED", "imageStatus": "ANY"}}
    async with room:
        found = [each async for each in client.pages("DescribeImages", request, "imageDetails")]
    return sorted(found, key=lambda each: each.get("imagePushedAt", 0), reverse=True)


async def _images_if_there(
    client: "RegistryClient", name: str, everything: bool, room: asyncio.Semaphore
) -> list[Detail]:
    """Of a repository that was listed a moment ago."""
    try:
        return await _images(client, name, everything, room)
    except errors.NotFound:
        return []


def _row(detail: Detail, now: int, whole: bool) -> tuple[str, ...]:
    digest = str(detail["imageDigest"])
    pushed = detail.get("imagePushedAt")
    archived = ", archived" if detail.get("imageStatus") == "ARCHIVED" else ""
    return (
        detail["repositoryName"],
        ", ".join(detail.get("imageTags", ())) or "-",
        digest if whole else digest[:DIGEST_CHARACTERS],
        text.size(detail.get("imageSizeInBytes", 0)),
        (f"{text.age(int(pushed * 1000), now)} ago" if pushed else "-") + archived,
    )


def _names(detail: Detail) -> list[str]:
    tags = detail.get("imageTags")
    repository = detail["repositoryName"]
    return [f"{repository}:{tag}" for tag in tags] if tags else [f"{repository}@{detail['imageDigest']}"]


def _id(identity: Mapping[str, str]) -> str:
    return " ".join(identity[part] for part in ("imageTag", "imageDigest") if part in identity)
