"""Every endpoint of the specification ("Endpoints"), in one table."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from shoal_registry.api import blobs, manifests, referrers, tags, uploads, version
from shoal_registry.ecr import operations
from shoal_registry.errors import Refused
from shoal_registry.registry import Handler

# A repository's name has slashes; no other part of a path has.
ROUTES: tuple[tuple[str, str, Handler], ...] = (
    ("GET HEAD", "/v2/", version.check),
    ("GET HEAD", "/v2", version.check),
    ("POST", "/v2/{name}/blobs/uploads/", uploads.begin),
    ("POST", "/v2/{name}/blobs/uploads", uploads.begin),
    ("GET", "/v2/{name}/blobs/uploads/{upload}", uploads.status),
    ("PATCH", "/v2/{name}/blobs/uploads/{upload}", uploads.append),
    ("PUT", "/v2/{name}/blobs/uploads/{upload}", uploads.finish),
    ("DELETE", "/v2/{name}/blobs/uploads/{upload}", uploads.cancel),
    ("GET HEAD", "/v2/{name}/blobs/{digest}", blobs.pull),
    ("DELETE", "/v2/{name}/blobs/{digest}", blobs.delete),
    ("GET HEAD", "/v2/{name}/manifests/{reference}", manifests.pull),
    ("PUT", "/v2/{name}/manifests/{reference}", manifests.push),
    ("DELETE", "/v2/{name}/manifests/{reference}", manifests.delete),
    ("GET", "/v2/{name}/tags/list", tags.listed),
    ("GET", "/v2/{name}/referrers/{digest}", referrers.listed),
    ("POST", "/ecr/{operation}", operations.answer),
)


@dataclass(frozen=True, slots=True)
class Match:
    handler: Handler
    parts: Mapping[str, str]


def _pattern(template: str) -> re.Pattern[str]:
    return re.compile(template.replace("{name}", "(?P<name>.+)").replace("{", "(?P<").replace("}", ">[^/]+)"))


_COMPILED = [(methods.split(), _pattern(template), handler) for methods, template, handler in ROUTES]


def match(method: str, raw_path: str) -> Match:
    """By the path as it was sent, of which only an escaped colon is read: nothing else in it is ever escaped.

    Raises Refused.
    """
    path = raw_path.partition("?")[0].replace("%3A", ":").replace("%3a", ":")
    allowed: list[str] = []
    for methods, pattern, handler in _COMPILED:
        found = pattern.fullmatch(path)
        if found and method in methods:
            return Match(handler, found.groupdict())
        if found:
            allowed += methods
    if allowed:
        raise Refused("UNSUPPORTED", f"{method} is not for this path.", headers={"Allow": ", ".join(allowed)})
    raise Refused("UNSUPPORTED", "There is no such endpoint: all begin with /v2/ or /ecr/.", status=404)
