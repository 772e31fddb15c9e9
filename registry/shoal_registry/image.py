"""What is kept of an image beside its manifest: the content of its link in a repository."""

from typing import Literal

import msgspec

StorageClass = Literal["STANDARD", "ARCHIVE"]


class Image(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """Times in seconds since 1970; `pushed_at`: when it first came.

    `size_bytes`: of its config and layers; of an index, that of its largest image. `archived_at`, `activated_at`: when
    it last became ARCHIVE, and STANDARD again.
    """

    media_type: str
    pushed_at: float
    size_bytes: int
    artifact_media_type: str | None = None
    subject: str | None = None
    storage_class: StorageClass = "STANDARD"
    archived_at: float | None = None
    activated_at: float | None = None

    @property
    def is_archived(self) -> bool:
        return self.storage_class == "ARCHIVE"

    def moved(self, to: StorageClass, now: float) -> "Image":
        """The same in that storage class from now on."""
        if to == self.storage_class:
            return self
        if to == "ARCHIVE":
            return msgspec.structs.replace(self, storage_class=to, archived_at=now)
        return msgspec.structs.replace(self, storage_class=to, activated_at=now)


_DECODER = msgspec.json.Decoder(Image)


def decode(content: bytes) -> Image:
    return _DECODER.decode(content)


def encode(image: Image) -> bytes:
    return msgspec.json.encode(image)
