"""From a spot in the table of instances to a task that is assigned there."""

from typing import NamedTuple

from shoal_scheduler.model.ask import deal_gpus
from shoal_scheduler.model.definition import Definition
from shoal_scheduler.model.task import Launch
from shoal_scheduler.placement.filters import NO_ROW
from shoal_scheduler.placement.place import Spot
from shoal_scheduler.state.overlay import Overlay


class Place(NamedTuple):
    """What a task says of where it is."""

    instance: str
    gpu_ids: dict[str, tuple[str, ...]] | None


def place_of(view: Overlay, launch: Launch, definition: Definition, spot: Spot) -> Place:
    instance = view.room(launch.cluster).instances[spot.row]
    assert instance is not None, "a spot is on an instance"
    if not spot.gpus:
        return Place(instance.id, None)
    return Place(instance.id, deal_gpus(definition, launch.overrides, [instance.gpu_ids[gpu] for gpu in spot.gpus]))


def held_row(view: Overlay, cluster: str, launch: str = "") -> int:
    """The row that is kept for another launch than this one; NO_ROW for none."""
    held = view.held(cluster)
    if held is None or held.launch == launch:
        return NO_ROW
    return view.room(cluster).rows.get(held.instance, NO_ROW)
