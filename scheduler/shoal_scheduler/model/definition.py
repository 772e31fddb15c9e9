"""A task definition: an immutable, numbered template. Only its status, times and tags change."""

from typing import Any

import msgspec


class Definition(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    family: str
    revision: int
    registered_at: int
    registered_by: str = ""

    # ACTIVE, INACTIVE (no new tasks, unless pinned by number) or DELETE_IN_PROGRESS.
    status: str = "ACTIVE"
    deregistered_at: int = 0
    delete_requested_at: int = 0

    # What was registered, as AWS JSON without read-only fields and tags.
    document: dict[str, Any] = {}
    tags: dict[str, str] = {}

    @property
    def name(self) -> str:
        return f"{self.family}:{self.revision}"

    @property
    def containers(self) -> list[dict[str, Any]]:
        containers: list[dict[str, Any]] = self.document["containerDefinitions"]
        return containers
