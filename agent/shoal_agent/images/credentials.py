"""Which credentials a pull sends along, out of a Docker client's config.json. Pure.

    {"auths": {"registry.example:5000": {"auth": "<base64 of user:password>"}}}

An entry may have `username` and `password`, or `identitytoken`, instead of `auth`. Entries are found by the image's
registry; Docker Hub's has its old name, https://index.docker.io/v1/. Credential helpers are programs of the user
who logged in: the agent runs none of them, and says so.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

HUB = "docker.io"
_HUB_ADDRESS = "https://index.docker.io/v1/"
_HUB_NAMES = frozenset({HUB, "index.docker.io", "registry-1.docker.io"})


class BadCredentials(ValueError):  # noqa: N818 - the name says what is wrong
    """The file does not give what it should. Says where in it, and what to write; never what a secret is."""


def registry_of(image: str) -> str:
    """
    >>> registry_of("nginx"), registry_of("group/web:7"), registry_of("registry:5000/web"), registry_of("localhost/web")
    ('docker.io', 'docker.io', 'registry:5000', 'localhost')
    """
    first, separator, _ = image.partition("/")
    is_host = separator and ("." in first or ":" in first or first == "localhost")
    return first if is_host and first not in _HUB_NAMES else HUB


def registry_auth(content: bytes, image: str) -> str | None:
    """The X-Registry-Auth header for a pull of `image`; None if the file has nothing for its registry. Raises
    BadCredentials."""
    document = _document(content)
    registry = registry_of(image)
    helpers = {_host(name): helper for name, helper in _table(document, "credHelpers").items()}
    if registry in helpers:
        raise BadCredentials(f"credHelpers[{registry!r}]: {_helper(helpers[registry])}")
    entries = {_host(name): entry for name, entry in _table(document, "auths").items()}
    entry = entries.get(registry)
    if entry is None:
        return None
    known = _credentials(registry, entry)
    if not known:
        if document.get("credsStore"):
            raise BadCredentials(f"credsStore: {_helper(document['credsStore'])}")
        raise BadCredentials(f"auths[{registry!r}]: has neither auth, username and password, nor identitytoken")
    address = _HUB_ADDRESS if registry == HUB else registry
    return base64.urlsafe_b64encode(json.dumps({**known, "serveraddress": address}).encode()).decode()


def _document(content: bytes) -> Mapping[str, Any]:
    try:
        document = json.loads(content)
    except ValueError as error:
        raise BadCredentials(f"is not JSON: {error.__class__.__name__}") from None  # its message may quote a secret
    if not isinstance(document, dict):
        raise BadCredentials('must be an object, as in {"auths": {}}')
    return document


def _table(document: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    table = document.get(key)
    if table is not None and not isinstance(table, dict):
        raise BadCredentials(f"{key}: must be an object with registries as keys")
    return table or {}


def _credentials(registry: str, entry: object) -> dict[str, str]:
    """Empty if the entry holds none, as those of a credential helper."""
    if not isinstance(entry, dict):
        raise BadCredentials(f"auths[{registry!r}]: must be an object")
    if entry.get("identitytoken"):
        return {"identitytoken": str(entry["identitytoken"])}
    if entry.get("username"):
        return {"username": str(entry["username"]), "password": str(entry.get("password", ""))}
    if not entry.get("auth"):
        return {}
    try:
        user, separator, password = base64.b64decode(str(entry["auth"]), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        separator = ""
    if not separator:
        raise BadCredentials(f"auths[{registry!r}].auth: must be the base64 of user:password")
    return {"username": user, "password": password}


def _host(key: str) -> str:
    """Keys may be written as addresses.

    >>> _host("https://registry.example/v1/"), _host("https://index.docker.io/v1/")
    ('registry.example', 'docker.io')
    """
    host = key.partition("://")[2] or key
    host = host.partition("/")[0]
    return HUB if host in _HUB_NAMES else host


def _helper(name: object) -> str:
    return f"the credential helper {name!r} is not run by the agent; write the registry's credentials under auths"
