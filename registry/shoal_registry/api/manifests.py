"""Manifests: pulled, pushed and deleted, by digest or by tag."""

from aiohttp import web

from shoal_registry import ranges
from shoal_registry.api.body import whole
from shoal_registry.errors import Refused
from shoal_registry.manifest import MANIFEST_BYTES_MAX
from shoal_registry.names import Reference, Tag, parse_reference
from shoal_registry.registry import Call


async def pull(call: Call) -> web.Response:
    """Whatever the Accept header says: another manifest would have another digest."""
    repository, request = call.repository, call.request
    found = await call.repositories.find(repository, _existing(call))
    tag = f'"{found.digest}"'
    headers = {"Docker-Content-Digest": str(found.digest), "ETag": tag, "Content-Type": found.media_type}
    if ranges.is_unchanged(request.headers.get("If-None-Match"), tag):
        return web.Response(status=304, headers=headers)
    if request.method == "HEAD":
        return web.Response(headers=headers | {"Content-Length": str(found.size)})
    return web.Response(body=await call.repositories.read_manifest(found.digest), headers=headers)


async def push(call: Call) -> web.Response:
    repository, request = call.repository, call.request
    reference = parse_reference(call.parts["reference"])
    content = await whole(request, MANIFEST_BYTES_MAX)
    content_type = request.headers.get("Content-Type", "").partition(";")[0].strip()
    digest, manifest = await call.repositories.put_manifest(repository, reference, content, content_type)
    headers = {"Location": f"/v2/{repository.name}/manifests/{digest}", "Docker-Content-Digest": str(digest)}
    if manifest.subject:
        headers["OCI-Subject"] = str(manifest.subject)
    return web.Response(status=201, headers=headers)


async def delete(call: Call) -> web.Response:
    repository, reference = call.repository, _existing(call)
    if isinstance(reference, Tag):
        await call.repositories.delete_tag(repository, reference)
    else:
        await call.repositories.delete_manifest(repository, reference)
    return web.Response(status=202)


def _existing(call: Call) -> Reference:
    """Of what could never be pushed under that tag, there is none."""
    try:
        return parse_reference(call.parts["reference"])
    except Refused as refused:
        if refused.code == "TAG_INVALID":
            raise Refused("MANIFEST_UNKNOWN", refused.message) from None
        raise
