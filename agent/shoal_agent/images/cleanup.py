"""Which images, and which dead containers before their time, a host does without. Pure.

Rules.
1. Never an image that a container is made of, dead ones included, nor one that an assigned task names, nor one that
   the operator excludes, nor the agent's own.
2. An image is a candidate if the agent pulled it, so that it can be pulled again; with `untracked` also one that a
   registry knows, or that has lost its name. What was built or imported on this host stays.
3. Least recently used first, and as in ECS: unused for the minimum age, so many a cycle.
4. On a disk that is too full age and number do not count, and the dead containers that ended first go, in portions:
   with them their images become free.
5. What was pulled ahead of its tasks counts as used until its time is over; on a disk that is too full it goes last.
6. Pull behaviour prefer-cached keeps all images, as in ECS, and so does image_cleanup = false. Dead containers go.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from shoal import image_reference

from shoal_agent.configuration import Configuration
from shoal_agent.engine import pause_image
from shoal_agent.engine.port import Image
from shoal_agent.images.pull_behavior import PREFER_CACHED
from shoal_agent.images.records import ImageRecord

# What was pulled a moment ago is wanted by somebody, whatever the disk says.
GRACE_MILLIS = 60_000
DEAD_TASKS_PER_PASS = 10
OWN_REPOSITORY = pause_image.IMAGE.partition(":")[0]


@dataclass(frozen=True, slots=True)
class HostImages:
    """What is there.

    used          ids of images that containers are made of
    wanted        names of images in the definitions of assigned tasks
    records       what the agent knows of images it pulled, by id
    kept          until when those stay that were pulled ahead of their tasks, by id
    dead          tasks with dead containers, the one that ended first first
    disk_percent  how full the engine's disk is; None if that cannot be seen from here
    """

    images: Sequence[Image]
    used: Collection[str] = ()
    wanted: Collection[str] = ()
    records: Mapping[str, ImageRecord] | None = None
    kept: Mapping[str, int] = field(default_factory=dict)
    dead: Sequence[str] = ()
    disk_percent: float | None = None


@dataclass(frozen=True, slots=True)
class Dispensable:
    images: tuple[Image, ...] = ()
    dead: tuple[str, ...] = ()


def dispensable(host: HostImages, rules: Configuration, now: int) -> Dispensable:
    """`now` in milliseconds since the epoch."""
    pressed = is_full(host.disk_percent, rules)
    dead = tuple(host.dead[:DEAD_TASKS_PER_PASS]) if pressed else ()
    if not rules.image_cleanup or rules.image_pull_behavior == PREFER_CACHED:
        return Dispensable((), dead)
    free = _free(host, rules, now, pressed=pressed)
    return Dispensable(tuple(free if pressed else free[: rules.image_cleanup_images_per_cycle]), dead)


def _free(host: HostImages, rules: Configuration, now: int, *, pressed: bool) -> list[Image]:
    """What nothing needs and nothing used for long enough, the least recently used first."""
    records = host.records or {}
    age_millis = GRACE_MILLIS if pressed else int(rules.image_cleanup_minimum_age_seconds * 1000)
    kept = {name for wanted in (*host.wanted, *rules.image_cleanup_excluded) for name in references(wanted)}
    free = [
        image
        for image in host.images
        if image.image_id not in host.used
        and not kept.intersection((*image.references, image.image_id))
        and not any(name.startswith(f"{OWN_REPOSITORY}:") for name in image.tags)
        and _is_candidate(image, records, rules)
        and now - (_used_at(image, records) if pressed else _wanted_at(image, host, now)) >= age_millis
    ]
    return sorted(free, key=lambda image: (_wanted_at(image, host, now), image.image_id))


def is_full(disk_percent: float | None, rules: Configuration) -> bool:
    return disk_percent is not None and disk_percent >= rules.image_cleanup_disk_percent


def references(image: str) -> tuple[str, ...]:
    """The names the engine may list an image under that somebody calls `image`.

    >>> references("nginx"), references("docker.io/library/nginx:1")
    (('nginx:latest',), ('nginx:1',))
    >>> references("registry:5000/web:7@sha256:0af3")
    ('registry:5000/web:7', 'registry:5000/web@sha256:0af3')
    """
    repository, tag, digest = image_reference.split(image_reference.familiar(image))
    if digest:
        return (*((f"{repository}:{tag}",) if tag else ()), f"{repository}@{digest}")
    return (f"{repository}:{tag or 'latest'}",)


def _is_candidate(image: Image, records: Mapping[str, ImageRecord], rules: Configuration) -> bool:
    if image.image_id in records:
        return True
    return rules.image_cleanup_untracked and bool(image.digests or not image.tags)


def _used_at(image: Image, records: Mapping[str, ImageRecord]) -> int:
    """Of an image that somebody else pulled nothing is known: it is as old as can be."""
    record = records.get(image.image_id)
    return record.used_at if record is not None else 0


def _wanted_at(image: Image, host: HostImages, now: int) -> int:
    kept_until = min(host.kept.get(image.image_id, 0), now)
    return max(_used_at(image, host.records or {}), kept_until)
