"""Why a request is not carried out: a value that says what was wrong and what to do."""

from collections.abc import Sequence
from typing import Literal

from shoal.problems import Problem

Kind = Literal[
    "invalid", "not_found", "conflict", "failed_precondition", "exhausted", "denied", "out_of_range", "unimplemented"
]


class Refused(Exception):  # noqa: N818  a refusal is an answer, not a fault of the program
    """Raised by pure code before it proposes any change; answered to the caller as it stands.

    `reason` is the name of the ECS exception an ECS user would expect.
    """

    def __init__(
        self, kind: Kind, message: str, *, reason: str = "ClientException", problems: Sequence[Problem] = ()
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.reason = reason
        self.problems = tuple(problems)


def invalid(problems: Sequence[Problem], reason: str = "ClientException") -> Refused:
    """Bad input: the first problem is the sentence, all of them are listed with their paths."""
    first = problems[0]
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return Refused("invalid", f"{first}{more}", reason=reason, problems=problems)


def invalid_field(field: str, message: str) -> Refused:
    return invalid([Problem(field, message)], reason="InvalidParameterException")


def cluster_not_found(name: str) -> Refused:
    return Refused(
        "not_found",
        f"There is no cluster named {name!r}. List them with ListClusters, or create it with CreateCluster.",
        reason="ClusterNotFoundException",
    )
