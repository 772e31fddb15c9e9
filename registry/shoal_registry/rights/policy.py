"""A repository's policy, in the JSON of ECR ("Private repository policies"). Pure.

    {"Version": "2012-10-17",
     "Statement": [{"Sid": "everybody pulls", "Effect": "Allow", "Principal": "*",
                    "Action": ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]}]}

Of ECR's operations, those that a push, a pull or a deletion is made of decide: a right is given by all of its
operations, and taken away by any.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from shoal_registry.rights.patterns import matches

Action: TypeAlias = Literal["pull", "push", "delete"]

CHARACTERS_MAX = 10_240
VERSIONS = ("2008-10-17", "2012-10-17")

OPERATIONS: Mapping[Action, frozenset[str]] = {
    "pull": frozenset({"BatchGetImage", "GetDownloadUrlForLayer"}),
    "push": frozenset(
        {"BatchCheckLayerAvailability", "InitiateLayerUpload", "UploadLayerPart", "CompleteLayerUpload", "PutImage"}
    ),
    "delete": frozenset({"BatchDeleteImage"}),
}
_DECIDING = frozenset().union(*OPERATIONS.values())
_OPERATION = re.compile(r"(?:ecr:[A-Za-z*]+|\*)")
_USER = re.compile(r"arn:[a-z-]+:iam::[0-9]{12}:user/(?P<name>.+)")
# Every account of the registry, but no stranger: as ECR has it of an account's root.
_ROOT = re.compile(r"arn:[a-z-]+:iam::[0-9]{12}:root|[0-9]{12}")
_EVERYBODY = "*"
_EVERY_ACCOUNT = ":root"
_STATEMENT_FIELDS = ("Sid", "Effect", "Principal", "Action")


class InvalidPolicyError(ValueError):
    """Says which field is wrong, and what to write."""


@dataclass(frozen=True, slots=True)
class Statement:
    """`principals` are accounts' names, `*` or `:root`; `operations` are patterns without `ecr:`."""

    allows: bool
    principals: frozenset[str]
    operations: Sequence[str]

    def is_about(self, account: str | None) -> bool:
        """None: a stranger."""
        if _EVERYBODY in self.principals:
            return True
        return account is not None and (account in self.principals or _EVERY_ACCOUNT in self.principals)

    def covers(self, operation: str) -> bool:
        return any(matches(pattern, operation) for pattern in self.operations)


@dataclass(frozen=True, slots=True)
class Policy:
    statements: Sequence[Statement]

    def denies(self, account: str | None, action: Action) -> bool:
        return any(self._covers(False, account, operation) for operation in OPERATIONS[action])

    def allows(self, account: str | None, action: Action) -> bool:
        return all(self._covers(True, account, operation) for operation in OPERATIONS[action])

    def _covers(self, allows: bool, account: str | None, operation: str) -> bool:
        said = (each for each in self.statements if each.allows == allows and each.is_about(account))
        return any(each.covers(operation) for each in said)


def parse(text: str) -> Policy:
    """Raises InvalidPolicyError: what would not be obeyed is not taken."""
    if len(text) > CHARACTERS_MAX:
        raise InvalidPolicyError(f"a policy has at most {CHARACTERS_MAX} characters")
    try:
        document = json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise InvalidPolicyError(f"a policy is a JSON object; this is none: {str(error)[:200]}") from None
    _only(document, "policy", ("Version", "Id", "Statement"))
    if document.get("Version", VERSIONS[0]) not in VERSIONS:
        raise InvalidPolicyError(f"Version: must be {' or '.join(VERSIONS)}")
    statements = _listed(document.get("Statement"))
    if not statements:
        raise InvalidPolicyError("Statement: must be an object or a list of some")
    return Policy([_statement(each, f"Statement[{number}]") for number, each in enumerate(statements)])


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a field is there twice")
    return found


def _statement(given: object, field: str) -> Statement:
    statement = _only(given, field, _STATEMENT_FIELDS)
    effect = statement.get("Effect")
    if effect not in ("Allow", "Deny"):
        raise InvalidPolicyError(f"{field}.Effect: must be Allow or Deny")
    operations = [_operation(each, f"{field}.Action") for each in _listed(statement.get("Action"))]
    if not operations:
        raise InvalidPolicyError(f"{field}.Action: must be an operation, as in ecr:BatchGetImage, or a list of some")
    idle = [each for each in operations if not any(matches(each, operation) for operation in _DECIDING)]
    if effect == "Deny" and idle:
        raise InvalidPolicyError(
            f"{field}.Action: ecr:{idle[0]} cannot be denied by itself; what can is {', '.join(sorted(_DECIDING))}"
        )
    return Statement(effect == "Allow", _principals(statement.get("Principal"), f"{field}.Principal"), operations)


def _principals(given: object, field: str) -> frozenset[str]:
    if isinstance(given, dict):
        given = _only(given, field, ("AWS",)).get("AWS")
    principals = frozenset(_principal(each, field) for each in _listed(given))
    if not principals:
        raise InvalidPolicyError(
            f'{field}: must be "*" for everybody, or {{"AWS": […]}} with names of accounts, as in ci or '
            "arn:aws:iam::000000000000:user/ci"
        )
    return principals


def _principal(given: object, field: str) -> str:
    if not isinstance(given, str) or not given:
        raise InvalidPolicyError(f"{field}: must be text")
    if _ROOT.fullmatch(given):
        return _EVERY_ACCOUNT
    name = found["name"] if (found := _USER.fullmatch(given)) else given
    if name != _EVERYBODY and ("*" in name or ":" in name):
        raise InvalidPolicyError(f"{field}: {given[:200]!r} is no account: write its name, or * for everybody")
    return name


def _operation(given: object, field: str) -> str:
    if not isinstance(given, str) or not _OPERATION.fullmatch(given):
        raise InvalidPolicyError(f"{field}: {str(given)[:200]!r} is none; write ecr: and an operation, or ecr:*")
    return given.removeprefix("ecr:")


def _listed(given: object) -> list[object]:
    if given is None:
        return []
    return given if isinstance(given, list) else [given]


def _only(given: object, field: str, fields: Sequence[str]) -> Mapping[str, Any]:
    if not isinstance(given, dict):
        raise InvalidPolicyError(f"{field}: must be an object")
    if unknown := [each for each in given if each not in fields]:
        raise InvalidPolicyError(f"{field}.{unknown[0][:100]}: is not obeyed here; what is: {', '.join(fields)}")
    return given
