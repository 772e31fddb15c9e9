"""Names as types: what was parsed is whole, of a known alphabet, and fit to be part of a path; nothing else is.

The grammars are those of the specification ("Pulling manifests") and of the image specification ("Digests").
"""

import hashlib
import re
from dataclasses import dataclass
from typing import TypeAlias

from shoal_registry.errors import Refused

REPOSITORY_CHARACTERS_MAX = 255
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")
_UPLOAD = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_HEX_CHARACTERS = {"sha256": 64, "sha512": 128}
ALGORITHMS = tuple(_HEX_CHARACTERS)
_HEX = re.compile(r"[0-9a-f]+")


@dataclass(frozen=True, slots=True, order=True)
class Repository:
    """Components of small letters and digits, divided by slashes: none begins with `_` or `.`."""

    name: str

    @classmethod
    def parse(cls, text: str) -> "Repository":
        """Raises Refused."""
        # The length first, so that no long text is matched.
        if len(text) > REPOSITORY_CHARACTERS_MAX:
            raise Refused("NAME_INVALID", f"A repository's name has at most {REPOSITORY_CHARACTERS_MAX} characters.")
        if not _REPOSITORY.fullmatch(text):
            raise Refused(
                "NAME_INVALID",
                f"{text!r} is no repository's name: write components of a-z and 0-9, divided within by one of . _ __ "
                "or hyphens, and from one another by /, as in team/web-server.",
            )
        return cls(text)


@dataclass(frozen=True, slots=True, order=True)
class Tag:
    name: str

    @classmethod
    def parse(cls, text: str) -> "Tag":
        """Raises Refused."""
        if not _TAG.fullmatch(text):
            raise Refused(
                "TAG_INVALID",
                f"{text[:200]!r} is no tag: write 1 to 128 of a-z, A-Z, 0-9, _ . and -, not beginning with . or -.",
            )
        return cls(text)


@dataclass(frozen=True, slots=True, order=True)
class Digest:
    algorithm: str
    hex: str

    @classmethod
    def parse(cls, text: object) -> "Digest":
        """Raises Refused."""
        algorithm, _, characters = text.partition(":") if isinstance(text, str) else ("", "", "")
        if len(characters) != _HEX_CHARACTERS.get(algorithm) or not _HEX.fullmatch(characters):
            raise Refused(
                "DIGEST_INVALID",
                f"{str(text)[:200]!r} is no digest: write sha256: and 64, or sha512: and 128, of 0-9 and a-f.",
            )
        return cls(algorithm, characters)

    @classmethod
    def of(cls, content: bytes, algorithm: str = "sha256") -> "Digest":
        return cls(algorithm, hashlib.new(algorithm, content).hexdigest())

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.hex}"


Reference: TypeAlias = Tag | Digest


def parse_reference(text: str) -> Reference:
    """A tag holds no colon. Raises Refused."""
    return Digest.parse(text) if ":" in text else Tag.parse(text)


@dataclass(frozen=True, slots=True)
class UploadId:
    """A UUID."""

    text: str

    @classmethod
    def parse(cls, text: str) -> "UploadId":
        """Raises Refused."""
        if not _UPLOAD.fullmatch(text):
            raise Refused("BLOB_UPLOAD_UNKNOWN", "There is no such upload: begin one with POST …/blobs/uploads/.")
        return cls(text)
