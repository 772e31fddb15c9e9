"""Amounts of cpu and memory as task definitions write them at the level of the task.

cpu      "256" in units (1024 = 1 vCPU), "1 vCPU", ".5 vCPU", "1vcpu"
memory   "512" in MiB, "1 GB", "0.5GB" (1 GB = 1024 MiB)
"""

import re
from decimal import Decimal

CPU_UNITS_PER_VCPU = 1024
MIB_PER_GB = 1024

# [0-9] and not \d: digits of other scripts are refused, however whole they look.
_WHOLE = re.compile(r"[0-9]{1,18}")
_VCPU = re.compile(r"([0-9]{1,9}(?:\.[0-9]{0,9})?|\.[0-9]{1,9}) ?vCPU", re.IGNORECASE | re.ASCII)
_GB = re.compile(r"([0-9]{1,9}(?:\.[0-9]{0,9})?|\.[0-9]{1,9}) ?GB", re.IGNORECASE | re.ASCII)


def cpu_units(text: str) -> int:
    """Units of 1/1024 vCPU, parts of a unit cut off. Raises ValueError with a sentence for people.

    >>> cpu_units("256"), cpu_units("1 vCPU"), cpu_units(".5 vCPU")
    (256, 1024, 512)
    """
    return _amount(text, _VCPU, CPU_UNITS_PER_VCPU, 'cpu units as "256" (1024 = 1 vCPU), or as "0.25 vCPU"')


def memory_mib(text: str) -> int:
    """MiB, parts of one cut off. Raises ValueError with a sentence for people.

    >>> memory_mib("512"), memory_mib("1 GB"), memory_mib("0.5GB")
    (512, 1024, 512)
    """
    return _amount(text, _GB, MIB_PER_GB, 'MiB as "512", or as "0.5 GB" (1 GB = 1024 MiB)')


def _amount(text: str, with_unit: re.Pattern[str], factor: int, how: str) -> int:
    if _WHOLE.fullmatch(text):
        return int(text)
    scaled = with_unit.fullmatch(text)
    if scaled is None:
        raise ValueError(f"not an amount; write {how}")
    return int(Decimal(scaled[1]) * factor)
