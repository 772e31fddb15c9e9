"""What containers ask for in resourceRequirements, beside cpu and memory.

    {"type": "GPU", "value": "2"}                   two GPUs of its own
    {"type": "GPU", "sharingStrategy": {"nvidiaMps": {"memory": 4096, "maxComputePercent": 25}}}
                                                    a quarter of one GPU; without maxComputePercent, all of it
    {"type": "GPU", "value": "0.5"}                 ours: half of one GPU, in thousandths
    {"type": "licence", "value": "2"}               ours: two of what instances offer by that name

The first two are ECS's. There, the percentage only caps what a container computes and the memory is what is counted;
here, the percentage is what placement counts, since no driver is needed to know it.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

GPU = "GPU"
ACCELERATORS = ("InferenceAccelerator", "NeuronDevice")
PUBLISHED = (GPU, *ACCELERATORS)

# Resources that every instance has, by the names ECS gives them, and the field that asks for each.
INSTANCE_RESOURCES = {"CPU": "cpu", "MEMORY": "memory", "PORTS": "portMappings", "PORTS_UDP": "portMappings"}
AMOUNT_MAX = 2**31 - 1
MILLI_PER_GPU = 1000
_MILLI_PER_PERCENT = 10
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,62}")
_WHOLE = re.compile(r"[1-9][0-9]{0,2}")
_PART = re.compile(r"0?\.([0-9]{1,3})")
_TAKEN = {name.lower(): name for name in (*PUBLISHED, *INSTANCE_RESOURCES)}

Requirement = Mapping[str, Any]


class Gpus(NamedTuple):
    """So many GPUs, and how many thousandths of each."""

    number: int
    milli: int = MILLI_PER_GPU

    @property
    def is_share(self) -> bool:
        return self.milli < MILLI_PER_GPU


def gpus(requirement: Requirement) -> Gpus:
    """Of one requirement of type GPU. Raises ValueError with a sentence for people; also for ALL, which is no number.

    >>> gpus({"value": "2"}), gpus({"value": "0.25"})
    (Gpus(number=2, milli=1000), Gpus(number=1, milli=250))
    >>> gpus({"sharingStrategy": {"nvidiaMps": {"memory": 4096, "maxComputePercent": 25}}})
    Gpus(number=1, milli=250)
    """
    if "sharingStrategy" in requirement:
        percent = requirement["sharingStrategy"].get("nvidiaMps", {}).get("maxComputePercent", 100)
        return Gpus(1, percent * _MILLI_PER_PERCENT)
    value = requirement.get("value") or ""
    part = _PART.fullmatch(value)
    if part and int(part[1]):
        return Gpus(1, int(part[1].ljust(3, "0")))
    if not _WHOLE.fullmatch(value):
        raise ValueError('not a number of GPUs; write 1 to 999 as "1", or a part of one as "0.5" or "0.125"')
    return Gpus(int(value))


def effective(container: Mapping[str, Any], override: Mapping[str, Any]) -> Sequence[Requirement]:
    """A container's requirements, those of a type that its override names replaced by the override's."""
    given: Sequence[Requirement] = container.get("resourceRequirements", ())
    changed: Sequence[Requirement] = override.get("resourceRequirements", ())
    if not changed:
        return given
    types = {each.get("type") for each in changed}
    return [*(each for each in given if each.get("type") not in types), *changed]


def task_gpus(containers: Iterable[Sequence[Requirement]]) -> Gpus:
    """What the containers of a task need together, from the requirements of each. Raises ValueError with a sentence.

    Whole GPUs add up. Containers that share do so on one GPU, as in ECS, each with the same share of it.
    """
    wanted = [gpus(each) for requirements in containers for each in requirements if each.get("type") == GPU]
    shares = [each for each in wanted if each.is_share]
    if not shares:
        return Gpus(sum(each.number for each in wanted))
    if len(shares) < len(wanted):
        raise ValueError("some containers take whole GPUs and some share one; put them into tasks of their own")
    if len(set(shares)) > 1:
        raise ValueError("the containers take different shares of one GPU; give each the same share")
    milli = sum(each.milli for each in shares)
    if milli > MILLI_PER_GPU:
        raise ValueError(f"the containers take {milli} thousandths of one GPU together; lower their shares")
    return Gpus(1, milli)


def custom(containers: Iterable[Sequence[Requirement]]) -> tuple[tuple[str, int], ...]:
    """Resources of the cluster's own that the containers take together, by name."""
    amounts: dict[str, int] = {}
    for requirements in containers:
        for each in requirements:
            if each["type"] not in PUBLISHED:
                amounts[each["type"]] = amounts.get(each["type"], 0) + int(each["value"])
    return tuple(sorted(amounts.items()))


def name_problem(name: str) -> str | None:
    """Why a resource of one's own cannot be called so; what follows the name in a sentence.

    >>> name_problem("licence"), name_problem("gpu")
    (None, 'is reserved; did you mean GPU?')
    """
    if name in INSTANCE_RESOURCES:
        return f"is a resource of every instance; ask for it by {INSTANCE_RESOURCES[name]}"
    if name in PUBLISHED:
        return "is reserved; choose another"
    if name.lower() in _TAKEN:
        return f"is reserved; did you mean {_TAKEN[name.lower()]}?"
    if not _NAME.fullmatch(name):
        return "is no name of a resource; use 1 to 63 letters, digits and _ . - with a letter first"
    return None
