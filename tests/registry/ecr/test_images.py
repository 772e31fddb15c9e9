"""Images over ECR's API."""

import json
from typing import Any

import pytest
from shoal import errors
from shoal.registry import RegistryClient

from tests.ground.image_registry import ImageRegistry
from tests.ground.waiting import wait_until
from tests.registry.client import IMAGE, INDEX, Client, descriptor, digest_of, index


async def described(ecr: RegistryClient, client: Client, **more: Any) -> list[dict[str, Any]]:
    request = {"repositoryName": client.repository, **more}
    return (await ecr.call("DescribeImages", request))["imageDetails"]  # type: ignore[no-any-return]


async def push_index(client: Client, tag: str, *layers: bytes) -> tuple[str, list[str]]:
    """Of untagged images, one for each layer."""
    images = [await client.image(layer) for layer in layers]
    contents = [json.dumps(image).encode() for image in images]
    digests = [await client.push_manifest(digest_of(each), image) for each, image in zip(contents, images, strict=True)]
    return await client.push_manifest(tag, index(*(descriptor(each, IMAGE) for each in contents))), digests


async def test_images_are_listed_by_tag_page_by_page(ecr: RegistryClient, client: Client) -> None:
    """Each tag once, whatever the size of a page; an image without tags once."""
    digests = {tag: await client.push_image(tag, tag[:1].encode()) for tag in ("a1", "a2", "a3", "b1", "c1", "c2")}
    (lone,) = [
        await client.push_manifest(digest_of(json.dumps(each).encode()), each) for each in [await client.image()]
    ]
    wanted = sorted([*((digest, tag) for tag, digest in digests.items()), (lone, None)], key=str)
    for size in (1, 2, 3, 1000):
        request = {"repositoryName": client.repository, "maxResults": size}
        found = [
            (each["imageDigest"], each.get("imageTag")) async for each in ecr.pages("ListImages", request, "imageIds")
        ]
        assert sorted(found, key=str) == wanted
        details = [each["imageDigest"] async for each in ecr.pages("DescribeImages", request, "imageDetails")]
        assert details == sorted({*digests.values(), lone})
    assert [each["imageDigest"] for each in await described(ecr, client, filter={"tagStatus": "UNTAGGED"})] == [lone]
    assert len(await described(ecr, client, filter={"tagStatus": "TAGGED"})) == 3


async def test_images_are_named_by_tag_or_digest_or_both(ecr: RegistryClient, client: Client) -> None:
    first, second = await client.push_image("v1", b"1"), await client.push_image("v2", b"2")
    for wanted in ({"imageTag": "v1"}, {"imageDigest": first}, {"imageTag": "v1", "imageDigest": first}):
        (detail,) = await described(ecr, client, imageIds=[wanted])
        assert detail["imageDigest"] == first
    for wrong in ({"imageTag": "none"}, {"imageTag": "v1", "imageDigest": second}, {"imageDigest": digest_of(b"")}):
        with pytest.raises(errors.NotFound) as refused:
            await described(ecr, client, imageIds=[wrong])
        assert refused.value.reason == "ImageNotFoundException"
    with pytest.raises(errors.InvalidInput, match="imageDigest or an imageTag"):
        await described(ecr, client, imageIds=[{}])


async def test_an_index_is_as_large_as_its_largest_image(ecr: RegistryClient, client: Client) -> None:
    digest, _ = await push_index(client, "v1", b"small", b"much larger")
    (detail,) = await described(ecr, client, imageIds=[{"imageTag": "v1"}])
    assert detail["imageDigest"] == digest
    assert detail["imageManifestMediaType"] == INDEX
    assert detail["imageSizeInBytes"] == len(b"{}") + len(b"much larger")


async def test_when_an_image_was_last_pulled(ecr: RegistryClient, client: Client) -> None:
    """By GET of its manifest, by tag or digest; a HEAD asks only."""
    digest = await client.push_image("v1", b"layer")
    other = await client.push_image("v2", b"other")
    await client.call("HEAD", "manifests/v2")
    assert (await client.call("GET", "manifests/v1")).status == 200
    found: list[dict[str, Any]] = await wait_until(
        lambda: described(ecr, client, imageIds=[{"imageDigest": digest}]),
        lambda found: "lastRecordedPullTime" in found[0],
    )
    (detail,) = found
    assert detail["lastRecordedPullTime"] >= detail["imagePushedAt"]
    assert "lastRecordedPullTime" not in (await described(ecr, client, imageIds=[{"imageDigest": other}]))[0]


async def test_manifests_in_a_batch(ecr: RegistryClient, client: Client) -> None:
    manifest = await client.image(b"layer")
    digest = await client.push_manifest("v1", manifest)
    request = {
        "repositoryName": client.repository,
        "imageIds": [{"imageTag": "v1"}, {"imageTag": "none"}, {"imageDigest": "sha256:short"}, {}],
    }
    answer = await ecr.call("BatchGetImage", request)
    (image,) = answer["images"]
    assert json.loads(image["imageManifest"]) == manifest
    assert image["imageId"] == {"imageDigest": digest, "imageTag": "v1"}
    codes = [each["failureCode"] for each in answer["failures"]]
    assert codes == ["ImageNotFound", "InvalidImageDigest", "MissingDigestAndTag"]
    other = await ecr.call(
        "BatchGetImage", {**request, "acceptedMediaTypes": [INDEX], "imageIds": [{"imageTag": "v1"}]}
    )
    assert "not accepted" in other["failures"][0]["failureReason"]


async def test_an_image_is_put(ecr: RegistryClient, client: Client) -> None:
    manifest = json.dumps(await client.image(b"layer"))
    request = {"repositoryName": client.repository, "imageManifest": manifest, "imageTag": "v1"}
    put = await ecr.call("PutImage", request)
    assert put["image"]["imageId"] == {"imageDigest": digest_of(manifest.encode()), "imageTag": "v1"}
    assert (await client.call("GET", "manifests/v1")).body == manifest.encode()
    immutable = {"repositoryName": client.repository, "imageTagMutability": "IMMUTABLE"}
    await ecr.call("PutImageTagMutability", immutable)
    missing = {"schemaVersion": 2, "mediaType": IMAGE, "config": descriptor(b"none", "x/y"), "layers": []}
    for change, reason in (
        ({}, "ImageAlreadyExistsException"),
        ({"imageManifest": json.dumps(await client.image(b"other"))}, "ImageTagAlreadyExistsException"),
        ({"imageDigest": digest_of(b"")}, "ImageDigestDoesNotMatchException"),
        ({"imageTag": "v2", "imageManifest": json.dumps(missing)}, "LayersNotFoundException"),
        (
            {"imageTag": "v2", "imageManifest": json.dumps(index(descriptor(b"none", IMAGE)))},
            "ReferencedImagesNotFoundException",
        ),
        ({"imageTag": "v2", "imageManifest": "{"}, "InvalidParameterException"),
        ({"imageTag": "not a tag"}, "InvalidParameterException"),
    ):
        with pytest.raises(errors.ShoalError) as refused:
            await ecr.call("PutImage", {**request, **change})
        assert refused.value.reason == reason, change


async def test_an_image_goes_with_its_last_tag(ecr: RegistryClient, client: Client) -> None:
    digest = await client.push_image("v1", b"layer")
    await client.push_image("v2", b"layer")

    async def delete(*ids: dict[str, str]) -> dict[str, Any]:
        return await ecr.call("BatchDeleteImage", {"repositoryName": client.repository, "imageIds": list(ids)})

    answer = await delete({"imageTag": "v1"}, {"imageTag": "none"})
    assert answer["imageIds"] == [{"imageDigest": digest, "imageTag": "v1"}]
    assert [each["failureCode"] for each in answer["failures"]] == ["ImageNotFound"]
    assert (await client.call("HEAD", "manifests/v2")).status == 200
    await delete({"imageTag": "v2"})
    assert (await client.call("HEAD", f"manifests/{digest}")).status == 404


async def test_what_an_index_needs_goes_after_it(ecr: RegistryClient, client: Client) -> None:
    digest, (child,) = await push_index(client, "v1", b"layer")
    request = {"repositoryName": client.repository, "imageIds": [{"imageDigest": child}]}
    refused = await ecr.call("BatchDeleteImage", request)
    assert [each["failureCode"] for each in refused["failures"]] == ["ImageReferencedByManifestList"]
    request["imageIds"] = [{"imageDigest": child}, {"imageDigest": digest}]
    answer = await ecr.call("BatchDeleteImage", request)
    assert answer["failures"] == []
    assert await described(ecr, client) == []


async def test_referrers(ecr: RegistryClient, client: Client) -> None:
    subject = await client.push_image("v1", b"layer")
    content = (await client.call("GET", "manifests/v1")).body
    for number in range(3):
        kind = f"application/vnd.test.{number % 2}"
        about = descriptor(content, IMAGE)
        await client.push_image(f"about-{number}", str(number).encode(), subject=about, artifactType=kind)
    request = {"repositoryName": client.repository, "subjectId": {"imageDigest": subject}, "maxResults": 1}
    found = [each async for each in ecr.pages("ListImageReferrers", request, "referrers")]
    assert len({each["digest"] for each in found}) == len(found) == 3
    request["filter"] = {"artifactTypes": ["application/vnd.test.0"]}
    kinds = [each["artifactType"] async for each in ecr.pages("ListImageReferrers", request, "referrers")]
    assert kinds == ["application/vnd.test.0"] * 2


async def test_which_layers_are_there(ecr: RegistryClient, client: Client) -> None:
    """In this repository, whatever others have."""
    digest = await client.push_blob(b"layer")
    await client.of("elsewhere").push_blob(b"not here")
    request = {"repositoryName": client.repository, "layerDigests": [digest, digest_of(b"not here"), "x"]}
    answer = await ecr.call("BatchCheckLayerAvailability", request)
    assert [each["layerAvailability"] for each in answer["layers"]] == ["AVAILABLE", "UNAVAILABLE"]
    assert answer["layers"][0]["layerSize"] == len(b"layer")
    assert answer["failures"][0]["failureCode"] == "InvalidLayerDigest"


async def test_an_archived_image_cannot_be_pulled(ecr: RegistryClient, client: Client) -> None:
    """Until it is restored, or pushed again."""
    digest = await client.push_image("v1", b"layer")

    async def move(to: str) -> str:
        request = {"repositoryName": client.repository, "imageId": {"imageTag": "v1"}, "targetStorageClass": to}
        return str((await ecr.call("UpdateImageStorageClass", request))["imageStatus"])

    assert await move("ARCHIVE") == "ARCHIVED"
    for reference in ("v1", digest):
        refused = await client.call("GET", f"manifests/{reference}")
        assert (refused.status, refused.codes) == (404, ["MANIFEST_UNKNOWN"])
        assert "archived" in refused.json["errors"][0]["message"]
    assert await described(ecr, client) == [], "as in ECR, only who asks for it is told of what is archived"
    assert (await ecr.call("ListImages", {"repositoryName": client.repository}))["imageIds"] == []
    assert len(await described(ecr, client, imageIds=[{"imageTag": "v1"}])) == 1
    assert len(await described(ecr, client, filter={"imageStatus": "ANY"})) == 1
    (detail,) = await described(ecr, client, filter={"imageStatus": "ARCHIVED"})
    assert detail["lastArchivedAt"] >= detail["imagePushedAt"]
    batch = await ecr.call(
        "BatchGetImage", {"repositoryName": client.repository, "imageIds": [{"imageDigest": digest}]}
    )
    assert batch["failures"][0]["failureCode"] == "ImageInaccessible"
    assert await move("ARCHIVE") == "ARCHIVED"
    assert await move("STANDARD") == "ACTIVE"
    assert (await client.call("GET", "manifests/v1")).status == 200
    events = (await ecr.call("ListImageEvents", {"repositoryName": client.repository}))["events"]
    told = [each["detail"]["action-type"] for each in events]
    assert told == ["PUSH", "ARCHIVE", "RESTORE", "PULL"], "what changes nothing is no event"
    await move("ARCHIVE")
    await client.push_image("v1", b"layer")
    assert (await client.call("GET", "manifests/v1")).status == 200
    assert await described(ecr, client, filter={"imageStatus": "ARCHIVED"}) == []


async def test_a_manifest_that_is_described_is_no_pull(ecr: RegistryClient, client: Client) -> None:
    """Also of an image that is archived."""
    digest = await client.push_image("v1", b"layer")
    content = (await client.call("GET", f"manifests/{digest}")).body.decode()
    request = {"repositoryName": client.repository, "imageId": {"imageTag": "v1"}, "targetStorageClass": "ARCHIVE"}
    await ecr.call("UpdateImageStorageClass", request)
    (detail,) = await described(ecr, client, imageIds=[{"imageTag": "v1"}], include=["MANIFEST"])
    assert detail["imageManifest"] == content
    events = (await ecr.call("ListImageEvents", {"repositoryName": client.repository}))["events"]
    (pull,) = [each["detail"] for each in events if each["detail"]["action-type"] == "PULL"]
    assert pull["count"] == 1


@pytest.mark.parametrize("token", ["no token", "sha256:00", "A/x", "../x y", "\N{DEVANAGARI DIGIT ONE}"])
async def test_a_token_that_no_page_ended_with_is_refused(ecr: RegistryClient, client: Client, token: str) -> None:
    """As in ECR: it is no place to begin, and not the end either."""
    await client.push_image("v1", b"layer")
    await ecr.call("ListImageEvents", {})
    repository = {"repositoryName": client.repository}
    subject = {**repository, "subjectId": {"imageDigest": digest_of(b"")}}
    for operation, request in (
        ("DescribeRepositories", {}),
        ("DescribeRepositoryCreationTemplates", {}),
        ("ListImageEvents", {}),
        ("ListImages", repository),
        ("DescribeImages", repository),
        ("ListImageReferrers", subject),
    ):
        with pytest.raises(errors.InvalidInput, match="nextToken"):
            await ecr.call(operation, {**request, "nextToken": token})


async def test_what_an_index_needs_is_archived_after_it_and_comes_back_with_it(
    ecr: RegistryClient, client: Client
) -> None:
    digest, (child,) = await push_index(client, "v1", b"layer")

    async def move(image: str, to: str) -> None:
        request = {"repositoryName": client.repository, "imageId": {"imageDigest": image}, "targetStorageClass": to}
        await ecr.call("UpdateImageStorageClass", request)

    with pytest.raises(errors.Refused, match="archive that one first") as refused:
        await move(child, "ARCHIVE")
    assert refused.value.reason == "ImageStorageClassUpdateNotSupportedException"
    for image in (digest, child):
        await move(image, "ARCHIVE")
    content = json.dumps(index(descriptor(json.dumps(await client.image(b"layer")).encode(), IMAGE))).encode()
    pushed = await client.call("PUT", "manifests/v2", content, {"Content-Type": INDEX})
    assert pushed.codes == ["MANIFEST_BLOB_UNKNOWN"], "an index needs what can be pulled"
    await move(digest, "STANDARD")
    for image in (digest, child):
        assert (await client.call("GET", f"manifests/{image}")).status == 200


async def test_what_happened_is_told_in_order(
    ecr: RegistryClient, client: Client, image_registry: ImageRegistry
) -> None:
    """Each once, page by page, also when it follows."""
    digest = await client.push_image("v1", b"layer")
    request: dict[str, Any] = {"repositoryName": client.repository, "maxResults": 1}

    async def further() -> list[tuple[str, str | None]]:
        found = []
        while True:
            answer = await ecr.call("ListImageEvents", request)
            request["nextToken"] = answer["nextToken"]
            found += [(each["detail"]["action-type"], each["detail"].get("image-tag")) for each in answer["events"]]
            if answer["isLast"]:
                return found

    assert await further() == [("PUSH", "v1")]
    await client.call("GET", f"manifests/{digest}")
    await client.call("DELETE", "manifests/v1")
    assert await further() == [("PULL", None), ("DELETE", "v1")]
    await client.call("DELETE", f"manifests/{digest}")
    await ecr.call("DeleteRepository", {"repositoryName": client.repository})
    assert await further() == [("DELETE", None)]
    assert await further() == []
    (first,) = (await ecr.call("ListImageEvents", {"repositoryName": client.repository, "maxResults": 1}))["events"]
    assert first["detail-type"] == "ECR Image Action"
    assert first["detail"]["image-digest"] == digest
    assert first["resources"] == [f"arn:shoal:ecr:local:000000000000:repository/{client.repository}"]


async def test_what_happened_last_is_there_after_a_restart(
    ecr: RegistryClient, client: Client, image_registry: ImageRegistry
) -> None:
    await client.push_image("v1", b"layer")
    await client.call("GET", "manifests/v1")
    image_registry.end()
    image_registry.start()
    (detail,) = await described(ecr, client)
    assert detail["lastRecordedPullTime"] >= detail["imagePushedAt"]
    answer = await ecr.call("ListImageEvents", {"repositoryName": client.repository})
    assert [each["detail"]["action-type"] for each in answer["events"]] == ["PUSH", "PULL"]
