"""What the registry holds, as tables and in ECR's words."""

import re

import pytest

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


def test_a_repository_that_goes_meanwhile_is_no_failure(
    bridge: Bridge, busybox_image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def seen(_: object) -> list[str]:
        return ["listed/gone", "listed/there"]

    bridge.image("push", busybox_image, "listed/there")
    monkeypatch.setattr("shoal.cli.image_list._repositories", seen)
    assert bridge.run("ls", "-o", "name").out == "listed/there:latest\n"


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
    happened = bridge.shell.shoal("repository", "events", "described").stdout
    assert "PUSH" in happened and "PULL" not in happened, "to look is no pull"


def test_what_is_archived_says_so(bridge: Bridge, busybox_image: str) -> None:
    bridge.image("push", busybox_image, "archived:v1")
    bridge.shell.shoal("repository", "archive", "archived:v1")
    assert bridge.run("ls", "archived").out.rstrip().endswith("ago, archived")
    assert bridge.run("tags", "archived", "-o", "name").out == "v1\n"
    assert "archived: shoal repository restore archived:v1" in bridge.run("describe", "archived:v1").out
    code, said = bridge.refused("load", "archived:v1")
    assert code == 3
    assert "is archived" in said and "shoal repository restore archived@sha256:" in said


def test_what_is_not_there(bridge: Bridge) -> None:
    for words in (("ls", "no/such"), ("tags", "no/such"), ("describe", "no/such:v1")):
        code, said = bridge.refused(*words)
        assert code == 3, said
        assert "no/such" in said
    assert bridge.refused("describe", "A/b")[0] == 1


def test_deletes(bridge: Bridge, busybox_image: str) -> None:
    """Tags one by one, and the image with the last; by digest with all of them."""
    for name in ("deleted:v1", "deleted:v2", "deleted/other:v1", "deleted/other:v2"):
        digest = bridge.image("push", busybox_image, name)["image"]["imageId"]["imageDigest"]
    assert "says no tag" in bridge.refused("rm", "deleted")[1]
    assert bridge.image("rm", "deleted:v1")["imageIds"] == [{"imageDigest": digest, "imageTag": "v1"}]
    assert [each["imageTags"] for each in bridge.image("ls", "deleted")["imageDetails"]] == [["v2"]]
    partly = bridge.run("rm", "deleted/none:v1", "deleted/other:v1")
    assert (partly.code, partly.out) == (1, f"v1 {digest}\n"), "what was deleted is said, whatever was not"
    assert "There is no repository deleted/none" in partly.err
    result = bridge.run("rm", "deleted:v2", "deleted:v1", f"deleted/other@{digest}")
    assert result.code == 1
    assert re.search(r"Not deleted: v1: .*v1", result.err)
    assert f"v2 {digest}" in result.out.splitlines()
    for repository in ("deleted", "deleted/other"):
        assert not bridge.image("ls", repository, "--all")["imageDetails"]
    assert bridge.refused("load", "deleted:v2")[0] == 3
