"""An image that a container engine has, as its agent reports it."""

import msgspec


class HeldImage(msgspec.Struct, frozen=True, gc=False):
    """`id` is the engine's. `tags` and `digests` are its names, as the engine writes them. Layers, the lowest first:
    the beginning of each one's diff id as a number, and its size in bytes; they may not be known."""

    id: str
    tags: tuple[str, ...] = ()
    digests: tuple[str, ...] = ()
    size_bytes: int = 0
    layers: tuple[int, ...] = ()
    layer_bytes: tuple[int, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        return (*self.tags, *self.digests)
