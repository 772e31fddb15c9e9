"""A registry of images: what each does when it runs, tags that move, and times when the registry is away. Beside it
what each host has pulled: a tag means there what it meant then."""

from dataclasses import dataclass, field
from hashlib import sha256

from shoal import image_reference
from shoal_agent.engine.port import CannotPull, ImageNotFound

REPOSITORY = "registry.example/web"


@dataclass(frozen=True, slots=True)
class Program:
    """What a container of an image does: it ends by itself after `seconds` (0 is never) with `code`; a health check,
    where it has one, is answered for the first time after `health_after` seconds."""

    seconds: float = 0.0
    code: int = 1
    is_healthy: bool = True
    health_after: float = 2.0


@dataclass(slots=True)
class Registry:
    """Of one repository. `tags`: the digest that each means now."""

    programs: dict[str, Program] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    away: bool = False

    def push(self, tag: str, program: Program) -> None:
        """Each push is other bytes."""
        digest = f"sha256:{sha256(f'{len(self.programs)} {tag}'.encode()).hexdigest()}"
        self.programs[digest] = program
        self.tags[tag] = digest

    def has(self, image: str) -> bool:
        """Whether the image is this repository's."""
        return image_reference.split(image)[0] == REPOSITORY

    def pulled(self, image: str) -> str:
        """The digest. Raises CannotPull."""
        if self.away:
            raise CannotPull(f"Get {REPOSITORY}: connection refused")
        _, tag, digest = image_reference.split(image)
        found = digest if digest in self.programs else self.tags.get(tag, "") if not digest else ""
        if not found:
            raise CannotPull(f"manifest for {image} not found: manifest unknown")
        return found


@dataclass(slots=True)
class HostImages:
    """What a host has pulled, by reference."""

    registry: Registry
    local: dict[str, str] = field(default_factory=dict)

    def pull(self, image: str) -> None:
        """Raises CannotPull."""
        digest = self.registry.pulled(image)
        self.local[image] = digest
        self.local[image_reference.pinned(image, digest)] = digest

    def digest(self, image: str) -> str:
        """Raises ImageNotFound."""
        if image not in self.local:
            raise ImageNotFound(f"no such image: {image}")
        return self.local[image]
