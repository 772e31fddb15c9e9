"""Bounds of what one message may hold, in and out, beside the bytes that the transport allows."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

from google.protobuf.message import Message
from shoal.problems import member
from shoal.rpc import MESSAGE_BYTES_MAX

from shoal_scheduler.model.refusal import Refused, invalid_field

# The largest task definition (64 KiB) has fewer; a million would keep every other caller waiting.
ELEMENTS_MAX = 20_000

Item = TypeVar("Item", bound=Message)


def check_elements(message: Message) -> None:
    """Refuses lists and maps that hold too much altogether, before anything walks through them."""
    if message.ByteSize() <= ELEMENTS_MAX:  # each entry takes a byte at least
        return
    left = ELEMENTS_MAX
    waiting = [("", message)]
    while waiting:
        path, current = waiting.pop()
        for field, value in current.ListFields():
            name = member(path, field.json_name)
            if field.is_repeated:
                left -= len(value)
                if left < 0:
                    raise invalid_field(name, f"has {len(value)} entries; a request has at most {ELEMENTS_MAX} in all.")
                if field.message_type is not None and not field.message_type.GetOptions().map_entry:
                    waiting.extend((f"{name}[{index}]", each) for index, each in enumerate(value))
            elif field.message_type is not None:
                waiting.append((name, value))


def check_answer(message: Item) -> Item:
    """Refuses an answer that the other side could not receive."""
    _check_bytes(message.ByteSize())
    return message


def encoded(answer: Message | bytes) -> bytes:
    """As it is sent; refused if the other side could not receive it. A handler may encode by itself."""
    data = answer if isinstance(answer, bytes) else answer.SerializeToString()
    _check_bytes(len(data))
    return data


def _check_bytes(size_bytes: int) -> None:
    if size_bytes > MESSAGE_BYTES_MAX:
        raise Refused(
            "exhausted",
            f"The answer is larger than {MESSAGE_BYTES_MAX} bytes: ask for fewer at once, with fewer names or a"
            " smaller maxResults.",
            reason="LimitExceededException",
        )


def parts(items: Iterable[Item], items_max: int, bytes_max: int) -> Iterator[list[Item]]:
    """The items in lists of at most so many items and bytes; one that is larger by itself comes alone."""
    part: list[Item] = []
    room_bytes = bytes_max
    for item in items:
        size_bytes = item.ByteSize()
        if part and (len(part) == items_max or size_bytes > room_bytes):
            yield part
            part, room_bytes = [], bytes_max
        part.append(item)
        room_bytes -= size_bytes
    if part:
        yield part
