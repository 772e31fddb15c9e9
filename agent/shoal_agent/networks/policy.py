"""How many network namespaces are kept ready. Pure. Times are seconds of a clock that never goes back.

A host that starts nothing keeps none. When a container asks that could join one, `limit` are made to circulate: they
are ready, are being made or cleaned, or were lent a moment ago. One that is lent for longer is somebody's for good,
and another one is made for it. Those too many stay for a while, so that waves of tasks do not make and remove them.
"""

from dataclasses import dataclass

KEEP_SECONDS = 600.0  # after the last container that asked for one
SURPLUS_SECONDS = 60.0
TURNOVER_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Stock:
    """ready      since when each of those that are ready has been, the one that is lent next last
    lent       since when each of those that are lent has been
    wanted_at  when a container last asked that could join one; None if none ever has
    """

    limit: int
    ready: tuple[float, ...] = ()
    making: int = 0
    cleaning: int = 0
    lent: tuple[float, ...] = ()
    wanted_at: float | None = None


def shortage(stock: Stock, now: float) -> int:
    """How many to make."""
    if not _in_demand(stock, now):
        return 0
    lent = sum(now - since < TURNOVER_SECONDS for since in stock.lent)
    return max(0, stock.limit - len(stock.ready) - stock.making - stock.cleaning - lent)


def surplus(stock: Stock, now: float) -> int:
    """How many to remove of those that have been ready longest."""
    if not _in_demand(stock, now):
        return len(stock.ready)
    beyond = stock.ready[: max(0, len(stock.ready) - stock.limit)]
    idle = sum(now - since >= SURPLUS_SECONDS for since in beyond)
    return max(idle, len(stock.ready) - 2 * stock.limit)


def _in_demand(stock: Stock, now: float) -> bool:
    return stock.wanted_at is not None and now - stock.wanted_at < KEEP_SECONDS


def starts_without(begun: int, free_places: int) -> bool:
    """Whether a container that finds none ready gets a network of its own rather than waits for one that comes back.

    It waits only where it would have to anyway: `begun` are ahead of it, made or being made, and the engine has
    `free_places` to start them.
    """
    return begun < free_places
