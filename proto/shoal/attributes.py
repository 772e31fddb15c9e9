"""Attributes of instances: how they may be written, and the words of those that every instance has."""

import re

# As ECS has them.
NAME = re.compile(r"[A-Za-z0-9_./\\-]{1,128}")
NAME_RULE = r"use 1 to 128 letters, digits and - _ . / \ ".rstrip()
VALUE = re.compile(r"(?! )[A-Za-z0-9_./\\@: -]{1,128}(?<! )")
VALUE_RULE = r"use 1 to 128 letters, digits, spaces and - _ . / \ @ : with no space at either end"

# Of ecs.os-family; ecs.os-type is linux for the first and windows for the others.
OPERATING_SYSTEMS = (
    "LINUX",
    *(f"WINDOWS_SERVER_{edition}" for edition in ("2016_FULL", "2019_CORE", "2019_FULL", "2022_CORE", "2022_FULL")),
    *(f"WINDOWS_SERVER_{edition}" for edition in ("2025_CORE", "2025_FULL", "2004_CORE", "20H2_CORE")),
)
