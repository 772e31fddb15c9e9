"""Which layer was compressed to which blob before, so that it need not be compressed again to ask a registry for it.

    <folder>/<digest of the layer>.json     {"digest": …, "size": …, "plainSize": …}

One small file for each layer, written whole; several programs may use the folder. What cannot be read is as if unknown:
all that it costs is the time to compress.
"""

import contextlib
import json
import os
import tempfile
from pathlib import Path

from shoal.bridge import layers, names
from shoal.bridge.layers import Layer


class KnownLayers:
    def __init__(self, folder: Path) -> None:
        # Another way to compress makes other blobs.
        self._folder = folder / f"gzip-isal-{layers.LEVEL}"

    def find(self, diff_id: str) -> Layer | None:
        if not names.is_digest(diff_id):
            return None
        try:
            found = json.loads(self._path(diff_id).read_bytes())
            digest, size, plain_size = found["digest"], found["size"], found["plainSize"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        if not names.is_digest(digest) or not isinstance(size, int) or not isinstance(plain_size, int):
            return None
        return Layer(diff_id, plain_size, digest, size)

    def keep(self, layer: Layer) -> None:
        """Once a registry has it. A full disk is no reason to fail for."""
        if layer.diff_id is None:
            return
        content = {"digest": layer.digest, "size": layer.size, "plainSize": layer.plain_size}
        with contextlib.suppress(OSError):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            number, beside = tempfile.mkstemp(dir=self._folder)
            with os.fdopen(number, "w") as file:
                json.dump(content, file)
            Path(beside).replace(self._path(layer.diff_id))

    def _path(self, diff_id: str) -> Path:
        return self._folder / f"{diff_id.replace(':', '-')}.json"


def default_folder() -> Path:
    named = os.environ.get("XDG_CACHE_HOME")
    return (Path(named) if named else Path.home() / ".cache") / "shoal" / "layers"
