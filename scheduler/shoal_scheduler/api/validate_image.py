"""Image references: `[registry[:port]/]repository[:tag][@digest]`, by the grammar of the OCI distribution
specification and the engine's reading of it, in steps, so that each mistake gets its own sentence."""

import re

from shoal.problems import Problem, quoted

from shoal_scheduler.api.validate_values import Problems

_REFERENCE_CHARACTERS_MAX = 255  # before the digest; the ECS API's limit
_REGISTRY_HOST = re.compile(
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*"
    r"|\[[0-9A-Fa-f:.]+\])"
)
_COMPONENT = re.compile(r"[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_EXAMPLES = "nginx, nginx:1.27, registry.example:5000/team/app@sha256:<64 hex digits>"


def image_problems(field: str, image: str | None) -> Problems:
    if not image:
        yield Problem(field, f"is required, for example {_EXAMPLES}")
        return
    wrong = _wrong(image)
    if wrong is not None:
        yield Problem(field, wrong)


def _wrong(image: str) -> str | None:
    """The first thing wrong with a reference."""
    name, at, digest = image.partition("@")
    if len(name) > _REFERENCE_CHARACTERS_MAX:
        return f"has {len(name)} characters before the digest; at most {_REFERENCE_CHARACTERS_MAX} are allowed"
    if "://" in name:
        return f"{quoted(image)} is an address; leave out what ends with ://"
    if at and not _DIGEST.fullmatch(digest):
        return f"the digest {quoted(digest)} must be sha256: and 64 hexadecimal digits in lower case"
    registry, path = _split_registry(name)
    repository, colon, tag = path.rpartition(":") if ":" in path else (path, "", "")
    if colon and not _TAG.fullmatch(tag):
        return f"the tag {quoted(tag)} must be 1 to 128 letters, digits and _ . - (no . or - first)"
    return _registry_wrong(registry) or _repository_wrong(image, repository)


def _split_registry(name: str) -> tuple[str, str]:
    """The part before the first / is a registry if it could be a host and not a part of a repository."""
    first, slash, rest = name.partition("/")
    is_host = "." in first.strip(".") or ":" in first or first == "localhost"
    return (first, rest) if slash and is_host else ("", name)


def _registry_wrong(registry: str) -> str | None:
    if not registry:
        return None
    host, port = registry, None
    if ":" in registry and not registry.endswith("]"):
        host, _, port = registry.rpartition(":")
    if not _REGISTRY_HOST.fullmatch(host):
        return f"the registry {quoted(registry)} must be a host name or address, perhaps with a port"
    if port is not None and not (port.isascii() and port.isdigit() and len(port) <= 5 and 1 <= int(port) <= 65535):
        return f"the registry's port {quoted(port)} must be between 1 and 65535"
    return None


def _repository_wrong(image: str, repository: str) -> str | None:
    components = repository.split("/")
    if all(_COMPONENT.fullmatch(component) for component in components):
        return None
    if all(_COMPONENT.fullmatch(component.lower()) for component in components):
        return f"the repository {quoted(repository)} must be in lower case; write {quoted(repository.lower())}"
    return f"{quoted(image)} is not an image; write it as {_EXAMPLES}"
