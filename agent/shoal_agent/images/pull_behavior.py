"""When an image is pulled, as `ECS_IMAGE_PULL_BEHAVIOR` of the ECS agent says it. Pure.

    default         always, and what is here already is used if that fails
    always          always, and the task fails if that fails
    once            unless it was pulled for an earlier task and is still here
    prefer-cached   if it is not here; and images are not cleaned up

Without a word of the operator an image that is here is used as prefer-cached does, and unused ones are cleaned up:
a host's start of a task then needs no registry.
"""

from collections.abc import Collection

DEFAULT, ALWAYS, ONCE, PREFER_CACHED = "default", "always", "once", "prefer-cached"
BEHAVIORS = (DEFAULT, ALWAYS, ONCE, PREFER_CACHED)


def pulls_first(behavior: str | None, image: str, pulled_before: Collection[str]) -> bool:
    """Whether to ask the registry before it is known if the image is here."""
    return behavior in (DEFAULT, ALWAYS) or (behavior == ONCE and image not in pulled_before)


def uses_cached(behavior: str | None) -> bool:
    """Whether a task whose image cannot be pulled runs with what is here."""
    return behavior == DEFAULT
