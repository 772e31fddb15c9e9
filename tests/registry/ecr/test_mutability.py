"""Tags that may not come to mean another image."""

import asyncio
import json

import aiohttp
import pytest
from shoal import errors
from shoal.registry import RegistryClient

from tests.registry.client import IMAGE, Answer, Client
from tests.registry.conftest import RegistryFactory


async def put(client: Client, tag: str, manifest: object) -> Answer:
    return await client.call("PUT", f"manifests/{tag}", json.dumps(manifest).encode(), {"Content-Type": IMAGE})


async def mean(client: Client, tag: str) -> str:
    return (await client.call("HEAD", f"manifests/{tag}")).headers["Docker-Content-Digest"]


async def test_an_immutable_tag_stays(ecr: RegistryClient, client: Client) -> None:
    """The same image under the same tag is no change; another one is refused, and changes nothing."""
    await ecr.call("CreateRepository", {"repositoryName": client.repository, "imageTagMutability": "IMMUTABLE"})
    first = await client.push_image("v1", b"first")
    assert await client.push_image("v1", b"first") == first
    refused = await put(client, "v1", await client.image(b"second"))
    assert (refused.status, refused.codes) == (400, ["TAG_INVALID"])
    assert "immutable" in refused.json["errors"][0]["message"]
    assert await mean(client, "v1") == first
    assert len((await ecr.call("DescribeImages", {"repositoryName": client.repository}))["imageDetails"]) == 1
    await ecr.call("PutImageTagMutability", {"repositoryName": client.repository, "imageTagMutability": "MUTABLE"})
    assert await mean(client, "v1") != await client.push_image("v1", b"second")


@pytest.mark.parametrize(
    ("mutability", "moves", "stays"),
    [
        ("IMMUTABLE_WITH_EXCLUSION", ("latest", "dev-1", "dev-"), ("v1", "Latest", "latest2")),
        ("MUTABLE_WITH_EXCLUSION", ("v1", "Latest", "latest2"), ("latest", "dev-1", "dev-")),
    ],
)
async def test_filters_say_for_which_tags_the_opposite_holds(
    ecr: RegistryClient, client: Client, mutability: str, moves: tuple[str, ...], stays: tuple[str, ...]
) -> None:
    filters = [{"filterType": "WILDCARD", "filter": each} for each in ("latest", "dev-*")]
    settings = {"imageTagMutability": mutability, "imageTagMutabilityExclusionFilters": filters}
    made = await ecr.call("CreateRepository", {"repositoryName": client.repository, **settings})
    assert {name: made["repository"][name] for name in settings} == settings
    first, second = await client.image(b"first"), await client.image(b"second")
    for tag in (*moves, *stays):
        assert (await put(client, tag, first)).status == 201
        assert (await put(client, tag, second)).status == (201 if tag in moves else 400), tag


async def test_of_those_that_push_one_tag_at_once_one_wins(registry_factory: RegistryFactory) -> None:
    """In whichever process of the registry."""
    registry = registry_factory("--workers", "2")
    # A session keeps to the processes that it has reached.
    async with aiohttp.ClientSession() as one, aiohttp.ClientSession() as other:
        clients = [Client(session, registry.url, registry.tls(), "web") for session in (one, other)]
        async with RegistryClient(registry.address, registry.authority) as ecr:
            await ecr.call("CreateRepository", {"repositoryName": "web", "imageTagMutability": "IMMUTABLE"})
        images = [await clients[0].image(bytes([number])) for number in range(8)]
        for turn in range(5):
            answers = await asyncio.gather(
                *(put(clients[number % 2], f"v{turn}", image) for number, image in enumerate(images))
            )
            (won,) = [answer for answer in answers if answer.status == 201]
            assert await mean(clients[0], f"v{turn}") == won.headers["Docker-Content-Digest"]


@pytest.mark.parametrize(
    ("mutability", "filters", "words"),
    [
        ("IMMUTABLE", ["a"], "are for IMMUTABLE_WITH_EXCLUSION"),
        ("IMMUTABLE_WITH_EXCLUSION", [], "needs at least one filter"),
        ("IMMUTABLE_WITH_EXCLUSION", ["a", "b", "c", "d", "e", "f"], "at most 5, not 6"),
        ("IMMUTABLE_WITH_EXCLUSION", ["a", "a"], "[1].filter: 'a' is there twice"),
        ("IMMUTABLE_WITH_EXCLUSION", ["ok", "*-*-*"], "[1].filter: at most 2 of *"),
        ("MUTABLE_WITH_EXCLUSION", ["a/b"], "[0].filter: Expected `str` matching regex"),
        ("FROZEN", [], "imageTagMutability: is 'FROZEN'; must be IMMUTABLE, IMMUTABLE_WITH_EXCLUSION, MUTABLE, "),
    ],
)
async def test_wrong_filters(ecr: RegistryClient, mutability: str, filters: list[str], words: str) -> None:
    request = {
        "repositoryName": "wrong-filters",
        "imageTagMutability": mutability,
        "imageTagMutabilityExclusionFilters": [{"filterType": "WILDCARD", "filter": each} for each in filters],
    }
    with pytest.raises(errors.InvalidInput) as refused:
        await ecr.call("CreateRepository", request)
    assert words in refused.value.message
    with pytest.raises(errors.NotFound):
        await ecr.call("DescribeRepositories", {"repositoryNames": ["wrong-filters"]})
