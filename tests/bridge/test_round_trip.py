"""From an engine to the registry and back, by digests and by what runs."""

import json
import random
from pathlib import Path

import pytest
from shoal.bridge import manifest
from shoal.bridge.transfer import Repository

from tests.bridge.conftest import Bridge, Builder, damage

GREETING = b"from another layer"


def test_there_and_back(bridge: Bridge, builder: Builder) -> None:
    """What was pushed comes back as the same image, and runs; a second push sends nothing, under whichever name."""
    identity = bridge.identity(builder.image("greeter:v1", b"one", GREETING, GREETING, command="cat /file1"))
    first = bridge.image("push", "greeter:v1", "team/greeter")
    assert first["imageUri"].startswith(f"{bridge.registry.address}/team/greeter@sha256:")
    assert first["sentBytes"] == first["imageSizeInBytes"]
    again = bridge.image("push", "greeter:v1", "team/greeter:again")
    assert (again["sentBytes"], again["image"]["imageId"]["imageTag"]) == (0, "again")
    assert again["image"]["imageId"]["imageDigest"] == first["image"]["imageId"]["imageDigest"]
    bridge.engine.docker("rmi", "greeter:v1")
    loaded = bridge.image("load", "team/greeter:again", "came:back")
    assert loaded["local"] == {"id": identity, "name": "came:back"}
    assert bridge.engine.docker("run", "--rm", "--network=none", "came:back") == GREETING.decode()


def test_mounted(bridge: Bridge, builder: Builder) -> None:
    """What another repository has is not sent, also by one who knows nothing of what was sent before."""
    builder.image("mounted:v1", random.Random(1).randbytes(100_000))
    sent = bridge.image("push", "mounted:v1", "first/place")["sentBytes"]
    for file in bridge.cache.rglob("*.json"):
        file.unlink()
    again = bridge.image("push", "mounted:v1", "second/place")
    assert 0 < again["sentBytes"] < 10_000 < sent
    bridge.engine.docker("rmi", "mounted:v1")
    bridge.image("load", "second/place", "mounted:v2")


def test_one_layer_more(bridge: Bridge, builder: Builder) -> None:
    """Of an image that is made of another one, only the new layer and the config are sent, and loaded."""
    builder.image("grown:v1", random.Random(2).randbytes(2_000_000))
    first = bridge.image("push", "grown:v1", "grown")
    builder.image("grown:v2", b"on top", below="grown:v1")
    identity, second = bridge.identity("grown:v2"), bridge.image("push", "grown:v2")
    assert second["sentBytes"] < 10_000 < first["sentBytes"]
    assert second["image"]["imageId"]["imageTag"] == "v2"
    bridge.engine.docker("rmi", "grown:v2")
    # The engine still has the layer of the first one: it is not asked for, though nobody could have it any more.
    damage(bridge.registry.store, 2_000_000)
    assert bridge.image("load", "grown:v2")["local"]["id"] == identity
    bridge.engine.docker("rmi", "grown:v1", "grown:v2")
    bridge.refused("load", "grown:v2")


def test_a_saved_file(bridge: Bridge, builder: Builder, tmp_path: Path) -> None:
    """`docker load` takes it, without a registry."""
    identity, file = bridge.identity(builder.image("saved:v1", GREETING)), tmp_path / "saved.tar"
    bridge.image("push", "saved:v1")
    bridge.engine.docker("rmi", "saved:v1")
    bridge.image("save", "saved:v1", str(file))
    bridge.engine.docker("load", "--input", str(file))
    assert bridge.identity("saved:v1") == identity
    assert bridge.engine.docker("run", "--rm", "--network=none", "saved:v1") == GREETING.decode()


def test_layers_of_the_same_size(bridge: Bridge, builder: Builder) -> None:
    """Which of them the registry has is not guessed by that."""
    chance = random.Random(13)
    builder.image("same:v1", chance.randbytes(1_500_000))
    bridge.image("push", "same:v1")
    builder.image("same:v2", chance.randbytes(1_500_000), below="same:v1")
    identity, pushed = bridge.identity("same:v2"), bridge.image("push", "same:v2")
    assert 1_500_000 < pushed["sentBytes"] < 2_000_000
    bridge.engine.docker("rmi", "same:v1", "same:v2")
    assert bridge.image("load", "same:v2")["local"]["id"] == identity


def test_a_cache_that_cannot_be_read(bridge: Bridge, builder: Builder) -> None:
    """It costs the time to compress, and is mended."""
    builder.image("cached:v1", b"content")
    bridge.image("push", "cached:v1")
    files = list(bridge.cache.rglob("*.json"))
    for file, content in zip(files, ("", '{"digest": "../x", "size": 1, "plainSize": 1}'), strict=True):
        file.write_text(content)
    assert bridge.image("push", "cached:v1")["sentBytes"] < 10_000
    assert all(json.loads(file.read_text())["digest"].startswith("sha256:") for file in files)


def test_what_is_collected_meanwhile(bridge: Bridge, builder: Builder, monkeypatch: pytest.MonkeyPatch) -> None:
    """A blob that is there when the push begins and gone when it ends is sent after all."""
    identity = bridge.identity(builder.image("lost:v1", random.Random(12).randbytes(1_500_000)))
    first = bridge.image("push", "lost:v1")
    bridge.image("rm", "lost:v1")
    put_manifest = Repository.put_manifest
    lost: list[str] = []

    async def put_later(repository: Repository, reference: str, content: bytes, media_type: str) -> None:
        if not lost:
            lost.append(manifest.layers(content)[-1].digest)
            (await repository.exchange.ask("DELETE", repository.name, f"blobs/{lost[0]}")).demand(202)
        await put_manifest(repository, reference, content, media_type)

    monkeypatch.setattr(Repository, "put_manifest", put_later)
    again = bridge.image("push", "lost:v1")
    assert len(lost) == 1
    assert again["image"] == first["image"]
    assert again["sentBytes"] > 1_500_000
    bridge.engine.docker("rmi", "lost:v1")
    assert bridge.image("load", "lost:v1")["local"]["id"] == identity
