"""What a manifest says, checked: the kinds that this registry takes and what each refers to.

Image specification: manifest.md, image-index.md, descriptor.md; Docker's are Image Manifest Version 2, Schema 2.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shoal_registry.errors import Refused
from shoal_registry.names import Digest

MANIFEST_BYTES_MAX = 4 * 1024 * 1024

IMAGE = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_IMAGE = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
IMAGES = (IMAGE, DOCKER_IMAGE)
KINDS = (IMAGE, INDEX, DOCKER_IMAGE, DOCKER_INDEX)

# Layers that may not be given away lie elsewhere. Their `urls` are the puller's business: nothing here opens them.
_ELSEWHERE = (
    "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
    "application/vnd.oci.image.layer.nondistributable.v1.tar",
    "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
    "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
)


@dataclass(frozen=True, slots=True)
class Descriptor:
    """`field` is where in the manifest it stands; `of_manifest`: an index lists it."""

    field: str
    media_type: str
    digest: Digest
    size: int
    of_manifest: bool = False


@dataclass(frozen=True, slots=True)
class Manifest:
    """`references`: all that must be in the repository before; the subject need not."""

    media_type: str
    references: Sequence[Descriptor]
    subject: Digest | None
    artifact_type: str | None
    annotations: Mapping[str, Any] | None

    def descriptor(self, digest: Digest, size: int) -> dict[str, Any]:
        """As a list of referrers has it ("Listing Referrers")."""
        described: dict[str, Any] = {"mediaType": self.media_type, "digest": str(digest), "size": size}
        if self.artifact_type:
            described["artifactType"] = self.artifact_type
        if self.annotations:
            described["annotations"] = self.annotations
        return described


def parse(content: bytes, content_type: str) -> Manifest:
    """`content_type`: the header's, without parameters; empty if none was sent. Raises Refused."""
    document = _read(content)
    stated = _text(document, "mediaType")
    if stated and content_type and stated != content_type:
        raise _invalid("mediaType", f"is {stated!r}, but the header Content-Type says {content_type!r}")
    media_type = stated or content_type
    if media_type not in KINDS:
        raise _invalid("mediaType", f"is {media_type[:200]!r}; this registry takes {', '.join(KINDS)}")
    if document.get("schemaVersion") != 2 or document["schemaVersion"] is True:
        raise _invalid("schemaVersion", "must be 2")
    annotations = document.get("annotations")
    if annotations is not None and not _is_text_map(annotations):
        raise _invalid("annotations", "must be an object of strings")
    subject = _descriptor(document["subject"], "subject").digest if document.get("subject") is not None else None
    artifact_type = _text(document, "artifactType")
    if media_type in IMAGES:
        references = _of_image(document)
        # Without a type of its own, an artifact is what its config is.
        artifact_type = artifact_type or references[0].media_type
    else:
        references = _of_index(document)
    return Manifest(media_type, references, subject, artifact_type or None, annotations)


def _read(content: bytes) -> dict[str, Any]:
    try:
        document = json.loads(content, object_pairs_hook=_once, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise Refused("MANIFEST_INVALID", f"A manifest is a JSON object; this is none: {str(error)[:200]}.") from None
    if not isinstance(document, dict):
        raise Refused("MANIFEST_INVALID", "A manifest is a JSON object.")
    return document


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Of a field that is there twice, programs would read one or the other."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a field is there twice")
    return found


def _no_constant(text: str) -> None:
    raise ValueError(f"{text} is no JSON")


def _of_image(document: Mapping[str, Any]) -> list[Descriptor]:
    # What is both would be an image to one program and an index to another.
    if "manifests" in document:
        raise _invalid("manifests", "is for an index; an image manifest has config and layers")
    layers = document.get("layers", [])
    if not isinstance(layers, list):
        raise _invalid("layers", "must be a list of descriptors")
    found = [_descriptor(document.get("config"), "config")]
    for number, layer in enumerate(layers):
        described = _descriptor(layer, f"layers[{number}]")
        if described.media_type not in _ELSEWHERE:
            found.append(described)
    return found


def _of_index(document: Mapping[str, Any]) -> list[Descriptor]:
    for field in ("config", "layers"):
        if field in document:
            raise _invalid(field, "is for an image manifest; an index has manifests")
    manifests = document.get("manifests")
    if not isinstance(manifests, list):
        raise _invalid("manifests", "must be a list of descriptors")
    return [_descriptor(each, f"manifests[{number}]", of_manifest=True) for number, each in enumerate(manifests)]


def _descriptor(value: object, field: str, of_manifest: bool = False) -> Descriptor:
    if not isinstance(value, dict):
        raise _invalid(field, "must be a descriptor: an object with mediaType, digest and size")
    size = value.get("size")
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size < 2**63:
        raise _invalid(f"{field}.size", "must be a number of bytes")
    media_type = _text(value, "mediaType", f"{field}.")
    if not media_type:
        raise _invalid(f"{field}.mediaType", "is missing")
    try:
        digest = Digest.parse(value.get("digest"))
    except Refused as refused:
        raise _invalid(f"{field}.digest", refused.message) from None
    return Descriptor(field, media_type, digest, size, of_manifest)


def _text(document: Mapping[str, Any], field: str, within: str = "") -> str:
    value = document.get(field)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _invalid(f"{within}{field}", "must be a string")
    return value


def _is_text_map(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(each, str) for each in value.values())


def _invalid(field: str, problem: str) -> Refused:
    return Refused("MANIFEST_INVALID", f"{field}: {problem}", detail={"field": field})
