"""Lifecycle policies of a real registry: put, previewed, applied."""

import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from shoal import errors
from shoal.registry import RegistryClient

from tests.ground.waiting import wait_until
from tests.registry.client import IMAGE, Client, descriptor, index
from tests.registry.conftest import RegistryFactory
from tests.registry.ecr.test_images import described, push_index
from tests.registry.ecr.test_lifecycle import count, rule, transition


def text(*rules: dict[str, Any]) -> str:
    return json.dumps({"rules": rules})


@pytest.fixture
async def busy(registry_factory: RegistryFactory) -> AsyncIterator[tuple[RegistryClient, Client]]:
    """A registry that applies policies all the time."""
    registry = registry_factory("--lifecycle-every", "0.2")
    async with aiohttp.ClientSession() as session, RegistryClient(registry.address, registry.authority) as ecr:
        yield ecr, Client(session, registry.url, registry.tls(), "team/web")


async def test_a_policy_is_put_read_and_deleted(ecr: RegistryClient, client: Client) -> None:
    await client.push_image("v1", b"layer")
    name, policy = {"repositoryName": client.repository}, text(rule(1, ["v*"], **count(5)))
    with pytest.raises(errors.NotFound) as missing:
        await ecr.call("GetLifecyclePolicy", name)
    assert missing.value.reason == "LifecyclePolicyNotFoundException"
    with pytest.raises(errors.InvalidInput, match=r"lifecyclePolicyText: rules\[0\]\.rulePriority"):
        await ecr.call("PutLifecyclePolicy", {**name, "lifecyclePolicyText": text(rule(0, None, **count(5)))})
    with pytest.raises(errors.NotFound):
        await ecr.call("PutLifecyclePolicy", {"repositoryName": "none", "lifecyclePolicyText": policy})
    put = await ecr.call("PutLifecyclePolicy", {**name, "lifecyclePolicyText": policy})
    assert (await ecr.call("GetLifecyclePolicy", name)) == put
    assert put["lifecyclePolicyText"] == policy
    assert (await ecr.call("DeleteLifecyclePolicy", name))["lifecyclePolicyText"] == policy
    with pytest.raises(errors.NotFound):
        await ecr.call("DeleteLifecyclePolicy", name)


async def test_a_preview_changes_nothing(ecr: RegistryClient, client: Client) -> None:
    """And says of each image which rule it is for, and of what stays why."""
    oldest, (child,) = await push_index(client, "v1", b"1")
    await client.push_image("v2", b"2")
    newest = await client.push_image("v3", b"3")
    name = {"repositoryName": client.repository}
    policy = text(transition(rule(2, [], **count(1))), rule(5, ["v*"], **count(1)))
    with pytest.raises(errors.NotFound):
        await ecr.call("StartLifecyclePolicyPreview", name)
    with pytest.raises(errors.NotFound, match="start one first"):
        await ecr.call("GetLifecyclePolicyPreview", name)
    await ecr.call("StartLifecyclePolicyPreview", {**name, "lifecyclePolicyText": policy})
    answer = await ecr.call("GetLifecyclePolicyPreview", {**name, "maxResults": 1})
    assert answer["summary"]["expiringImageTotalCount"] == 2
    assert "nextToken" in answer
    request = {**name, "imageIds": [{"imageTag": "v1"}]}
    (result,) = (await ecr.call("GetLifecyclePolicyPreview", request))["previewResults"]
    assert result["imageDigest"] == oldest
    assert (result["action"], result["appliedRulePriority"]) == ({"type": "EXPIRE"}, 5)
    assert {each["imageDigest"] for each in await described(ecr, client)} >= {oldest, child, newest}
    lone = text(rule(1, [], **count(1)))
    untagged = await client.push_image("gone", b"4")
    await client.call("DELETE", "manifests/gone")
    await ecr.call("StartLifecyclePolicyPreview", {**name, "lifecyclePolicyText": lone})
    answer = await ecr.call("GetLifecyclePolicyPreview", name)
    assert answer["previewResults"] == []
    (kept,) = answer["keptImages"]
    assert kept["imageDigest"] == child != untagged


async def test_a_policy_is_applied(busy: tuple[RegistryClient, Client]) -> None:
    """The oldest go, with an event for each; an index goes before what it lists."""
    ecr, client = busy
    pushed = [await client.push_image(f"v{number}", bytes([number])) for number in range(4)]
    other = await client.push_image("keep", b"keep")
    await ecr.call(
        "PutLifecyclePolicy",
        {"repositoryName": client.repository, "lifecyclePolicyText": text(rule(1, ["v*"], **count(2)))},
    )

    async def images() -> set[str]:
        return {each["imageDigest"] for each in await described(ecr, client)}

    left: set[str] = await wait_until(images, lambda found: found == {*pushed[2:], other})
    assert left == {*pushed[2:], other}
    assert (await client.call("GET", "manifests/v0")).status == 404
    assert (await client.call("GET", "manifests/v3")).status == 200
    answer = await ecr.call("ListImageEvents", {"repositoryName": client.repository})
    gone = [each["detail"] for each in answer["events"] if each["detail"]["action-type"] == "DELETE"]
    assert [each["image-digest"] for each in gone] == pushed[:2]
    assert {each["caller"] for each in gone} == {"lifecycle policy"}
    evaluated = await ecr.call("GetLifecyclePolicy", {"repositoryName": client.repository})
    assert evaluated["lastEvaluatedAt"] > 0


async def test_an_index_is_archived_with_what_it_lists(busy: tuple[RegistryClient, Client]) -> None:
    """But not what an index lists that stays."""
    ecr, client = busy
    old, (shared, lone) = await push_index(client, "v1", b"shared", b"lone")
    content = (await client.call("GET", f"manifests/{shared}")).body
    new = await client.push_manifest("v2", index(descriptor(content, IMAGE)))
    await client.push_image("v3", b"3")
    policy = text(transition(rule(1, [], **count(1))), transition(rule(2, ["v*"], **count(2))))
    await ecr.call("PutLifecyclePolicy", {"repositoryName": client.repository, "lifecyclePolicyText": policy})

    async def archived() -> set[str]:
        found = await described(ecr, client, filter={"imageStatus": "ARCHIVED"})
        return {each["imageDigest"] for each in found}

    moved: set[str] = await wait_until(archived, lambda found: old in found)
    assert moved <= {old, lone}
    for image in (new, shared):
        assert (await client.call("GET", f"manifests/{image}")).status == 200
    assert (await client.call("GET", f"manifests/{old}")).status == 404


async def test_a_first_push_brings_policies_if_the_template_says_so(ecr: RegistryClient, client: Client) -> None:
    lifecycle = text(rule(1, ["v*"], **count(5)))
    everybody = '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "ecr:*"}]}'
    template = {"prefix": "with-policy", "appliedFor": ["CREATE_ON_PUSH"]}
    for wrong in ({"lifecyclePolicy": "{}"}, {"repositoryPolicy": "{}"}):
        (field,) = wrong
        with pytest.raises(errors.InvalidInput, match=field):
            await ecr.call("CreateRepositoryCreationTemplate", {**template, **wrong})
    await ecr.call(
        "CreateRepositoryCreationTemplate", {**template, "lifecyclePolicy": lifecycle, "repositoryPolicy": everybody}
    )
    await client.of("with-policy/web").push_image("v1", b"layer")
    name = {"repositoryName": "with-policy/web"}
    assert (await ecr.call("GetLifecyclePolicy", name))["lifecyclePolicyText"] == lifecycle
    assert (await ecr.call("GetRepositoryPolicy", name))["policyText"] == everybody
