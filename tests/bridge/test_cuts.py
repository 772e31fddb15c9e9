"""Transfers that are cut: they go on, or can be done again, and what is there then is right."""

import asyncio
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.bridge.conftest import Bridge, BridgeFactory, Builder
from tests.ground.image_registry import ImageRegistry
from tests.ground.proxy import Proxy
from tests.ground.repeats import TEN
from tests.ground.waiting import block_until

LAYER_BYTES = 3_000_000


CUTS = 6


def cuts(chance: random.Random) -> Sequence[int]:
    return [chance.randrange(5_000, LAYER_BYTES) for _ in range(CUTS)]


@pytest.mark.parametrize("repeat", TEN)
async def test_connections_that_break(
    repeat: int, bridge_to: BridgeFactory, image_registry: ImageRegistry, builder: Builder
) -> None:
    """A push and a load go on where they were, within the same run."""
    chance, name = random.Random(repeat), f"cut/number-{repeat}"
    async with Proxy(image_registry.host, image_registry.port, cuts(chance)) as pushing:
        bridge = bridge_to(image_registry, pushing.endpoint)
        identity = bridge.identity(builder.image("cut:v1", chance.randbytes(LAYER_BYTES), chance.randbytes(10)))
        pushed = await asyncio.to_thread(bridge.image, "push", "cut:v1", name)
        assert len(pushing.breaks) < CUTS
    assert pushed["sentBytes"] > LAYER_BYTES
    bridge.engine.docker("rmi", "cut:v1")
    async with Proxy(image_registry.host, image_registry.port, cuts(chance)) as loading:
        bridge = bridge_to(image_registry, loading.endpoint)
        loaded = await asyncio.to_thread(bridge.image, "load", name, "cut:v2")
        assert len(loading.breaks) < CUTS
    assert loaded["local"]["id"] == identity
    assert not list(bridge.spool.iterdir())


@pytest.mark.parametrize("repeat", TEN)
def test_a_push_that_is_killed(repeat: int, bridge: Bridge, builder: Builder) -> None:
    """Done again, it is whole; before that, nobody sees the tag."""
    chance, name = random.Random(repeat), f"killed/number-{repeat}"
    identity = bridge.identity(builder.image("killed:v1", chance.randbytes(LAYER_BYTES), chance.randbytes(LAYER_BYTES)))
    command = [sys.executable, "-m", "shoal.cli", "image", "push", "killed:v1", name]
    running = subprocess.Popen(command, env=dict(bridge.shell.environment), stderr=subprocess.DEVNULL)
    time.sleep(chance.uniform(0.2, 1.5))  # chance decides where it is then
    running.kill()
    was_done = running.wait() == 0
    seen = bridge.run("tags", name, "-o", "name")
    assert was_done or seen.out == "" or seen.out.split() == ["latest"]
    bridge.image("push", "killed:v1", name)
    bridge.engine.docker("rmi", "killed:v1")
    assert bridge.image("load", name, "killed:v2")["local"]["id"] == identity


@pytest.fixture
def interruptible() -> Iterator[None]:
    """What a shell starts with `&` ignores SIGINT, as does all that it starts: undo that."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_a_push_that_is_interrupted(bridge: Bridge, builder: Builder) -> None:
    """By Ctrl-C: it ends at once and leaves nothing on the disk."""
    builder.image("interrupted:v1", random.Random(9).randbytes(30 * LAYER_BYTES))
    command = [sys.executable, "-m", "shoal.cli", "image", "push", "interrupted:v1"]
    running = subprocess.Popen(command, env=dict(bridge.shell.environment), stderr=subprocess.PIPE, text=True)
    block_until(lambda: size_below(bridge.spool) > 0, 30.0, "a layer on its way")
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=20)
    assert (running.returncode, said.strip()) == (130, "Interrupted.")
    assert not list(bridge.spool.iterdir())


def test_a_registry_that_is_killed(bridge: Bridge, builder: Builder) -> None:
    """A push lives through it: the registry knows afterwards how much of an upload came."""
    chance = random.Random(7)
    identity = bridge.identity(builder.image("restart:v1", chance.randbytes(12 * LAYER_BYTES)))
    command = [sys.executable, "-m", "shoal.cli", "image", "push", "restart:v1", "-o", "name"]
    running = subprocess.Popen(command, env=dict(bridge.shell.environment), stdout=subprocess.PIPE)
    uploads = bridge.registry.store / "uploads"
    block_until(lambda: size_below(uploads) > LAYER_BYTES, 30.0, "some of the layer in the registry")
    assert running.poll() is None, "the push ended before it could be cut"
    bridge.registry.kill()
    bridge.registry.start()
    out, _ = running.communicate(timeout=60)
    assert running.returncode == 0
    assert out.startswith(b"sha256:")
    bridge.engine.docker("rmi", "restart:v1")
    assert bridge.image("load", "restart:v1")["local"]["id"] == identity


def size_below(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_two_pushes_at_once(bridge: Bridge, builder: Builder) -> None:
    chance = random.Random(8)
    builder.image("twice:v1", chance.randbytes(LAYER_BYTES))
    command = [sys.executable, "-m", "shoal.cli", "image", "push", "twice:v1", "-o", "name"]
    environment = dict(bridge.shell.environment)
    running = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    digests = {each.communicate(timeout=60)[0].strip() for each in running}
    assert [each.returncode for each in running] == [0, 0]
    assert len(digests) == 1
    bridge.engine.docker("rmi", "twice:v1")
    bridge.image("load", "twice:v1")
