"""Pagination: a page of a sorted list and an opaque token for the next."""

import base64
import binascii
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any, TypeVar

import msgspec

from shoal_scheduler.model.refusal import invalid_field

Item = TypeVar("Item")
RESULTS_DEFAULT = 100
RESULTS_MAX = 1000


def page(items: Iterable[tuple[str, Item]], request: Any, *, descending: bool = False) -> tuple[list[Item], str]:
    """Items after the request's token, in the order of their sort keys, and the token for the next page, "" after
    the last. Items that came or went meanwhile do no harm."""
    size = _size(request)
    after = _last_key(request.next_token)
    following = (item for item in items if _follows(item[0], after, descending))
    return _first(sorted(following, key=_key, reverse=descending), size)


def page_of_sorted(items: Callable[[str], Iterable[tuple[str, Item]]], request: Any) -> tuple[list[Item], str]:
    """The same of items that come in the order of their keys: those beyond the page are not looked at. `items` is
    told the last key of the page before, "" for the first page, and may leave out what comes up to it."""
    size = _size(request)
    after = _last_key(request.next_token)
    return _first((item for item in items(after) if item[0] > after), size)


def _first(items: Iterable[tuple[str, Item]], size: int) -> tuple[list[Item], str]:
    taken = list(islice(items, size + 1))
    more = len(taken) > size
    return [item for _, item in taken[:size]], _token(taken[size - 1][0]) if more else ""


def _size(request: Any) -> int:
    size: int = request.max_results if request.HasField("max_results") else RESULTS_DEFAULT
    if not 1 <= size <= RESULTS_MAX:
        raise invalid_field("maxResults", f"is {size}, must be 1 to {RESULTS_MAX}.")
    return size


def _key(item: tuple[str, Any]) -> str:
    return item[0]


def _follows(key: str, after: str, descending: bool) -> bool:
    return not after or (key < after if descending else key > after)


def _token(key: str) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode({"after": key})).decode()


def _last_key(token: str) -> str:
    if not token:
        return ""
    try:
        key = msgspec.json.decode(base64.urlsafe_b64decode(token), type=dict[str, str])["after"]
    except (binascii.Error, msgspec.DecodeError, KeyError, ValueError):
        raise invalid_field(
            "nextToken", "is not a token of this list: use the one of the last answer as it is."
        ) from None
    return key
