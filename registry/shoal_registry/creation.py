"""How a repository comes to be: created by a call, or by the first push if the registry is set to that.

A push makes what the creation template says that fits its name best: that of the longest prefix, else that of `ROOT`,
else a repository that is set to nothing. (ECR: "Repository creation templates", applied for CREATE_ON_PUSH.)
"""

from collections.abc import Sequence
from typing import Literal

import msgspec

from shoal_registry import settings
from shoal_registry.errors import Refused
from shoal_registry.names import Repository
from shoal_registry.settings import ExclusionFilter, Mutability, Settings
from shoal_registry.storage import paths
from shoal_registry.storage.store import Store

ROOT = "ROOT"
AppliedFor = Literal["CREATE_ON_PUSH"]
Switch = Literal["ENABLED", "DISABLED"]


class Template(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """`prefix` without the slash that follows it in names; times in seconds since 1970."""

    prefix: str
    applied_for: tuple[AppliedFor, ...]
    created_at: float
    updated_at: float
    description: str = ""
    image_tag_mutability: Mutability = "MUTABLE"
    image_tag_mutability_exclusion_filters: tuple[ExclusionFilter, ...] = ()
    resource_tags: dict[str, str] = {}
    lifecycle_policy: str = ""
    repository_policy: str = ""

    def settings(self, now: float) -> Settings:
        return Settings(
            now, self.image_tag_mutability, self.image_tag_mutability_exclusion_filters, dict(self.resource_tags)
        )


async def create(store: Store, repository: Repository, wanted: Settings) -> bool:
    """Whether it was not there before."""
    async with store.lock(_lock(repository)):
        if await store.size(paths.mark(repository)) is not None:
            return False
        await store.put(paths.mark(repository), settings.encode(wanted))
        return True


async def demand(store: Store, repository: Repository) -> None:
    """That there is such a repository, or that a push makes it. Raises Refused."""
    if await store.size(paths.mark(repository)) is None and await on_push(store) == "DISABLED":
        raise Refused(
            "NAME_UNKNOWN",
            f"There is no repository {repository.name}, and this registry makes none on push: create it first, by "
            f"`shoal repository create {repository.name}` or CreateRepository.",
        )


async def create_on_push(store: Store, repository: Repository, now: float) -> None:
    """Unless it is there. Raises Refused if pushes make none."""
    if await store.size(paths.mark(repository)) is not None:
        return
    async with store.lock(_lock(repository)):
        await demand(store, repository)
        if await store.size(paths.mark(repository)) is not None:
            return
        found = fitting(await templates(store), repository)
        if found and found.lifecycle_policy:
            await store.put(paths.lifecycle_policy(repository), found.lifecycle_policy.encode())
        if found and found.repository_policy:
            await store.put(paths.policy(repository), found.repository_policy.encode())
        made = found.settings(now) if found else Settings(created_at=now)
        await store.put(paths.mark(repository), settings.encode(made))


async def on_push(store: Store) -> Switch:
    content = await store.read(paths.CREATE_ON_PUSH)
    return "DISABLED" if content == b"DISABLED" else "ENABLED"


async def switch_on_push(store: Store, value: Switch) -> None:
    await store.put(paths.CREATE_ON_PUSH, value.encode())


async def templates(store: Store) -> Sequence[Template]:
    """Sorted by their prefixes."""
    found = []
    for name in await store.names(paths.TEMPLATES):
        content = await store.read(paths.TEMPLATES / name)
        if content is not None:
            found.append(msgspec.json.decode(content, type=Template))
    return sorted(found, key=lambda each: each.prefix)


async def put_template(store: Store, template: Template) -> None:
    await store.put(paths.template(template.prefix), msgspec.json.encode(template))


def fitting(known: Sequence[Template], repository: Repository) -> Template | None:
    """The template for a repository of that name; None if there is none.

    >>> def made(prefix): return Template(prefix, ("CREATE_ON_PUSH",), 0.0, 0.0)
    >>> [fitting([made("ROOT"), made("a"), made("a/b")], Repository(name)).prefix for name in ("a/b/c", "a/bc", "ab")]
    ['a/b', 'a', 'ROOT']
    """
    within = [each for each in known if f"{repository.name}/".startswith(f"{each.prefix}/")]
    within = within or [each for each in known if each.prefix == ROOT]
    return max(within, key=lambda each: len(each.prefix), default=None)


def _lock(repository: Repository) -> str:
    """Taken within all others, and nothing is taken within it."""
    return f"creation/{repository.name}"
