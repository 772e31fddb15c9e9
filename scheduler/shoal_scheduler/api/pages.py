"""Pagination: a page of a sorted list and an opaque token for the next."""

import base64
import binascii
from collections.abc import Iterable
from itertools import islice
from typing import TypeVar

import msgspec

from shoal_scheduler.model.refusal import invalid_field

Item = TypeVar("Item")
RESULTS_DEFAULT = 100
RESULTS_MAX = 1000


def page(items: Iterable[tuple[str, Item]], token: str, results_max: int) -> tuple[list[Item], str]:
    """Items after the token, in the order of their sort keys; items that came or went meanwhile do no harm."""
    if not 0 <= results_max <= RESULTS_MAX:
        raise invalid_field("maxResults", f"is {results_max}, must be 1 to {RESULTS_MAX}.")
    size = results_max or RESULTS_DEFAULT
    after = _last_key(token)
    rest = sorted((item for item in items if item[0] > after), key=lambda item: item[0])
    taken = list(islice(rest, size))
    more = len(rest) > size
    return [item for _, item in taken], _token(taken[-1][0]) if more else ""


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
