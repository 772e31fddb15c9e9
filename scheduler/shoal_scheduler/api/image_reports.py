"""What agents say of their engines' images: checked, since a host may be hostile, and handed on. A report that is wrong
is not looked at and ends no session: what is known of an instance's images only makes one place better than another."""

import logging
import re

from shoal.problems import quoted
from shoal.v1 import image_pb2 as pb

from shoal_scheduler.control import inputs as i
from shoal_scheduler.control_plane import ControlPlane
from shoal_scheduler.model.held_image import HeldImage

log = logging.getLogger(__name__)

# Of an instance; agents report fewer.
IMAGES_MAX = 200
NAMES_MAX = 20
LAYERS_MAX = 200
LAYER_BYTES_MAX = 2**40
_NAME = re.compile(r"[!-~]{1,512}")


class BadReportError(ValueError):
    """Says which field of it cannot be."""


async def take(plane: ControlPlane, instance: str, incarnation: int, report: pb.ImageReport) -> None:
    try:
        said = _checked(plane, instance, incarnation, report)
    except BadReportError as error:
        log.warning("report of images refused instance=%s reason=%s", instance, error)
        return
    await plane.engine.submit(said)


def held_message(image: HeldImage) -> pb.HeldImage:
    """As it is described to people, who have no use for its layers."""
    return pb.HeldImage(
        image_id=image.id, image_tags=image.tags, image_digests=image.digests, image_size_in_bytes=image.size_bytes
    )


def _checked(plane: ControlPlane, instance: str, incarnation: int, report: pb.ImageReport) -> i.ImagesHeld:
    _at_most("images", len(report.images), IMAGES_MAX)
    images = tuple(_image(f"images[{index}]", image) for index, image in enumerate(report.images))
    removed = tuple(report.removed_image_ids[:IMAGES_MAX])
    known = plane.tables.instances.get(instance)
    if known is not None and not report.full:
        ids = {image.id for image in plane.tables.images_on(known)} - set(removed)
        _at_most("images", len(ids | {image.id for image in images}), IMAGES_MAX)
    return i.ImagesHeld(instance, incarnation, images, removed, report.full)


def _image(field: str, image: pb.HeldImage) -> HeldImage:
    for name, values in (("imageTags", image.image_tags), ("imageDigests", image.image_digests)):
        _at_most(f"{field}.{name}", len(values), NAMES_MAX)
        for value in values:
            _is_name(f"{field}.{name}", value)
    _is_name(f"{field}.imageId", image.image_id)
    _at_most(f"{field}.layers", len(image.layers), LAYERS_MAX)
    if len(image.layers) != len(image.layer_sizes_in_bytes):
        raise BadReportError(f"{field}.layerSizesInBytes must have as many entries as layers, {len(image.layers)}")
    sizes = tuple(image.layer_sizes_in_bytes)
    if any(not 0 <= size <= LAYER_BYTES_MAX for size in (image.image_size_in_bytes, *sizes)):
        raise BadReportError(f"{field} has a size that is not 0 to {LAYER_BYTES_MAX} bytes")
    return HeldImage(
        image.image_id,
        tuple(image.image_tags),
        tuple(image.image_digests),
        image.image_size_in_bytes,
        tuple(image.layers),
        sizes,
    )


def _is_name(field: str, value: str) -> None:
    if not _NAME.fullmatch(value):
        raise BadReportError(f"{field} has {quoted(value)}, not 1 to 512 visible ASCII characters")


def _at_most(field: str, number: int, most: int) -> None:
    if number > most:
        raise BadReportError(f"{field} has {number} entries; at most {most} are allowed")
