"""Workflow "Pull" of the OCI Distribution Specification 1.1: each test names the sentence that it holds to."""

import json

import pytest

from tests.registry.client import IMAGE, Client, digest_of

CONTENT = bytes(range(256)) * 4096
SIZE = len(CONTENT)


async def test_the_registry_says_that_it_is_one(client: Client) -> None:
    """Determining Support: a response of 200 to GET /v2/ says that this specification is implemented."""
    answer = await client.call("GET", "/v2/")
    assert answer.status == 200
    assert answer.headers["Docker-Distribution-API-Version"] == "registry/2.0"


@pytest.mark.parametrize("by_tag", [True, False])
async def test_manifests(client: Client, by_tag: bool) -> None:
    """Pulling manifests: 200, the manifest's bytes, its Content-Type, and Docker-Content-Digest."""
    manifest = await client.image(b"layer")
    digest = await client.push_manifest("v1", manifest)
    answer = await client.call("GET", f"manifests/{'v1' if by_tag else digest}", headers={"Accept": IMAGE})
    assert (answer.status, answer.json) == (200, manifest)
    assert (answer.headers["Content-Type"], answer.headers["Docker-Content-Digest"]) == (IMAGE, digest)
    assert digest_of(answer.body) == digest


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("reference", ["absent", ".NO_TAG", digest_of(b"absent")])
async def test_manifests_that_are_not_there(client: Client, method: str, reference: str) -> None:
    """Pulling manifests, Checking if content exists: MUST be 404 if the manifest is not found in the repository."""
    assert (await client.call(method, f"manifests/{reference}")).status == 404
    await client.push_image("v1", b"layer")
    answer = await client.call(method, f"manifests/{reference}")
    assert answer.status == 404
    assert method == "HEAD" or answer.codes == ["MANIFEST_UNKNOWN"]


async def test_manifests_exist(client: Client) -> None:
    """Checking if content exists: 200 with Docker-Content-Digest and the size as Content-Length, and no body."""
    digest = await client.push_image("v1", b"layer")
    pulled = await client.call("GET", "manifests/v1")
    for reference in ("v1", digest):
        answer = await client.call("HEAD", f"manifests/{reference}")
        assert (answer.status, answer.headers["Docker-Content-Digest"], answer.body) == (200, digest, b"")
        assert int(answer.headers["Content-Length"]) == len(pulled.body)


async def test_blobs(client: Client) -> None:
    """Pulling blobs: 200, the blob's bytes; Docker-Content-Digest, if there, MUST match them."""
    digest = await client.push_blob(CONTENT)
    answer = await client.call("GET", f"blobs/{digest}")
    assert (answer.status, answer.body, answer.headers["Docker-Content-Digest"]) == (200, CONTENT, digest)
    assert (await client.call("GET", f"blobs/{digest.replace(':', '%3A')}")).body == CONTENT


async def test_blobs_exist(client: Client) -> None:
    """Checking if content exists: 200 with Docker-Content-Digest and the size as Content-Length, and no body."""
    digest = await client.push_blob(CONTENT)
    answer = await client.call("HEAD", f"blobs/{digest}")
    assert (answer.status, answer.headers["Docker-Content-Digest"], answer.body) == (200, digest, b"")
    assert int(answer.headers["Content-Length"]) == SIZE


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_blobs_that_are_not_there(client: Client, method: str) -> None:
    """Pulling blobs, Checking if content exists: MUST be 404 if the blob is not found in the repository.

    One that only another repository has is not found.
    """
    digest = await client.of(f"{client.repository}/other").push_blob(client.repository.encode())
    answer = await client.call(method, f"blobs/{digest}")
    assert answer.status == 404
    assert method == "HEAD" or answer.codes == ["BLOB_UNKNOWN"]


@pytest.mark.parametrize(
    ("asked", "begin", "end"),
    [
        ("0-0", 0, 1),
        ("5-9", 5, 10),
        (f"{SIZE - 7}-", SIZE - 7, SIZE),
        ("-7", SIZE - 7, SIZE),
        ("9-99999999", 9, SIZE),
        (f"-{SIZE * 2}", 0, SIZE),
        (f"700000-{SIZE - 1}", 700_000, SIZE),
    ],
)
async def test_parts_of_blobs(client: Client, asked: str, begin: int, end: int) -> None:
    """Pulling blobs: a registry SHOULD support the Range request header (RFC 9110)."""
    digest = await client.push_blob(CONTENT)
    answer = await client.call("GET", f"blobs/{digest}", headers={"Range": f"bytes={asked}"})
    assert (answer.status, answer.body) == (206, CONTENT[begin:end])
    assert answer.headers["Content-Range"] == f"bytes {begin}-{end - 1}/{SIZE}"


@pytest.mark.parametrize("asked", [f"{SIZE}-", "-0", "999999999999-", "9-5", "500-0"])
async def test_parts_that_are_not_there(client: Client, asked: str) -> None:
    """RFC 9110, 15.5.17: 416, with Content-Range that says the size; 14.2: what runs backwards MAY be rejected."""
    digest = await client.push_blob(CONTENT)
    answer = await client.call("GET", f"blobs/{digest}", headers={"Range": f"bytes={asked}"})
    assert (answer.status, answer.headers["Content-Range"]) == (416, f"bytes */{SIZE}")


@pytest.mark.parametrize("asked", ["bytes=", "bytes=-", "lines=0-1", "bytes=0-1,5-9", "bytes=a-b"])
async def test_ranges_that_are_none_are_ignored(client: Client, asked: str) -> None:
    """RFC 9110, 14.2: an invalid Range MAY be ignored, and so one of several parts."""
    digest = await client.push_blob(CONTENT)
    answer = await client.call("GET", f"blobs/{digest}", headers={"Range": asked})
    assert (answer.status, len(answer.body)) == (200, SIZE)


async def test_what_has_not_changed_is_not_sent_again(client: Client) -> None:
    """RFC 9110, 13.1.2: If-None-Match with the entity tag of before gives 304; any other is no condition."""
    digest = await client.push_image("v1", b"layer")
    blob = await client.push_blob(CONTENT)
    for path in ("manifests/v1", f"manifests/{digest}", f"blobs/{blob}"):
        tag = (await client.call("HEAD", path)).headers["ETag"]
        answer = await client.call("GET", path, headers={"If-None-Match": f'"other", {tag}'})
        assert (answer.status, answer.body) == (304, b"")
        assert (await client.call("GET", path, headers={"If-None-Match": '"other"'})).status == 200
    moved = await client.push_image("v1", b"another layer")
    answer = await client.call("GET", "manifests/v1", headers={"If-None-Match": f'"{digest}"'})
    assert (answer.status, answer.headers["Docker-Content-Digest"]) == (200, moved)


async def test_a_part_of_what_has_changed_is_the_whole(client: Client) -> None:
    """RFC 9110, 13.1.5: If-Range with another entity tag ignores the Range."""
    digest = await client.push_blob(CONTENT)
    for tag, status in ((f'"{digest}"', 206), ('"other"', 200)):
        answer = await client.call("GET", f"blobs/{digest}", headers={"Range": "bytes=0-4", "If-Range": tag})
        assert answer.status == status


async def test_errors_have_the_form_of_the_specification(client: Client) -> None:
    """Error Codes: a body of JSON with `errors`, each with a code in capitals and underscores."""
    answer = await client.call("GET", f"blobs/{digest_of(b'absent')}")
    assert answer.headers["Content-Type"].startswith("application/json")
    [error] = json.loads(answer.body)["errors"]
    assert error["code"] == "BLOB_UNKNOWN"
    assert client.repository in error["message"]
