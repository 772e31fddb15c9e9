"""What happened to images: ListImageEvents, which ECR has not; its events go to EventBridge, in this shape."""

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from shoal_registry.ecr import page_tokens
from shoal_registry.names import Repository
from shoal_registry.registry import Call

PAGE = 100


class ListImageEvents(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    repository_name: str | None = None
    registry_id: str | None = None
    next_token: str | None = None
    max_results: Annotated[int, msgspec.Meta(ge=1, le=1000)] | None = None


async def listed(call: Call, request: ListImageEvents) -> Mapping[str, Any]:
    """The oldest first. `nextToken` is always there: what happens later follows it. `isLast`: nothing does yet."""
    limit, position = request.max_results or PAGE, page_tokens.begin(request.next_token, page_tokens.EVENT)
    wanted = None if request.repository_name is None else Repository.parse(request.repository_name).name
    events: list[dict[str, Any]] = []
    allowed: dict[str, bool] = {}
    async for at, event in call.registry.events.read(position):
        name = event["detail"]["repository-name"]
        if len(events) == limit:
            return {"events": events, "nextToken": position, "isLast": False}
        position = at
        if wanted not in (None, name):
            continue
        if name not in allowed:
            allowed[name] = await call.may("pull", Repository.parse(name))
        if allowed[name]:
            events.append(event)
    return {"events": events, "nextToken": position, "isLast": True}
