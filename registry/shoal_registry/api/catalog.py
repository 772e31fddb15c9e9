"""The repositories that the caller may pull from, page by page. No part of the specification, but of what clients ask:
Docker's registries have it."""

from urllib.parse import urlencode

from aiohttp import web

from shoal_registry import catalogue, pages
from shoal_registry.names import Repository
from shoal_registry.registry import Call

REPOSITORIES_PER_PAGE = 1_000


async def listed(call: Call) -> web.Response:
    query = call.request.query
    n = pages.wanted(query.get("n"))
    limit = REPOSITORIES_PER_PAGE if n is None else min(n, REPOSITORIES_PER_PAGE)
    names: list[str] = []
    async for repository in catalogue.repositories(call.registry.store, _after(query.get("last"))):
        if len(names) >= limit:
            break
        if await call.may("pull", repository):
            names.append(repository.name)
    further = urlencode({"n": limit, "last": names[-1]}) if names and len(names) == limit else ""
    headers = {"Link": f'</v2/_catalog?{further}>; rel="next"'} if further else {}
    return web.json_response({"repositories": names}, headers=headers)


def _after(last: str | None) -> str:
    """Raises Refused if it is no name of a repository."""
    return Repository.parse(last).name if last else ""
