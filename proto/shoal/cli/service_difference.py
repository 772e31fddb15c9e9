"""What of a service a file changes. Pure: documents are AWS JSON.

Only what a file says is compared: what it leaves out stays. A list that it gives takes the place of the whole list.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from shoal import arn

Document = Mapping[str, Any]

# What UpdateService takes, what changes the tags, and what nothing changes.
UPDATABLE = (
    "taskDefinition",
    "desiredCount",
    "deploymentConfiguration",
    "availabilityZoneRebalancing",
    "networkConfiguration",
    "placementConstraints",
    "placementStrategy",
    "platformVersion",
    "healthCheckGracePeriodSeconds",
    "enableExecuteCommand",
    "enableECSManagedTags",
    "loadBalancers",
    "propagateTags",
    "serviceRegistries",
    "onDisconnect",
)
FIXED = ("schedulingStrategy", "launchType")
REMOVABLE = ("loadBalancers", "serviceRegistries", "placementConstraints", "placementStrategy")

# With another one of these a deployment begins.
DEPLOYED = ("taskDefinition", "networkConfiguration", "platformVersion", "loadBalancers", "serviceRegistries")


@dataclass(frozen=True, slots=True)
class Line:
    """`before` or `after` None: it is not there."""

    path: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class Difference:
    """`update`: the members of an UpdateService request. `tags`: by key, None for one that goes. `fixed`: what the file
    says that no service can change to."""

    update: dict[str, Any] = field(default_factory=dict)
    tags: dict[str, str | None] = field(default_factory=dict)
    fixed: tuple[Line, ...] = ()
    lines: tuple[Line, ...] = ()

    @property
    def begins_deployment(self) -> bool:
        names = {*self.update, *self.update.get("remove", ())}
        return not names.isdisjoint(DEPLOYED)


def difference(wanted: Document, there: Document) -> Difference:
    """`wanted`: what a file says, with the lists that it empties; `there`: the service as it is described, with
    tags."""
    update: dict[str, Any] = {}
    lines: list[Line] = []
    for name in UPDATABLE:
        if name not in wanted:
            continue
        before, after = comparable(name, there.get(name)), comparable(name, wanted[name])
        if _is_within(after, before):
            continue
        if after == [] and name in REMOVABLE:
            update.setdefault("remove", []).append(name)
        else:
            update[name] = wanted[name]
        lines += _lines(name, before, after)
    tags = _tags(wanted, there) if "tags" in wanted else {}
    had = _by_key(there.get("tags", ()))
    lines += [Line(f"tags.{key}", had.get(key), value) for key, value in tags.items()]
    fixed = [Line(name, there.get(name), wanted[name]) for name in FIXED if name in wanted]
    fixed = [line for line in fixed if line.before != line.after]
    return Difference(update, tags, tuple(fixed), tuple(lines))


def comparable(name: str, value: Any) -> Any:
    """The same for what means the same: ARNs and names, and what is said in another order."""
    match name:
        case "taskDefinition":
            return None if value is None else arn.short(value)
        case "loadBalancers":
            return [
                {**each, "targetGroupArn": arn.target_group_name(each.get("targetGroupArn", ""))}
                for each in value or ()
            ]
        case "serviceRegistries":
            return [{**each, "registryArn": arn.short(each.get("registryArn", ""))} for each in value or ()]
        case "placementConstraints":
            return sorted((dict(each) for each in value or ()), key=lambda each: sorted(each.items()))
        case "placementStrategy":
            return [_strategy(each) for each in value or ()]
        case _:
            return value


def _strategy(document: Document) -> Document:
    """The services take the fields of binpack in any case and print them in lower case."""
    if document.get("type") == "binpack" and "field" in document:
        return {**document, "field": document["field"].lower()}
    return dict(document)


def _is_within(wanted: Any, there: Any) -> bool:
    """Whether what is wanted is there already; of objects, member by member."""
    if isinstance(wanted, Mapping) and isinstance(there, Mapping):
        return all(_is_within(value, there.get(key)) for key, value in wanted.items())
    return bool(wanted == there)


def _lines(path: str, before: Any, after: Any) -> Iterator[Line]:
    if isinstance(after, Mapping):
        known = before if isinstance(before, Mapping) else {}
        for key, value in after.items():
            if not _is_within(value, known.get(key)):
                yield from _lines(f"{path}.{key}", known.get(key), value)
    else:
        yield Line(path, before if before != [] else None, after if after != [] else None)


def _tags(wanted: Document, there: Document) -> dict[str, str | None]:
    had, has = _by_key(there.get("tags", ())), _by_key(wanted["tags"])
    changed: dict[str, str | None] = {key: value for key, value in has.items() if had.get(key) != value}
    return {**changed, **{key: None for key in had if key not in has}}


def _by_key(tags: Sequence[Document]) -> dict[str, str]:
    return {tag["key"]: tag.get("value", "") for tag in tags}
