"""Who calls, what a call needs, and whether the one may the other. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from shoal_registry.names import Repository
from shoal_registry.rights.patterns import Pattern
from shoal_registry.rights.policy import Action, Policy

ACTIONS: tuple[Action, ...] = get_args(Action)

# `nothing`: anybody may. `identity`: who has shown who they are, or was given a token as a stranger. `admin`: to change
# accounts and settings, which is for operators.
Need: TypeAlias = Literal["nothing", "identity", "admin"] | Action

Role: TypeAlias = Literal["stranger", "account", "agent", "operator"]


@dataclass(frozen=True, slots=True)
class Right:
    """To do these to every repository of such a name."""

    repositories: Pattern
    actions: frozenset[Action]


@dataclass(frozen=True, slots=True)
class Caller:
    """`rights` are an account's own. `granted`, by a repository's name: what a token is good for, and nothing else.

    `in_person`: it was a secret or a certificate that was shown, and no token that was given for one.
    """

    role: Role
    name: str
    rights: Sequence[Right] = ()
    granted: Mapping[str, frozenset[Action]] | None = None
    in_person: bool = False


STRANGER = Caller("stranger", "")
# Of a registry that asks nobody who they are.
UNASKED = Caller("operator", "anybody", in_person=True)


def may(caller: Caller, action: Action, repository: Repository, policy: Policy | None) -> bool:
    """Operators may everything, also where a policy denies it: who else could mend the policy?

    For all others, what a policy denies is denied.
    """
    if caller.granted is not None:
        return action in caller.granted.get(repository.name, ())
    if caller.role == "operator":
        return True
    account = caller.name if caller.role == "account" else None
    if policy and policy.denies(account, action):
        return False
    if caller.role == "agent" and action == "pull":
        return True
    if any(action in right.actions and right.repositories.matches(repository.name) for right in caller.rights):
        return True
    return policy is not None and policy.allows(account, action)


def may_administer(caller: Caller) -> bool:
    """No token does, not even one that an operator has logged in by: it lies in files that others back up."""
    return caller.role == "operator" and caller.in_person
