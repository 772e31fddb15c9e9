"""The control plane itself, for people who look after it."""

from shoal import PROTOCOL_VERSION, __version__
from shoal.rpc import Identity
from shoal.v1 import cluster_pb2 as pb

from shoal_scheduler.control_plane import ControlPlane
from shoal_scheduler.engine import now_millis


async def describe(
    plane: ControlPlane, _request: pb.DescribeControlPlaneRequest, _caller: Identity
) -> pb.DescribeControlPlaneResponse:
    return pb.DescribeControlPlaneResponse(
        version=__version__,
        protocol_version=PROTOCOL_VERSION,
        epoch=plane.epoch,
        store_revision=plane.tables.revision,
        store_version=plane.store_version,
        now_millis=now_millis(),
    )
