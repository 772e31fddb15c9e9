"""The store in etcd, by a thin client of our own on grpc.aio.

The public clients do not fit an asyncio control plane: see the README for which were tried and why they fell.
"""

import asyncio
import itertools
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence

import grpc
from shoal.rpc import Credentials, channel_options

from shoal_scheduler.state import etcd_v3_pb2 as pb
from shoal_scheduler.state import etcd_v3_pb2_grpc as pb_grpc
from shoal_scheduler.state import keys
from shoal_scheduler.state.store import (
    Deposed,
    KeyRange,
    NotStored,
    OutcomeUnknown,
    Stored,
    StoreFull,
    Write,
    prefix_range,
)

SERVER_NAME = "etcd.shoal"
COMMIT_TIMEOUT_SECONDS = 5.0
# A member of etcd forgets what it has sent to a leader that dies, without a word: then the transaction is sent again.
RESEND_SECONDS = 1.0
RETRY_SECONDS = 0.1
READ_TIMEOUT_SECONDS = 10.0
LOOK_TIMEOUT_SECONDS = 2.0
PAGE_KEYS = 1000
NESTED_OPERATIONS_MAX = 100
_VOID = "void:"


def open_etcd_channel(endpoints: Sequence[str], credentials: Credentials) -> grpc.aio.Channel:
    """One channel over all members."""
    return grpc.aio.secure_channel(
        etcd_target(endpoints),
        grpc.ssl_channel_credentials(credentials.authority, credentials.key, credentials.certificate),
        options=etcd_channel_options(),
    )


def etcd_channel_options() -> list[tuple[str, object]]:
    return [
        *channel_options(SERVER_NAME),
        # Loads come in pages whose size in bytes is not known beforehand.
        ("grpc.max_receive_message_length", 64 * 1024 * 1024),
        # The members take turns: what one of them does not answer, the next try asks of another.
        ("grpc.lb_policy_name", "round_robin"),
    ]


def etcd_target(endpoints: Sequence[str]) -> str:
    return endpoints[0] if len(endpoints) == 1 else "ipv4:" + ",".join(endpoints)


async def pages(kv: "pb_grpc.KVAsyncStub", revision: int = 0) -> AsyncGenerator[pb.RangeResponse]:
    """Everything of ours at one revision, the newest by default, in the order of keys."""
    first, end = prefix_range(keys.ROOT.encode())
    more = True
    while more:
        page = await kv.Range(
            pb.RangeRequest(key=first, range_end=end, limit=PAGE_KEYS, revision=revision),
            timeout=READ_TIMEOUT_SECONDS,
        )
        yield page
        revision = revision or page.header.revision
        more = page.more
        first = page.kvs[-1].key + b"\0" if page.kvs else end


async def revision_base(channel: grpc.aio.Channel) -> int:
    """What is added to this etcd's revisions. A restored one counts from one again, but what we call a revision, an
    epoch or a fence never goes back: so a restore notes here what lies above all that was ever handed out."""
    found = await pb_grpc.KVStub(channel).Range(pb.RangeRequest(key=keys.BASE), timeout=LOOK_TIMEOUT_SECONDS)
    return int(found.kvs[0].value) if found.kvs else 0


class EtcdStore:
    """Opened by the leader whose key has `epoch` as its create_revision, less `base` (see `revision_base`).

    Who has read everything already, by a feed, says up to which revision, and at which one of etcd's own the last
    step was.
    """

    def __init__(
        self, channel: grpc.aio.Channel, epoch: int, revision: int = 0, step_revision: int = 0, base: int = 0
    ) -> None:
        self._kv = pb_grpc.KVStub(channel)
        self._base = base
        self._epoch = epoch
        self._step_revision = step_revision
        self.revision = revision

    async def load(self) -> AsyncIterator[Stored]:
        snapshot = 0
        async for page in pages(self._kv):
            snapshot = snapshot or page.header.revision
            for kv in page.kvs:
                if kv.key == keys.STEP:
                    self._step_revision = kv.mod_revision
                elif kv.key != keys.LEADER:
                    yield Stored(kv.key, kv.value, kv.mod_revision + self._base)
        self.revision = snapshot + self._base

    async def commit(self, write: Write) -> int:
        request = pb.TxnRequest(
            compare=self._guards(),
            success=[_put(keys.STEP, write.step.encode())],
            failure=[_get(keys.LEADER), _get(keys.STEP)],
        )
        request.success.extend(_nested([*itertools.starmap(_put, write.puts.items()), *map(_delete, write.deletes)]))
        try:
            answer = await self._insist(request)
        except StoreFull:
            return await self._stored_all_the_same(write)
        if not answer.succeeded:
            return self._stored_before(write, answer)
        return self._step_at(answer.header.revision)

    def _stored_before(self, write: Write, seen: pb.TxnResponse) -> int:
        """Of a transaction that was sent several times, all but the first that arrives find other guards."""
        leader, step = (list(r.response_range.kvs) for r in seen.responses)
        ours = leader and self._leads(leader[0])
        if not ours or not step or step[0].value != write.step.encode():
            raise Deposed("another leader has written since")
        return self._step_at(step[0].mod_revision)

    def _step_at(self, revision: int) -> int:
        """The last step is at that revision of etcd's own; ours."""
        self._step_revision = revision
        self.revision = revision + self._base
        return self.revision

    def _leads(self, leader: pb.KeyValue) -> bool:
        return leader.create_revision + self._base == self._epoch

    async def _stored_all_the_same(self, write: Write) -> int:
        """etcd carries out the transaction that takes it to its quota, and answers that there is no space.

        Only plain reads pass then. Nothing of this write is under way any more, so what is there stays.
        """
        try:
            request = pb.RangeRequest(key=keys.STEP)
            step = list((await self._kv.Range(request, timeout=COMMIT_TIMEOUT_SECONDS)).kvs)
        except grpc.aio.AioRpcError as error:
            raise OutcomeUnknown(error.details()) from error
        if step and step[0].value == write.step.encode():
            return self._step_at(step[0].mod_revision)
        if (step[0].mod_revision if step else 0) != self._step_revision:
            raise Deposed("another leader has written since")
        raise StoreFull("etcd has reached its quota")

    async def _insist(self, request: pb.TxnRequest) -> pb.TxnResponse:
        """The first answer to a transaction that is sent again while none comes. Its guards let it be stored once."""
        sent: set[asyncio.Task[pb.TxnResponse]] = set()
        unknown: NotStored | OutcomeUnknown | None = None
        give_up = asyncio.get_running_loop().time() + COMMIT_TIMEOUT_SECONDS
        try:
            while (left := give_up - asyncio.get_running_loop().time()) > 0:
                sent.add(asyncio.create_task(self._send(request, left)))
                done, sent = await asyncio.wait(
                    sent, timeout=min(RESEND_SECONDS, left), return_when=asyncio.FIRST_COMPLETED
                )
                for each in done:
                    try:
                        return each.result()
                    except grpc.aio.AioRpcError as error:
                        refused = _commit_error(error)
                    if isinstance(refused, NotStored) and not sent and unknown is None:
                        raise refused
                    unknown = unknown or refused
                if done:
                    await asyncio.sleep(RETRY_SECONDS)
        finally:
            for each in sent:
                each.cancel()
        raise OutcomeUnknown(str(unknown or "no answer in time"))

    async def _send(self, request: pb.TxnRequest, timeout_seconds: float) -> pb.TxnResponse:
        return await self._kv.Txn(request, timeout=timeout_seconds)

    async def settle(self, write: Write) -> int | None:
        """Read the step key back. If the write is not there, change the key, so that a transaction still under
        way can no longer find the guard it compares with."""
        try:
            seen = await self._kv.Txn(
                pb.TxnRequest(
                    compare=self._guards(),
                    success=[_put(keys.STEP, f"{_VOID}{write.step}".encode())],
                    failure=[_get(keys.LEADER), _get(keys.STEP)],
                ),
                timeout=COMMIT_TIMEOUT_SECONDS,
            )
        except grpc.aio.AioRpcError as error:
            raise OutcomeUnknown(error.details()) from error
        if seen.succeeded:
            self._step_at(seen.header.revision)
            return None
        return self._settled(write, seen)

    def _settled(self, write: Write, seen: pb.TxnResponse) -> int | None:
        leader, step = (list(r.response_range.kvs) for r in seen.responses)
        if not leader or not self._leads(leader[0]) or not step:
            raise Deposed("the leader's key is no longer ours")
        self._step_at(step[0].mod_revision)
        if step[0].value == write.step.encode():
            return self.revision
        if step[0].value == f"{_VOID}{write.step}".encode():
            return None
        raise Deposed("a step of another program is stored under our epoch")

    def _guards(self) -> list[pb.Compare]:
        return [
            pb.Compare(
                target=pb.Compare.CREATE,
                result=pb.Compare.EQUAL,
                key=keys.LEADER,
                create_revision=self._epoch - self._base,
            ),
            pb.Compare(
                target=pb.Compare.MOD,
                result=pb.Compare.EQUAL,
                key=keys.STEP,
                mod_revision=self._step_revision,
            ),
        ]


def _commit_error(error: grpc.aio.AioRpcError) -> NotStored | OutcomeUnknown:
    code, details = error.code(), error.details() or ""
    if code == grpc.StatusCode.RESOURCE_EXHAUSTED and "space" in details:
        return StoreFull(details)
    if code in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED):
        return NotStored(f"etcd refused the transaction: {details}")
    return OutcomeUnknown(f"{code.name}: {details}")


def _nested(operations: list[pb.RequestOp]) -> Iterator[pb.RequestOp]:
    """etcd bounds the operations of a transaction by 128, counting those of one that is nested in it for itself;
    all of them are one revision, or nothing."""
    for first in range(0, len(operations), NESTED_OPERATIONS_MAX):
        yield pb.RequestOp(request_txn=pb.TxnRequest(success=operations[first : first + NESTED_OPERATIONS_MAX]))


def _put(key: bytes, value: bytes) -> pb.RequestOp:
    return pb.RequestOp(request_put=pb.PutRequest(key=key, value=value))


def _get(key: bytes) -> pb.RequestOp:
    return pb.RequestOp(request_range=pb.RangeRequest(key=key))


def _delete(key: bytes | KeyRange) -> pb.RequestOp:
    if isinstance(key, KeyRange):
        return pb.RequestOp(request_delete_range=pb.DeleteRangeRequest(key=key.first, range_end=key.end))
    return pb.RequestOp(request_delete_range=pb.DeleteRangeRequest(key=key))


async def store_version(channel: grpc.aio.Channel) -> str:
    status = await pb_grpc.MaintenanceStub(channel).Status(pb.StatusRequest(), timeout=READ_TIMEOUT_SECONDS)
    return f"etcd {status.version}"
