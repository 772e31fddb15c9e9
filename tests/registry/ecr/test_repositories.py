"""Repositories over ECR's API."""

import time

import pytest
from shoal import errors
from shoal.registry import RegistryClient

from tests.ground.image_registry import ImageRegistry
from tests.registry.client import IMAGE, Client, descriptor, digest_of


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


async def test_a_repository_with_images_is_deleted_by_force_only(
    ecr: RegistryClient, client: Client, image_registry: ImageRegistry
) -> None:
    """Nothing of it stays; what lies within its name does, and so does what other repositories share with it."""
    await client.push_image("v1", b"layer", subject=descriptor(b"whatever", IMAGE))
    inner, other = client.of(f"{client.repository}/inner"), client.of(f"{client.repository}-other")
    await inner.push_image("v1", b"layer")
    await other.push_image("v1", b"layer")
    request = {"repositoryName": client.repository}
    with pytest.raises(errors.Conflict, match="has images") as refused:
        await ecr.call("DeleteRepository", request)
    assert refused.value.reason == "RepositoryNotEmptyException"
    assert (await client.call("HEAD", "manifests/v1")).status == 200
    gone = await ecr.call("DeleteRepository", {**request, "force": True})
    assert gone["repository"]["repositoryName"] == client.repository
    assert (await client.call("GET", "manifests/v1")).codes == ["NAME_UNKNOWN"]
    assert (await client.call("GET", f"blobs/{digest_of(b'layer')}")).status == 404
    for kept in (inner, other):
        assert (await kept.call("GET", "manifests/v1")).status == 200
        assert (await kept.call("GET", f"blobs/{digest_of(b'layer')}")).body == b"layer"
    folder = image_registry.store / "repositories" / client.repository
    assert [each.name for each in folder.rglob("*") if each.is_file() and "inner" not in each.parts] == []
    with pytest.raises(errors.NotFound):
        await ecr.call("DeleteRepository", request)
    again = await client.push_image("v1", b"layer")
    assert (await client.call("HEAD", "manifests/v1")).headers["Docker-Content-Digest"] == again


async def test_a_repository_has_tags(ecr: RegistryClient, client: Client) -> None:
    tags = [{"Key": "team", "Value": "a"}, {"Key": "cost", "Value": ""}]
    made = await ecr.call("CreateRepository", {"repositoryName": client.repository, "tags": tags})
    arn = made["repository"]["repositoryArn"]
    await ecr.call("TagResource", {"resourceArn": arn, "tags": [{"Key": "team", "Value": "b"}]})
    await ecr.call("UntagResource", {"resourceArn": arn, "tagKeys": ["cost", "none"]})
    assert (await ecr.call("ListTagsForResource", {"resourceArn": arn}))["tags"] == [{"Key": "team", "Value": "b"}]
    for key in ("", "aws:x", "k" * 129):
        with pytest.raises(errors.InvalidInput, match=r"tags\[0\]\.Key"):
            await ecr.call("TagResource", {"resourceArn": arn, "tags": [{"Key": key, "Value": ""}]})
    many = [{"Key": str(number), "Value": ""} for number in range(50)]
    with pytest.raises(errors.LimitExceeded, match="at most 50, not 51"):
        await ecr.call("TagResource", {"resourceArn": arn, "tags": many})
    with pytest.raises(errors.InvalidInput, match="resourceArn"):
        await ecr.call("ListTagsForResource", {"resourceArn": "arn:aws:ecr:x:1:repository/a"})
