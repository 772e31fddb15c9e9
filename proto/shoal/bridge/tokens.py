"""Bearer tokens of a registry, as Docker's token specification has them; asked for with the operator's certificate."""

import asyncio
import re
from collections.abc import Mapping

import aiohttp
from yarl import URL

from shoal import errors

_PARAMETER = re.compile(r'(\w+)="([^"]*)"')


class Tokens:
    """One per repository, used until the registry no longer takes it."""

    def __init__(self, session: aiohttp.ClientSession, registry: URL) -> None:
        self._session = session
        self._registry = registry
        self._held: dict[str, str] = {}
        self._asking: dict[str, asyncio.Lock] = {}

    def header(self, repository: str) -> Mapping[str, str]:
        token = self._held.get(repository)
        return {"Authorization": f"Bearer {token}"} if token else {}

    async def renew(self, repository: str, challenge: str, refused: str | None) -> None:
        """`challenge`: the header WWW-Authenticate; `refused`: the Authorization that was not taken. Raises Denied."""
        async with self._asking.setdefault(repository, asyncio.Lock()):
            if self.header(repository).get("Authorization") == refused:
                self._held[repository] = await self._ask(challenge)

    async def _ask(self, challenge: str) -> str:
        kind, _, rest = challenge.partition(" ")
        said = dict(_PARAMETER.findall(rest))
        if kind.lower() != "bearer" or "realm" not in said:
            raise errors.Denied("The registry does not say where its tokens come from.")
        realm = URL(said["realm"])
        # Elsewhere, nobody knows this certificate; and what is asked for is no other program's business.
        if realm.origin() != self._registry.origin():
            raise errors.Denied(f"The registry sends to {realm.origin()} for tokens, which is another machine.")
        query = {name: said[name] for name in ("service", "scope") if name in said}
        async with self._session.get(realm.update_query(query), allow_redirects=False) as answer:
            if answer.status != 200:
                raise errors.Denied(
                    "The registry gives this context's certificate no token for that.",
                    "shoal registry account, for whoever has none",
                )
            found = await answer.json(content_type=None)
        token = found.get("token") or found.get("access_token") if isinstance(found, dict) else None
        if not isinstance(token, str):
            raise errors.Denied("The registry's answer holds no token.")
        return token
