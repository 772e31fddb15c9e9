"""GPUs of a container: those it was assigned, and what keeps it to its share of one. Pure.

A share is kept by NVIDIA's Multi-Process Service, which must run on the instance: its clients read how much they may
use from their environment. Without it, a share is only counted.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from shoal.requirements import GPU, Requirement, gpus

from shoal_agent.definition.refusal import Refused

MILLI_PER_PERCENT = 10


def device_requests(requirements: Sequence[Requirement], assigned: tuple[str, ...]) -> list[Mapping[str, Any]]:
    """The engine's DeviceRequests. Raises Refused for GPUs that were asked for and not assigned."""
    if assigned:
        return [{"DeviceIDs": list(assigned), "Capabilities": [["gpu"]]}]
    if any(each.get("type") == GPU for each in requirements):
        raise Refused("resourceRequirements", "no GPU was assigned; the task would start without")
    return []


def environment(requirements: Sequence[Requirement]) -> dict[str, str]:
    """What limits a container to its share, by the names that ECS sets, too."""
    found: dict[str, str] = {}
    for requirement in requirements:
        if requirement.get("type") != GPU:
            continue
        share = _share(requirement)
        if share is not None:
            found["CUDA_MPS_ACTIVE_THREAD_PERCENTAGE"] = str(share)
        memory_mib = requirement.get("sharingStrategy", {}).get("nvidiaMps", {}).get("memory")
        if memory_mib:
            found["CUDA_MPS_PINNED_DEVICE_MEM_LIMIT"] = f"0={memory_mib}M"  # to the container its GPU is number 0
    return found


def _share(requirement: Requirement) -> int | None:
    """Percent of a GPU, parts of one cut off; None for whole GPUs."""
    try:
        wanted = gpus(requirement)
    except ValueError as wrong:
        raise Refused("resourceRequirements", str(wrong)) from None
    return max(1, wanted.milli // MILLI_PER_PERCENT) if wanted.is_share else None
