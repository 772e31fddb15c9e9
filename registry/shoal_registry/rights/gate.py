"""Where a request is asked who sends it, and whether they may."""

from aiohttp import web

from shoal_registry.errors import Refused
from shoal_registry.names import Repository
from shoal_registry.rights.callers import ANYBODY, UNASKED, Action, Caller, Need


class Gate:
    """`is_open`: whoever calls may do everything."""

    def __init__(self, is_open: bool) -> None:
        self._is_open = is_open

    async def caller(self, _request: web.Request) -> Caller:
        """Raises Refused if somebody claims to be who they are not."""
        return UNASKED if self._is_open else ANYBODY

    async def may(self, caller: Caller, _action: Action, _repository: Repository | None) -> bool:
        return caller.role == "operator"

    async def demand(self, caller: Caller, need: Need, repository: Repository | None) -> None:
        """Raises Refused, whether there is such a repository or not."""
        if need == "nothing" or caller.role != "anybody":
            return
        raise Refused("UNAUTHORIZED", "Say who you are.")
