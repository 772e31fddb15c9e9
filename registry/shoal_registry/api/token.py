"""Where tokens are got: Docker's token specification (GET), and its OAuth2 form (POST).

What is granted is what was asked and the caller may do. That may be nothing, which is no error: so the specification
has it, and so nobody learns which repositories there are.
"""

import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web

from shoal_registry.api.body import whole
from shoal_registry.errors import Refused
from shoal_registry.registry import Call
from shoal_registry.rights import scopes, tokens
from shoal_registry.rights.callers import Caller
from shoal_registry.rights.tokens import Granted

FORM_BYTES_MAX = 64 * 1024


async def by_header(call: Call) -> web.Response:
    """For who has a secret (Basic) or a certificate, or is a stranger."""
    query = call.request.query
    _check_service(query.get("service"))
    caller = call.caller
    if caller.granted is not None:
        raise Refused("DENIED", "A token gets no further ones: send the account's name and secret, or a certificate.")
    granted = await _granted(call, caller, query.getall("scope", []))
    answer = _access(call, caller, granted)
    if query.get("offline_token") == "true":
        answer |= await _refresh(call, caller, granted)
    return web.json_response(answer, headers=_HEADERS)


async def by_form(call: Call) -> web.Response:
    """By name and secret, or by a refresh token."""
    form = _form(await whole(call.request, FORM_BYTES_MAX))
    _check_service(form.get("service"))
    gate, grant = call.registry.gate, form.get("grant_type")
    if grant == "password":
        caller = await gate.login(form.get("username", ""), form.get("password", ""), call.request)
    elif grant == "refresh_token":
        caller = await gate.refreshed(form.get("refresh_token", ""), call.request)
    else:
        raise Refused("UNSUPPORTED", "grant_type: must be password or refresh_token.", status=400)
    granted = await _granted(call, caller, [form.get("scope", "")])
    answer = _access(call, caller, granted)
    if grant == "refresh_token":
        answer["refresh_token"] = form["refresh_token"]
    elif form.get("access_type") == "offline":
        answer |= await _refresh(call, caller, granted)
    return web.json_response(answer, headers=_HEADERS)


_HEADERS = {"Cache-Control": "no-store"}


async def _granted(call: Call, caller: Caller, asked: list[str]) -> Granted:
    gate, granted = call.registry.gate, {}
    # Of a refresh token that is for certain repositories: its bearer must still have the right to them.
    bearers = (caller,) if caller.granted is None else (caller, replace(caller, granted=None))
    for repository, actions in scopes.parse(asked).items():
        allowed = frozenset(actions)
        for bearer in bearers:
            allowed = frozenset({action for action in allowed if await gate.may(bearer, action, repository)})
        if allowed:
            granted[repository] = allowed
    return granted


def _access(call: Call, caller: Caller, granted: Granted) -> dict[str, Any]:
    now = int(time.time())
    token = tokens.access(call.registry.gate.signer, caller, granted, now)
    if len(token) > tokens.TOKEN_CHARACTERS_MAX:
        raise Refused("UNSUPPORTED", "The token would be too long for a header: ask for less at once.", status=400)
    return {
        "token": token,
        "access_token": token,
        "expires_in": tokens.ACCESS_SECONDS,
        "issued_at": datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "scope": " ".join(scopes.write(repository, actions) for repository, actions in granted.items()),
    }


async def _refresh(call: Call, caller: Caller, granted: Granted) -> Mapping[str, str]:
    """For accounts; and for agents, whose engines have no certificate, as far as they asked. Strangers have nothing to
    keep, and who has a token has one that ends."""
    gate = call.registry.gate
    if not caller.in_person:
        return {}
    if caller.role == "agent":
        return {"refresh_token": tokens.for_a_pull(gate.signer, caller, granted, int(time.time()))}
    if caller.role == "account":
        return {"refresh_token": await gate.refresh_token(caller, tokens.REFRESH_SECONDS)}
    return {}


def _check_service(service: str | None) -> None:
    """Raises Refused for what wants a token for elsewhere."""
    if service not in (None, "", tokens.SERVICE):
        raise Refused("UNSUPPORTED", f"service: must be {tokens.SERVICE}.", status=400)


def _form(content: bytes) -> Mapping[str, str]:
    try:
        pairs = parse_qsl(content.decode(), keep_blank_values=True, strict_parsing=bool(content), max_num_fields=20)
    except ValueError as error:
        raise Refused("UNSUPPORTED", f"The body must be a form: {error}.", status=400) from None
    form = dict(pairs)
    if len(form) != len(pairs):
        raise Refused("UNSUPPORTED", "A field of the form is there twice.", status=400)
    return form
