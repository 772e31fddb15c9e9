"""Tokens by which hosts join, and the revocation of what they became."""

from collections.abc import Mapping

from shoal import arn
from shoal.joining.token import Token, hash_of
from shoal.rpc import Identity
from shoal.v1 import container_instance_pb2, join_token_pb2

from shoal_scheduler.api import convert
from shoal_scheduler.api.calls import Handler
from shoal_scheduler.api.fields import cluster_name, existing_cluster, refuse, required
from shoal_scheduler.api.validate_names import name_problems
from shoal_scheduler.control import inputs as i
from shoal_scheduler.control_plane import ControlPlane
from shoal_scheduler.model.instance import Instance
from shoal_scheduler.model.join_token import JoinToken

DEFAULT_ROLE = "agent"


def methods(authority_pem: bytes) -> Mapping[str, Handler]:
    """By name. The tokens carry the fingerprint of the authority."""

    async def create(
        plane: ControlPlane, request: join_token_pb2.CreateJoinTokenRequest, caller: Identity
    ) -> join_token_pb2.CreateJoinTokenResponse:
        token = Token.draw(authority_pem)
        change = i.CreateJoinToken(
            cluster=cluster_name(request),
            hash=hash_of(token.secret) or "",
            role=request.role or DEFAULT_ROLE,
            ttl_seconds=request.ttl_seconds
            if request.HasField("ttl_seconds")
            else plane.engine.limits.join_token_seconds_max,
            uses=request.uses if request.HasField("uses") else 1,
            created_by=caller.name,
        )
        created = await plane.engine.submit(change)
        assert isinstance(created, JoinToken)
        return join_token_pb2.CreateJoinTokenResponse(join_token=_message(created), token=token.text)

    return {
        "CreateJoinToken": create,
        "ListJoinTokens": list_all,
        "RevokeJoinToken": revoke,
        "RevokeContainerInstance": revoke_instance,
    }


async def list_all(
    plane: ControlPlane, request: join_token_pb2.ListJoinTokensRequest, _caller: Identity
) -> join_token_pb2.ListJoinTokensResponse:
    cluster = existing_cluster(plane, request).name
    found = [token for token in plane.tables.join_tokens.values() if token.cluster == cluster]
    found.sort(key=lambda token: (token.created_at, token.hash), reverse=True)
    return join_token_pb2.ListJoinTokensResponse(join_tokens=map(_message, found))


async def revoke(
    plane: ControlPlane, request: join_token_pb2.RevokeJoinTokenRequest, _caller: Identity
) -> join_token_pb2.RevokeJoinTokenResponse:
    change = i.RevokeJoinToken(cluster_name(request), required(request, "id", "id"))
    revoked = await plane.engine.submit(change)
    assert isinstance(revoked, JoinToken)
    return join_token_pb2.RevokeJoinTokenResponse(join_token=_message(revoked))


async def revoke_instance(
    plane: ControlPlane, request: join_token_pb2.RevokeContainerInstanceRequest, caller: Identity
) -> join_token_pb2.RevokeContainerInstanceResponse:
    name = arn.short(required(request, "container_instance", "containerInstance"))
    refuse(name_problems("containerInstance", name), "InvalidParameterException")
    revoked = await plane.engine.submit(i.RevokeInstance(cluster_name(request), name, caller.name))
    assert isinstance(revoked, Instance)
    message: container_instance_pb2.ContainerInstance = convert.instance_message(plane.tables.candidate(revoked))
    return join_token_pb2.RevokeContainerInstanceResponse(container_instance=message)


def _message(token: JoinToken) -> join_token_pb2.JoinToken:
    return join_token_pb2.JoinToken(
        id=token.id,
        role=token.role,
        created_at=token.created_at,
        expires_at=token.expires_at,
        uses=token.uses,
        uses_left=token.uses_left,
        created_by=token.created_by,
        joined=token.used_by.values(),
    )
