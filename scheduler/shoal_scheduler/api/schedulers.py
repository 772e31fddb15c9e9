"""The schedulers themselves: what this one is, and leadership handed over by hand."""

from shoal import __version__
from shoal.rpc import Identity
from shoal.v1 import scheduler_pb2 as pb

from shoal_scheduler.engine import now_millis
from shoal_scheduler.model.refusal import Refused
from shoal_scheduler.standing import Standing


async def describe(
    standing: Standing, _request: pb.DescribeSchedulerRequest, _caller: Identity
) -> pb.DescribeSchedulerResponse:
    answer = pb.DescribeSchedulerResponse(
        name=standing.name,
        endpoint=standing.endpoint,
        role="STARTING",
        since_millis=standing.since,
        version=__version__,
        now_millis=now_millis(),
    )
    if standing.leader:
        answer.leader, answer.leader_endpoint = standing.leader, standing.leader_endpoint
    if standing.plane is not None:
        answer.role = "LEADER"
        answer.epoch, answer.store_revision = standing.plane.epoch, standing.plane.tables.revision
    elif standing.standby is not None:
        _describe_standby(standing, answer)
    return answer


def _describe_standby(standing: Standing, answer: pb.DescribeSchedulerResponse) -> None:
    standby = standing.standby
    assert standby is not None
    answer.relists, answer.comparisons = standby.relists, standby.comparisons
    if standby.followed is not None:
        answer.role = "STANDBY"
        answer.store_revision = standby.followed.revision
        answer.steps_behind = standby.steps_behind or 0


async def hand_over(standing: Standing, _request: pb.HandOverRequest, _caller: Identity) -> pb.HandOverResponse:
    if standing.plane is None:
        where = f": {standing.leader} at {standing.leader_endpoint} does" if standing.leader else ""
        raise Refused("failed_precondition", f"This scheduler does not lead{where}.", reason="ClientException")
    standing.release()
    return pb.HandOverResponse(epoch=standing.plane.epoch)
