"""resourceRequirements of a container, or of an override of one: GPUs, other accelerators, the cluster's own."""

import re
from collections.abc import Collection, Sequence

from shoal import requirements
from shoal.problems import Problem, quoted

from shoal_scheduler.api.validate_values import Document, Problems, between, required, unique

_AMOUNT = re.compile(r"[1-9][0-9]{0,9}")


def requirement_problems(path: str, container: Document, accelerators: Collection[str | None] | None) -> Problems:
    """`accelerators` are the deviceNames of the definition; None if it is not known."""
    wanted: Sequence[Document] = container.get("resourceRequirements", ())
    for index, requirement in enumerate(wanted):
        yield from _one_requirement(f"{path}.resourceRequirements[{index}]", requirement, accelerators)
    types = [
        (f"{path}.resourceRequirements[{index}].type", requirement["type"])
        for index, requirement in enumerate(wanted)
        if requirement.get("type") not in (None, "InferenceAccelerator")
    ]
    yield from unique(types, "{value} is also the type of {first}; join them")


def _one_requirement(at: str, requirement: Document, accelerators: Collection[str | None] | None) -> Problems:
    kind, value = requirement.get("type"), requirement.get("value")
    yield from required(at, requirement, "type")
    if kind == requirements.GPU:
        yield from _gpu_problems(at, requirement)
        return
    if "sharingStrategy" in requirement:
        yield Problem(f"{at}.sharingStrategy", "is for GPU only; take it out")
    if not kind:
        return
    if kind == "NeuronDevice":
        if value != "ALL":
            yield Problem(f"{at}.value", f"must be ALL for NeuronDevice, not {quoted(value)}")
    elif kind == "InferenceAccelerator":
        if accelerators is not None and value not in accelerators:
            yield Problem(f"{at}.value", f"{quoted(value)} is no deviceName of inferenceAccelerators")
    elif wrong := requirements.name_problem(kind):
        yield Problem(f"{at}.type", f"{quoted(kind)} {wrong}")
    elif not (_AMOUNT.fullmatch(value or "") and int(value or 0) <= requirements.AMOUNT_MAX):
        rule = f'must be a whole number from 1 to {requirements.AMOUNT_MAX} as "2"'
        yield Problem(f"{at}.value", f"{rule}, not {quoted(value)}")


def _gpu_problems(at: str, requirement: Document) -> Problems:
    if ("value" in requirement) == ("sharingStrategy" in requirement):
        yield Problem(at, "give either value, the number of GPUs, or sharingStrategy")
    elif "sharingStrategy" in requirement:
        yield from _sharing_problems(f"{at}.sharingStrategy", requirement["sharingStrategy"])
    elif requirement["value"] != "ALL":
        try:
            requirements.gpus(requirement)
        except ValueError as wrong:
            yield Problem(f"{at}.value", f"{quoted(requirement['value'])} is {wrong}")


def _sharing_problems(at: str, strategy: Document) -> Problems:
    mps = strategy.get("nvidiaMps")
    if mps is None:
        yield Problem(f"{at}.nvidiaMps", "is required")
        return
    if "memory" not in mps:
        yield Problem(f"{at}.nvidiaMps.memory", "is required: how much of the GPU's memory it may use, in MiB")
    yield from between(f"{at}.nvidiaMps.memory", mps.get("memory"), 1, requirements.AMOUNT_MAX, "MiB")
    yield from between(f"{at}.nvidiaMps.maxComputePercent", mps.get("maxComputePercent"), 1, 100)
