"""The container that keeps a network namespace. It does what the one does that holds what a task shares: nothing."""

import asyncio

from shoal_agent.definition.labels import READY_NETWORK, Owner
from shoal_agent.definition.sandbox import ready_body
from shoal_agent.engine import pause_image
from shoal_agent.engine.port import Engine, ImageNotFound
from shoal_agent.networks.namespaces import Namespace, Namespaces
from shoal_agent.slots import Pulls


def keeper_name(owner: Owner, unique: str) -> str:
    return f"{owner.cluster}.ready-network.{unique}"


def keeper_labels(owner: Owner) -> dict[str, str]:
    """By which its instance, and nobody else, finds it. Not those of tasks' containers: it is no task's."""
    return {READY_NETWORK: f"{owner.cluster}/{owner.instance}"}


async def make(engine: Engine, pulls: Pulls, namespaces: Namespaces, owner: Owner, name: str) -> Namespace:
    """Raises EngineError, OSError and ValueError; then something of it may be there."""
    body = ready_body(keeper_labels(owner))
    try:
        container_id = await engine.create(name, body)
    except ImageNotFound:
        await pulls.pull(pause_image.IMAGE)
        container_id = await engine.create(name, body)
    await engine.start(container_id)
    return await asyncio.to_thread(namespaces.made, await engine.inspect(container_id))
