"""Children of a job as bits: bit i of a number stands for the i-th child of a chunk. So 256 are looked at at once."""

from collections.abc import Iterator

from shoal_scheduler.model.job import CHILDREN_PER_CHUNK, Job, JobChunk


def bits_of(bitmap: bytes) -> int:
    return int.from_bytes(bitmap, "little")


def bitmap_of(bits: int) -> bytes:
    """As short as it can be.

    >>> bitmap_of(0), bitmap_of(0b1_0000_0001)
    (b'', b'\\x01\\x01')
    """
    return bits.to_bytes((bits.bit_length() + 7) // 8, "little")


def everyone(job: Job, number: int) -> int:
    """All children of the chunk."""
    return (1 << min(CHILDREN_PER_CHUNK, job.size - number * CHILDREN_PER_CHUNK)) - 1


def chunk_count(job: Job) -> int:
    return -(-job.size // CHILDREN_PER_CHUNK)


def chunk_of(child: int) -> tuple[int, int]:
    """Number of its chunk, and its bit there."""
    return child // CHILDREN_PER_CHUNK, 1 << child % CHILDREN_PER_CHUNK


def ended(chunk: JobChunk) -> int:
    """Those that are over."""
    return bits_of(chunk.succeeded) | bits_of(chunk.failed)


def children_in(number: int, bits: int) -> Iterator[int]:
    """Ascending, by their index in the array."""
    while bits:
        lowest = bits & -bits
        yield number * CHILDREN_PER_CHUNK + lowest.bit_length() - 1
        bits ^= lowest
