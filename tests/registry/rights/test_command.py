"""`shoal registry` as an operator uses it, against a real registry."""

import base64
import json
import os
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from shoal import context, engine_trust
from shoal.context import Context

from tests.ground.certificates import Certificates
from tests.ground.image_registry import ImageRegistry
from tests.unit.cli.conftest import Result, shoal

__all__ = ["shoal"]
Command = Callable[..., Result]


@pytest.fixture
def registry(
    shoal: Command, closed_registry: ImageRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Command:
    """`shoal registry …`, with a context of an operator's and a configuration of docker's own."""
    issued = closed_registry.certificates.files("operator", "ann")
    files = (closed_registry.authority, issued.certificate, issued.key)
    chosen = Context("default", ("127.0.0.1:1",), "default", *files, registry=closed_registry.address)
    context.save(context.load().with_context(chosen))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    return lambda *arguments, **options: shoal("registry", *arguments, **options)


def test_an_account(registry: Command, closed_registry: ImageRegistry) -> None:
    """Is created, listed without its secret, changed, given another one and removed."""
    created = registry("account", "create", "web-ci", "--push", "team/*", "--pull", "base/*", "--expires", "90d")
    assert created.code == 0
    secret = created.out.strip()
    listed = registry("account", "ls")
    assert "web-ci" in listed.out and "pull base/*; pull,push team/*" in listed.out and secret not in listed.out
    twice = registry("account", "create", "web-ci")
    assert (twice.code, "ACCOUNT_EXISTS" in twice.err) == (1, True)
    assert "has no secret" in registry("login", "--account", "web-ci").err
    assert registry("login", "--account", "web-ci", text=secret).code == 0
    rotated = registry("account", "rotate", "web-ci").out.strip()
    assert registry("login", "--account", "web-ci", text=secret).code == 1
    assert registry("login", "--account", "web-ci", text=rotated).code == 0
    assert registry("account", "update", "web-ci", "--disable", "--delete", "team/*").code == 0
    (found,) = json.loads(registry("account", "ls", "-o", "json").out)["accounts"]
    assert (found["rights"], found["disabled"]) == ([{"repositories": "team/*", "actions": ["delete"]}], True)
    assert registry("login", "--account", "web-ci", text=rotated).code == 1
    gone = registry("account", "rm", "nobody", "web-ci")
    assert (gone.code, gone.out) == (3, "web-ci\n")
    assert registry("account", "rm", "web-ci").code == 3
    assert secret not in closed_registry.log.read_text()


@pytest.mark.parametrize("wrong", [("create", "Web"), ("create", "a", "--pull", "A"), ("create", "..", "--user")])
def test_no_account(registry: Command, wrong: tuple[str, ...]) -> None:
    refused = registry("account", *wrong)
    assert refused.code == 1
    assert refused.err.startswith("Error:")
    assert registry("account", "ls", "-o", "name").out == ""


@pytest.mark.parametrize("words", [("registry", "account", "ls"), ("repository", "ls"), ("image", "ls")])
def test_what_keeps_from_reaching_a_registry_is_said_alike(
    shoal: Command, registry: Command, closed_registry: ImageRegistry, tmp_path: Path, words: tuple[str, ...]
) -> None:
    """By whatever command: which file cannot be used, whose certificate it is, what is no address."""
    known = context.load().choose("default")
    absent, broken = tmp_path / "absent.crt", tmp_path / "broken.crt"
    broken.write_text("nothing")
    stranger = Certificates(tmp_path / "stranger")
    stranger.files("operator", "ann")
    for name, changed in {
        "absent": replace(known, certificate=absent),
        "broken": replace(known, certificate=broken),
        "stranger": replace(known, authority=stranger.authority),
        "none": replace(known, registry=None),
    }.items():
        context.save(context.load().with_context(replace(changed, name=name)))
    said = {name: shoal("--context", name, *words).err for name in ("absent", "broken", "stranger", "none")}
    assert str(absent) in said["absent"]
    assert "cannot be used" in said["broken"] and "shoal context show" in said["broken"]
    assert f"The certificate of {closed_registry.address} is not one" in said["stranger"]
    assert "names no image registry" in said["none"]
    for wrong in ("", "here", "here:port", "https://here:1/"):
        assert "is no HOST:PORT" in shoal("--context", "default", *words, "--registry", wrong).err


def test_login_keeps_what_docker_had(registry: Command, closed_registry: ImageRegistry, tmp_path: Path) -> None:
    kept = tmp_path / "docker" / "config.json"
    kept.parent.mkdir()
    kept.write_text('{"auths": {"other.example": {"auth": "eA=="}}, "detachKeys": "ctrl-e"}')
    assert str(kept) in registry("login").out
    document = json.loads(kept.read_text())
    assert document["auths"]["other.example"] == {"auth": "eA=="} and document["detachKeys"] == "ctrl-e"
    said = base64.b64decode(document["auths"][closed_registry.address]["auth"]).decode()
    assert said.startswith("AWS:")
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    printed = registry("login", "--print").out.strip()
    assert registry("login", "--account", "AWS", text=printed).code == 0, "it is a password like any other"


def test_login_hands_secrets_to_dockers_helper(
    registry: Command, closed_registry: ImageRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    helper = tmp_path / "bin" / "docker-credential-test"
    helper.parent.mkdir()
    helper.write_text(f'#!/bin/sh\n[ "$1" = store ] && cat > {tmp_path}/told\n')
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{helper.parent}:{os.environ['PATH']}")
    kept = tmp_path / "docker" / "config.json"
    kept.parent.mkdir()
    kept.write_text('{"credsStore": "test"}')
    assert "docker-credential-test" in registry("login").out
    assert json.loads((tmp_path / "told").read_text())["ServerURL"] == closed_registry.address
    assert kept.read_text() == '{"credsStore": "test"}'


def test_a_configuration_that_is_none_stays(registry: Command, tmp_path: Path) -> None:
    kept = tmp_path / "docker" / "config.json"
    kept.parent.mkdir()
    kept.write_text("{")
    refused = registry("login")
    assert refused.code == 1 and str(kept) in refused.err
    assert kept.read_text() == "{"


def test_trust(registry: Command, closed_registry: ImageRegistry, tmp_path: Path) -> None:
    """Says what it did, which is nothing the second time."""
    path = tmp_path / "certs.d" / closed_registry.address / "shoal.crt"
    assert "is known now" in registry("trust", "--to", tmp_path / "certs.d").out
    assert path.read_bytes() == closed_registry.authority.read_bytes()
    assert "already" in registry("trust", "--to", tmp_path / "certs.d").out
    path.write_text("another")
    assert "is known now" in registry("trust", "--to", tmp_path / "certs.d").out
    assert path.read_bytes() == closed_registry.authority.read_bytes()
    assert registry("trust", "--to", tmp_path / "certs.d", "--registry", "../../etc:1").code == 2


def test_trust_is_for_root(registry: Command, closed_registry: ImageRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is not learns what to type."""

    def refuse(*_: object) -> bool:
        raise PermissionError

    monkeypatch.setattr(engine_trust, "trust", refuse)
    refused = registry("trust")
    assert refused.code == 1 and "is for root to write" in refused.err and "Try: sudo SHOAL_CONFIG=" in refused.err


def test_a_context_without_a_registry(shoal: Command, closed_registry: ImageRegistry) -> None:
    issued = closed_registry.certificates.files("operator", "ann")
    files = (closed_registry.authority, issued.certificate, issued.key)
    context.save(context.load().with_context(Context("default", ("127.0.0.1:1",), "default", *files)))
    refused = shoal("registry", "account", "ls")
    assert refused.code == 4 and "--registry HOST:PORT" in refused.err
