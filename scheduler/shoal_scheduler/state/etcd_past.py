"""What leaders stored before now, out of the revisions that etcd still keeps."""

import itertools
from collections.abc import AsyncGenerator, Iterator, Sequence

import grpc

from shoal_scheduler.state import etcd_v3_pb2 as pb
from shoal_scheduler.state import etcd_v3_pb2_grpc as pb_grpc
from shoal_scheduler.state import keys
from shoal_scheduler.state.store import PastPut, PastStep, Stored, prefix_range, step_time


async def past_steps(channel: grpc.aio.Channel, after: int, until: int, base: int = 0) -> AsyncGenerator[PastStep]:
    """Those after one revision, or as many as are kept of them, up to another, which is one of a step.

    base: what is added to etcd's revisions (see `etcd.revision_base`). Raises grpc.aio.AioRpcError.
    """
    after, until = max(0, after - base), until - base
    while after < until:
        call = pb_grpc.WatchStub(channel).Watch()
        try:
            await call.write(pb.WatchRequest(create_request=_request(after)))
            events: list[pb.Event] = []
            async for answer in call:
                if answer.compact_revision > after:
                    after = answer.compact_revision
                    break
                events.extend(answer.events)
                if answer.fragment:
                    continue
                for step in _steps(events, base):
                    if step.revision - base > until:
                        return
                    yield step
                    after = step.revision - base
                events.clear()
                if answer.canceled or after >= until:
                    return
        finally:
            call.cancel()


def _request(after: int) -> pb.WatchCreateRequest:
    first, end = prefix_range(keys.ROOT.encode())
    return pb.WatchCreateRequest(key=first, range_end=end, start_revision=after + 1, prev_kv=True, fragment=True)


def _steps(events: Sequence[pb.Event], base: int) -> Iterator[PastStep]:
    for revision, group in itertools.groupby(events, key=lambda event: event.kv.mod_revision):
        puts, time = [], 0
        for event in group:
            if event.kv.key == keys.STEP:
                time = step_time(event.kv.value.decode())
            elif event.kv.key != keys.LEADER and event.type == pb.Event.PUT:
                puts.append(_put(event, base))
        yield PastStep(revision + base, time, puts)


def _put(event: pb.Event, base: int) -> PastPut:
    before = _stored(event.prev_kv, base) if event.HasField("prev_kv") else None
    return PastPut(_stored(event.kv, base), before, event.kv.create_revision == event.kv.mod_revision)


def _stored(kv: pb.KeyValue, base: int) -> Stored:
    return Stored(kv.key, kv.value, kv.mod_revision + base)
