"""What somebody asks a token for ("Token Scope" of the Docker token specification). Pure.

repository:team/web:pull,push       of a repository
registry:catalog:*                  of anything else: asked in vain, because there is nothing else to be had
"""

import re
from collections.abc import Collection, Mapping, Sequence

from shoal_registry.errors import Refused
from shoal_registry.names import Repository
from shoal_registry.rights.callers import Need
from shoal_registry.rights.policy import OPERATIONS, Action

SCOPES_MAX = 100
_SCOPE = re.compile(r"(?P<kind>[a-z0-9]+(?:\([a-z0-9]+\))?):(?P<name>[^:\s]+):(?P<actions>[a-z]+(?:,[a-z]+)*|\*)")


def parse(texts: Sequence[str]) -> Mapping[Repository, frozenset[Action]]:
    """Of every `scope` parameter; each may hold several, divided by spaces. Raises Refused."""
    scopes = [scope for text in texts for scope in text.split(" ") if scope]
    if len(scopes) > SCOPES_MAX:
        raise Refused("UNSUPPORTED", f"At most {SCOPES_MAX} scopes at once.", status=400)
    asked: dict[Repository, frozenset[Action]] = {}
    for scope in scopes:
        found = _SCOPE.fullmatch(scope)
        if not found:
            raise Refused(
                "UNSUPPORTED",
                f"{scope[:200]!r} is no scope: write a name and actions, as in repository:team/web:pull,push.",
                status=400,
            )
        if found["kind"] == "repository":
            repository = Repository.parse(found["name"])
            asked[repository] = asked.get(repository, frozenset()) | _actions(found["actions"])
    return asked


def write(repository: Repository, actions: Collection[Action]) -> str:
    return f"repository:{repository.name}:{','.join(each for each in OPERATIONS if each in actions)}"


def needed(need: Need, repository: Repository | None) -> str | None:
    """What to ask a token for; None where none helps. Who pushes looks first at what is there."""
    if repository is None:
        return None
    return f"repository:{repository.name}:{'pull,push' if need == 'push' else need}"


def _actions(text: str) -> frozenset[Action]:
    """Those that there are: of others, nobody has any. `*` asks for all of them, as skopeo does to delete."""
    words = text.split(",")
    return frozenset(action for action in OPERATIONS if action in words or text == "*")
