"""A registry that serves images and takes none: enough of the OCI distribution API for an engine to pull by tag.

An image is one layer with the machine's static busybox, and whatever its environment tells it apart by.
"""

import gzip
import hashlib
import io
import json
import shutil
import tarfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG = "application/vnd.docker.container.image.v1+json"
LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


class Registry:
    """`tags` may be moved at any time: by repository and tag, the digest of a manifest."""

    def __init__(self) -> None:
        self.address = ""
        self.tags: dict[tuple[str, str], str] = {}
        self._blobs: dict[str, bytes] = {}
        self._layer = _busybox_layer()

    def publish(self, repository: str, tag: str, environment: str) -> str:
        """The digest of the new image, which the tag means from now on."""
        packed = gzip.compress(self._layer, mtime=0)
        config = {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Env": ["PATH=/bin", environment]},
            "rootfs": {"type": "layers", "diff_ids": [digest(self._layer)]},
        }
        written = json.dumps(config).encode()
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {"mediaType": CONFIG, "size": len(written), "digest": self._keep(written)},
            "layers": [{"mediaType": LAYER, "size": len(packed), "digest": self._keep(packed)}],
        }
        self.tags[repository, tag] = self._keep(json.dumps(manifest).encode())
        return self.tags[repository, tag]

    def _keep(self, content: bytes) -> str:
        self._blobs[digest(content)] = content
        return digest(content)

    async def _manifest(self, request: web.Request) -> web.Response:
        reference = request.match_info["reference"]
        found = self.tags.get((request.match_info["repository"], reference), reference)
        if found not in self._blobs:
            raise web.HTTPNotFound
        headers = {"Docker-Content-Digest": found}
        return web.Response(body=self._blobs[found], content_type=MANIFEST, headers=headers)

    async def _blob(self, request: web.Request) -> web.Response:
        return web.Response(body=self._blobs[request.match_info["digest"]], content_type="application/octet-stream")

    async def _version(self, _: web.Request) -> web.Response:
        return web.json_response({}, headers={"Docker-Distribution-Api-Version": "registry/2.0"})

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["Registry"]:
        """On a free port of the loopback address, which engines trust without TLS."""
        app = web.Application()
        app.router.add_get("/v2/", self._version)
        app.router.add_get("/v2/{repository}/manifests/{reference}", self._manifest)
        app.router.add_get("/v2/{repository}/blobs/{digest}", self._blob)
        runner = web.AppRunner(app)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            host, port = runner.addresses[0][:2]
            self.address = f"{host}:{port}"
            yield self
        finally:
            await runner.cleanup()


def _busybox_layer() -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as tar:
        busybox = shutil.which("busybox")
        assert busybox is not None, "busybox is not installed"
        tar.add(Path(busybox).resolve(), "bin/busybox")
        link = tarfile.TarInfo("bin/sleep")
        link.type, link.linkname = tarfile.SYMTYPE, "busybox"
        tar.addfile(link)
    return written.getvalue()
