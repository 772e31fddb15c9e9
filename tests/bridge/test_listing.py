"""What the registry holds, as tables and in ECR's words."""

import re

from tests.bridge.conftest import Bridge


def test_lists(bridge: Bridge, busybox_image: str) -> None:
    pushed = [bridge.image("push", busybox_image, name) for name in ("listed/one:v1", "listed/one:v2", "listed/two")]
    digest = pushed[0]["image"]["imageId"]["imageDigest"]
    listed = bridge.image("ls")["imageDetails"]
    ours = [each for each in listed if each["repositoryName"].startswith("listed/")]
    assert [(each["repositoryName"], each["imageTags"]) for each in ours] == [
        ("listed/one", ["v1", "v2"]),
        ("listed/two", ["latest"]),
    ]
    assert {each["imageDigest"] for each in ours} == {digest}
    assert {each["imageSizeInBytes"] for each in ours} == {pushed[0]["imageSizeInBytes"]}
    table = bridge.run("ls", "listed/one").out.splitlines()
    assert table[0].split() == ["REPOSITORY", "TAGS", "DIGEST", "SIZE", "PUSHED"]
    assert re.fullmatch(rf"listed/one   v1, v2   {digest[:19]}   [0-9.]+ MiB   \w+ ago", table[1])
    assert bridge.run("ls", "listed/one", "-o", "name").out.split() == ["listed/one:v1", "listed/one:v2"]
    assert bridge.image("tags", "listed/one")["imageIds"] == [
        {"imageDigest": digest, "imageTag": "v1"},
        {"imageDigest": digest, "imageTag": "v2"},
    ]
    assert bridge.run("tags", "listed/one", "-o", "name").out.split() == ["v1", "v2"]


def test_describes(bridge: Bridge, busybox_image: str) -> None:
    digest = bridge.image("push", busybox_image, "described")["image"]["imageId"]["imageDigest"]
    for name in ("described", f"described@{digest}", f"{bridge.registry.address}/described:latest"):
        described = bridge.image("describe", name)
        assert described["imageDetails"][0]["imageDigest"] == digest
        assert described["imageConfig"]["config"]["Cmd"][-1] == "/bin/sh"
    shown = bridge.run("describe", "described").out
    assert re.search(r"Platform +linux/", shown)
    assert re.search(rf"Digest +{digest}", shown)
    assert re.search(r"Layers +sha256:\w+  [0-9.]+ MiB", shown)


def test_what_is_not_there(bridge: Bridge) -> None:
    for words in (("ls", "no/such"), ("tags", "no/such"), ("describe", "no/such:v1")):
        code, said = bridge.refused(*words)
        assert code == 3, said
        assert "no/such" in said
    assert bridge.refused("describe", "A/b")[0] == 1
