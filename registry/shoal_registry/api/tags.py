"""The tags of a repository, page by page ("Listing Tags")."""

from urllib.parse import urlencode

from aiohttp import web

from shoal_registry import pages
from shoal_registry.registry import Call


async def listed(call: Call) -> web.Response:
    repository, query = call.repository, call.request.query
    n = pages.wanted(query.get("n"))
    page = pages.page(await call.repositories.tags(repository), n, query.get("last"))
    headers = {}
    if page.more:
        further = urlencode({"n": len(page.names) if n is None else n, "last": page.names[-1]})
        headers["Link"] = f'</v2/{repository.name}/tags/list?{further}>; rel="next"'
    return web.json_response({"name": repository.name, "tags": list(page.names)}, headers=headers)
