"""What the engine has of images, as the contract has it. Pure."""

from collections.abc import Mapping

from shoal.v1 import agent_pb2, image_pb2

from shoal_agent.images.held import HeldImage

NAMES_MAX = 20
LAYERS_MAX = 200
_PREFIX_DIGITS = 16


def report(told: Mapping[str, HeldImage] | None, current: Mapping[str, HeldImage]) -> agent_pb2.AgentMessage:
    """`told`: what the scheduler knows by this session, None if it was told nothing."""
    before = told or {}
    return agent_pb2.AgentMessage(
        images=image_pb2.ImageReport(
            full=told is None,
            images=[_image(held) for image_id, held in current.items() if before.get(image_id) != held],
            removed_image_ids=[image_id for image_id in before if image_id not in current],
        )
    )


def _image(held: HeldImage) -> image_pb2.HeldImage:
    image = held.image
    # Half of the layers would count as all of them.
    layers = held.layers if len(held.layers) <= LAYERS_MAX else ()
    return image_pb2.HeldImage(
        image_id=image.image_id,
        image_tags=image.tags[:NAMES_MAX],
        image_digests=image.digests[:NAMES_MAX],
        image_size_in_bytes=image.size_bytes,
        layers=[_prefix(layer.diff_id) for layer in layers],
        layer_sizes_in_bytes=[layer.size_bytes for layer in layers],
    )


def _prefix(diff_id: str) -> int:
    """
    >>> _prefix("sha256:00000000000000ff" + "0" * 48)
    255
    """
    return int(diff_id.partition(":")[2][:_PREFIX_DIGITS], 16)
