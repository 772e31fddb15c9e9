"""A task definition from the door to the engine: registered, turned into the engine's words, made, run, looked at.

Without a scheduler and without an agent's process, so that a container costs its own start and nothing more.
"""

import asyncio
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from shoal import awsjson
from shoal.v1.task_definition_pb2 import RegisterTaskDefinitionRequest
from shoal_agent.configuration import Configuration
from shoal_agent.definition.labels import Owner
from shoal_agent.definition.specification import Specification, specification
from shoal_agent.engine.docker import DockerEngine
from shoal_agent.task import Assignment
from shoal_scheduler.api.validate_task_definition import runnable_problems, task_definition_problems

from tests.ground.engine import Engine
from tests.ground.images import BUSYBOX

OWNER = Owner("fields", "i1")
MIB = 1024 * 1024

Document = dict[str, Any]


def container(script: str = "", **fields: Any) -> Document:
    """One that runs `script`, which has every applet of busybox."""
    command = {"command": ["sh", "-c", script]} if script else {}
    return {"name": "app", "image": BUSYBOX, "memory": 32, **command, **fields}


def definition(*containers: Document, **fields: Any) -> Document:
    return {"family": "fields", "containerDefinitions": list(containers), **fields}


@dataclass(frozen=True, slots=True)
class Ran:
    """said: what the script printed, lines of `name: value`. inspected: the engine's own description."""

    said: Mapping[str, str]
    inspected: Mapping[str, Any]

    @property
    def host(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.inspected["HostConfig"]
        return found


@dataclass(slots=True)
class Run:
    """One task on a real engine. Its containers are made when they are asked for."""

    engine: Engine
    document: Document
    rules: Configuration = field(default_factory=Configuration)
    gpu_ids: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    id: str = field(default_factory=lambda: uuid.uuid4().hex)

    def accepted(self) -> Document:
        return accepted(self.document)

    def specification(self, name: str = "app") -> Specification:
        wanted = Assignment(self.id, definition=self.accepted(), gpu_ids=self.gpu_ids)
        return specification(wanted, name, OWNER, self.rules)

    def create(self, name: str = "app") -> Mapping[str, Any]:
        """The engine's description of the new container."""
        asyncio.run(self._create(name, start=False))
        return self.inspect(name)

    def start(self, name: str = "app") -> Mapping[str, Any]:
        """The same, of one that was started."""
        asyncio.run(self._create(name, start=True))
        return self.inspect(name)

    def to_the_end(self, name: str = "app") -> Ran:
        """Runs it and waits for its end."""
        self.start(name)
        self.engine.docker("wait", self._called(name))
        lines = self.engine.docker("logs", self._called(name)).splitlines()
        pairs = (line.partition(":") for line in lines)
        said = {key: value.strip() for key, _, value in pairs}
        return Ran(said, self.inspect(name))

    def inspect(self, name: str = "app") -> Mapping[str, Any]:
        found: Mapping[str, Any] = json.loads(self.engine.docker("inspect", self._called(name)))[0]
        return found

    def _called(self, name: str) -> str:
        return f"{OWNER.cluster}.{self.id}.{name}"

    async def _create(self, name: str, *, start: bool) -> None:
        docker = DockerEngine(self.engine.host)
        try:
            made = await docker.create(self._called(name), self.specification(name).body)
            if start:
                await docker.start(made)
        finally:
            await docker.close()


def accepted(document: Document) -> Document:
    """What the scheduler keeps of it and sends to agents. Fails if it would not register, or not run, as it stands."""
    message, unknown = awsjson.to_message(document, RegisterTaskDefinitionRequest)
    assert not unknown, unknown
    kept: Document = awsjson.to_document(message)
    assert task_definition_problems(kept) == []
    assert runnable_problems(kept) == []
    return kept


def remove_all(engine: Engine) -> None:
    """Every container and volume of these tests."""
    label = f"label=shoal.cluster={OWNER.cluster}"
    containers = engine.docker("ps", "--all", "--quiet", "--filter", label).split()
    if containers:
        engine.docker("rm", "--force", "--volumes", *containers)
    volumes = engine.docker("volume", "ls", "--quiet", "--filter", f"name={OWNER.cluster}").split()
    if volumes:
        engine.docker("volume", "rm", *volumes)
