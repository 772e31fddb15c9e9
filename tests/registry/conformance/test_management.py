"""Workflow "Content Management" of the OCI Distribution Specification 1.1: each test names the sentence it holds to."""

import json

import pytest

from tests.registry.client import IMAGE, Client, descriptor, digest_of, index


async def test_a_tag_is_deleted_alone(client: Client) -> None:
    """Deleting tags: MUST be 202; a GET of the tag is then 404. What it meant stays."""
    digest = await client.push_image("v1", b"layer")
    assert (await client.call("DELETE", "manifests/v1")).status == 202
    assert (await client.call("GET", "manifests/v1")).status == 404
    assert (await client.call("GET", f"manifests/{digest}")).status == 200
    assert (await client.call("GET", "tags/list")).json["tags"] == []
    assert (await client.call("DELETE", "manifests/v1")).status == 404


async def test_a_manifest_is_deleted_with_its_tags(client: Client) -> None:
    """Deleting Manifests: MUST be 202; then a GET of it, and of any tag pointing to it, will return 404."""
    digest = await client.push_image("v1", b"layer")
    await client.push_image("v2", b"layer")
    other = await client.push_image("other", b"another layer")
    await client.push_image("moved", b"layer")
    await client.push_image("moved", b"another layer")
    assert (await client.call("DELETE", f"manifests/{digest}")).status == 202
    for reference in (digest, "v1", "v2"):
        assert (await client.call("GET", f"manifests/{reference}")).status == 404
    assert (await client.call("GET", "tags/list")).json["tags"] == ["moved", "other"]
    assert (await client.call("HEAD", "manifests/moved")).headers["Docker-Content-Digest"] == other


@pytest.mark.parametrize("reference", ["absent", digest_of(b"absent")])
async def test_a_manifest_that_is_not_there(client: Client, reference: str) -> None:
    """Deleting Manifests: if the repository does not exist, MUST be 404; so it is without the manifest."""
    answer = await client.call("DELETE", f"manifests/{reference}")
    assert (answer.status, answer.codes) == (404, ["NAME_UNKNOWN"])
    await client.push_image("v1", b"layer")
    answer = await client.call("DELETE", f"manifests/{reference}")
    assert (answer.status, answer.codes) == (404, ["MANIFEST_UNKNOWN"])


async def test_a_blob_is_deleted(client: Client) -> None:
    """Deleting Blobs: MUST be 202; if not found MUST be 404. Other repositories keep theirs."""
    other = client.of(f"{client.repository}/other")
    digest = await client.push_blob(b"a blob")
    await other.push_blob(b"a blob")
    assert (await client.call("DELETE", f"blobs/{digest}")).status == 202
    assert (await client.call("GET", f"blobs/{digest}")).status == 404
    answer = await client.call("DELETE", f"blobs/{digest}")
    assert (answer.status, answer.codes) == (404, ["BLOB_UNKNOWN"])
    assert (await other.call("GET", f"blobs/{digest}")).body == b"a blob"


async def test_what_a_manifest_needs_cannot_be_deleted(client: Client) -> None:
    """Deleting Blobs, Manifests: what is disabled MUST be 400 or 405; here, as long as a manifest needs it."""
    layer = digest_of(b"layer")
    manifest = await client.image(b"layer")
    child = await client.push_manifest("v1", manifest)
    parent = await client.push_manifest("multi", index(descriptor(json.dumps(manifest).encode(), IMAGE)))
    for path, user in ((f"blobs/{layer}", child), (f"manifests/{child}", parent)):
        answer = await client.call("DELETE", path)
        assert (answer.status, answer.codes) == (405, ["UNSUPPORTED"])
        assert answer.json["errors"][0]["detail"] == {"neededBy": user}
    for path in (f"manifests/{parent}", f"manifests/{child}", f"blobs/{layer}"):
        assert (await client.call("DELETE", path)).status == 202


async def test_what_was_deleted_can_be_pushed_again(client: Client) -> None:
    digest = await client.push_image("v1", b"layer")
    await client.call("DELETE", f"manifests/{digest}")
    await client.call("DELETE", f"blobs/{digest_of(b'layer')}")
    assert await client.push_image("v1", b"layer") == digest
    assert (await client.call("GET", f"blobs/{digest_of(b'layer')}")).body == b"layer"


@pytest.mark.parametrize("path", ["tags/list", "referrers/" + digest_of(b"")])
async def test_what_cannot_be_deleted_at_all(client: Client, path: str) -> None:
    answer = await client.call("DELETE", path)
    assert (answer.status, answer.codes, answer.headers["Allow"]) == (405, ["UNSUPPORTED"], "GET")
