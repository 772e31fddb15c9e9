"""Blobs: pulled, whole or in part, looked for and deleted."""

import asyncio

from aiohttp import web

from shoal_registry import ranges
from shoal_registry.ahead import ahead
from shoal_registry.api.body import STALL_SECONDS
from shoal_registry.ranges import Span
from shoal_registry.registry import Call
from shoal_registry.repositories import blob_unknown


async def pull(call: Call) -> web.StreamResponse:
    repository, digest, request = call.repository, call.digest, call.request
    look = call.repositories.pulled_blob_size if request.method == "GET" else call.repositories.promised_blob_size
    size = await look(repository, digest)
    if size is None:
        raise blob_unknown(repository, digest)
    tag = f'"{digest}"'
    headers = {"Docker-Content-Digest": str(digest), "ETag": tag, "Accept-Ranges": "bytes"}
    if ranges.is_unchanged(request.headers.get("If-None-Match"), tag):
        return web.Response(status=304, headers=headers)
    # A range of another content than the caller thinks of would be no use to it.
    ranged = request.method == "GET" and request.headers.get("If-Range", tag) == tag
    span = ranges.asked(request.headers.get("Range") if ranged else None, size)
    if span:
        headers["Content-Range"] = f"bytes {span.start}-{span.last}/{size}"
    part = span or Span(0, size)
    headers |= {"Content-Length": str(part.length), "Content-Type": "application/octet-stream"}
    response = web.StreamResponse(status=206 if span else 200, headers=headers)
    await response.prepare(request)
    if request.method == "GET":
        try:
            async with ahead(call.repositories.stream(digest, part)) as pieces:
                async for piece in pieces:
                    async with asyncio.timeout(STALL_SECONDS):
                        await response.write(piece)
        except BaseException:
            # Nothing else may follow what was promised to be the blob.
            if request.transport is not None:
                request.transport.abort()
            raise
    await response.write_eof()
    return response


async def delete(call: Call) -> web.Response:
    await call.repositories.delete_blob(call.repository, call.digest)
    return web.Response(status=202)
