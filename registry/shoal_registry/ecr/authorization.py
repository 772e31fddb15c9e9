"""Something to log in with: GetAuthorizationToken."""

import base64
from collections.abc import Mapping
from typing import Any

import msgspec
from shoal.arn import OWNER

from shoal_registry.ecr.errors import Failed
from shoal_registry.registry import Call
from shoal_registry.rights import tokens
from shoal_registry.rights.gate import TOKEN_BEARER


class GetAuthorizationToken(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    registry_ids: list[str] | None = None


async def give(call: Call, request: GetAuthorizationToken) -> Mapping[str, Any]:
    """The name and password of its caller for twelve hours, as `docker login` takes them."""
    if unknown := [each for each in request.registry_ids or () if each != OWNER]:
        said = f"registryIds: this registry is {OWNER}; it knows no {unknown[0][:100]}"
        raise Failed("InvalidParameterException", said)
    token = await call.registry.gate.refresh_token(call.caller, tokens.LOGIN_SECONDS)
    login = {
        "authorizationToken": base64.b64encode(f"{TOKEN_BEARER}:{token}".encode()).decode(),
        "expiresAt": int(call.registry.now()) + tokens.LOGIN_SECONDS,
        "proxyEndpoint": f"https://{call.request.host}",
    }
    return {"authorizationData": [login]}
