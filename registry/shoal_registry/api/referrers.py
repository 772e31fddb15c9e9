"""The manifests whose subject is a given one ("Listing Referrers")."""

import json
from urllib.parse import urlencode

from aiohttp import web

from shoal_registry import manifest
from shoal_registry.registry import Call


async def listed(call: Call) -> web.Response:
    """An index, also if there is no such manifest or repository: referrers may come before their subject."""
    repository, digest, query = call.repository, call.digest, call.request.query
    artifact_type = query.get("artifactType") or None
    described, last = await call.repositories.referrers(repository, digest, artifact_type, query.get("last", ""))
    # No charset: the specification has the media type alone.
    headers = {"Content-Type": manifest.INDEX}
    if artifact_type:
        headers["OCI-Filters-Applied"] = "artifactType"
    if last:
        further = urlencode({"last": last, **({"artifactType": artifact_type} if artifact_type else {})})
        headers["Link"] = f'</v2/{repository.name}/referrers/{digest}?{further}>; rel="next"'
    index = {"schemaVersion": 2, "mediaType": manifest.INDEX, "manifests": described}
    return web.Response(body=json.dumps(index).encode(), headers=headers)
