"""What the rebalance of its cluster means for a service: which of its tasks leave now, and where nothing of it is
placed meanwhile. Pure."""

from shoal_scheduler.model.instance import ID_ATTRIBUTE
from shoal_scheduler.model.rebalance import Rebalance
from shoal_scheduler.state.overlay import Overlay


def under_way(view: Overlay, cluster: str) -> Rebalance | None:
    """The one that is in progress there: at most one is."""
    return next((each for each in view.records.of(Rebalance, cluster) if each.is_in_progress), None)


def leaving_tasks(rebalance: Rebalance | None, service: str) -> dict[str, str]:
    """By the id of each task that leaves its instance now: that instance."""
    if rebalance is None or not rebalance.is_in_progress:
        return {}
    return {move.task: move.source for move in rebalance.moves if move.service == service}


def leaving_expression(rebalance: Rebalance | None, service: str) -> str:
    """Of the query language: where tasks of the service may be placed meanwhile; "" for anywhere.

    Not on the instances that its tasks leave now, nor on those that are emptied; where one is pinned, only there.
    """
    if rebalance is None or not rebalance.is_in_progress:
        return ""
    pinned = sorted({move.target for move in rebalance.moves if move.service == service and move.is_pinned})
    if pinned:
        return f"attribute:{ID_ATTRIBUTE} in [{', '.join(pinned)}]"
    shut = sorted({*rebalance.closed, *leaving_tasks(rebalance, service).values()})
    return f"not (attribute:{ID_ATTRIBUTE} in [{', '.join(shut)}])" if shut else ""
