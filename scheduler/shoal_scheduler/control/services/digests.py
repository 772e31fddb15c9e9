"""By which digests the images of a revision are known, so that each of its tasks runs the same bytes. Pure.

An image that is named by a tag may be another one in a minute. So one task of a revision starts first; when it says
what it got, that is put into the revision, once, and all others are started with it. Until then there is one task at a
time: where it fails, the next one tries. Of one that is to stop no word is taken any more: another has been started in
its place, and may have got another image.

An image that is named by its digest needs none of that, nor does a container with `versionConsistency` disabled. One
that exists only on an instance, and in no registry, has no digest: it stays as it is named.
"""

from collections.abc import Iterator

import msgspec
from shoal import image_reference

from shoal_scheduler.control.services.view import ServiceView
from shoal_scheduler.model.definition import Definition
from shoal_scheduler.model.service import ServiceRevision
from shoal_scheduler.model.task import ContainerState, Task


def most_to_start(seen: ServiceView) -> int | None:
    """At most so many of the revision now; None for no bound."""
    if is_given_up(seen):
        return 0
    if seen.revision.is_resolved:
        return None
    return 0 if any(_is_of(seen.revision, task) and seen.is_current(task) for task in seen.wanted) else 1


def is_given_up(seen: ServiceView) -> bool:
    """Nothing is started any more, for want of a revision that is known to be good."""
    return seen.deployment.is_halted and seen.revision.id == seen.deployment.revision


def resolved(seen: ServiceView) -> ServiceRevision | None:
    """The revision with its digests, once; None where that is no news."""
    definition = seen.definitions.get(seen.revision.definition)
    if seen.revision.is_resolved or definition is None:
        return None
    asked = dict(_to_resolve(definition))
    if not asked:
        return msgspec.structs.replace(seen.revision, is_resolved=True)
    for task in seen.wanted:
        known = _told(task, asked) if _is_of(seen.revision, task) else None
        if known is not None:
            return msgspec.structs.replace(seen.revision, images=known, is_resolved=True)
    return None


def _is_of(revision: ServiceRevision, task: Task) -> bool:
    return task.launch.service is not None and task.launch.service.revision == revision.id


def _to_resolve(definition: Definition) -> Iterator[tuple[str, str]]:
    """Containers whose images mean whatever they mean on the day, and these."""
    for container in definition.containers:
        _, _, digest = image_reference.split(container["image"])
        if not digest and container.get("versionConsistency") != "disabled":
            yield container["name"], container["image"]


def _told(task: Task, asked: dict[str, str]) -> tuple[tuple[str, str], ...] | None:
    """What its containers turned out to run; None as long as one of them may still say."""
    states = {state.name: state for state in task.containers}
    if not all(name in states and _has_said(states[name]) for name in asked):
        return None
    return tuple(
        (name, image_reference.pinned(image, states[name].image_digest))
        for name, image in asked.items()
        if states[name].image_digest
    )


def _has_said(state: ContainerState) -> bool:
    """One that was created and names no digest has none."""
    return bool(state.image_digest or state.runtime_id)
