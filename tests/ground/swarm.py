"""Docker Swarm of one node, on an engine of the tests' own: what ours is measured beside.

Its gateway bridge would have one name for the whole machine; made beforehand, it has a name of its own. Nothing
listens but on the loopback address.
"""

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiodocker

from tests.ground.engine import Engine
from tests.ground.network import make_bridge

GATEWAY_NETWORK = "docker_gwbridge"
_ENDED_BADLY = frozenset({"failed", "rejected", "orphaned", "complete"})


@asynccontextmanager
async def swarm_mode(engine: Engine, docker: aiodocker.Docker) -> AsyncIterator[None]:
    """The engine is a manager and the only node, until the block ends."""
    bridge = make_bridge()
    # For tests.ground.sweep, should this process be killed; it removes the engine's own folder whole.
    trace = engine.folder.with_name(f"{engine.folder.name}-gateway") / "bridge"
    trace.parent.mkdir()
    trace.write_text(bridge.name)
    try:
        engine.docker(
            *("network", "create", "--driver", "bridge"),
            *("--subnet", str(bridge.address.network), "--gateway", str(bridge.address.ip)),
            *("--opt", f"com.docker.network.bridge.name={bridge.name}"),
            *("--opt", "com.docker.network.bridge.enable_ip_masquerade=false"),
            GATEWAY_NETWORK,
        )
        try:
            await docker.swarm.init(advertise_addr="127.0.0.1", listen_addr="127.0.0.1:0")
            try:
                yield
            finally:
                await docker.swarm.leave(force=True)
        finally:
            engine.docker("network", "rm", GATEWAY_NETWORK)
    finally:
        bridge.remove()


async def create_service(
    docker: aiodocker.Docker, template: Mapping[str, Any], mode: Mapping[str, Any], network: str
) -> str:
    """Its id, at once. Of the predefined networks Swarm has bridge (what a task is on that names none) and host."""
    networks = [] if network == "bridge" else [{"Target": network}]
    created = await docker.services.create({**template, "Networks": networks}, mode=mode)
    service: str = created["ID"]
    return service


async def all_known_to_run(docker: aiodocker.Docker, service: str, count: int, poll_seconds: float) -> None:
    """Raises when one of its tasks ended."""
    while True:
        tasks = await docker.tasks.list(filters={"service": service})
        states = Counter(task["Status"]["State"] for task in tasks)
        if states["running"] == count:
            return
        bad = [task["Status"] for task in tasks if task["Status"]["State"] in _ENDED_BADLY]
        assert not bad, bad[0]
        await asyncio.sleep(poll_seconds)


async def remove_service(docker: aiodocker.Docker, service: str) -> None:
    """And its containers at once: those of a removed job would go on."""
    await docker.services.delete(service)
    its_own = json.dumps({"label": [f"com.docker.swarm.service.id={service}"]})
    for container in await docker.containers.list(filters=its_own):
        with contextlib.suppress(aiodocker.DockerError):  # Swarm itself was first
            await container.kill()
