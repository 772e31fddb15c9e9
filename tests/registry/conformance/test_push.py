"""Workflow "Push" of the OCI Distribution Specification 1.1: each test names the sentence that it holds to."""

import json
from urllib.parse import urlencode

import pytest

from tests.registry.client import (
    BYTES,
    CONFIG,
    DOCKER_IMAGE,
    DOCKER_INDEX,
    IMAGE,
    LAYER,
    Client,
    descriptor,
    digest_of,
    image_manifest,
    index,
)

CHUNKS = (b"first chunk;", b"and the second;", b"last")
WHOLE = b"".join(CHUNKS)


async def pulled(client: Client, digest: str) -> bytes:
    answer = await client.call("GET", f"blobs/{digest}")
    assert answer.status == 200
    return answer.body


async def test_post_opens_a_session(client: Client) -> None:
    """POST then PUT: the response MUST have a code of 202 and a Location that holds a UUID for the session."""
    answer = await client.call("POST", "blobs/uploads/")
    assert answer.status == 202
    assert answer.headers["Docker-Upload-UUID"] in answer.headers["Location"]
    assert "OCI-Chunk-Min-Length" not in answer.headers, "it takes chunks of any size"


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
@pytest.mark.parametrize("content", [b"", b"x", b"some bytes" * 300_000])
async def test_put_closes_it_with_the_whole_blob(client: Client, content: bytes, algorithm: str) -> None:
    """POST then PUT: upon success the response MUST be 201 with a Location at which the blob can be pulled."""
    digest = digest_of(content, algorithm)
    answer = await client.call("PUT", await client.begin(), content, BYTES, digest=digest)
    assert answer.status == 201
    assert answer.headers["Docker-Content-Digest"] == digest
    assert (await client.call("GET", answer.headers["Location"])).body == content


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
async def test_one_post_may_hold_the_whole_blob(client: Client, algorithm: str) -> None:
    """Single POST: successful completion MUST return 201 and MUST include a pullable Location."""
    digest = digest_of(WHOLE, algorithm)
    answer = await client.call("POST", "blobs/uploads/", WHOLE, BYTES, digest=digest)
    assert answer.status == 201
    assert (await client.call("GET", answer.headers["Location"])).body == WHOLE


async def test_a_digest_must_match(client: Client) -> None:
    """Single POST: the digest MUST match the blob's; of POST then PUT, the digest is that of the blob."""
    wrong = digest_of(b"something else")
    for path in ("blobs/uploads/", await client.begin()):
        method = "POST" if path == "blobs/uploads/" else "PUT"
        answer = await client.call(method, path, WHOLE, BYTES, digest=wrong)
        assert (answer.status, answer.codes) == (400, ["DIGEST_INVALID"])
    assert (await client.call("HEAD", f"blobs/{wrong}")).status == 404
    assert (await client.call("HEAD", f"blobs/{digest_of(WHOLE)}")).status == 404


@pytest.mark.parametrize("last_in_put", [False, True])
async def test_chunks_come_in_order(client: Client, last_in_put: bool) -> None:
    """In chunks: each MUST be answered by 202 with Location and Range; the final one MAY come with the closing PUT."""
    location, offset = await client.begin(), 0
    for chunk in CHUNKS[:-1] if last_in_put else CHUNKS:
        span = f"{offset}-{offset + len(chunk) - 1}"
        answer = await client.call("PATCH", location, chunk, BYTES | {"Content-Range": span})
        offset += len(chunk)
        assert (answer.status, answer.headers["Range"]) == (202, f"0-{offset - 1}")
        location = answer.headers["Location"]
    headers = {"Content-Range": f"{offset}-{len(WHOLE) - 1}", **BYTES} if last_in_put else {}
    body = CHUNKS[-1] if last_in_put else None
    answer = await client.call("PUT", location, body, headers, digest=digest_of(WHOLE))
    assert answer.status == 201
    assert (await client.call("GET", answer.headers["Location"])).body == WHOLE


async def test_a_chunk_out_of_order_is_refused_and_the_session_goes_on(client: Client) -> None:
    """In chunks: out of order the registry MUST respond with 416; a GET then MUST give 204 with Location and Range."""
    location = await client.begin()
    answer = await client.call("PATCH", location, CHUNKS[1], BYTES | {"Content-Range": "12-26"})
    assert answer.status == 416
    await client.call("PATCH", location, CHUNKS[0], BYTES | {"Content-Range": "0-11"})
    again = await client.call("PATCH", location, CHUNKS[0], BYTES | {"Content-Range": "0-11"})
    assert (again.status, again.headers["Range"]) == (416, "0-11")
    status = await client.call("GET", location)
    assert (status.status, status.headers["Range"], status.headers["Location"]) == (204, "0-11", location)
    late = await client.call("PUT", location, CHUNKS[2], BYTES | {"Content-Range": "99-102"}, digest=digest_of(WHOLE))
    assert late.status == 416
    await client.call("PATCH", location, CHUNKS[1], BYTES | {"Content-Range": "12-26"})
    assert (await client.call("PUT", location, CHUNKS[2], BYTES, digest=digest_of(WHOLE))).status == 201
    assert await pulled(client, digest_of(WHOLE)) == WHOLE


async def test_a_stream_without_length_or_range(client: Client) -> None:
    """What engines do: PATCH with Transfer-Encoding: chunked and no Content-Range, then an empty PUT."""

    async def stream() -> object:
        for chunk in CHUNKS:
            yield chunk

    answer = await client.call("PATCH", await client.begin(), stream(), BYTES)
    assert (answer.status, answer.headers["Range"]) == (202, f"0-{len(WHOLE) - 1}")
    closed = await client.call("PUT", answer.headers["Location"], digest=digest_of(WHOLE))
    assert closed.status == 201
    assert await pulled(client, digest_of(WHOLE)) == WHOLE


async def test_a_session_is_over_once_closed(client: Client) -> None:
    """In chunks: the session MUST be closed with a PUT; what is closed is no session any more."""
    location = await client.begin()
    await client.call("PUT", location, WHOLE, BYTES, digest=digest_of(WHOLE))
    for method in ("GET", "PATCH", "DELETE"):
        answer = await client.call(method, location)
        assert answer.status == 404
        assert answer.codes == ["BLOB_UPLOAD_UNKNOWN"]


async def test_a_session_can_be_cancelled(client: Client) -> None:
    """Cancel a blob upload: if successful, the response SHOULD be 204."""
    location = await client.begin()
    await client.call("PATCH", location, WHOLE, BYTES)
    assert (await client.call("DELETE", location)).status == 204
    assert (await client.call("GET", location)).status == 404


async def test_a_blob_is_mounted_from_another_repository(client: Client) -> None:
    """Mounting: the response MUST be 201 with a Location at which the blob can be pulled."""
    digest, other = await client.push_blob(WHOLE), client.of(f"{client.repository}/other")
    answer = await other.call("POST", f"blobs/uploads/?{urlencode({'mount': digest, 'from': client.repository})}")
    assert answer.status == 201
    assert answer.headers["Docker-Content-Digest"] == digest
    assert other.repository in answer.headers["Location"]
    assert (await client.call("GET", answer.headers["Location"])).body == WHOLE


async def test_a_blob_is_mounted_from_whoever_has_it(client: Client) -> None:
    """Mounting: the registry MAY treat `from` as optional, and it MAY mount the blob if it can be found."""
    content = client.repository.encode()
    digest, other = await client.push_blob(content), client.of(f"{client.repository}/other")
    for holder in (client, other, client):
        mounting = client.of(f"{holder.repository}/more")
        answer = await mounting.call("POST", f"blobs/uploads/?mount={digest}")
        assert (answer.status, answer.headers["Docker-Content-Digest"]) == (201, digest)
        assert (await client.call("GET", answer.headers["Location"])).body == content
        await mounting.call("DELETE", f"blobs/{digest}")
    await client.call("DELETE", f"blobs/{digest}")
    assert (await other.call("POST", f"blobs/uploads/?mount={digest}")).status == 202, "nobody has it any more"


@pytest.mark.parametrize("source", ["no/such", "NOT A NAME"])
async def test_what_cannot_be_mounted_begins_an_upload(client: Client, source: str) -> None:
    """Mounting: a registry that is unable to mount SHOULD return 202, by which the upload session has begun."""
    digest, other = await client.push_blob(WHOLE), client.of(f"{client.repository}/other")
    answer = await other.call("POST", f"blobs/uploads/?{urlencode({'mount': digest, 'from': source})}")
    assert answer.status == 202
    assert (await other.call("HEAD", f"blobs/{digest}")).status == 404
    closed = await other.call("PUT", answer.headers["Location"], WHOLE, BYTES, digest=digest)
    assert closed.status == 201


@pytest.mark.parametrize("by_tag", [True, False])
async def test_a_manifest_is_kept_byte_for_byte(client: Client, by_tag: bool) -> None:
    """Pushing Manifests: MUST be stored in the exact byte representation; 201, Location, Docker-Content-Digest."""
    content = json.dumps(await client.image(b"layer"), indent=3).encode() + b"\n\n"
    digest = digest_of(content)
    answer = await client.call(
        "PUT", f"manifests/{'v1' if by_tag else digest}", content, {"Content-Type": f"{IMAGE}; charset=utf-8"}
    )
    assert (answer.status, answer.headers["Docker-Content-Digest"]) == (201, digest)
    got = await client.call("GET", answer.headers["Location"])
    assert (got.body, got.headers["Content-Type"]) == (content, IMAGE)


async def test_a_manifest_may_have_a_digest_of_sha512(client: Client) -> None:
    """Content Digests: sha512 is a registered algorithm, by which content may be pushed."""
    content = json.dumps(await client.image(b"layer")).encode()
    digest = digest_of(content, "sha512")
    answer = await client.call("PUT", f"manifests/{digest}", content, {"Content-Type": IMAGE})
    assert (answer.status, answer.headers["Docker-Content-Digest"]) == (201, digest)
    assert (await client.call("GET", f"manifests/{digest}")).body == content


async def test_a_manifest_with_another_digest_is_refused(client: Client) -> None:
    """Pushing Manifests: Docker-Content-Digest MUST match the digest provided by the client."""
    content = json.dumps(await client.image(b"layer")).encode()
    wrong = digest_of(b"")
    answer = await client.call("PUT", f"manifests/{wrong}", content, {"Content-Type": IMAGE})
    assert (answer.status, answer.codes) == (400, ["DIGEST_INVALID"])
    assert (await client.call("HEAD", f"manifests/{wrong}")).status == 404


async def test_a_manifest_without_layers_is_one(client: Client) -> None:
    """Pushing Manifests: the list of blobs MAY be empty."""
    await client.push_image("no-layers")
    assert (await client.call("GET", "manifests/no-layers")).json["layers"] == []


async def test_what_a_manifest_needs_must_be_there(client: Client) -> None:
    """Push: a manifest rejected for what is missing MUST result in one or more MANIFEST_BLOB_UNKNOWN errors."""
    config = descriptor(b"{}", CONFIG)
    await client.push_blob(b"{}")
    absent = image_manifest(config, [descriptor(b"was never pushed", LAYER)])
    answer = await client.call("PUT", "manifests/v1", json.dumps(absent), {"Content-Type": IMAGE})
    assert (answer.status, answer.codes) == (400, ["MANIFEST_BLOB_UNKNOWN"])
    assert (await client.call("HEAD", "manifests/v1")).status == 404


async def test_what_another_repository_has_is_not_there(client: Client) -> None:
    """Push: descriptors that reference what does not exist in the repository; another one's blobs do not."""
    await client.of(f"{client.repository}/other").image(b"layer of another")
    await client.push_blob(b"{}")
    manifest = image_manifest(descriptor(b"{}", CONFIG), [descriptor(b"layer of another", LAYER)])
    answer = await client.call("PUT", "manifests/v1", json.dumps(manifest), {"Content-Type": IMAGE})
    assert answer.codes == ["MANIFEST_BLOB_UNKNOWN"]


async def test_an_index_of_several_architectures(client: Client) -> None:
    """Push: an index references manifests, which are pushed before it."""
    children = []
    for architecture in ("amd64", "arm64"):
        manifest = await client.image(architecture.encode())
        await client.push_manifest(digest_of(json.dumps(manifest).encode()), manifest)
        platform = {"os": "linux", "architecture": architecture}
        children.append(descriptor(json.dumps(manifest).encode(), IMAGE) | {"platform": platform})
    await client.push_manifest("multi", index(*children))
    listed = (await client.call("GET", "manifests/multi")).json["manifests"]
    assert [each["platform"]["architecture"] for each in listed] == ["amd64", "arm64"]
    for each in listed:
        assert (await client.call("GET", f"manifests/{each['digest']}")).status == 200


async def test_images_of_docker(client: Client) -> None:
    """Docker's media types, which its engines push to this day."""
    manifest = await client.image(b"layer") | {"mediaType": DOCKER_IMAGE}
    await client.push_manifest("v1", manifest)
    child = descriptor(json.dumps(manifest).encode(), DOCKER_IMAGE)
    await client.push_manifest("list", index(child) | {"mediaType": DOCKER_INDEX})
    for tag, kind in (("v1", DOCKER_IMAGE), ("list", DOCKER_INDEX)):
        assert (await client.call("HEAD", f"manifests/{tag}")).headers["Content-Type"] == kind


async def test_a_manifest_too_large_is_refused(client: Client) -> None:
    """Pushing Manifests: beyond its limit, a registry SHOULD respond with 413; at least 4 MiB SHOULD be supported."""
    most = 4 * 1024 * 1024
    manifest = await client.image(b"layer", annotations={"of": ""})
    manifest["annotations"]["of"] = "x" * (most - len(json.dumps(manifest)))
    content = json.dumps(manifest).encode()
    assert len(content) == most
    assert (await client.call("PUT", "manifests/large", content, {"Content-Type": IMAGE})).status == 201
    assert (await client.call("PUT", "manifests/larger", content + b" ", {"Content-Type": IMAGE})).status == 413


async def test_a_subject_may_come_later(client: Client) -> None:
    """Push: MUST accept a manifest whose subject does not exist; the response MUST set OCI-Subject to its digest."""
    subject = descriptor(b"a manifest that was never pushed", IMAGE)
    manifest = await client.image(b"signature", subject=subject)
    content = json.dumps(manifest).encode()
    answer = await client.call("PUT", f"manifests/{digest_of(content)}", content, {"Content-Type": IMAGE})
    assert (answer.status, answer.headers["OCI-Subject"]) == (201, subject["digest"])
