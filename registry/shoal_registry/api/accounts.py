"""Accounts, for operators: made, listed, changed, given another secret and deleted. JSON as in `rights.accounts`."""

import json
import time
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from aiohttp import web

from shoal_registry.api.body import whole
from shoal_registry.errors import Refused
from shoal_registry.registry import Call
from shoal_registry.rights.accounts import (
    Account,
    Hash,
    parse_expiry,
    parse_kind,
    parse_name,
    parse_rights,
)

ACCOUNT_BYTES_MAX = 256 * 1024
_SECRET_HEADERS = {"Cache-Control": "no-store"}


async def listed(call: Call) -> web.Response:
    return web.json_response({"accounts": [each.document() for each in await call.registry.gate.directory.listed()]})


async def create(call: Call) -> web.Response:
    """With its secret: nobody is told it again."""
    given, now = await _read(call, {"name", "kind", "rights", "expiresAt"}), int(time.time())
    account = Account(
        parse_name(given.get("name")),
        parse_kind(given.get("kind", "robot")),
        parse_rights(given.get("rights", [])),
        Hash(b"", b""),
        created_at=now,
        created_by=call.caller.name,
        expires_at=parse_expiry(given.get("expiresAt"), now),
    )
    secret = await call.registry.gate.directory.create(account)
    return web.json_response({"account": account.document(), "secret": secret}, status=201, headers=_SECRET_HEADERS)


async def update(call: Call) -> web.Response:
    """Its rights, whether it is disabled and when it expires, as far as they are given."""
    given, now = await _read(call, {"rights", "disabled", "expiresAt"}), time.time()
    changes: dict[str, Any] = {}
    if "rights" in given:
        changes["rights"] = parse_rights(given["rights"])
    if "expiresAt" in given:
        changes["expires_at"] = parse_expiry(given["expiresAt"], now)
    if "disabled" in given:
        if not isinstance(given["disabled"], bool):
            raise Refused("ACCOUNT_INVALID", "disabled: must be true or false.")
        changes["disabled"] = given["disabled"]
    directory = call.registry.gate.directory
    account = await directory.update(_name(call), lambda account: replace(account, **changes))
    return web.json_response({"account": account.document()})


async def rotate(call: Call) -> web.Response:
    secret = await call.registry.gate.directory.rotate(_name(call))
    return web.json_response({"secret": secret}, headers=_SECRET_HEADERS)


async def delete(call: Call) -> web.Response:
    await call.registry.gate.directory.delete(_name(call))
    return web.Response(status=204)


def _name(call: Call) -> str:
    return parse_name(call.parts["account"])


async def _read(call: Call, fields: Collection[str]) -> Mapping[str, Any]:
    content = await whole(call.request, ACCOUNT_BYTES_MAX)
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise Refused("ACCOUNT_INVALID", f"The body must be JSON: {str(error)[:200]}.") from None
    if not isinstance(document, dict):
        raise Refused("ACCOUNT_INVALID", "The body must be a JSON object.")
    if unknown := sorted(set(document) - set(fields)):
        known = ", ".join(sorted(fields))
        raise Refused("ACCOUNT_INVALID", f"{unknown[0][:100]}: is not known here; what is: {known}.")
    return document
