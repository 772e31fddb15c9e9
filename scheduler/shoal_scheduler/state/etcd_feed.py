"""The feed of what leaders store, out of etcd: everything once, then every transaction after it."""

import itertools
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import contextmanager

import grpc

from shoal_scheduler.state import etcd_v3_pb2 as pb
from shoal_scheduler.state import etcd_v3_pb2_grpc as pb_grpc
from shoal_scheduler.state import keys
from shoal_scheduler.state.etcd import pages
from shoal_scheduler.state.store import Away, Compacted, Gap, Snapshot, StepMark, Stored, Transaction, prefix_range


class EtcdFeed:
    """Feed. base: what is added to etcd's revisions (see `etcd.revision_base`); not to those of steps."""

    def __init__(self, channel: grpc.aio.Channel, base: int = 0) -> None:
        self._base = base
        self._kv = pb_grpc.KVStub(channel)
        self._watches = pb_grpc.WatchStub(channel)

    async def load(self) -> Snapshot:
        revision, step, records = 0, StepMark(), []
        with _told():
            async for page in pages(self._kv):
                revision = revision or page.header.revision
                for kv in page.kvs:
                    if kv.key == keys.STEP:
                        step = StepMark(kv.mod_revision, kv.version)
                    elif kv.key != keys.LEADER:
                        records.append(_stored(kv, self._base))
        return Snapshot(revision + self._base, step, records)

    async def records_at(self, revision: int) -> AsyncGenerator[Stored]:
        with _told():
            async for page in pages(self._kv, revision - self._base):
                for kv in page.kvs:
                    if kv.key not in (keys.STEP, keys.LEADER):
                        yield _stored(kv, self._base)

    async def watch(self, after: int) -> AsyncGenerator[Transaction]:
        first, end = prefix_range(keys.ROOT.encode())
        after -= self._base
        create = pb.WatchCreateRequest(key=first, range_end=end, start_revision=after + 1, fragment=True)
        call = self._watches.Watch()
        try:
            with _told():
                await call.write(pb.WatchRequest(create_request=create))
                events: list[pb.Event] = []
                async for answer in call:
                    _look_for_end(answer, after)
                    events.extend(answer.events)
                    if answer.fragment:
                        continue
                    for transaction in _transactions(events, after):
                        after = transaction.revision
                        yield self._counted(transaction)
                    events.clear()
            raise Away("the store ended the watch")
        finally:
            call.cancel()

    def _counted(self, transaction: Transaction) -> Transaction:
        """By our revisions."""
        puts = [put._replace(mod_revision=put.mod_revision + self._base) for put in transaction.puts]
        return transaction._replace(revision=transaction.revision + self._base, puts=puts)


def _look_for_end(answer: pb.WatchResponse, after: int) -> None:
    if answer.compact_revision:
        raise Compacted(f"what came after revision {after} is compacted, up to {answer.compact_revision}")
    if answer.canceled:
        raise Gap(f"the store cancelled the watch: {answer.cancel_reason or 'it does not say why'}")


def _transactions(events: Sequence[pb.Event], after: int) -> Iterator[Transaction]:
    """An answer holds whole revisions, in their order. What a new watch tells again is left out."""
    new = [event for event in events if event.kv.mod_revision > after]
    for revision, group in itertools.groupby(new, key=lambda event: event.kv.mod_revision):
        puts, deletes, step = [], [], None
        for event in group:
            if event.kv.key == keys.STEP and event.type == pb.Event.PUT:
                step = StepMark(revision, event.kv.version)
            elif event.kv.key == keys.LEADER:
                continue
            elif event.type == pb.Event.PUT:
                puts.append(_stored(event.kv, 0))
            else:
                deletes.append(event.kv.key)
        yield Transaction(revision, puts, deletes, step)


def _stored(kv: pb.KeyValue, base: int) -> Stored:
    return Stored(kv.key, kv.value, kv.mod_revision + base)


@contextmanager
def _told() -> Iterator[None]:
    """etcd's errors as the feed's."""
    try:
        yield
    except grpc.aio.AioRpcError as error:
        details = error.details() or error.code().name
        raise (Compacted(details) if error.code() is grpc.StatusCode.OUT_OF_RANGE else Away(details)) from error
