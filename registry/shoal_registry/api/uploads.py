"""Uploads of blobs: at once by POST, by POST and PUT, or in chunks ("Pushing blobs")."""

from aiohttp import web

from shoal_registry import ranges
from shoal_registry.api import mount
from shoal_registry.api.body import pieces
from shoal_registry.errors import Refused
from shoal_registry.names import Digest, Repository, UploadId
from shoal_registry.ranges import Span
from shoal_registry.registry import Call


async def begin(call: Call) -> web.Response:
    """The whole blob, if its digest is given; a mount, if one is asked for and can be; an upload otherwise."""
    repository = call.repository
    if (text := call.request.query.get("digest")) is not None:
        digest = Digest.parse(text)
        return await _at_once(call, repository, digest)
    if digest_mounted := await mount.mounted(call):
        return _created(repository, digest_mounted)
    await call.repositories.demand(repository)
    upload = await call.uploads.begin(repository)
    return web.Response(status=202, headers=_where(repository, upload, 0))


async def status(call: Call) -> web.Response:
    size = await call.uploads.size(call.repository, call.upload)
    return web.Response(status=204, headers=_where(call.repository, call.upload, size))


async def append(call: Call) -> web.Response:
    size = await _append(call, _claimed(call.request), "sha256")
    return web.Response(status=202, headers=_where(call.repository, call.upload, size))


async def finish(call: Call) -> web.Response:
    repository, upload = call.repository, call.upload
    digest = Digest.parse(call.request.query.get("digest", ""))
    await _append(call, _claimed(call.request), digest.algorithm)
    await call.uploads.commit(repository, upload, digest)
    return _created(repository, digest)


async def cancel(call: Call) -> web.Response:
    await call.uploads.cancel(call.repository, call.upload)
    return web.Response(status=204)


async def _at_once(call: Call, repository: Repository, digest: Digest) -> web.Response:
    await call.repositories.demand(repository)
    upload = await call.uploads.begin(repository)
    try:
        await call.uploads.append(repository, upload, pieces(call.request), None, digest.algorithm)
        await call.uploads.commit(repository, upload, digest)
    except BaseException:
        # Nobody was told where it is, so that nobody can resume it.
        await call.uploads.drop(upload)
        raise
    return _created(repository, digest)


async def _append(call: Call, claimed: Span | None, algorithm: str) -> int:
    repository, upload = call.repository, call.upload
    try:
        return await call.uploads.append(repository, upload, pieces(call.request), claimed, algorithm)
    except Refused as refused:
        if refused.status == 416:
            refused.headers.update(_where(repository, upload, await call.uploads.size(repository, upload)))
        raise


def _claimed(request: web.Request) -> Span | None:
    """Raises Refused if the headers contradict each other."""
    claimed = ranges.sent(request.headers.get("Content-Range"))
    length = request.content_length
    if claimed and length is not None and length != claimed.length:
        raise Refused("SIZE_INVALID", f"Content-Range says {claimed.length} bytes, Content-Length {length}.")
    return claimed


def _where(repository: Repository, upload: UploadId, size: int) -> dict[str, str]:
    """Of no bytes at all, Range says 0-0, as clients know it."""
    return {
        "Location": f"/v2/{repository.name}/blobs/uploads/{upload.text}",
        "Range": f"0-{max(0, size - 1)}",
        "Docker-Upload-UUID": upload.text,
    }


def _created(repository: Repository, digest: Digest) -> web.Response:
    headers = {"Location": f"/v2/{repository.name}/blobs/{digest}", "Docker-Content-Digest": str(digest)}
    return web.Response(status=201, headers=headers)
