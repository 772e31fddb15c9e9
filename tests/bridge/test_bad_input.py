"""What nobody should say or do: each time a sentence that helps, and nothing left behind."""

import contextlib
import random
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from shoal import context

from tests.bridge.conftest import Bridge, BridgeFactory, Builder, damage
from tests.ground.certificates import Certificates
from tests.ground.image_registry import ImageRegistry

DIGEST = "sha256:" + 64 * "0"
FAILED, NOT_FOUND, UNREACHABLE = 1, 3, 4


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("push", "no-such-image"), NOT_FOUND, "no image 'no-such-image'"),
        (("push", "../containers/json"), FAILED, "no image's name"),
        (("push", "busybox:shoal-test", f"web@{DIGEST}"), FAILED, "give it a tag"),
        (("push", "busybox:shoal-test", "web@sha256:short"), FAILED, "no digest"),
        (("push", "busybox:shoal-test", "other.example:5000/web"), FAILED, "of another registry"),
        (("push", "busybox:shoal-test", "Web"), FAILED, "no repository's name"),
        (("push", "busybox:shoal-test", "a//b"), FAILED, "no repository's name"),
        (("push", "busybox:shoal-test", "../../x"), FAILED, "of another registry"),
        (("push", "busybox:shoal-test", "web:" + 129 * "x"), FAILED, "no tag"),
        (("push", "busybox:shoal-test", "web:"), FAILED, "no tag"),
        (("push", "busybox:shoal-test", "web:a:b"), FAILED, "no tag"),
        (("push", "busybox:shoal-test", "web@"), FAILED, "no digest"),
        (("push", "busybox:shoal-test", 300 * "x"), FAILED, "no repository's name"),
        (("push", 64 * "0"), FAILED, "says no name"),
        (("load", "no/such:v1"), NOT_FOUND, "There is no repository no/such"),
        (("load", f"no/such@{DIGEST}"), NOT_FOUND, "There is no repository no/such"),
        (("load", "no/such", "Local"), FAILED, "no repository's name"),
        (("load", "no/such", f"local@{DIGEST}"), FAILED, "names images by tags"),
        (("load", "no/such", "--platform", "linux"), FAILED, "no platform"),
        (("load",), 2, "Give the NAME"),
        (("load", "--input", "/no/such.tar"), FAILED, "No such file"),
        (("load", "--input", "/etc/hostname"), FAILED, "no tar archive"),
        (("save", "no/such", "/no/such/folder/file.tar"), NOT_FOUND, "There is no repository no/such"),
        (("push", "busybox:shoal-test", "--docker-host", "unix:///no/such.sock"), UNREACHABLE, "No engine answers"),
        (("push", "busybox:shoal-test", "--docker-host", "ssh://somewhere"), FAILED, "no engine's address"),
        (("push", "busybox:shoal-test", "--registry", "127.0.0.1:1"), UNREACHABLE, "cannot be reached"),
    ],
)
def test_wrong_words(
    words: tuple[str, ...], code: int, said: str, bridge: Bridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shoal.bridge.exchange.PAUSE_SECONDS", 0.0)
    found, heard = bridge.refused(*words)
    assert (found, said in heard) == (code, True), heard


def test_an_authority_that_is_not_known(
    bridge_to: BridgeFactory, image_registry: ImageRegistry, tmp_path: Path
) -> None:
    bridge = bridge_to(image_registry)
    stranger = Certificates(tmp_path / "stranger")
    text = (bridge.folder / "contexts.json").read_text()
    (bridge.folder / "contexts.json").write_text(text.replace(str(image_registry.authority), str(stranger.authority)))
    code, said = bridge.refused("push", "busybox:shoal-test", "web")
    assert code == UNREACHABLE
    assert "authority" in said


@pytest.mark.parametrize(
    ("role", "code", "said"),
    [("agent", FAILED, "may not push"), ("scheduler", FAILED, "knows nobody"), ("nobody", UNREACHABLE, "reached")],
)
def test_who_may_not(
    role: str, code: int, said: str, bridge: Bridge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An agent, which may pull only; a program that has nothing to do with images; a stranger's certificate."""
    monkeypatch.setattr("shoal.bridge.exchange.PAUSE_SECONDS", 0.0)
    known = bridge.registry.certificates
    issued = known.files(role, "a") if role != "nobody" else Certificates(tmp_path).files("operator", "operator")
    chosen = context.load(bridge.folder / "contexts.json")
    other = replace(chosen.choose(), certificate=issued.certificate, key=issued.key)
    context.save(chosen.with_context(other))
    found, heard = bridge.refused("push", "busybox:shoal-test", "not/mine")
    assert (found, said in heard) == (code, True), heard


def test_an_engine_behind_tls(bridge: Bridge, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would be spoken to in the clear."""
    with monkeypatch.context() as verifying:
        verifying.setenv("DOCKER_TLS_VERIFY", "1")
        assert "TLS is not spoken" in bridge.refused("push", "web", "--docker-host", "tcp://127.0.0.1:2376")[1]


@pytest.mark.parametrize("words", [("push", "busybox:shoal-test"), ("ls",)])
def test_certificates_that_cannot_be_used(words: tuple[str, ...], bridge: Bridge, tmp_path: Path) -> None:
    chosen = context.load(bridge.folder / "contexts.json")
    (tmp_path / "empty.key").touch()
    for key, said in (
        (tmp_path / "missing.key", "missing.key: No such file"),
        (tmp_path / "empty.key", "cannot be used"),
    ):
        context.save(chosen.with_context(replace(chosen.choose(), key=key)))
        assert said in bridge.refused(*words)[1]


def test_a_context_without_registry(bridge: Bridge) -> None:
    text = (bridge.folder / "contexts.json").read_text()
    (bridge.folder / "contexts.json").write_text(text.replace('"registry"', '"unknown"'))
    code, said = bridge.refused("push", "busybox:shoal-test", "web")
    assert code == UNREACHABLE
    assert "names no image registry" in said


def test_a_damaged_blob(bridge: Bridge, builder: Builder, tmp_path: Path) -> None:
    """One byte in the registry's store: no engine and no file takes it."""
    content = random.Random(3).randbytes(500_000)
    identity = bridge.identity(builder.image("damaged:v1", content))
    bridge.image("push", "damaged:v1")
    bridge.engine.docker("rmi", "damaged:v1")
    damage(bridge.registry.store, len(content))
    target = tmp_path / "damaged.tar"
    for words in (("load", "damaged:v1"), ("save", "damaged:v1", str(target))):
        _, said = bridge.refused(*words)
        # Where the store is encrypted the registry sees it itself.
        assert "sent something else than sha256:" in said or "has no blob" in said, said
    assert identity not in bridge.engine.docker("images", "--all", "--quiet", "--no-trunc").split()
    assert not [path for path in tmp_path.iterdir() if target.name in path.name]


@contextlib.contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "shoal-test", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_full_disks(bridge: Bridge, builder: Builder, tmp_path: Path) -> None:
    """Where layers wait to be sent, and where a file is saved: said which, nothing left, and done again it works."""
    builder.image("large:v1", random.Random(4).randbytes(3_000_000))
    with small_disk(bridge.spool, "1m"):
        _, said = bridge.refused("push", "large:v1")
        assert str(bridge.spool) in said
        assert "TMPDIR" in said
    bridge.image("push", "large:v1")
    files = tmp_path / "files"
    files.mkdir()
    with small_disk(files, "1m"):
        _, said = bridge.refused("save", "large:v1", str(files / "large.tar"))
        assert "No room" in said
        assert not list(files.iterdir())


def test_a_registry_whose_disk_is_full(
    bridge_to: BridgeFactory, certificates: Certificates, builder: Builder, tmp_path: Path
) -> None:
    """It says so, and not that it cannot be reached; once there is room, the same push goes through."""
    builder.image("heavy:v1", random.Random(5).randbytes(6_000_000))
    (tmp_path / "disk").mkdir()
    with small_disk(tmp_path / "disk", "5m"):
        registry = ImageRegistry(tmp_path / "disk" / "registry", certificates, is_open=False)
        registry.start()
        try:
            bridge = bridge_to(registry)
            code, said = bridge.refused("push", "heavy:v1")
            assert (code, "disk is full" in said) == (FAILED, True), said
            subprocess.run(["mount", "-o", "remount,size=50m", str(tmp_path / "disk")], check=True)
            bridge.image("push", "heavy:v1")
        finally:
            registry.end()


@pytest.mark.parametrize("damage", ["cut", "changed", "no tar", "empty", "two", "outside"])
def test_files_that_are_no_image(damage: str, bridge: Bridge, builder: Builder, tmp_path: Path) -> None:
    builder.image("filed:v1", b"content")
    bridge.image("push", "filed:v1")
    bridge.image("save", "filed:v1", str(tmp_path / "whole.tar"))
    bridge.engine.docker("rmi", "filed:v1")
    whole = (tmp_path / "whole.tar").read_bytes()
    header, at = whole[:512], len(whole) // 2
    damaged = {
        "cut": whole[:-2000],
        "changed": whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :],
        "no tar": b"x" * 1024,
        "empty": b"",
        "two": whole[:1024] + whole,
        "outside": _renamed(header, b"../outside") + whole[512:],
    }[damage]
    (tmp_path / "damaged.tar").write_bytes(damaged)
    before = bridge.engine.docker("images", "--all", "--quiet", "--no-trunc")
    code, said = bridge.refused("load", "--input", str(tmp_path / "damaged.tar"))
    assert code == FAILED
    assert "Error:" in said
    assert bridge.engine.docker("images", "--all", "--quiet", "--no-trunc") == before


def _renamed(header: bytes, path: bytes) -> bytes:
    """A tar's header with another path, and its sum right again."""
    named = path.ljust(100, b"\0") + header[100:]
    blank = named[:148] + b" " * 8 + named[156:]
    return named[:148] + f"{sum(blank):06o}\0 ".encode() + named[156:]
