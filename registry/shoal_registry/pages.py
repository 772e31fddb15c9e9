"""One page of a sorted list, and where the next begins ("Listing Tags")."""

from collections.abc import Sequence
from dataclasses import dataclass

from shoal_registry.errors import Refused

PAGE_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Page:
    names: Sequence[str]
    more: bool


def wanted(text: str | None) -> int | None:
    """How many are asked for; None if nothing is said. Raises Refused."""
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()):
        raise Refused("PAGINATION_NUMBER_INVALID", f"n={text[:40]!r} is no number: write the most wanted, as in n=100.")
    # What is longer than this is more than a page in any case.
    return int(text[:12])


def page(names: Sequence[str], n: int | None, last: str | None) -> Page:
    """Of names in their order: at most n, and those after `last`."""
    after = [name for name in names if last is None or name > last]
    count = PAGE_MAX if n is None else min(n, PAGE_MAX)
    return Page(after[:count], 0 < count < len(after))
