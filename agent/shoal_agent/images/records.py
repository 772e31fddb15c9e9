"""Which images the agent pulled, when each was last used, and which are to be kept for a while: kept in the state
folder over restarts.

Losing the file does no harm: with pull behaviour `once` images are pulled once more, and none of them is removed.
"""

import asyncio
import json
import logging
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """Milliseconds since the epoch."""

    pulled_at: int
    used_at: int


class ImageRecords:
    """`images` by the engine's id of the image; `names` are what was pulled, as task definitions write it.
    `kept`: until when, in milliseconds, an image that nobody uses yet stays."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "images"

        # Set when the engine's images have changed by what the agent did.
        self.changed = asyncio.Event()
        self.images: dict[str, ImageRecord] = {}
        self.names: dict[str, str] = {}
        self.kept: dict[str, int] = {}
        self._read()

    def pulled(self, name: str, image_id: str, now: int) -> None:
        self.images[image_id] = ImageRecord(now, now)
        self.names[name] = image_id
        self._write()
        self.changed.set()

    def used(self, image_ids: Iterable[str], now: int) -> None:
        """They are in use now."""
        for image_id in image_ids:
            if image_id in self.images:
                self.images[image_id] = replace(self.images[image_id], used_at=now)
        self._write()

    def keep(self, image_id: str, until: int) -> None:
        self.kept[image_id] = max(until, self.kept.get(image_id, 0))
        self._write()

    def keep_only(self, image_ids: Iterable[str]) -> None:
        """Forgets what the engine no longer has."""
        present = set(image_ids)
        self.images = {image_id: it for image_id, it in self.images.items() if image_id in present}
        self.kept = {image_id: until for image_id, until in self.kept.items() if image_id in present}
        for name in [name for name, image_id in self.names.items() if image_id not in present]:
            del self.names[name]
        self._write()

    def _read(self) -> None:
        if not self._path.exists():
            return
        try:
            document = json.loads(self._path.read_bytes())
            self.images = {key: ImageRecord(**value) for key, value in document["images"].items()}
            self.names = {str(key): str(value) for key, value in document["names"].items()}
            self.kept = {str(key): int(value) for key, value in document.get("kept", {}).items()}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            log.warning("records of images damaged path=%s error=%r", self._path, error)

    def _write(self) -> None:
        images = {key: asdict(value) for key, value in self.images.items()}
        beside = self._path.with_name("images.new")
        try:
            beside.write_text(json.dumps({"images": images, "names": self.names, "kept": self.kept}))
            beside.replace(self._path)
        except OSError as error:
            log.warning("records of images not kept path=%s error=%s", self._path, error)
