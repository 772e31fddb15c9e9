"""What every handler is given: the registry's parts, and one call to it."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from aiohttp import web

from shoal_registry.archive import Archive
from shoal_registry.events import Events
from shoal_registry.names import Digest, Repository, UploadId
from shoal_registry.pulls import Pulls
from shoal_registry.repositories import Found, Repositories
from shoal_registry.rights.callers import Caller, Need
from shoal_registry.rights.gate import Gate
from shoal_registry.rights.policy import Action
from shoal_registry.scrubbing import Suspects
from shoal_registry.storage.store import Store
from shoal_registry.uploads import Uploads


@dataclass(frozen=True, slots=True)
class Registry:
    repositories: Repositories
    uploads: Uploads
    suspects: Suspects
    archive: Archive
    pulls: Pulls
    events: Events
    gate: Gate
    store: Store
    now: Callable[[], float]


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

    def pulled(self, repository: Repository, found: Found, tag: str | None) -> None:
        self.registry.pulls.note(repository, found.digest)
        self.registry.events.note("PULL", repository, found.digest, self.caller.name, tag, found.media_type)

    def pushed(self, repository: Repository, digest: Digest, tag: str | None, media_type: str) -> None:
        self.registry.events.note("PUSH", repository, digest, self.caller.name, tag, media_type)

    def deleted(self, repository: Repository, digest: Digest, tag: str | None = None) -> None:
        """`tag`: if that is all that was deleted, and the image stays."""
        self.registry.events.note("DELETE", repository, digest, self.caller.name, tag)

    async def may(self, action: Action, repository: Repository) -> bool:
        return await self.registry.gate.may(self.caller, action, repository)

    async def demand(self, need: Need, repository: Repository | None = None) -> None:
        """Raises Refused. What a route's table says is demanded already."""
        await self.registry.gate.demand(self.request, self.caller, need, repository)


Handler = Callable[[Call], Awaitable[web.StreamResponse]]
