"""`shoal repository` as an operator uses it, against a real registry."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import count as numbers
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from shoal import context
from shoal.context import Context

from tests.ground.image_registry import ImageRegistry
from tests.registry.client import Client
from tests.registry.ecr.test_lifecycle import count, rule
from tests.unit.cli.conftest import Result, shoal

__all__ = ["shoal"]
Command = Callable[..., Result]
_NUMBERS = numbers()


def pushed(client: Client, **layers: bytes) -> str:
    """The digest of the last of these images, by tag."""

    async def push() -> str:
        async with aiohttp.ClientSession() as session:
            there = replace(client, session=session)
            return [await there.push_image(tag, layer) for tag, layer in layers.items()][-1]

    return asyncio.run(push())


@pytest.fixture
def client(image_registry: ImageRegistry) -> Client:
    """Its session is opened by who pushes, because the command line has an event loop of its own."""
    session: Any = None
    return Client(session, image_registry.url, image_registry.tls(), f"cli/number-{next(_NUMBERS)}")


@pytest.fixture
def repository(shoal: Command, image_registry: ImageRegistry) -> Command:
    """`shoal repository …` with a context of an operator's."""
    issued = image_registry.certificates.files("operator", "ann")
    files = (image_registry.authority, issued.certificate, issued.key)
    chosen = Context("default", ("127.0.0.1:1",), "default", *files, registry=image_registry.address)
    context.save(context.load().with_context(chosen))
    return lambda *arguments, **options: shoal("repository", *arguments, **options)


def test_a_repository(repository: Command, image_registry: ImageRegistry) -> None:
    created = repository("create", "cli/web", "--immutable", "--except", "latest", "--tag", "team=a")
    assert created.out == f"{image_registry.address}/cli/web\n"
    assert "immutable, except latest" in repository("ls").out
    assert "cli/web" in repository("ls", "-o", "name").out.splitlines()
    (found,) = json.loads(repository("ls", "cli/web", "-o", "json").out)["repositories"]
    assert found["imageTagMutability"] == "IMMUTABLE_WITH_EXCLUSION"
    assert repository("set", "cli/web").out == "cli/web: mutable\n"
    described = repository("describe", "cli/web").out
    assert "team=a" in described and "lifecycle policy   none" in described
    again = repository("create", "cli/web")
    assert (again.code, "RepositoryAlreadyExistsException" in again.err) == (1, True)
    assert repository("rm", "cli/web").out == "cli/web\n"
    gone = repository("describe", "cli/web")
    assert gone.code == 3
    assert "Try: shoal repository ls" in gone.err


def test_a_repository_may_be_called_by_its_uri(repository: Command, image_registry: ImageRegistry) -> None:
    uri = repository("create", "cli/uri").out.strip()
    assert repository("describe", uri).out.startswith("cli/uri\n")
    assert repository("ls", uri, "-o", "name").out == "cli/uri\n"
    elsewhere = repository("describe", "other.example:1/cli/uri")
    assert "of another registry" in elsewhere.err and f"{image_registry.address}/cli/uri" in elsewhere.err
    both = repository("rm", "cli/none", uri)
    assert (both.code, both.out) == (3, f"{uri}\n"), "what can be deleted is, whatever else was named"
    assert "cli/none" in both.err


def test_images_and_what_happened_to_them(repository: Command, client: Client) -> None:
    digest = pushed(client, v1=b"layer")
    image = f"{client.repository}:v1"
    refused = repository("rm", client.repository)
    assert refused.code == 1
    assert f"Try: shoal repository rm --force {client.repository}" in refused.err
    assert repository("archive", image).out == f"{image} ARCHIVED\n"
    assert "1, of which 1 archived" in repository("describe", client.repository).out
    assert repository("restore", f"{client.repository}@{digest}").out.endswith("ACTIVE\n")
    assert repository("archive", client.repository).code == 1
    lines = repository("events", client.repository).out.splitlines()
    assert [line.split("   ")[1].strip() for line in lines] == ["PUSH", "ARCHIVE", "RESTORE"]
    assert f"{image}@{digest[:19]}" in lines[0]
    last = json.loads(repository("events", client.repository, "-n", "1", "-o", "json").out)
    assert last["detail"]["action-type"] == "RESTORE"
    assert repository("rm", "--force", client.repository).code == 0


def test_who_follows_what_happens_outlives_a_restart(
    repository: Command, client: Client, image_registry: ImageRegistry
) -> None:
    pushed(client, v1=b"layer")
    words = [sys.executable, "-m", "shoal.cli", "repository", "events", client.repository, "-f"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as following:
        assert following.stdout and following.stderr
        assert ":v1@" in following.stdout.readline()
        image_registry.end()
        assert "It is asked again" in following.stderr.readline()
        image_registry.start()
        pushed(client, v2=b"another layer")
        assert ":v2@" in following.stdout.readline()
        following.terminate()


def test_policies(repository: Command, client: Client, tmp_path: Path) -> None:
    pushed(client, v0=b"0", v1=b"1", v2=b"2")
    file = tmp_path / "policy.json"
    file.write_text(json.dumps({"rules": [rule(7, ["v*"], **count(1))]}))
    shown = repository("lifecycle", "preview", client.repository, str(file)).out.splitlines()
    assert [line.split("   ")[1] for line in shown[1:]] in (["v0", "v1"], ["v1", "v0"])
    assert all("expires" in line and line.endswith("7") for line in shown[1:])
    assert repository("lifecycle", "get", client.repository).code == 3
    assert repository("lifecycle", "set", client.repository, str(file)).code == 0
    assert json.loads(repository("lifecycle", "get", client.repository).out) == json.loads(file.read_text())
    assert "1 rule" in repository("describe", client.repository).out
    assert repository("lifecycle", "rm", client.repository).code == 0
    file.write_text(json.dumps({"rules": [rule(0, ["v*"], **count(1))]}))
    wrong = repository("lifecycle", "set", client.repository, str(file))
    assert wrong.code == 1
    assert "rules[0].rulePriority" in wrong.err
    file.write_text(
        '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*", '
        '"Action": ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]}]}'
    )
    assert repository("policy", "set", client.repository, str(file)).code == 0
    file_of_bytes = tmp_path / "no-text"
    file_of_bytes.write_bytes(b"{\xff}")
    for words in (("policy", "set"), ("lifecycle", "set"), ("lifecycle", "preview")):
        refused = repository(*words, client.repository, str(file_of_bytes))
        assert refused.err == f"Error: {file_of_bytes} is no text in UTF-8: byte 1 of it is none.\n"
    assert json.loads(repository("policy", "get", client.repository).out) == json.loads(file.read_text())
    assert repository("policy", "rm", client.repository).code == 0
    assert repository("policy", "get", client.repository).code == 3


def test_what_a_first_push_makes(repository: Command) -> None:
    assert repository("on-push").out == "enabled\n"
    assert repository("template", "create", "cli-team", "--immutable", "--description", "for ann").code == 0
    assert "cli-team" in repository("template", "ls").out
    assert repository("template", "rm", "cli-team").code == 0
    assert repository("on-push", "disabled").out == "disabled\n"
    assert repository("on-push", "enabled").out == "enabled\n"


def test_without_a_registry(shoal: Command, repository: Command) -> None:
    chosen = context.load().choose(None)
    there = Context(chosen.name, *(chosen.endpoints, chosen.cluster, chosen.authority, chosen.certificate, chosen.key))
    context.save(context.load().with_context(there))
    refused = repository("ls")
    assert refused.code == 4
    assert "--registry HOST:PORT" in refused.err
    unreachable = repository("ls", "--registry", "127.0.0.1:1")
    assert unreachable.code == 4
