"""Task-level cpu and memory as ECS writes them. Pure."""

import re

from shoal_agent.refusal import Refused

MIB = 1024 * 1024
_QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)\s*([a-z]*)")


def cpu_units(text: str) -> int:
    """CPU units, 1024 to a core, of "512", "1 vCPU" or ".5 vcpu".

    >>> cpu_units("512"), cpu_units("1 vCPU"), cpu_units("0.25 vCPU")
    (512, 1024, 256)
    """
    return _scaled("cpu", text, {"": 1.0, "vcpu": 1024.0})


def memory_mib(text: str) -> int:
    """MiB of "512", "1 GB" or "0.5GB".

    >>> memory_mib("512"), memory_mib("1 GB")
    (512, 1024)
    """
    return _scaled("memory", text, {"": 1.0, "mb": 1.0, "mib": 1.0, "gb": 1024.0, "gib": 1024.0})


def _scaled(field: str, text: str, scales: dict[str, float]) -> int:
    found = _QUANTITY.fullmatch(text.strip().lower())
    scale = scales.get(found.group(2)) if found else None
    if found is None or scale is None:
        raise Refused(field, f"{text!r} is not a quantity; write it as in ECS")
    return int(float(found.group(1)) * scale)
