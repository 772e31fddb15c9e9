"""Repositories over ECR's API."""

import time

import pytest
from shoal import errors
from shoal.registry import RegistryClient

from tests.ground.image_registry import ImageRegistry
from tests.registry.client import Client


async def test_a_repository_is_created_and_described(ecr: RegistryClient, image_registry: ImageRegistry) -> None:
    before = time.time()
    made = (await ecr.call("CreateRepository", {"repositoryName": "made/web"}))["repository"]
    assert made["repositoryArn"] == "arn:shoal:ecr:local:000000000000:repository/made/web"
    assert made["repositoryUri"] == f"{image_registry.address}/made/web"
    assert made["imageTagMutability"] == "MUTABLE"
    assert before <= made["createdAt"] <= time.time()
    answer = await ecr.call("DescribeRepositories", {"repositoryNames": ["made/web"]})
    assert answer == {"repositories": [made]}
    with pytest.raises(errors.Conflict, match="already") as refused:
        await ecr.call("CreateRepository", {"repositoryName": "made/web"})
    assert refused.value.reason == "RepositoryAlreadyExistsException"


async def test_all_repositories_are_listed_page_by_page(ecr: RegistryClient) -> None:
    """Also those within others, and each once."""
    names = ["page", "page/a", "page/a/b", "page-b", "page.c", "page/z"]
    for name in names:
        await ecr.call("CreateRepository", {"repositoryName": name})
    for size in (1, 2, 1000):
        found = [
            each["repositoryName"]
            async for each in ecr.pages("DescribeRepositories", {"maxResults": size}, "repositories")
        ]
        assert len(found) == len(set(found))
        assert {name for name in found if name.startswith("page")} == set(names)


async def test_a_pushed_image_is_described(ecr: RegistryClient, client: Client) -> None:
    before = time.time()
    digest = await client.push_image("v1", b"layer")
    assert await client.push_image("v2", b"layer") == digest
    answer = await ecr.call("DescribeImages", {"repositoryName": client.repository})
    (detail,) = answer["imageDetails"]
    assert before <= detail.pop("imagePushedAt") <= time.time()
    assert detail == {
        "registryId": "000000000000",
        "repositoryName": client.repository,
        "imageDigest": digest,
        "imageTags": ["v1", "v2"],
        "imageSizeInBytes": len(b"{}") + len(b"layer"),
        "imageManifestMediaType": "application/vnd.oci.image.manifest.v1+json",
        "artifactMediaType": "application/vnd.oci.image.config.v1+json",
        "imageStatus": "ACTIVE",
    }


@pytest.mark.parametrize(
    ("operation", "request_", "reason", "words"),
    [
        ("CreateRepository", {}, "InvalidParameterException", "repositoryName"),
        ("CreateRepository", {"repositoryName": 7}, "InvalidParameterException", "repositoryName: Expected `str`"),
        ("CreateRepository", {"repositoryName": "A"}, "InvalidParameterException", "no repository's name"),
        ("CreateRepository", {"repositoryName": "a", "x": 1}, "InvalidParameterException", "unknown field `x`"),
        ("DescribeRepositories", {"maxResults": 0}, "InvalidParameterException", "maxResults: Expected `int` >= 1"),
        ("DescribeRepositories", {"repositoryNames": ["none"]}, "RepositoryNotFoundException", "none"),
        ("DescribeRepositories", {"registryId": "123456789012"}, "InvalidParameterException", "registryId"),
        ("DescribeImages", {"repositoryName": "none"}, "RepositoryNotFoundException", "none"),
        ("DescribeEverything", {}, "UnknownOperationException", "DescribeImages"),
    ],
)
async def test_what_is_wrong_is_said(
    ecr: RegistryClient, operation: str, request_: dict[str, object], reason: str, words: str
) -> None:
    with pytest.raises(errors.ShoalError) as refused:
        await ecr.call(operation, request_)
    assert refused.value.reason == reason
    assert words in refused.value.message
