"""etcd in memory: what its v3 API answers, as a value that changes only by calls, on a clock that is handed in.

Keys with all their versions, transactions, leases, watches and compaction, as far as `etcd_v3.proto` has them. It is
held against a real etcd by random sequences (tests/conformance/test_store_model.py): same answers, same revisions,
same errors.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import grpc
from shoal_scheduler.state import etcd_v3_pb2 as pb

OPERATIONS_MAX = 128
REQUEST_BYTES_MAX = 1536 * 1024
LEASE_TTL_SECONDS_MIN = 2
LEASE_TTL_SECONDS_MAX = 9_000_000_000

_EMPTY_KEY = grpc.StatusCode.INVALID_ARGUMENT, "etcdserver: key is not provided"
_TOO_MANY = grpc.StatusCode.INVALID_ARGUMENT, "etcdserver: too many operations in txn request"
_TWICE = grpc.StatusCode.INVALID_ARGUMENT, "etcdserver: duplicate key given in txn request"
_TOO_LARGE = grpc.StatusCode.INVALID_ARGUMENT, "etcdserver: request is too large"
_COMPACTED = grpc.StatusCode.OUT_OF_RANGE, "etcdserver: mvcc: required revision has been compacted"
_FUTURE = grpc.StatusCode.OUT_OF_RANGE, "etcdserver: mvcc: required revision is a future revision"
_NO_LEASE = grpc.StatusCode.NOT_FOUND, "etcdserver: requested lease not found"
_LEASE_EXISTS = grpc.StatusCode.FAILED_PRECONDITION, "etcdserver: lease already exists"
_TTL_TOO_LARGE = grpc.StatusCode.OUT_OF_RANGE, "etcdserver: too large lease TTL"

Key = bytes


class EtcdError(Exception):
    """What a real one would answer as the status of the call."""

    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        super().__init__(f"{code.name}: {details}")
        self.code = code
        self.details = details


@dataclass(slots=True)
class Lease:
    ttl_seconds: int
    expires_at: float
    keys: set[Key] = field(default_factory=set)


@dataclass(slots=True)
class Watcher:
    """Of the keys from `first` up to `end`; of `first` alone if `end` is empty. The next event it has not had has
    `next_revision` or a later one. `previous`: each comes with what was there before."""

    first: bytes
    end: bytes
    next_revision: int
    previous: bool = False

    def wants(self, key: bytes) -> bool:
        return _within(key, self.first, self.end)


@dataclass(frozen=True, slots=True)
class _Branch:
    """What a transaction is going to do, those nested in it included."""

    holds: bool
    steps: list["_Step"]

    def simple(self) -> Iterator[pb.RequestOp]:
        for step in self.steps:
            if isinstance(step, _Branch):
                yield from step.simple()
            else:
                yield step


_Step = _Branch | pb.RequestOp


class Etcd:
    def __init__(self, now: Callable[[], float]) -> None:
        """`now` in seconds; only its differences count."""
        self._now = now
        self.revision = 1
        self.compacted = 0
        self.leases: dict[int, Lease] = {}
        self.changes = 0  # of anything a watch may tell of
        self._keys: list[Key] = []  # all that have a version, in order
        self._versions: dict[Key, list[pb.KeyValue]] = {}  # the oldest first; a version of 0 is a deletion
        self._events: list[pb.Event] = []  # the oldest first
        self._next_lease = 1 << 40

    # KV.

    def range(self, request: pb.RangeRequest) -> pb.RangeResponse:
        _check_key(request.key)
        self._check_revision(request.revision)
        answer = self._range(request)
        answer.header.revision = self.revision
        return answer

    def txn(self, request: pb.TxnRequest) -> pb.TxnResponse:
        _check_txn(request, OPERATIONS_MAX)
        _check_twice(request.success)
        _check_twice(request.failure)
        if request.ByteSize() > REQUEST_BYTES_MAX:
            raise EtcdError(*_TOO_LARGE)
        branch = self._choose(request)  # all is compared before anything is done
        self._check_doable(branch)
        change = self.revision + 1
        answer = self._do(branch, change)
        if self._events and self._events[-1].kv.mod_revision == change:
            self.revision = change
            self.changes += 1
        answer.header.revision = self.revision
        return answer

    def compact(self, revision: int) -> None:
        if revision > self.revision:
            raise EtcdError(*_FUTURE)
        if revision <= self.compacted:
            raise EtcdError(*_COMPACTED)
        self.compacted = revision
        self.changes += 1
        del self._events[: self._first_event(revision)]
        for key in list(self._keys):
            versions = self._versions[key]
            kept = versions[max(0, _count_until(versions, revision) - 1) :]
            if kept and kept[0].version == 0 and kept[0].mod_revision <= revision:
                del kept[0]
            self._versions[key] = kept
            if not kept:
                self._keys.remove(key)
                del self._versions[key]

    # Lease.

    def grant(self, request: pb.LeaseGrantRequest) -> pb.LeaseGrantResponse:
        if request.TTL > LEASE_TTL_SECONDS_MAX:
            raise EtcdError(*_TTL_TOO_LARGE)
        if request.ID in self.leases:
            raise EtcdError(*_LEASE_EXISTS)
        number = request.ID
        if not number:
            number, self._next_lease = self._next_lease, self._next_lease + 1
        ttl = max(request.TTL, LEASE_TTL_SECONDS_MIN)
        self.leases[number] = Lease(ttl, self._now() + ttl)
        return pb.LeaseGrantResponse(header=self._header(), ID=number, TTL=ttl)

    def revoke(self, request: pb.LeaseRevokeRequest) -> pb.LeaseRevokeResponse:
        lease = self.leases.pop(request.ID, None)
        if lease is None:
            raise EtcdError(*_NO_LEASE)
        for key in sorted(lease.keys):
            self._delete(key, self.revision + 1)
        if lease.keys:
            self.revision += 1
            self.changes += 1
        return pb.LeaseRevokeResponse(header=self._header())

    def keep_alive(self, request: pb.LeaseKeepAliveRequest) -> pb.LeaseKeepAliveResponse:
        lease = self.leases.get(request.ID)
        if lease is not None:
            lease.expires_at = self._now() + lease.ttl_seconds
        ttl = lease.ttl_seconds if lease is not None else 0
        return pb.LeaseKeepAliveResponse(header=self._header(), ID=request.ID, TTL=ttl)

    def expire(self) -> list[int]:
        """Revokes what has lapsed. A real one looks twice a second."""
        due = [number for number, lease in self.leases.items() if lease.expires_at <= self._now()]
        for number in due:
            self.revoke(pb.LeaseRevokeRequest(ID=number))
        return due

    def extend_all(self) -> None:
        """A member that begins to lead gives each lease its full time again."""
        for lease in self.leases.values():
            lease.expires_at = self._now() + lease.ttl_seconds

    # Watch and Maintenance.

    def watch(self, request: pb.WatchCreateRequest) -> Watcher:
        start = request.start_revision or self.revision + 1
        return Watcher(request.key, request.range_end, start, request.prev_kv)

    def take(self, watcher: Watcher) -> list[pb.Event] | None:
        """The events that the watcher has not had. None if some of them are compacted: the watch is over."""
        if watcher.next_revision < self.compacted:
            return None
        events = self._events[self._first_event(watcher.next_revision) :]
        watcher.next_revision = max(watcher.next_revision, self.revision + 1)
        wanted = (event for event in events if watcher.wants(event.kv.key))
        return [self._with_previous(event) if watcher.previous else event for event in wanted]

    def status(self, _request: pb.StatusRequest) -> pb.StatusResponse:
        return pb.StatusResponse(header=self._header(), version="0.0.0", dbSize=0)

    # Within.

    def _with_previous(self, event: pb.Event) -> pb.Event:
        """Where that is not compacted. Of a key that is new there is none, though the same transaction deleted it."""
        if event.type == pb.Event.PUT and event.kv.version == 1:
            return event
        revision = event.kv.mod_revision - 1
        before = self._newest(event.kv.key, revision) if revision >= self.compacted else None
        return pb.Event(type=event.type, kv=event.kv, prev_kv=before)

    def _header(self) -> pb.ResponseHeader:
        return pb.ResponseHeader(revision=self.revision)

    def _first_event(self, revision: int) -> int:
        return bisect_left(self._events, revision, key=lambda event: event.kv.mod_revision)

    def _newest(self, key: bytes, revision: int = 0) -> pb.KeyValue | None:
        """None if it is not there (at that revision)."""
        versions = self._versions.get(key, [])
        at = _count_until(versions, revision) if revision else len(versions)
        return versions[at - 1] if at and versions[at - 1].version else None

    def _live(self, first: bytes, end: bytes, revision: int = 0) -> Iterator[pb.KeyValue]:
        start = bisect_left(self._keys, first)
        for key in self._keys[start:]:
            if not _within(key, first, end):
                return
            if (found := self._newest(key, revision)) is not None:
                yield found

    def _range(self, request: pb.RangeRequest) -> pb.RangeResponse:
        found = list(self._live(request.key, request.range_end, request.revision))
        more = 0 < request.limit < len(found)
        return pb.RangeResponse(kvs=found[: request.limit] if more else found, more=more, count=len(found))

    def _check_revision(self, revision: int) -> None:
        if revision > self.revision:
            raise EtcdError(*_FUTURE)
        if 0 < revision < self.compacted:
            raise EtcdError(*_COMPACTED)

    def _choose(self, request: pb.TxnRequest) -> _Branch:
        holds = all(self._holds(compare) for compare in request.compare)
        steps: list[_Step] = []
        for operation in request.success if holds else request.failure:
            kind = operation.WhichOneof("request")
            steps.append(self._choose(operation.request_txn) if kind == "request_txn" else operation)
        return _Branch(holds, steps)

    def _holds(self, compare: pb.Compare) -> bool:
        found = self._newest(compare.key)
        target = compare.target
        if target == pb.Compare.VALUE:
            return found is not None and _compares(found.value, compare.value, compare.result)
        found = found if found is not None else pb.KeyValue()
        given, is_there = {
            pb.Compare.VERSION: (compare.version, found.version),
            pb.Compare.CREATE: (compare.create_revision, found.create_revision),
            pb.Compare.MOD: (compare.mod_revision, found.mod_revision),
            pb.Compare.LEASE: (compare.lease, found.lease),
        }[target]
        return _compares(is_there, given, compare.result)

    def _check_doable(self, branch: _Branch) -> None:
        simple = list(branch.simple())
        for step in simple:
            if step.HasField("request_put") and step.request_put.lease not in (0, *self.leases):
                raise EtcdError(*_NO_LEASE)
        for step in simple:
            if step.HasField("request_range"):
                self._check_revision(step.request_range.revision)

    def _do(self, branch: "_Branch", revision: int) -> pb.TxnResponse:
        answer = pb.TxnResponse(succeeded=branch.holds)
        for step in branch.steps:
            response = answer.responses.add()
            if isinstance(step, _Branch):
                response.response_txn.CopyFrom(self._do(step, revision))
            elif step.HasField("request_range"):
                response.response_range.CopyFrom(self._range(step.request_range))
            elif step.HasField("request_put"):
                self._put(step.request_put, revision)
                response.response_put.SetInParent()
            else:
                gone = step.request_delete_range
                found = [kv.key for kv in self._live(gone.key, gone.range_end)]
                for key in found:
                    self._delete(key, revision)
                response.response_delete_range.deleted = len(found)
        return answer

    def _put(self, put: pb.PutRequest, revision: int) -> None:
        before = self._newest(put.key)
        made = pb.KeyValue(
            key=put.key,
            value=put.value,
            lease=put.lease,
            mod_revision=revision,
            create_revision=before.create_revision if before else revision,
            version=before.version + 1 if before else 1,
        )
        self._let_go(before)
        if put.lease:
            self.leases[put.lease].keys.add(put.key)
        self._add(made, pb.Event.PUT)

    def _delete(self, key: bytes, revision: int) -> None:
        self._let_go(self._newest(key))
        self._add(pb.KeyValue(key=key, mod_revision=revision), pb.Event.DELETE)

    def _let_go(self, kv: pb.KeyValue | None) -> None:
        lease = self.leases.get(kv.lease) if kv is not None else None
        if lease is not None and kv is not None:
            lease.keys.discard(kv.key)

    def _add(self, version: pb.KeyValue, kind: "pb.Event.EventType.ValueType") -> None:
        if version.key not in self._versions:
            insort(self._keys, version.key)
            self._versions[version.key] = []
        self._versions[version.key].append(version)
        self._events.append(pb.Event(type=kind, kv=version))


def _within(key: bytes, first: bytes, end: bytes) -> bool:
    if not end:
        return key == first
    return first <= key and (end == b"\0" or key < end)


def _count_until(versions: Sequence[pb.KeyValue], revision: int) -> int:
    return bisect_right(versions, revision, key=lambda version: version.mod_revision)


def _compares(found: int | bytes, given: int | bytes, how: "pb.Compare.CompareResult.ValueType") -> bool:
    order = (found > given) - (found < given)  # type: ignore[operator]
    return {
        pb.Compare.EQUAL: order == 0,
        pb.Compare.GREATER: order > 0,
        pb.Compare.LESS: order < 0,
        pb.Compare.NOT_EQUAL: order != 0,
    }[how]


def _check_key(key: bytes) -> None:
    if not key:
        raise EtcdError(*_EMPTY_KEY)


def _check_txn(request: pb.TxnRequest, operations_max: int) -> None:
    """Those of a nested transaction count for themselves, but the more its parent has, the fewer it may have."""
    count = max(len(request.compare), len(request.success), len(request.failure))
    if count > operations_max:
        raise EtcdError(*_TOO_MANY)
    for compare in request.compare:
        _check_key(compare.key)
    for operation in (*request.success, *request.failure):
        kind = operation.WhichOneof("request")
        if kind == "request_txn":
            _check_txn(operation.request_txn, operations_max - count)
        elif kind is not None:
            _check_key(getattr(operation, kind).key)


def _check_twice(operations: Iterable[pb.RequestOp]) -> tuple[set[bytes], list[tuple[bytes, bytes]]]:
    """A key may be put once in a transaction, and not be deleted too; branches of which one is taken do not count
    against each other. What is put and what is deleted."""
    given = list(operations)
    deletes = [
        (op.request_delete_range.key, op.request_delete_range.range_end)
        for op in given
        if op.HasField("request_delete_range")
    ]
    puts: set[bytes] = set()

    def put(key: bytes, exempt: set[bytes]) -> None:
        twice = key in puts and key not in exempt
        # An end of "\0" stands for no end everywhere else, but a real one does not take it so here.
        deleted = any(first <= key < end if end else key == first for first, end in deletes)
        if twice or deleted:
            raise EtcdError(*_TWICE)

    for nested in (op.request_txn for op in given if op.HasField("request_txn")):
        (then, gone_then), (other, gone_other) = _check_twice(nested.success), _check_twice(nested.failure)
        for key in then:
            put(key, set())
        puts |= then
        for key in other:
            put(key, then)
        puts |= other
        deletes += gone_then + gone_other
    for op in given:
        if op.HasField("request_put"):
            put(op.request_put.key, set())
            puts.add(op.request_put.key)
    return puts, deletes
