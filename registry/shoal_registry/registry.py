"""What every handler is given: the registry's parts, and one call to it."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from aiohttp import web

from shoal_registry.names import Digest, Repository, UploadId
from shoal_registry.repositories import Repositories
from shoal_registry.scrubbing import Suspects
from shoal_registry.uploads import Uploads


@dataclass(frozen=True, slots=True)
class Registry:
    repositories: Repositories
    uploads: Uploads
    suspects: Suspects


@dataclass(frozen=True, slots=True)
class Call:
    """`parts` are those of the path, as they were sent; the properties parse them and raise Refused."""

    registry: Registry
    request: web.Request
    parts: Mapping[str, str]

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


Handler = Callable[[Call], Awaitable[web.StreamResponse]]
