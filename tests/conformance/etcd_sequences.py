"""Random sequences of calls of etcd's v3 API, made from a seed, and what compares of their answers.

All sequences are played one after the other on the same server, so that even revisions must be the same.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from google.protobuf.message import Message
from shoal_scheduler.state import etcd_v3_pb2 as pb

KEYS = tuple(f"/k/{name}".encode() for name in "abcdef")
RANGES = ((KEYS[0], b"/k/d"), (b"/k/", b"/k0"), (KEYS[2], b"\0"), (KEYS[3], KEYS[1]), (b"/k/b", b"/k/b\0"))
LEASES = (101, 102, 103)


@dataclass(frozen=True, slots=True)
class Compact:
    """Everything before the revision so many back is forgotten."""

    back: int


@dataclass(frozen=True, slots=True)
class Watch:
    """From so many revisions back on. A negative one is to come."""

    key: bytes
    end: bytes
    back: int


Call = Message | Compact | Watch


def sequence(seed: int, revision: Callable[[], int]) -> Iterator[Call]:
    """The calls of one, each made when it is asked for: `revision` is then the newest."""
    chance = random.Random(seed)
    yield pb.TxnRequest(success=[_delete(chance, b"/k/", b"/k0"), _put(chance, KEYS[0])])
    for _ in range(chance.randint(4, 14)):
        kind = chance.choices(list(_MAKERS), [weight for _, weight in _MAKERS.values()])[0]
        yield _MAKERS[kind][0](chance, revision())


def _where(chance: random.Random) -> tuple[bytes, bytes]:
    if chance.random() < 0.02:
        return b"", b""
    return chance.choice(RANGES) if chance.random() < 0.5 else (chance.choice(KEYS), b"")


def _past(chance: random.Random, revision: int) -> int:
    """Mostly now (0); sometimes a revision that was, may be compacted, or is to come."""
    if chance.random() < 0.6:
        return 0
    return max(1, revision - chance.choice((-3, 0, 0, 1, 2, 3, 5, 8, 30)))


def _range(chance: random.Random, revision: int) -> pb.RangeRequest:
    key, end = _where(chance)
    return pb.RangeRequest(
        key=key, range_end=end, limit=chance.choice((0, 0, 1, 2, 9)), revision=_past(chance, revision)
    )


def _put(chance: random.Random, key: bytes | None = None) -> pb.RequestOp:
    key = key or (b"" if chance.random() < 0.02 else chance.choice(KEYS))
    lease = chance.choice((0, 0, 0, *LEASES))
    return pb.RequestOp(request_put=pb.PutRequest(key=key, value=chance.choice((b"", b"x", b"y")), lease=lease))


def _delete(chance: random.Random, key: bytes | None = None, end: bytes = b"") -> pb.RequestOp:
    first, last = (key, end) if key is not None else _where(chance)
    return pb.RequestOp(request_delete_range=pb.DeleteRangeRequest(key=first, range_end=last))


def _operations(chance: random.Random, revision: int, depth: int) -> list[pb.RequestOp]:
    made = []
    for kind in chance.choices(("put", "delete", "range", "txn"), (5, 2, 2, 2 if depth else 0), k=chance.randint(0, 3)):
        match kind:
            case "put":
                made.append(_put(chance))
            case "delete":
                made.append(_delete(chance))
            case "range":
                made.append(pb.RequestOp(request_range=_range(chance, revision)))
            case _:
                made.append(pb.RequestOp(request_txn=_txn(chance, revision, depth - 1)))
    return made


def _compare(chance: random.Random, revision: int) -> pb.Compare:
    asked = chance.choice((pb.Compare.VERSION, pb.Compare.CREATE, pb.Compare.MOD, pb.Compare.VALUE, pb.Compare.LEASE))
    how = chance.choice((pb.Compare.EQUAL, pb.Compare.EQUAL, pb.Compare.GREATER, pb.Compare.LESS, pb.Compare.NOT_EQUAL))
    made = pb.Compare(target=asked, result=how, key=b"" if chance.random() < 0.01 else chance.choice(KEYS))
    match asked:
        case pb.Compare.VERSION:
            made.version = chance.randint(0, 3)
        case pb.Compare.CREATE:
            made.create_revision = chance.choice((0, revision, revision - 1))
        case pb.Compare.MOD:
            made.mod_revision = chance.choice((0, revision, revision - 1))
        case pb.Compare.VALUE:
            made.value = chance.choice((b"", b"x", b"y"))
        case pb.Compare.LEASE:
            made.lease = chance.choice((0, *LEASES))
    return made


def _txn(chance: random.Random, revision: int, depth: int = 2) -> pb.TxnRequest:
    compare = [_compare(chance, revision) for _ in range(chance.choice((0, 0, 1, 2)))]
    success, failure = _operations(chance, revision, depth), _operations(chance, revision, depth)
    return pb.TxnRequest(compare=compare, success=success, failure=failure)


def _crowded(chance: random.Random, _revision: int) -> pb.TxnRequest:
    """About as many operations as there may be, alone and nested."""
    inner, outer = chance.choice((1, 100, 125, 126, 127, 128, 129)), chance.choice((1, 2, 3, 27, 28, 29, 128))
    many = [_put_at(f"/k/n{number:03d}".encode()) for number in range(inner)]
    others = [_put_at(f"/k/o{number:03d}".encode()) for number in range(outer - 1)]
    return pb.TxnRequest(success=[*others, pb.RequestOp(request_txn=pb.TxnRequest(success=many))])


def _large(chance: random.Random, _revision: int) -> pb.TxnRequest:
    size_bytes = chance.choice((1_400_000, 1_600_000))
    return pb.TxnRequest(success=[pb.RequestOp(request_put=pb.PutRequest(key=KEYS[0], value=b"v" * size_bytes))])


def _put_at(key: bytes) -> pb.RequestOp:
    return pb.RequestOp(request_put=pb.PutRequest(key=key, value=b"n"))


def _grant(chance: random.Random, _revision: int) -> pb.LeaseGrantRequest:
    return pb.LeaseGrantRequest(ID=chance.choice(LEASES), TTL=chance.choice((600, 600, 900, 10**10)))


def _revoke(chance: random.Random, _revision: int) -> pb.LeaseRevokeRequest:
    return pb.LeaseRevokeRequest(ID=chance.choice(LEASES))


def _keep_alive(chance: random.Random, _revision: int) -> pb.LeaseKeepAliveRequest:
    return pb.LeaseKeepAliveRequest(ID=chance.choice(LEASES))


def _compact(chance: random.Random, _revision: int) -> Compact:
    return Compact(chance.choice((-1, 0, 1, 2, 4, 50)))


def _watch(chance: random.Random, _revision: int) -> Watch:
    key, end = chance.choice(RANGES[:3]) if chance.random() < 0.5 else (chance.choice(KEYS), b"")
    return Watch(key, end, chance.choice((-2, 0, 1, 2, 4, 8, 20)))


_MAKERS: dict[str, tuple[Callable[[random.Random, int], Call], float]] = {
    "range": (_range, 4),
    "txn": (_txn, 9),
    "crowded": (_crowded, 0.3),
    "large": (_large, 0.05),
    "grant": (_grant, 2),
    "revoke": (_revoke, 1),
    "keep alive": (_keep_alive, 1),
    "compact": (_compact, 0.7),
    "watch": (_watch, 1),
}
