"""Clusters of several hosts on this machine. They need root, and skip or fail without it as all that needs engines."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.ground import fleet as fleets
from tests.ground.engine import Engine
from tests.ground.fleet import Fleet

FleetFactory = Callable[..., Fleet]


@pytest.fixture(scope="session")
def fleet_factory(ground: Path) -> Iterator[FleetFactory]:
    """Makes clusters that are not up yet: `fleet_factory(hosts=3)`."""
    made: list[Fleet] = []

    def make(hosts: int = 3, schedulers: int = 1) -> Fleet:
        made.append(fleets.make(ground / f"fleet{len(made)}", hosts, schedulers))
        return made[-1]

    yield make
    for each in made:
        each.cluster.end()


@pytest.fixture(scope="session")
def shared_fleet(fleet_factory: FleetFactory) -> Fleet:
    return fleet_factory()


@pytest.fixture
def fleet(shared_fleet: Fleet, engine: Engine, busybox_image: str) -> Fleet:
    """The three hosts that tests share, all on and connected, whatever the test before did to them."""
    if not shared_fleet.is_well():
        shared_fleet.up(engine.host)
    return shared_fleet
