"""A job definition: an immutable, numbered template of jobs. Only its status and tags change."""

from typing import Any

import msgspec

# The family of the task definition that runs a job definition's jobs; no family that is registered has a colon.
FAMILY_PREFIX = "batch:"


class JobDefinition(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    name: str
    revision: int
    registered_at: int
    registered_by: str = ""

    # ACTIVE, or INACTIVE: no new jobs; those that were submitted go on.
    status: str = "ACTIVE"
    deregistered_at: int = 0

    # What was registered, as AWS JSON (RegisterJobDefinition) without tags.
    document: dict[str, Any] = {}
    tags: dict[str, str] = {}

    @property
    def full_name(self) -> str:
        return f"{self.name}:{self.revision}"

    @property
    def task_definition(self) -> str:
        """The task definition of its jobs' tasks: registered in the same step, with the same number."""
        return task_definition_of(self.full_name)


def task_definition_of(full_name: str) -> str:
    """
    >>> task_definition_of("flip:3")
    'batch:flip:3'
    """
    return f"{FAMILY_PREFIX}{full_name}"
