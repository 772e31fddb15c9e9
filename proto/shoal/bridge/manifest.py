"""Manifests and indexes: read, chosen from, made. Pure."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shoal import errors
from shoal.bridge import names
from shoal.bridge.archive import Damaged, document

IMAGE = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_IMAGE = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
IMAGES = (IMAGE, DOCKER_IMAGE)
INDEXES = (INDEX, DOCKER_INDEX)
# An index may list indexes, but not for ever.
INDEXES_MAX = 4
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
CONFIGS = (DOCKER_CONFIG, "application/vnd.oci.image.config.v1+json")
# What other machines must not give away: it lies elsewhere.
_ELSEWHERE = ("foreign", "nondistributable")


@dataclass(frozen=True, slots=True, order=True)
class Platform:
    """As `linux/arm64` or `linux/arm/v7`."""

    os: str
    architecture: str
    variant: str = ""

    @classmethod
    def parse(cls, text: str) -> "Platform":
        """Raises InvalidInput."""
        parts = text.split("/")
        if not 2 <= len(parts) <= 3 or not all(part.replace("-", "").isalnum() for part in parts):
            raise errors.InvalidInput(f"{text[:100]!r} is no platform: write OS/ARCHITECTURE, as in linux/arm64.")
        return cls(*parts)

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


@dataclass(frozen=True, slots=True)
class Descriptor:
    media_type: str
    digest: str
    size: int
    platform: Platform | None = None

    def document(self) -> dict[str, Any]:
        return {"mediaType": self.media_type, "digest": self.digest, "size": self.size}


@dataclass(frozen=True, slots=True)
class Image:
    """An image's manifest, in the bytes that its digest is of."""

    content: bytes
    media_type: str
    config: Descriptor
    layers: Sequence[Descriptor]

    @property
    def descriptor(self) -> Descriptor:
        return Descriptor(self.media_type, digest_of(self.content), len(self.content))


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def made(config: Descriptor, layers: Sequence[Descriptor]) -> Image:
    """As `docker push` makes it from an engine's own image: Docker's schema 2.

    An engine's config has more in it than OCI's words for it (health checks, shells), so that it stays what it is.
    The same image gives the same bytes.
    """
    whole = {
        "schemaVersion": 2,
        "mediaType": DOCKER_IMAGE,
        "config": config.document(),
        "layers": [each.document() for each in layers],
    }
    return Image(json.dumps(whole, indent=3).encode(), DOCKER_IMAGE, config, tuple(layers))


def media_type_of(content: bytes, said: str = "") -> str:
    """`said`: what the header or the descriptor says, where the document does not. Raises Damaged."""
    found = _object(content)
    stated = found.get("mediaType") or said or (INDEX if "manifests" in found else IMAGE)
    if stated not in (*IMAGES, *INDEXES):
        raise Damaged(f"This is no image's manifest: its media type is {str(stated)[:200]!r}.")
    return str(stated)


def image(content: bytes, media_type: str) -> Image:
    """Raises Damaged, also for what no engine can run."""
    parsed = Image(content, media_type, config(content), layers(content))
    if parsed.config.media_type not in CONFIGS:
        raise errors.InvalidInput(
            f"This is an artifact ({parsed.config.media_type[:200]}), not an image that an engine can run."
        )
    if any(word in each.media_type for each in parsed.layers for word in _ELSEWHERE):
        raise errors.InvalidInput("This image has layers that lie in no registry; it cannot be taken from here.")
    return parsed


def config(content: bytes) -> Descriptor:
    """Of an image or an artifact. Raises Damaged."""
    return _descriptor(_object(content).get("config"))


def layers(content: bytes) -> tuple[Descriptor, ...]:
    """Of an image or an artifact, the lowest first. Raises Damaged."""
    found = _object(content).get("layers")
    if not isinstance(found, list):
        raise Damaged("The manifest has no list of layers.")
    return tuple(_descriptor(each) for each in found)


def index(content: bytes) -> list[Descriptor]:
    """What an index lists. Raises Damaged."""
    manifests = _object(content).get("manifests")
    if not isinstance(manifests, list):
        raise Damaged("The index has no list of manifests.")
    return [_descriptor(each) for each in manifests]


def chosen(listed: Sequence[Descriptor], wanted: Platform) -> Descriptor:
    """The image for that platform: with its variant, or the only one that leaves the variant open. Raises NotFound."""
    able = [each for each in listed if each.platform and each.media_type in IMAGES]
    same = [each for each in able if each.platform and _fits(each.platform, wanted)]
    exact = [each for each in same if each.platform and each.platform.variant == wanted.variant]
    found = exact or same
    if not found:
        shown = ", ".join(sorted({str(each.platform) for each in able if each.platform and _is_real(each.platform)}))
        raise errors.NotFound(f"The image is not there for {wanted}, only for {shown or 'no platform'}.", "--platform")
    return found[0]


def demand_platform(config: bytes, wanted: Platform, name: str) -> None:
    """That an image's config says so, where nothing could be chosen. Raises NotFound, Damaged."""
    has = _platform(document(config, "the image's config"))
    if has and has.os and has.architecture and not _fits(has, wanted):
        raise errors.NotFound(f"{name} is for {has} only, not for {wanted}.", "leave out --platform, if it is meant")


def _fits(has: Platform, wanted: Platform) -> bool:
    if (has.os, has.architecture) != (wanted.os, wanted.architecture):
        return False
    return not wanted.variant or not has.variant or has.variant == wanted.variant


def _is_real(platform: Platform) -> bool:
    """Statements about an image are listed beside it, for a platform that nobody has."""
    return platform.os != "unknown"


def _descriptor(value: object) -> Descriptor:
    if not isinstance(value, dict):
        raise Damaged("The manifest has something else where a descriptor must be.")
    size, media_type, digest = value.get("size"), value.get("mediaType"), value.get("digest")
    if not isinstance(size, int) or isinstance(size, bool) or size < 0 or not isinstance(media_type, str):
        raise Damaged("A descriptor in the manifest has no size or no media type.")
    if not names.is_digest(digest):
        raise Damaged(f"A descriptor in the manifest has no digest that can be checked: {str(digest)[:200]!r}.")
    return Descriptor(media_type, str(digest), size, _platform(value.get("platform")))


def _platform(value: object) -> Platform | None:
    if not isinstance(value, Mapping):
        return None
    found = [value.get(part) or "" for part in ("os", "architecture", "variant")]
    return Platform(*found) if all(isinstance(each, str) for each in found) else None


def _object(content: bytes) -> dict[str, Any]:
    found = document(content, "the manifest")
    if not isinstance(found, dict):
        raise Damaged("The manifest is no JSON object.")
    return found
