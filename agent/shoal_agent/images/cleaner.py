"""Keeps the engine's disk from filling up: looks, decides (cleanup.py), lets dead containers go and removes one
image after another."""

import asyncio
import logging
import shutil
import time

from shoal_agent.engine.port import EngineError, Image, ImageInUse
from shoal_agent.images.cleanup import Dispensable, HostImages, dispensable, is_full, references
from shoal_agent.images.records import ImageRecords
from shoal_agent.life.case import Surroundings, now_millis
from shoal_agent.worker import Worker

log = logging.getLogger(__name__)

# How often the disk is looked at between two cycles.
LOOK_PERIOD_SECONDS = 60.0


class ImageCleaner:
    def __init__(self, around: Surroundings, worker: Worker, records: ImageRecords) -> None:
        self._around = around
        self._worker = worker
        self._records = records
        self._folder = ""

    async def run(self) -> None:
        rules = self._around.rules
        cycled_at = time.monotonic()
        while True:
            await asyncio.sleep(min(LOOK_PERIOD_SECONDS, rules.image_cleanup_interval_seconds))
            due = time.monotonic() - cycled_at >= rules.image_cleanup_interval_seconds
            try:
                disk_percent = await self.disk_percent()
                if due or is_full(disk_percent, rules):
                    await self.clean(disk_percent)
            except EngineError as error:
                log.info("images not cleaned up error=%s", error)
            except Exception:  # no reason to run no tasks
                log.exception("clean-up of images stumbled")
            if due:
                cycled_at = time.monotonic()

    async def disk_percent(self) -> float | None:
        """How full the file system of the engine's data is; None if it is not to be seen here."""
        self._folder = self._folder or (await self._around.engine.facts()).data_root
        try:
            usage = await asyncio.to_thread(shutil.disk_usage, self._folder)
        except OSError:
            return None
        return 100 * usage.used / (usage.used + usage.free)

    async def clean(self, disk_percent: float | None) -> None:
        """One cycle. Raises EngineError."""
        plan = await self._plan(disk_percent)
        pressed = is_full(disk_percent, self._around.rules)
        if pressed:
            log.warning("disk full percent=%d images=%d dead=%d", disk_percent, len(plan.images), len(plan.dead))
        for task_id in plan.dead:
            lane = self._worker.lane(task_id)
            if lane is not None:
                lane.evict()
        for image in plan.images:
            # A task may have come meanwhile that names it.
            if not self._is_wanted(image):
                await self._remove(image)
            if pressed and not is_full(await self.disk_percent(), self._around.rules):
                break

    async def _plan(self, disk_percent: float | None) -> Dispensable:
        engine = self._around.engine
        images = await engine.local_images()
        # After the images: what is made of them in between is seen.
        used = {container.image_id for container in await engine.containers({})}
        self._records.keep_only(image.image_id for image in images)
        self._records.used(used, now_millis())
        host = HostImages(
            images=images,
            used=used,
            wanted=self._worker.images_wanted(),
            records=self._records.images,
            kept=self._records.kept,
            dead=[task_id for _, task_id in self._worker.dead_tasks()],
            disk_percent=disk_percent,
        )
        return dispensable(host, self._around.rules, now_millis())

    def _is_wanted(self, image: Image) -> bool:
        wanted = (name for it in self._worker.images_wanted() for name in references(it))
        return not set(image.references).isdisjoint(wanted)

    async def _remove(self, image: Image) -> None:
        """Name by name: what is in use stays, and an image of several registries' names goes with the last one."""
        try:
            for reference in image.tags or image.digests or (image.image_id,):
                await self._around.engine.remove_image(reference)
            log.info("removed image=%s id=%s", " ".join(image.references), image.image_id)
            self._records.changed.set()
        except ImageInUse as error:
            log.info("image still in use image=%s error=%s", " ".join(image.references) or image.image_id, error)
