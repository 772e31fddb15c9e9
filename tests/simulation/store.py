"""How a scheduler reaches etcd: a channel for the production store, over a network and an etcd that may misbehave.

Stands for grpc.aio.Channel under shoal_scheduler.state.etcd.EtcdStore, whose own code runs as it is.
"""

from collections.abc import Callable
from random import Random
from typing import Any

import grpc
from shoal_scheduler.state import etcd_v3_pb2 as pb
from shoal_scheduler.state import keys

from tests.simulation.clock import Clock
from tests.simulation.etcd import Etcd, EtcdError
from tests.simulation.lives import Future, life
from tests.simulation.network import Network

HOST = "etcd"
TIMEOUT_SECONDS = 5.0
_UNAVAILABLE = grpc.StatusCode.UNAVAILABLE, "failed to connect to all addresses"
_NO_SPACE = grpc.StatusCode.RESOURCE_EXHAUSTED, "etcdserver: mvcc: database space exceeded"
_TIMED_OUT = grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded"

OnWrite = Callable[[int, pb.TxnRequest], None]


class Members:
    """The etcd that all schedulers share, and what is wrong with it.

    `unknown`: chance that a transaction's outcome is not told: it was not applied, it was, or it will be later.
    """

    def __init__(self, clock: Clock, network: Network, rng: Random) -> None:
        self.clock = clock
        self.network = network
        self.rng = rng
        self.model = Etcd(lambda: clock.now)
        self.available = True
        self.full = False
        self.unknown = 0.0
        self.slow = 0.0  # answers come up to so many seconds late
        self.on_write: OnWrite = lambda _epoch, _request: None
        self._look_at_leases()

    def _look_at_leases(self) -> None:
        """Without a quorum no lease lapses."""
        if self.available:
            self.model.expire()
        self.clock.after(0.5, self._look_at_leases)

    def leader(self) -> tuple[int, str]:
        """The epoch and the name in the leader's key; (0, "") if nobody has it."""
        found = self.model.range(pb.RangeRequest(key=keys.LEADER)).kvs
        return (found[0].create_revision, found[0].value.decode()) if found else (0, "")

    def known_leader(self, asked: str) -> str:
        """By the word of a scheduler that does not lead; "" if it knows of none, or it would be itself."""
        name = self.leader()[1] if self.available else ""
        return name if name != asked else ""

    def last_step(self) -> int:
        """Its revision; 0 if there was none."""
        found = self.model.range(pb.RangeRequest(key=keys.STEP)).kvs
        return found[0].mod_revision if found else 0

    def apply(self, epoch: int, method: str, request: Any) -> Any:
        """Raises EtcdError."""
        if not self.available:
            raise EtcdError(*_UNAVAILABLE)
        if self.full and method in ("Txn", "LeaseGrant") and _writes(method, request):
            raise EtcdError(*_NO_SPACE)
        answer = _METHODS[method](self.model, request)
        if method == "Txn" and epoch and answer.succeeded:
            self.on_write(epoch, request)
        return answer


def _writes(method: str, request: Any) -> bool:
    return method == "LeaseGrant" or any(op.WhichOneof("request") != "request_range" for op in request.success)


_METHODS: dict[str, Callable[[Etcd, Any], Any]] = {
    "Txn": Etcd.txn,
    "Range": Etcd.range,
    "LeaseGrant": Etcd.grant,
    "LeaseRevoke": Etcd.revoke,
    "LeaseKeepAlive": Etcd.keep_alive,
    "Status": Etcd.status,
}


class EtcdChannel:
    """`epoch` is what its writes are meant for; the checkers hold it against the leader's key. `crash` may end the
    process right before or after a write is applied."""

    def __init__(self, members: Members, host: str, epoch: int = 0, crash: Callable[[], None] = lambda: None) -> None:
        self._members = members
        self._host = host
        self._epoch = epoch
        self._crash = crash

    def unary_unary(self, path: str, *_: Any, **__: Any) -> Callable[..., Any]:
        method = path.rpartition("/")[2]

        def call(request: Any, timeout: float = TIMEOUT_SECONDS) -> Any:
            return self._call(method, request, timeout)

        return call

    stream_stream = unary_unary

    async def _call(self, method: str, request: Any, timeout: float) -> Any:
        members, answer = self._members, Future(life())
        clock, network = members.clock, members.network
        alarm = clock.after(timeout, answer.set_exception, _error(*_TIMED_OUT))
        fate = "told"
        if method == "Txn" and self._epoch:
            self._crash()
            if members.unknown and members.rng.random() < members.unknown:
                fate = members.rng.choice(("lost", "untold", "late"))
        if fate == "late":
            clock.after(timeout + members.rng.uniform(0.0, 1.0), self._arrive, method, request, None)
        elif fate != "lost":
            reply = answer if fate == "told" else None
            clock.after(network.delay(), self._arrive, method, request, reply)
        try:
            return await answer
        finally:
            alarm.cancel()

    def _arrive(self, method: str, request: Any, reply: Future | None) -> None:
        members = self._members
        if not members.network.reaches(self._host, HOST):
            return
        error: BaseException | None = None
        answer = None
        try:
            answer = members.apply(self._epoch, method, request)
        except EtcdError as refusal:
            error = _error(refusal.code, refusal.details)
        if method == "Txn" and self._epoch:
            self._crash()
        if reply is not None:
            late = members.slow and members.slow * members.rng.random()
            members.clock.after(members.network.delay() + late, self._answer, reply, answer, error)

    def _answer(self, reply: Future, answer: Any, error: BaseException | None) -> None:
        if not self._members.network.reaches(HOST, self._host):
            return
        if error is not None:
            reply.set_exception(error)
        else:
            reply.set_result(answer)


def _error(code: grpc.StatusCode, details: str) -> BaseException:
    nothing = grpc.aio.Metadata()
    return grpc.aio.AioRpcError(code, nothing, nothing, details=details)
