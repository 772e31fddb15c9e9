"""What nobody should send: refused in the specification's words, and nothing of it is left behind."""

import asyncio
import gzip
import json
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import UUID

import pytest
from shoal_registry.api.body import PIECE_BYTES

from tests.ground.image_registry import ImageRegistry
from tests.ground.waiting import wait_until
from tests.registry.client import (
    BYTES,
    CONFIG,
    DOCKER_IMAGE,
    IMAGE,
    INDEX,
    LAYER,
    Client,
    descriptor,
    digest_of,
    image_manifest,
    index,
)

NAMES = [
    *("..", ".", "a/..", "library/../../x", "%2e%2e%2f", "..%2f..%2fetc", "a%2fb", "a//b", "/a", "A/b", "a/B"),
    *("_uploads", "a/_tags", "-a", "a-", "a.", ".a", "a..b", "a___b", "a/", "a%20b", "a%00", "a%0a", "a\\b"),
    *(quote("ä"), quote("ａ"), quote("а"), quote("\u202ea"), "a:b", "a@b", "{{7*7}}", "<script>"),
    *("x" * 256, "a/" * 150 + "a", "x" * 4000),
]
DIGESTS = [
    *("sha256:" + "a" * 63, "sha256:" + "a" * 65, "sha256:" + "A" * 64, "sha256:" + "g" * 64, "sha256:"),
    *("sha512:", "sha512:" + "a" * 64, "md5:" + "a" * 32, "sha1:" + "a" * 40, "SHA256:" + "a" * 64, "a" * 64, ":"),
    *(
        "sha256:..",
        "sha256:..%2f..%2f..",
        "sha256:" + "a" * 62 + "..",
        "sha256:" + quote("１") * 64,
        "sha256:" + "a" * 64 + "%0a",
    ),
]


def files(registry: ImageRegistry) -> set[Path]:
    """Without those of the collecting of garbage, which happens beside."""
    beside = {"collected", "locks", "temporary"}
    found = (path for path in registry.store.rglob("*") if path.is_file())
    return {path for path in found if path.relative_to(registry.store).parts[0] not in beside}


@pytest.mark.parametrize("name", NAMES)
async def test_names(client: Client, image_registry: ImageRegistry, name: str) -> None:
    before = files(image_registry)
    calls = [("POST", "blobs/uploads/"), ("PUT", "manifests/v1"), ("GET", "tags/list"), ("GET", "manifests/v1")]
    for method, path in [*calls, ("GET", f"blobs/{digest_of(b'')}"), ("DELETE", "manifests/v1")]:
        answer = await client.call(method, f"/v2/{name}/{path}")
        assert (answer.status, answer.codes) == (400, ["NAME_INVALID"])
    assert files(image_registry) == before


@pytest.mark.parametrize("digest", DIGESTS)
async def test_digests(client: Client, image_registry: ImageRegistry, digest: str) -> None:
    location, before = await client.begin(), files(image_registry)
    for method in ("GET", "HEAD", "DELETE"):
        answer = await client.call(method, f"blobs/{digest}")
        assert answer.status == 400
        assert method == "HEAD" or answer.codes == ["DIGEST_INVALID"]
    assert (await client.call("GET", f"referrers/{digest}")).codes == ["DIGEST_INVALID"]
    for method, path in (("PUT", location), ("POST", "blobs/uploads/")):
        answer = await client.call(method, f"{path}?digest={digest}", b"content", BYTES)
        assert (answer.status, answer.codes) == (400, ["DIGEST_INVALID"])
    assert (await client.call("PUT", location, b"content")).codes == ["DIGEST_INVALID"], "without any digest"
    assert files(image_registry) <= before | set((image_registry.store / "uploads").rglob("*"))
    assert len(files(image_registry)) == len(before)


@pytest.mark.parametrize("tag", ["latest%0a", "a" * 129, "-a", ".a", "a%20b", quote("ä"), "..", "a%2fb", "latest%00"])
async def test_tags(client: Client, image_registry: ImageRegistry, tag: str) -> None:
    content = json.dumps(await client.image(b"layer")).encode()
    before = files(image_registry)
    answer = await client.call("PUT", f"manifests/{tag}", content, {"Content-Type": IMAGE})
    assert (answer.status, answer.codes) == (400, ["TAG_INVALID"])
    assert (await client.call("GET", f"manifests/{tag}")).codes == ["MANIFEST_UNKNOWN"]
    assert files(image_registry) == before


UPLOADS = ["x", "..", "..%2f..%2fx", "%2e%2e", str(UUID(int=0)), str(UUID(int=0))[:-1] + "G", str(UUID(int=0)) + "%0a"]


@pytest.mark.parametrize("upload", UPLOADS)
async def test_uploads_that_are_none(client: Client, upload: str) -> None:
    for method in ("GET", "PATCH", "PUT", "DELETE"):
        answer = await client.call(method, f"blobs/uploads/{upload}?digest={digest_of(b'x')}", b"x")
        assert (answer.status, answer.codes) == (404, ["BLOB_UPLOAD_UNKNOWN"])


async def test_uploads_of_another_repository(client: Client) -> None:
    location = await client.begin()
    elsewhere = location.replace(client.repository, f"{client.repository}/other")
    for method in ("GET", "PATCH", "PUT", "DELETE"):
        answer = await client.call(method, f"{elsewhere}?digest={digest_of(b'x')}", b"x")
        assert (answer.status, answer.codes) == (404, ["BLOB_UPLOAD_UNKNOWN"])
    assert (await client.call("GET", location)).status == 204


RANGES = [
    *[("0-3", 416), ("4-3", 416), ("6-9", 416), ("9223372036854775808-9223372036854775811", 416)],
    *[("x-y", 416), ("4", 416), ("-4", 416), ("", 416), ("4-8", 400), ("4-6", 400), ("4-99999999999999999999", 416)],
]


@pytest.mark.parametrize(("span", "status"), RANGES)
async def test_chunks_that_do_not_fit(client: Client, span: str, status: int) -> None:
    """They overlap, leave a gap, run backwards, are no range, or are not as long as they say."""
    location = await client.begin()
    await client.call("PATCH", location, b"0123", BYTES | {"Content-Range": "0-3"})
    for _ in range(2):
        answer = await client.call("PATCH", location, b"4567", BYTES | {"Content-Range": span})
        assert answer.status == status
        assert answer.codes == ["RANGE_INVALID" if status == 416 else "SIZE_INVALID"]
    assert (await client.call("GET", location)).headers["Range"] == "0-3"
    assert (await client.call("PUT", location, b"4567", BYTES, digest=digest_of(b"01234567"))).status == 201


@pytest.mark.parametrize("claimed", ["4-6", "4-8"])
async def test_a_stream_that_is_not_as_long_as_it_says(client: Client, claimed: str) -> None:
    async def stream() -> Any:
        yield b"45"
        yield b"67"

    location = await client.begin()
    await client.call("PATCH", location, b"0123", BYTES)
    answer = await client.call("PATCH", location, stream(), BYTES | {"Content-Range": claimed})
    assert (answer.status, answer.codes) == (400, ["SIZE_INVALID"])
    assert (await client.call("GET", location)).headers["Range"] == "0-3"
    assert (await client.call("PUT", location, b"4567", BYTES, digest=digest_of(b"01234567"))).status == 201


async def test_two_writers_of_one_upload(client: Client) -> None:
    """The second is refused before long; what the first sends is whole."""
    location, goes_on = await client.begin(), asyncio.Event()

    async def slow() -> Any:
        yield b"x" * 2 * PIECE_BYTES
        await goes_on.wait()
        yield b"y"

    first = asyncio.create_task(client.call("PATCH", location, slow(), BYTES))

    async def written() -> str:
        return (await client.call("GET", location)).headers["Range"]

    seen: str = await wait_until(written, "0-0".__ne__, why="the first bytes written")
    assert seen.startswith("0-")
    for method in ("PATCH", "PUT", "DELETE"):
        answer = await client.call(method, location + f"?digest={digest_of(b'z')}", b"z", BYTES)
        assert (answer.status, answer.codes) == (409, ["BLOB_UPLOAD_INVALID"])
    goes_on.set()
    assert (await first).status == 202
    whole = b"x" * 2 * PIECE_BYTES + b"y"
    assert (await client.call("PUT", location, digest=digest_of(whole))).status == 201


async def test_bytes_are_kept_as_they_were_sent(client: Client) -> None:
    """Content-Encoding says nothing of a digest."""
    packed = gzip.compress(b"layer", mtime=0)
    headers = BYTES | {"Content-Encoding": "gzip"}
    answer = await client.call("PUT", await client.begin(), packed, headers, digest=digest_of(packed))
    assert answer.status == 201
    assert (await client.call("GET", f"blobs/{digest_of(packed)}")).body == packed


async def test_less_than_was_announced(client: Client, image_registry: ImageRegistry) -> None:
    """A body that ends early makes no blob of what came."""
    location = await client.begin()
    context = ssl.create_default_context(cafile=str(image_registry.authority))
    reader, writer = await asyncio.open_connection("127.0.0.1", image_registry.port, ssl=context)
    path = f"{location}?digest={digest_of(b'only this')}"
    writer.write(f"PUT {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nonly this".encode())
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    assert not await reader.read()
    assert (await client.call("HEAD", f"blobs/{digest_of(b'only this')}")).status == 404


CONFIG_BLOB = descriptor(b"{}", CONFIG)
DEEP = b'{"a":' * 100_000 + b"1" + b"}" * 100_000
MANIFESTS: list[tuple[str, Any, str]] = [
    ("no JSON", b"{", IMAGE),
    ("no object", b"[]", IMAGE),
    ("empty", b"", IMAGE),
    ("no text", b"\xff\xfe{}", IMAGE),
    ("not a number", b'{"schemaVersion": NaN}', IMAGE),
    ("nested without end", DEEP, IMAGE),
    ("a field twice", b'{"schemaVersion":2,"config":{},"config":{}}', IMAGE),
    ("another media type than the header's", image_manifest(CONFIG_BLOB, []), DOCKER_IMAGE),
    ("a media type unknown", {"schemaVersion": 2, "mediaType": "text/plain"}, "text/plain"),
    ("no media type at all", {"schemaVersion": 2, "config": CONFIG_BLOB, "layers": []}, ""),
    ("schema 1", image_manifest(CONFIG_BLOB, [], schemaVersion=1), IMAGE),
    ("schema true", image_manifest(CONFIG_BLOB, [], schemaVersion=True), IMAGE),
    ("an image that is an index, too", image_manifest(CONFIG_BLOB, [], manifests=[]), IMAGE),
    ("an index that is an image, too", index(config=CONFIG_BLOB, layers=[]), INDEX),
    ("layers of an index", index(layers=[]), INDEX),
    ("no config", {"schemaVersion": 2, "mediaType": IMAGE, "layers": []}, IMAGE),
    ("no manifests", {"schemaVersion": 2, "mediaType": INDEX}, INDEX),
    ("layers no list", image_manifest(CONFIG_BLOB, {"0": CONFIG_BLOB}), IMAGE),  # type: ignore[arg-type]
    ("a size below zero", image_manifest(CONFIG_BLOB | {"size": -1}, []), IMAGE),
    ("a size that is none", image_manifest(CONFIG_BLOB | {"size": "2"}, []), IMAGE),
    ("a size of 2^63", image_manifest(CONFIG_BLOB | {"size": 2**63}, []), IMAGE),
    ("the size of another", image_manifest(CONFIG_BLOB | {"size": 3}, []), IMAGE),
    ("a digest too short", image_manifest(CONFIG_BLOB | {"digest": "sha256:short"}, []), IMAGE),
    ("a digest that climbs", image_manifest(CONFIG_BLOB | {"digest": "sha256:../../../etc"}, []), IMAGE),
    ("a digest that is none", image_manifest(CONFIG_BLOB | {"digest": 5}, []), IMAGE),
    ("a subject that is none", image_manifest(CONFIG_BLOB, [], subject="x"), IMAGE),
    ("annotations of numbers", image_manifest(CONFIG_BLOB, [], annotations={"a": 1}), IMAGE),
    ("an artifact type of numbers", image_manifest(CONFIG_BLOB, [], artifactType=1), IMAGE),
]


@pytest.mark.parametrize(("content", "kind"), [each[1:] for each in MANIFESTS], ids=[each[0] for each in MANIFESTS])
async def test_manifests(client: Client, image_registry: ImageRegistry, content: Any, kind: str) -> None:
    await client.push_blob(b"{}")
    before = files(image_registry)
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    answer = await client.call("PUT", "manifests/v1", body, {"Content-Type": kind})
    assert (answer.status, answer.codes) == (400, ["MANIFEST_INVALID"])
    assert (await client.call("GET", "manifests/v1")).status == 404
    assert files(image_registry) == before


async def test_layers_that_lie_elsewhere_are_nobodys_errand(client: Client) -> None:
    """Layers that may not be given away have URLs, which are the puller's business: nothing here dials them."""
    dialled = asyncio.Event()

    async def note(_reader: Any, writer: asyncio.StreamWriter) -> None:
        dialled.set()
        writer.close()

    server = await asyncio.start_server(note, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/layer"
        foreign = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
        await client.push_blob(b"{}")
        layers = [descriptor(b"elsewhere", foreign) | {"urls": [url]}]
        await client.push_manifest("v1", image_manifest(CONFIG_BLOB, layers))
        assert (await client.call("GET", "manifests/v1")).status == 200
        assert (await client.call("GET", f"blobs/{digest_of(b'elsewhere')}")).status == 404
        absent = image_manifest(CONFIG_BLOB, [descriptor(b"elsewhere", LAYER) | {"urls": [url]}])
        answer = await client.call("PUT", "manifests/v2", json.dumps(absent), {"Content-Type": IMAGE})
        assert answer.codes == ["MANIFEST_BLOB_UNKNOWN"]
    assert not dialled.is_set()


async def test_indexes_nested_a_hundred_deep(client: Client) -> None:
    """Each needs the one before: a circle cannot be pushed, and depth costs nothing."""
    below = json.dumps(await client.image(b"layer")).encode()
    await client.push_manifest(digest_of(below), json.loads(below))
    for _ in range(100):
        manifest = index(descriptor(below, json.loads(below)["mediaType"]))
        below = json.dumps(manifest).encode()
        await client.push_manifest(digest_of(below), manifest)
    assert (await client.call("GET", f"manifests/{digest_of(below)}")).body == below


async def test_a_range_of_a_thousand_parts_is_the_whole(client: Client) -> None:
    digest = await client.push_blob(b"content")
    parts = ",".join("0-0" for _ in range(1000))
    answer = await client.call("GET", f"blobs/{digest}", headers={"Range": f"bytes={parts}"})
    assert (answer.status, answer.body) == (200, b"content")


NOWHERE = ["/", "/v1/", "/v2/x", "/v2/x/blobs", "/v2//tags/list", "/v3/x/tags/list", "/v2/_catalog/x"]


@pytest.mark.parametrize("path", NOWHERE)
async def test_paths_that_lead_nowhere(client: Client, path: str) -> None:
    answer = await client.call("GET", path)
    assert (answer.status, answer.codes) == (404, ["UNSUPPORTED"])


async def test_nothing_is_said_without_tls(image_registry: ImageRegistry) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", image_registry.port)
    writer.write(b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b"HTTP" not in await reader.read()
    writer.close()


async def test_pushes_pulls_and_deletes_at_once(client: Client) -> None:
    """Each finds the image whole or not at all; none is ever a fault of the registry."""
    manifest = await client.image(b"layer")
    digest = digest_of(json.dumps(manifest).encode())

    async def push() -> None:
        for _ in range(20):
            answer = await client.call("PUT", "manifests/v1", json.dumps(manifest), {"Content-Type": IMAGE})
            assert answer.status == 201 or answer.codes == ["MANIFEST_BLOB_UNKNOWN"]
            await client.push_blob(b"layer")

    async def delete(path: str, allowed: set[int]) -> None:
        for _ in range(20):
            assert (await client.call("DELETE", path)).status in allowed

    async def pull() -> None:
        for _ in range(40):
            answer = await client.call("GET", "manifests/v1")
            assert answer.status == 404 or digest_of(answer.body) == digest

    await asyncio.gather(
        push(),
        pull(),
        delete("manifests/v1", {202, 404}),
        delete(f"manifests/{digest}", {202, 404}),
        delete(f"blobs/{digest_of(b'layer')}", {202, 404, 405}),
    )
