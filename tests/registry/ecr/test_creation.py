"""What the first push to a name makes, and whether it may make anything."""

from collections.abc import AsyncIterator

import aiohttp
import pytest
from shoal import errors
from shoal.registry import RegistryClient

from tests.registry.client import BYTES, CONFIG, Client, descriptor, digest_of, image_manifest
from tests.registry.conftest import RegistryFactory


@pytest.fixture
async def own(registry_factory: RegistryFactory) -> AsyncIterator[tuple[RegistryClient, Client]]:
    """A registry of the test's own, whose settings are nobody else's."""
    registry = registry_factory()
    async with aiohttp.ClientSession() as session, RegistryClient(registry.address, registry.authority) as ecr:
        yield ecr, Client(session, registry.url, registry.tls(), "team/web")


async def test_pushes_need_not_make_repositories(own: tuple[RegistryClient, Client]) -> None:
    ecr, client = own
    assert (await ecr.call("GetAccountSetting", {"name": "CREATE_ON_PUSH"}))["value"] == "ENABLED"
    shared = await client.of("shared").push_blob(b"shared")
    await ecr.call("PutAccountSetting", {"name": "CREATE_ON_PUSH", "value": "DISABLED"})
    manifest = image_manifest(descriptor(b"{}", CONFIG), [])
    for answer in (
        await client.call("POST", "blobs/uploads/", headers={"Content-Length": "0"}),
        await client.call("POST", "blobs/uploads/", b"{}", BYTES, digest=digest_of(b"{}")),
        await client.call("POST", f"blobs/uploads/?mount={shared}&from=shared"),
    ):
        assert (answer.status, answer.codes) == (404, ["NAME_UNKNOWN"])
        assert "shoal repository create team/web" in answer.json["errors"][0]["message"]
    with pytest.raises(errors.NotFound):
        await ecr.call("DescribeRepositories", {"repositoryNames": ["team/web"]})
    await ecr.call("CreateRepository", {"repositoryName": "team/web"})
    await client.push_blob(b"{}")
    await client.push_manifest("v1", manifest)


async def test_a_push_makes_what_the_template_says(own: tuple[RegistryClient, Client]) -> None:
    """Of the longest prefix that fits."""
    ecr, client = own
    for prefix, mutability in (("ROOT", "IMMUTABLE"), ("team/", "IMMUTABLE_WITH_EXCLUSION")):
        filters = [{"filterType": "WILDCARD", "filter": "latest"}] if "EXCLUSION" in mutability else None
        await ecr.call(
            "CreateRepositoryCreationTemplate",
            {
                "prefix": prefix,
                "appliedFor": ["CREATE_ON_PUSH"],
                "imageTagMutability": mutability,
                **({"imageTagMutabilityExclusionFilters": filters} if filters else {}),
                "resourceTags": [{"Key": "made-by", "Value": prefix}],
            },
        )
    wanted = {"prefixes": ["team", "of-nothing"]}
    described = (await ecr.call("DescribeRepositoryCreationTemplates", wanted))["repositoryCreationTemplates"]
    assert [each["prefix"] for each in described] == ["team"], "as in ECR, of what is not there nothing is said"
    for name, mutability in (("team/web", "IMMUTABLE_WITH_EXCLUSION"), ("teams", "IMMUTABLE")):
        await client.of(name).push_blob(b"x")
        (made,) = (await ecr.call("DescribeRepositories", {"repositoryNames": [name]}))["repositories"]
        assert made["imageTagMutability"] == mutability
        assert made["createdAt"] > 0
    tags = await ecr.call("ListTagsForResource", {"resourceArn": made["repositoryArn"]})
    assert tags == {"tags": [{"Key": "made-by", "Value": "ROOT"}]}


async def test_templates_are_changed_listed_and_deleted(own: tuple[RegistryClient, Client]) -> None:
    ecr, _ = own
    asked = {"appliedFor": ["CREATE_ON_PUSH"]}
    for prefix in ("b", "a/c", "ROOT"):
        await ecr.call("CreateRepositoryCreationTemplate", {"prefix": prefix, **asked})
    with pytest.raises(errors.Conflict, match="already"):
        await ecr.call("CreateRepositoryCreationTemplate", {"prefix": "b/", **asked})
    within = "repositoryCreationTemplates"
    listed = [
        each["prefix"] async for each in ecr.pages("DescribeRepositoryCreationTemplates", {"maxResults": 1}, within)
    ]
    assert listed == ["ROOT", "a/c", "b"]
    await ecr.call("UpdateRepositoryCreationTemplate", {"prefix": "b", "imageTagMutability": "IMMUTABLE"})
    answer = await ecr.call("DeleteRepositoryCreationTemplate", {"prefix": "b"})
    assert answer["repositoryCreationTemplate"]["imageTagMutability"] == "IMMUTABLE"
    with pytest.raises(errors.NotFound, match="no template for b"):
        await ecr.call("UpdateRepositoryCreationTemplate", {"prefix": "b"})
    with pytest.raises(errors.InvalidInput, match="appliedFor"):
        await ecr.call("CreateRepositoryCreationTemplate", {"prefix": "b", "appliedFor": ["REPLICATION"]})
