"""What a person calls an image: in the registry (REPOSITORY[:TAG], REPOSITORY@DIGEST), and on an engine. Pure.

The grammars are those of the OCI distribution specification ("Pulling manifests").
"""

import re
from dataclasses import dataclass

from shoal import errors, image_reference

REPOSITORY_CHARACTERS_MAX = 255
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
_LOCAL = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._:/@-]{0,499}")
_ID = re.compile(r"(?:sha256:)?[0-9a-f]{12,64}")


@dataclass(frozen=True, slots=True)
class ImageName:
    """In the registry; with a tag or a digest, not both."""

    repository: str
    tag: str | None
    digest: str | None

    @property
    def reference(self) -> str:
        """As a path of the registry's API ends."""
        return self.digest or self.tag or "latest"

    def __str__(self) -> str:
        return f"{self.repository}@{self.digest}" if self.digest else f"{self.repository}:{self.tag}"


def parse(text: str, registry: str) -> ImageName:
    """`registry`: its address, which may stand before the name. Without a tag it is `latest`. Raises InvalidInput.

    >>> str(parse("team/web", "images:7680")), str(parse("images:7680/web:v1", "images:7680"))
    ('team/web:latest', 'web:v1')
    """
    host, rest = _split_host(text)
    _check_host(text, host, rest, registry)
    repository, tag, digest = image_reference.split(rest)
    if "@" in rest and not _DIGEST.fullmatch(digest):
        raise errors.InvalidInput(f"{digest[:200]!r} is no digest: sha256: and 64 of 0-9 and a-f follow an @.")
    _check_tag(rest, tag)
    check_repository(repository)
    # As docker reads it: with a digest, a tag says nothing more.
    return ImageName(repository, None, digest) if digest else ImageName(repository, tag or "latest", None)


def parse_whole(text: str, registry: str) -> ImageName:
    """The same of what has to say its tag or digest, because `latest` would be a guess. Raises InvalidInput."""
    named = parse(text, registry)
    if named.digest is None and not text.endswith(f":{named.tag}"):
        raise errors.InvalidInput(f"{text[:300]!r} says no tag.", f"{named}, if that is meant")
    return named


def parse_repository(text: str, registry: str) -> str:
    """Of a repository as it may be called, too, by its URI. Raises InvalidInput.

    >>> parse_repository("images:7680/team/web", "images:7680"), parse_repository("web", "images:7680")
    ('team/web', 'web')
    """
    host, repository = _split_host(text)
    _check_host(text, host, repository, registry)
    check_repository(repository)
    return repository


def check_repository(repository: str) -> None:
    """Raises InvalidInput."""
    if len(repository) > REPOSITORY_CHARACTERS_MAX or not _REPOSITORY.fullmatch(repository):
        raise errors.InvalidInput(
            f"{repository[:300]!r} is no repository's name: components of a-z and 0-9, divided within by one of . _ __ "
            f"or hyphens, and from one another by /, as in team/web; at most {REPOSITORY_CHARACTERS_MAX} characters."
        )


def proposed(local: str) -> str:
    """What an engine's image is called in the registry unless its owner says: as on the engine, without a host.

    >>> proposed("web"), proposed("registry.example:5000/team/web:v1")
    ('web', 'team/web:v1')

    Raises InvalidInput for what names no repository and tag.
    """
    if is_id(local) or "@" in local:
        raise errors.InvalidInput(
            f"{local[:300]!r} says no name for the registry.", f"shoal image push {local[:100]} NAME[:TAG]"
        )
    return _split_host(local)[1]


def is_id(local: str) -> bool:
    """Whether it is what an engine calls an image's id, or a beginning of it.

    >>> is_id("sha256:" + 64 * "0"), is_id("0123456789ab"), is_id("web")
    (True, True, False)
    """
    return bool(_ID.fullmatch(local))


def is_digest(text: object) -> bool:
    return isinstance(text, str) and bool(_DIGEST.fullmatch(text))


def on_engine(local: str) -> tuple[str, str]:
    """What an engine shall call an image: its name and tag. Raises InvalidInput.

    >>> on_engine("registry.example:5000/web:v1"), on_engine("web")
    (('registry.example:5000/web', 'v1'), ('web', 'latest'))
    """
    host, rest = _split_host(local)
    repository, tag, _ = image_reference.split(rest)
    if "@" in local:
        raise errors.InvalidInput(f"{local[:300]!r} has a digest: an engine names images by tags.")
    _check_tag(rest, tag)
    check_repository(repository)
    return (f"{host}/{repository}" if host else repository), tag or "latest"


def _split_host(text: str) -> tuple[str, str]:
    """As docker tells a registry's address from a repository's first component."""
    first, slash, rest = text.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return first, rest
    return "", text


def _check_tag(name: str, tag: str) -> None:
    """Raises InvalidInput."""
    if (tag or name.partition("@")[0].endswith(":")) and not _TAG.fullmatch(tag):
        raise errors.InvalidInput(
            f"{tag[:200]!r} is no tag: 1 to 128 of a-z, A-Z, 0-9, _ . and -, not beginning with . or -."
        )


def check_local(local: str) -> None:
    """Whether it can be what an engine calls an image. Raises InvalidInput."""
    if not _LOCAL.fullmatch(local) or ".." in local:
        raise errors.InvalidInput(f"{local[:300]!r} is no image's name or id.", "docker image ls")


def _check_host(name: str, host: str, rest: str, registry: str) -> None:
    """Raises InvalidInput."""
    if host and host != registry:
        raise errors.InvalidInput(
            f"{name[:300]!r} is of another registry, {host!r}; this context's is {registry!r}.",
            f"leave the address out, or write {registry}/{rest[:100]}",
        )
