"""Messages by hand: what a generated class would refuse to say."""

from typing import Any

import grpc
from google.protobuf.message import Message

VARINT, BYTES = 0, 2


def varint(number: int) -> bytes:
    """As on the wire; a negative one as 64 bits."""
    number &= (1 << 64) - 1
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def field(number: int, value: int | bytes | str) -> bytes:
    """One field: a number as a varint, a text or bytes with its length."""
    if isinstance(value, int):
        return varint(number << 3 | VARINT) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | BYTES) + varint(len(data)) + data


def named(message: type[Message], name: str, value: int | bytes | str = b"") -> bytes:
    """One field by its name in the contract."""
    return field(message.DESCRIPTOR.fields_by_name[name].number, value)


async def call(channel: grpc.aio.Channel, method: str, message: bytes, **options: Any) -> bytes:
    """The answer's bytes of a unary method of the Cluster service."""
    send: Any = channel.unary_unary(f"/shoal.v1.Cluster/{method}")
    answer: bytes = await send(message, timeout=20, **options)
    return answer
