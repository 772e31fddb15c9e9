"""What is asked of jobs. See `control.inputs`."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class SubmitJob:
    """Answered with a Job. `document`: SubmitJob as AWS JSON, checked at the door, without clientToken and tags."""

    document: dict[str, Any]
    tags: dict[str, str] = field(default_factory=dict)
    client_token: str = ""

    # Of the request without its token: the same token with another request is refused.
    request_digest: str = ""


@dataclass(frozen=True, slots=True)
class CancelJob:
    """`job`: id, or `id:index` for one child of an array. Answered with None."""

    job: str
    reason: str


@dataclass(frozen=True, slots=True)
class TerminateJob:
    """`job`: id, or `id:index` for one child of an array. Answered with None."""

    job: str
    reason: str
