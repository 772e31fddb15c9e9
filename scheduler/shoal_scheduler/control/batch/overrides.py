"""What a job's tasks are launched with beside their definition: an ECS TaskOverride. Pure.

Numbers are Batch's: VCPU becomes cpu units, MEMORY MiB. `Ref::name` in a command stands for a parameter.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from shoal_scheduler.model.definition import Definition

CPU_UNITS_PER_VCPU = 1024
_REFERENCE = re.compile(r"Ref::([A-Za-z0-9_.-]+)")


def overrides_of(document: Mapping[str, Any], parameters: Mapping[str, str], definition: Definition) -> dict[str, Any]:
    """`document`: SubmitJob; `parameters`: the job definition's; `definition`: its task definition. Empty if nothing
    differs from that."""
    parameters = {**parameters, **document.get("parameters", {})}
    changed = dict(_changed(document, definition))
    found = [_override(each, changed.get(each["name"], {}), parameters) for each in definition.containers]
    different = [override for override in found if len(override) > 1]
    return {"containerOverrides": different} if different else {}


def _changed(document: Mapping[str, Any], definition: Definition) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """What the request says of each container, by its name."""
    if "containerOverrides" in document:
        yield definition.containers[0]["name"], document["containerOverrides"]
    for task in document.get("ecsPropertiesOverride", {}).get("taskProperties", ()):
        for container in task.get("containers", ()):
            yield container["name"], container


def _override(
    container: Mapping[str, Any], changed: Mapping[str, Any], parameters: Mapping[str, str]
) -> dict[str, Any]:
    override: dict[str, Any] = {"name": container["name"]}
    before = list(container.get("command", ()))
    command = with_parameters(changed.get("command") or before, parameters)
    if command != before:
        override["command"] = command
    if changed.get("environment"):
        override["environment"] = list(changed["environment"])
    return override | _sizes(changed)


def _sizes(changed: Mapping[str, Any]) -> dict[str, Any]:
    """VCPU and MEMORY as ECS has them; all other requirements are the same there."""
    sizes: dict[str, Any] = {}
    if changed.get("vcpus"):
        sizes["cpu"] = changed["vcpus"] * CPU_UNITS_PER_VCPU
    if changed.get("memory"):
        sizes["memory"] = changed["memory"]
    for requirement in changed.get("resourceRequirements", ()):
        match requirement:
            case {"type": "VCPU", "value": value}:
                sizes["cpu"] = round(float(value) * CPU_UNITS_PER_VCPU)
            case {"type": "MEMORY", "value": value}:
                sizes["memory"] = int(value)
            case _:
                sizes.setdefault("resourceRequirements", []).append(requirement)
    return sizes


def with_parameters(command: Sequence[str], parameters: Mapping[str, str]) -> list[str]:
    """A name that is no parameter stays as it is; dots belong to a name only if a parameter is called so. What a
    parameter brings is not looked at again.

    >>> with_parameters(["flip", "Ref::in", "out/Ref::out.png", "Ref::x"], {"in": "a.png", "out": "b"})
    ['flip', 'a.png', 'out/b.png', 'Ref::x']
    """
    return [_REFERENCE.sub(lambda found: _meant(found, parameters), word) for word in command]


def command_length(command: Sequence[str], parameters: Mapping[str, str]) -> int:
    """In characters, with the parameters: without making it, as a short reference may stand for a long value."""
    return sum(_word_length(word, parameters) for word in command)


def _word_length(word: str, parameters: Mapping[str, str]) -> int:
    return len(word) + sum(len(_meant(found, parameters)) - len(found[0]) for found in _REFERENCE.finditer(word))


def _meant(found: re.Match[str], parameters: Mapping[str, str]) -> str:
    name, rest = found[1], ""
    while name and name not in parameters:
        name, dot, after = name.rpartition(".")
        rest = f"{dot}{after}{rest}"
    return f"{parameters[name]}{rest}" if name else found[0]
