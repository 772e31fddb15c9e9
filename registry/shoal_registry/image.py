"""What is kept of an image beside its manifest: when it came, how large it is, where it lies."""

from typing import Literal

import msgspec

StorageClass = Literal["STANDARD", "ARCHIVE"]


class Image(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """Written before the image can be seen, and once only but for its storage class. Times in seconds since 1970.

    `size_bytes`: of its config and layers; of an index, that of its largest image. `transitioned_at`: when the storage
    class last changed.
    """

    pushed_at: float
    size_bytes: int
    artifact_media_type: str | None = None
    subject: str | None = None
    storage_class: StorageClass = "STANDARD"
    archived_at: float | None = None
    activated_at: float | None = None


_DECODER = msgspec.json.Decoder(Image)


def decode(content: bytes) -> Image:
    return _DECODER.decode(content)


def encode(image: Image) -> bytes:
    return msgspec.json.encode(image)
