"""Whether this is such a registry ("Determining Support")."""

from aiohttp import web

from shoal_registry.registry import Call


async def check(_call: Call) -> web.Response:
    return web.json_response({})
