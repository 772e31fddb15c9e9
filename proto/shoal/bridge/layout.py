"""The documents of the archive that is made of an image: an OCI image layout with Docker's manifest.json in it. Pure.

    oci-layout  index.json  manifest.json  blobs/sha256/…     config, manifest and layers, as the registry has them

So every program finds its own: `docker load` of Docker 20.10 reads manifest.json and unpacks compressed layers as they
are, engines with containerd's image store and `podman load`, `skopeo copy oci-archive:`, `ctr image import` read
index.json.
"""

import json
from collections.abc import Mapping
from typing import Any

from shoal.bridge import manifest, names
from shoal.bridge.archive import Damaged
from shoal.bridge.manifest import IMAGES, INDEX, Image, Platform

LAYOUT = b'{"imageLayoutVersion": "1.0.0"}'


def path(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


def digest_at(member: str) -> str | None:
    """What the path of a blob says of it.

    >>> digest_at("blobs/sha256/" + 64 * "0") == "sha256:" + 64 * "0", digest_at("layer.tar")
    (True, None)
    """
    digest = member.removeprefix("blobs/").replace("/", ":", 1)
    return digest if member.startswith("blobs/") and names.is_digest(digest) else None


def documents(image: Image, local: str | None) -> dict[str, bytes]:
    """By path; `local`: what an engine shall call it, NAME:TAG. The manifest is among them."""
    described: dict[str, Any] = image.descriptor.document()
    if local:
        annotations = {"io.containerd.image.name": _whole(local), "org.opencontainers.image.ref.name": _tag(local)}
        described = described | {"annotations": annotations}
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [described]}
    return {
        "oci-layout": LAYOUT,
        "index.json": json.dumps(index).encode(),
        "manifest.json": in_docker_words(image, local),
        path(image.descriptor.digest): image.content,
    }


def in_docker_words(image: Image, local: str | None) -> bytes:
    """The manifest.json of an archive that has the image's blobs."""
    docker = {
        "Config": path(image.config.digest),
        "RepoTags": [local] if local else None,
        "Layers": [path(each.digest) for each in image.layers],
    }
    return json.dumps([docker]).encode()


def found(documents: Mapping[str, bytes], wanted: Platform) -> Image | None:
    """The image for that platform in an archive with these small files; None if it is no OCI layout.

    Raises Damaged, NotFound.
    """
    if "index.json" not in documents:
        return None
    listed = manifest.index(documents["index.json"])
    for _ in range(manifest.INDEXES_MAX):
        # An engine saves an index also if it has the images of some platforms only.
        there = [each for each in listed if path(each.digest) in documents]
        chosen = there[0] if len(there) == 1 else manifest.chosen(there, wanted)
        content = documents[path(chosen.digest)]
        if manifest.digest_of(content) != chosen.digest:
            raise Damaged(f"A manifest in the archive is not {chosen.digest}, as its index says.")
        media_type = manifest.media_type_of(content, chosen.media_type)
        if media_type in IMAGES:
            return manifest.image(content, media_type)
        listed = manifest.index(content)
    raise Damaged("The archive has an index of indexes.")


def _tag(local: str) -> str:
    return local.rpartition(":")[2]


def _whole(local: str) -> str:
    """As containerd names what docker calls `web` or `team/web`."""
    first, slash, _ = local.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return local
    return f"docker.io/{local}" if slash else f"docker.io/library/{local}"
