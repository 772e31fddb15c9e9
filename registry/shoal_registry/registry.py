"""What every handler is given: the registry's parts, and one call to it."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from aiohttp import web

from shoal_registry.names import Digest, Repository, UploadId
from shoal_registry.repositories import Repositories
from shoal_registry.rights.callers import Action, Caller, Need
from shoal_registry.rights.gate import Gate
from shoal_registry.storage.store import Store
from shoal_registry.uploads import Uploads


@dataclass(frozen=True, slots=True)
class Registry:
    repositories: Repositories
    uploads: Uploads
    store: Store
    now: Callable[[], float]
    gate: Gate


@dataclass(frozen=True, slots=True)
class Call:
    """`parts` are those of the path, as they were sent; the properties parse them and raise Refused."""

    registry: Registry
    request: web.Request
    parts: Mapping[str, str]
    caller: Caller

    @property
    def repository(self) -> Repository:
        return Repository.parse(self.parts["name"])

    @property
    def digest(self) -> Digest:
        return Digest.parse(self.parts["digest"])

    @property
    def upload(self) -> UploadId:
        return UploadId.parse(self.parts["upload"])

    @property
    def repositories(self) -> Repositories:
        return self.registry.repositories

    @property
    def uploads(self) -> Uploads:
        return self.registry.uploads

    async def may(self, action: Action, repository: Repository | None = None) -> bool:
        return await self.registry.gate.may(self.caller, action, repository)

    async def demand(self, need: Need, repository: Repository | None = None) -> None:
        """Raises Refused. What a route's table says is demanded already."""
        await self.registry.gate.demand(self.caller, need, repository)


Handler = Callable[[Call], Awaitable[web.StreamResponse]]
