"""A registry with images of one layer, in this process: what an engine needs of the distribution protocol to pull."""

import asyncio
import base64
import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_CONFIG = "application/vnd.docker.container.image.v1+json"
_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"


@dataclass(slots=True)
class Registry:
    """`login` ("user:password") is asked for if it is set; `failures` are the statuses of the next requests for a
    manifest; with `stalls` no layer ever ends, and `stalled` counts those. `pulls` counts how often a tag was
    resolved."""

    login: str | None = None
    failures: list[int] = field(default_factory=list)
    stalls: bool = False
    stalled: int = 0
    pulls: dict[str, int] = field(default_factory=dict)
    port: int = 0
    _blobs: dict[str, bytes] = field(default_factory=dict)
    _manifests: dict[str, str] = field(default_factory=dict)

    def image(self, name: str) -> str:
        """What an engine on this machine calls it."""
        return f"127.0.0.1:{self.port}/{name}"

    def push(self, name: str, content: bytes, path: str = "content", environment: Sequence[str] = ()) -> str:
        """`name` is repository:tag, which means the new image from now on; the image holds one file, which is its
        command. Returns its digest."""
        layer = _tar(content, path)
        config = {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Cmd": [f"/{path}"], "Env": list(environment)},
            "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
        }
        packed, described = gzip.compress(layer, mtime=0), json.dumps(config).encode()
        manifest = {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": self._keep(described, _CONFIG),
            "layers": [self._keep(packed, _LAYER)],
        }
        self._manifests[name] = self._keep(json.dumps(manifest).encode(), _MANIFEST)["digest"]
        return self._manifests[name]

    def delete(self, name: str) -> None:
        del self._manifests[name]

    def _keep(self, content: bytes, media_type: str) -> dict[str, Any]:
        self._blobs[_digest(content)] = content
        return {"mediaType": media_type, "size": len(content), "digest": _digest(content)}

    async def answer(self, request: web.Request) -> web.StreamResponse:
        wanted = f"Basic {base64.b64encode((self.login or '').encode()).decode()}"
        if self.login and request.headers.get("Authorization") != wanted:
            raise web.HTTPUnauthorized(headers={"WWW-Authenticate": 'Basic realm="test"'})
        if request.path == "/v2/":
            return web.json_response({})
        repository, kind, reference = request.path.removeprefix("/v2/").rsplit("/", 2)
        if kind == "blobs":
            return await self._blob(request, reference)
        if self.failures:
            return _error(self.failures.pop(0), "UNKNOWN", "trouble")
        name = f"{repository}:{reference}"
        digest = reference if reference.startswith("sha256:") else self._manifests.get(name, "")
        if digest not in self._blobs:
            return _error(404, "MANIFEST_UNKNOWN", "manifest unknown")
        self.pulls[name] = self.pulls.get(name, 0) + (reference != digest)
        headers = {"Docker-Content-Digest": digest, "Content-Type": _MANIFEST}
        return web.Response(body=self._blobs[digest], headers=headers)

    async def _blob(self, request: web.Request, digest: str) -> web.StreamResponse:
        content = self._blobs[digest]
        if not self.stalls or content.startswith(b"{"):
            return web.Response(body=content, content_type="application/octet-stream")
        response = web.StreamResponse(headers={"Content-Length": str(len(content))})
        await response.prepare(request)
        await response.write(content[: len(content) // 2])
        self.stalled += 1
        await asyncio.Event().wait()
        return response


@asynccontextmanager
async def registry() -> AsyncIterator[Registry]:
    serving = Registry()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", serving.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    serving.port = runner.addresses[0][1]
    try:
        yield serving
    finally:
        await runner.cleanup()


def _error(status: int, code: str, message: str) -> web.Response:
    return web.json_response({"errors": [{"code": code, "message": message}]}, status=status)


def _tar(content: bytes, path: str) -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        entry = tarfile.TarInfo(path)
        entry.size, entry.mode = len(content), 0o755
        tar.addfile(entry, io.BytesIO(content))
    return archive.getvalue()


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
