"""Names of images: `[registry[:port]/]repository[:tag][@digest]`. Pure."""

from collections.abc import Sequence


def split(image: str) -> tuple[str, str, str]:
    """Repository, tag and digest; "" for what it has not.

    >>> split("registry:5000/web:7")
    ('registry:5000/web', '7', '')
    >>> split("web@sha256:0af3")
    ('web', '', 'sha256:0af3')
    """
    rest, _, digest = image.partition("@")
    start, separator, last = rest.rpartition("/")
    last, _, tag = last.partition(":")
    return f"{start}{separator}{last}", tag, digest


def pinned(image: str, digest: str | None) -> str:
    """The image by its digest, whatever its tag comes to mean; as it stands if nobody knows one.

    >>> pinned("web:7", "sha256:0af3"), pinned("web:7", None)
    ('web@sha256:0af3', 'web:7')
    """
    return f"{split(image)[0]}@{digest}" if digest else image


def digest_of(image: str, known_as: Sequence[str]) -> str | None:
    """The one of the engine's RepoDigests that is of the image's own repository.

    >>> digest_of("docker.io/library/web:7", ["mirror:5000/web@sha256:11", "web@sha256:22"])
    'sha256:22'
    """
    repository = familiar(split(image)[0])
    return next((digest for name, _, digest in map(split, known_as) if familiar(name) == repository), None)


def familiar(repository: str) -> str:
    """As the engine shortens it."""
    return repository.removeprefix("docker.io/").removeprefix("library/")


def listed_as(image: str) -> str:
    """The name by which an engine that has the image lists it. With a digest it is that image or none, whatever the
    tag beside it has come to mean.

    >>> listed_as("docker.io/library/nginx"), listed_as("registry:5000/web:7@sha256:0af3")
    ('nginx:latest', 'registry:5000/web@sha256:0af3')
    """
    repository, tag, digest = split(familiar(image))
    return f"{repository}@{digest}" if digest else f"{repository}:{tag or 'latest'}"
