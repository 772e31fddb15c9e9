"""The tar that an engine saves and loads: its headers, block by block, and which of its files are the image. Pure.

Two layouts are in use: Docker's own (`manifest.json`, a config, `<id>/layer.tar`; Docker 20.10), and the OCI image
layout (`index.json`, `blobs/sha256/…`) with Docker's manifest.json beside it (Docker 25 and later, with either image
store). Nothing in such a tar is ever written to the path that it says; what has no place in an image is refused all
the same.
"""

import json
import posixpath
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from shoal import errors

BLOCK_BYTES = 512
# Docker's own layout takes four files for each of at most 127 layers.
MEMBERS_MAX = 10_000
PATH_CHARACTERS_MAX = 4096
# A path and a few numbers.
EXTENSION_BYTES_MAX = 64 * 1024
# As much as a registry takes for a manifest; configs are smaller.
DOCUMENT_BYTES_MAX = 4 * 1024 * 1024
_LINKS_MAX = 16


class Damaged(errors.ShoalError):
    """It is not what it says it is, or not whole."""


@dataclass(frozen=True, slots=True)
class Member:
    """`target`: of a link, from the root of the archive."""

    path: str
    size: int
    kind: Literal["file", "folder", "link"]
    target: str = ""


@dataclass(frozen=True, slots=True)
class Extension:
    """A header's header: what it says holds for the member that follows."""

    size: int
    kind: Literal["pax", "path", "link"]


def header(block: bytes, extended: Mapping[str, str]) -> Member | Extension | None:
    """One block of 512 bytes; None is the end. `extended`: what extensions said of this member. Raises Damaged."""
    if not any(block):
        return None
    try:
        info = tarfile.TarInfo.frombuf(block, "utf-8", "strict")
    except (tarfile.HeaderError, UnicodeDecodeError) as error:
        raise Damaged(f"This is no tar: {error}.") from None
    if info.type in (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK):
        return _extension(info)
    try:
        size = int(extended.get("size", info.size))
    except ValueError:
        raise Damaged(f"The tar says a size that is no number: {extended['size'][:50]!r}.") from None
    if size < 0:
        raise Damaged(f"The tar says a size below nothing: {size}.")
    path = _checked(extended.get("path", info.name))
    if info.isdir():
        return Member(path, 0, "folder")
    if info.issym() or info.islnk():
        target = extended.get("linkpath", info.linkname)
        whole = posixpath.join(posixpath.dirname(path), target) if info.issym() else target
        return Member(path, 0, "link", _checked(posixpath.normpath(whole)))
    if not info.isreg() or info.issparse():
        raise Damaged(f"{path!r} is neither a file nor a folder: no image has that.")
    return Member(path, size, "file")


def _extension(info: tarfile.TarInfo) -> Extension:
    if not 0 <= info.size <= EXTENSION_BYTES_MAX:
        raise Damaged(f"A header of the tar has {info.size} bytes: that is no image.")
    if info.type == tarfile.GNUTYPE_LONGNAME:
        return Extension(info.size, "path")
    return Extension(info.size, "link" if info.type == tarfile.GNUTYPE_LONGLINK else "pax")


def extension(kind: str, content: bytes) -> dict[str, str]:
    """What an extension says, in pax's words. Raises Damaged."""
    try:
        if kind != "pax":
            return {"linkpath" if kind == "link" else "path": content.rstrip(b"\0").decode()}
        return _pax(content)
    except (ValueError, UnicodeDecodeError):
        raise Damaged("A header of the tar cannot be read.") from None


def _pax(content: bytes) -> dict[str, str]:
    """Records are `LENGTH KEY=VALUE\\n`, of which LENGTH counts all."""
    found: dict[str, str] = {}
    while content:
        length = int(content.split(b" ", 1)[0])
        record, content = content[:length], content[length:]
        if length < 5 or not record.endswith(b"\n"):
            raise ValueError(length)
        key, _, value = record[:-1].split(b" ", 1)[1].partition(b"=")
        if key in (b"path", b"linkpath", b"size"):
            found[key.decode()] = value.decode()
    return found


def _checked(path: str) -> str:
    """Raises Damaged for what does not lie below the root."""
    shown = f"{path[:200]!r}"
    if len(path) > PATH_CHARACTERS_MAX or "\0" in path:
        raise Damaged(f"The tar has a path that no image has: {shown}.")
    plain = posixpath.normpath(path)
    if path.startswith("/") or plain == ".." or plain.startswith("../") or ".." in path.split("/"):
        raise Damaged(f"The tar has a path that leads out of it: {shown}.")
    return plain


@dataclass(frozen=True, slots=True)
class Saved:
    """An image in Docker's words: the paths of its config and of its layers, the lowest first."""

    config: str
    layers: Sequence[str]
    tags: Sequence[str]


def saved(documents: Mapping[str, bytes]) -> Saved | None:
    """Of `manifest.json`; None if there is none. Raises Damaged, also if there is more than one image."""
    if "manifest.json" not in documents:
        return None
    images = document(documents["manifest.json"], "manifest.json")
    if not isinstance(images, list) or not images:
        raise Damaged("manifest.json of the archive names no image.")
    if len(images) > 1:
        raise Damaged(f"The archive has {len(images)} images: one at a time.")
    try:
        image = images[0]
        layers, tags = image.get("Layers") or [], image.get("RepoTags") or []
        if all(isinstance(each, str) for each in (image["Config"], *layers, *tags)):
            return Saved(_checked(image["Config"]), tuple(_checked(each) for each in layers), tuple(tags))
    except (AttributeError, KeyError, TypeError):
        pass
    raise Damaged("manifest.json of the archive is not as Docker writes it.")


def resolved(path: str, links: Mapping[str, str]) -> str:
    """Of layers that are the same, an engine writes one, and links for the others. Raises Damaged."""
    for _ in range(_LINKS_MAX):
        if path not in links:
            return path
        path = links[path]
    raise Damaged(f"{path!r} in the archive is a link to itself.")


def document(content: bytes, name: str) -> Any:
    """Raises Damaged."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        raise Damaged(f"{name} is no JSON.") from None


def diff_ids(config: bytes) -> list[str]:
    """Which layers an image's config says it has: digests of them uncompressed. Raises Damaged."""
    try:
        found = document(config, "the image's config")["rootfs"]["diff_ids"]
    except (KeyError, TypeError):
        raise Damaged("The image's config says not which layers it has.") from None
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
        raise Damaged("The image's config says not which layers it has.")
    return found
