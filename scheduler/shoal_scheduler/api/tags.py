"""Tags of anything that has an ARN."""

from collections.abc import Mapping

from shoal.rpc import Identity
from shoal.v1 import resource_pb2 as pb

from shoal_scheduler.api import convert
from shoal_scheduler.api.fields import bounded, required, tags_of
from shoal_scheduler.control import inputs as i
from shoal_scheduler.control import tags
from shoal_scheduler.control_plane import ControlPlane
from shoal_scheduler.model.refusal import invalid_field
from shoal_scheduler.state.overlay import Overlay


async def tag(plane: ControlPlane, request: pb.TagResourceRequest, _caller: Identity) -> pb.TagResourceResponse:
    changed: Mapping[str, str | None] = dict(tags_of(request.tags))
    if not changed:
        raise invalid_field("tags", "is required: at least one tag.")
    await plane.engine.submit(i.ChangeTags(required(request, "resource_arn", "resourceArn"), changed))
    return pb.TagResourceResponse()


async def untag(plane: ControlPlane, request: pb.UntagResourceRequest, _caller: Identity) -> pb.UntagResourceResponse:
    keys = bounded(request.tag_keys, "tagKeys", most=50)
    name = required(request, "resource_arn", "resourceArn")
    await plane.engine.submit(i.ChangeTags(name, dict.fromkeys(keys)))
    return pb.UntagResourceResponse()


async def list_all(
    plane: ControlPlane, request: pb.ListTagsForResourceRequest, _caller: Identity
) -> pb.ListTagsForResourceResponse:
    record = tags.resolve(Overlay(plane.tables), required(request, "resource_arn", "resourceArn"))
    return pb.ListTagsForResourceResponse(tags=convert.tag_messages(tags.tags_of(record)))
