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
    reference = _existing(call)
    found = await call.repositories.find(repository, reference)
    if found.image.is_archived:
        # As if it were not there, so that who pushes it anew does so, which brings it back.
        raise Refused(
            "MANIFEST_UNKNOWN",
            f"The image {found.digest} in {repository.name} is archived: push it again, or restore it by "
            f"`shoal repository restore {repository.name}@{found.digest}` or UpdateImageStorageClass.",
            detail={"storageClass": "ARCHIVE"},
        )
    tag = f'"{found.digest}"'
    headers = {"Docker-Content-Digest": str(found.digest), "ETag": tag, "Content-Type": found.media_type}
    if ranges.is_unchanged(request.headers.get("If-None-Match"), tag):
        return web.Response(status=304, headers=headers)
    if request.method == "HEAD":
        return web.Response(headers=headers | {"Content-Length": str(found.size)})
    content = await call.repositories.read_manifest(found.digest)
    call.pulled(repository, found, reference.name if isinstance(reference, Tag) else None)
    return web.Response(body=content, headers=headers)


async def push(call: Call) -> web.Response:
    repository, request = call.repository, call.request
    reference = parse_reference(call.parts["reference"])
    content = await whole(request, MANIFEST_BYTES_MAX)
    content_type = request.headers.get("Content-Type", "").partition(";")[0].strip()
    digest, manifest = await call.repositories.put_manifest(repository, reference, content, content_type)
    call.pushed(repository, digest, reference.name if isinstance(reference, Tag) else None, manifest.media_type)
    headers = {"Location": f"/v2/{repository.name}/manifests/{digest}", "Docker-Content-Digest": str(digest)}
    if manifest.subject:
        headers["OCI-Subject"] = str(manifest.subject)
    return web.Response(status=201, headers=headers)


async def delete(call: Call) -> web.Response:
    repository, reference = call.repository, _existing(call)
    if isinstance(reference, Tag):
        call.deleted(repository, await call.repositories.delete_tag(repository, reference), reference.name)
    else:
        await call.repositories.delete_manifest(repository, reference)
        call.deleted(repository, reference)
    return web.Response(status=202)


def _existing(call: Call) -> Reference:
    """Of what could never be pushed under that tag, there is none."""
    try:
        return parse_reference(call.parts["reference"])
    except Refused as refused:
        if refused.code == "TAG_INVALID":
            raise Refused("MANIFEST_UNKNOWN", refused.message) from None
        raise
