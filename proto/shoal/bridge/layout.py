"""The documents of the archive that is made of an image: an OCI image layout with Docker's manifest.json in it. Pure.

    oci-layout  index.json  manifest.json  blobs/sha256/…     config, manifest and layers, as the registry has them

So every program finds its own: `docker load` of Docker 20.10 reads manifest.json and unpacks compressed layers as they
are, engines with containerd's image store and `podman load`, `skopeo copy oci-archive:`, `ctr image import` read
index.json.
"""

import json
from typing import Any

from shoal.bridge.manifest import INDEX, Image

LAYOUT = b'{"imageLayoutVersion": "1.0.0"}'


def path(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


def documents(image: Image, local: str | None) -> dict[str, bytes]:
    """By path; `local`: what an engine shall call it, NAME:TAG. The manifest is among them."""
    described: dict[str, Any] = image.descriptor.document()
    if local:
        annotations = {"io.containerd.image.name": _whole(local), "org.opencontainers.image.ref.name": _tag(local)}
        described = described | {"annotations": annotations}
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [described]}
    docker = {
        "Config": path(image.config.digest),
        "RepoTags": [local] if local else None,
        "Layers": [path(each.digest) for each in image.layers],
    }
    return {
        "oci-layout": LAYOUT,
        "index.json": json.dumps(index).encode(),
        "manifest.json": json.dumps([docker]).encode(),
        path(image.descriptor.digest): image.content,
    }


def _tag(local: str) -> str:
    return local.rpartition(":")[2]


def _whole(local: str) -> str:
    """As containerd names what docker calls `web` or `team/web`."""
    first, slash, _ = local.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return local
    return f"docker.io/{local}" if slash else f"docker.io/library/{local}"
