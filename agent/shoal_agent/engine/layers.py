"""How large each layer of an image is. The engine names the layers, and apart from them tells a history of steps with
their sizes, of which some made a layer and some did not. Pure."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from shoal_agent.engine.port import Layer

_MAKES_NONE = re.compile(
    r"(/bin/sh -c )?(#\(nop\)\s+)?"
    r"(CMD|ENTRYPOINT|ENV|EXPOSE|LABEL|USER|STOPSIGNAL|VOLUME|ARG|HEALTHCHECK|ONBUILD|SHELL|MAINTAINER)\b"
)


def layers(diff_ids: Sequence[str], history: Sequence[Mapping[str, Any]]) -> tuple[Layer, ...]:
    """The lowest first; `history` as the engine tells it, the newest step first. Where steps and layers cannot be told
    to belong together, each layer counts the same part of the whole.

    >>> steps = [{"Size": 0, "CreatedBy": "CMD sh"}, {"Size": 0, "CreatedBy": "RUN true"}, {"Size": 7, "CreatedBy": ""}]
    >>> [layer.size_bytes for layer in layers(["sha256:a", "sha256:b"], steps)]
    [7, 0]
    """
    steps = [(int(step.get("Size") or 0), str(step.get("CreatedBy") or "")) for step in reversed(history)]
    sizes = [size for size, _ in steps if size]
    if len(sizes) != len(diff_ids):
        sizes = [size for size, made_by in steps if size or not _MAKES_NONE.match(made_by)]
    if len(sizes) != len(diff_ids):
        sizes = [sum(size for size, _ in steps) // max(1, len(diff_ids))] * len(diff_ids)
    return tuple(map(Layer, diff_ids, sizes))
