"""Every endpoint, of the specification ("Endpoints") and of our own, and what its caller needs, in one table."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from shoal_registry.api import accounts, blobs, catalog, manifests, referrers, tags, token, uploads, version
from shoal_registry.ecr import operations
from shoal_registry.errors import Refused
from shoal_registry.registry import Handler
from shoal_registry.rights.callers import Need

# A repository's name has slashes; no other part of a path has.
ROUTES: tuple[tuple[str, str, Need, Handler], ...] = (
    ("GET", "/token", "nothing", token.by_header),
    ("POST", "/token", "nothing", token.by_form),
    ("GET", "/accounts", "admin", accounts.listed),
    ("POST", "/accounts", "admin", accounts.create),
    ("PATCH", "/accounts/{account}", "admin", accounts.update),
    ("DELETE", "/accounts/{account}", "admin", accounts.delete),
    ("POST", "/accounts/{account}/secret", "admin", accounts.rotate),
    ("GET HEAD", "/v2/", "identity", version.check),
    ("GET HEAD", "/v2", "identity", version.check),
    ("GET", "/v2/_catalog", "identity", catalog.listed),
    ("POST", "/v2/{name}/blobs/uploads/", "push", uploads.begin),
    ("POST", "/v2/{name}/blobs/uploads", "push", uploads.begin),
    ("GET", "/v2/{name}/blobs/uploads/{upload}", "push", uploads.status),
    ("PATCH", "/v2/{name}/blobs/uploads/{upload}", "push", uploads.append),
    ("PUT", "/v2/{name}/blobs/uploads/{upload}", "push", uploads.finish),
    ("DELETE", "/v2/{name}/blobs/uploads/{upload}", "push", uploads.cancel),
    ("GET HEAD", "/v2/{name}/blobs/{digest}", "pull", blobs.pull),
    ("DELETE", "/v2/{name}/blobs/{digest}", "delete", blobs.delete),
    ("GET HEAD", "/v2/{name}/manifests/{reference}", "pull", manifests.pull),
    ("PUT", "/v2/{name}/manifests/{reference}", "push", manifests.push),
    ("DELETE", "/v2/{name}/manifests/{reference}", "delete", manifests.delete),
    ("GET", "/v2/{name}/tags/list", "pull", tags.listed),
    ("GET", "/v2/{name}/referrers/{digest}", "pull", referrers.listed),
    ("POST", "/ecr/{operation}", "nothing", operations.answer),
)


@dataclass(frozen=True, slots=True)
class Match:
    need: Need
    handler: Handler
    parts: Mapping[str, str]


def _pattern(template: str) -> re.Pattern[str]:
    return re.compile(template.replace("{name}", "(?P<name>.+)").replace("{", "(?P<").replace("}", ">[^/]+)"))


_COMPILED = [(methods.split(), _pattern(template), need, handler) for methods, template, need, handler in ROUTES]


def match(method: str, raw_path: str) -> Match:
    """By the path as it was sent, of which only an escaped colon is read: nothing else in it is ever escaped.

    Raises Refused.
    """
    path = raw_path.partition("?")[0].replace("%3A", ":").replace("%3a", ":")
    allowed: list[str] = []
    for methods, pattern, need, handler in _COMPILED:
        found = pattern.fullmatch(path)
        if found and method in methods:
            return Match(need, handler, found.groupdict())
        if found:
            allowed += methods
    if allowed:
        raise Refused("UNSUPPORTED", f"{method} is not for this path.", headers={"Allow": ", ".join(allowed)})
    raise Refused("UNSUPPORTED", "There is no such endpoint: all begin with /v2/ or /ecr/.", status=404)
