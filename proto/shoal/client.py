"""The public client: finds the leader, carries the certificate, retries what is safe to retry.

    async with Client.connect() as client:                      # the current context
        answer = await client.cluster.ListTasks(task_pb2.ListTasksRequest())

`client.cluster`, `client.services`, `client.autoscaling`, `client.rebalancing`, `client.batch`, `client.traffic`,
`client.metrics` and `client.alarms` have every method of the generated stubs. A unary call goes to the leader, is
retried with jittered back-off until its deadline while that is safe, and raises the errors of `shoal.errors`. A call
that changes something gets a client token if its message has room for one, so that sending it twice does it once."""

import asyncio
import contextlib
import math
import random
import time
import uuid
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio

from shoal import errors
from shoal.context import Context, load
from shoal.rpc import LEADER_KEY, Credentials, open_channel, trailer, until_tried
from shoal.stubs import STREAMING, Methods, is_method
from shoal.v1 import event_pb2, scheduler_pb2_grpc
from shoal.v1.scheduler_pb2 import (
    DescribeSchedulerRequest,
    DescribeSchedulerResponse,
    HandOverRequest,
    HandOverResponse,
)

if TYPE_CHECKING:
    from shoal.v1.alarms_pb2_grpc import AlarmsAsyncStub
    from shoal.v1.autoscaling_pb2_grpc import AutoscalingAsyncStub
    from shoal.v1.batch_pb2_grpc import BatchAsyncStub
    from shoal.v1.cluster_pb2_grpc import ClusterAsyncStub
    from shoal.v1.metrics_pb2_grpc import MetricsAsyncStub
    from shoal.v1.rebalance_pb2_grpc import RebalancingAsyncStub
    from shoal.v1.services_pb2_grpc import ServicesAsyncStub
    from shoal.v1.traffic_pb2_grpc import IngressAsyncStub, TrafficAsyncStub

CALL_TIMEOUT_SECONDS = 30.0
# A scheduler that is started again listens long before this, leader or not: a call need not use up its deadline.
NOBODY_TIMEOUT_SECONDS = 10.0
# A watch that nobody serves for so long is given up; a leader that died is replaced long before.
WATCH_PATIENCE_SECONDS = 120.0
# Of several schedulers, one that cannot be connected to by then is passed over; and one that does not answer by then is
# asked again, in case that another leads meanwhile.
CONNECT_SECONDS = 1.5
ANSWER_SECONDS = 6.0
_BACKOFF_FIRST_SECONDS = 0.05
_BACKOFF_MAX_SECONDS = 0.8
# Doing these twice is not the same as doing them once, and they carry no client token.
_NOT_IDEMPOTENT = frozenset({"RegisterTaskDefinition", "RegisterJobDefinition", "PutMetricData"})
# Of an event: its revision, and the object that changed.
_EventKey = tuple[int, str]


class Client:
    """A connection to one cluster's control plane. Share it freely within one event loop."""

    cluster: "ClusterAsyncStub"
    metrics: "MetricsAsyncStub"
    alarms: "AlarmsAsyncStub"
    autoscaling: "AutoscalingAsyncStub"
    batch: "BatchAsyncStub"
    services: "ServicesAsyncStub"
    rebalancing: "RebalancingAsyncStub"
    traffic: "TrafficAsyncStub"
    ingress: "IngressAsyncStub"

    def __init__(self, context: Context, timeout_seconds: float = CALL_TIMEOUT_SECONDS) -> None:
        """timeout_seconds: the deadline of a unary call that names none with `timeout=`, retries included.

        Raises NoContext if the context's certificate files cannot be read.
        """
        self.context = context
        self._leader = _Leader(context.endpoints, _credentials(context))
        # No two services have methods of the same name: what is called says whose it is.
        calls: Any = _Stub(self._leader, timeout_seconds)
        self.cluster = self.services = self.autoscaling = self.batch = self.metrics = self.alarms = calls
        self.traffic = self.ingress = self.rebalancing = calls

    @classmethod
    def connect(
        cls, context: Context | str | None = None, *, timeout_seconds: float = CALL_TIMEOUT_SECONDS
    ) -> "Client":
        """For a context, its name, or the current one. Connects when first used. Raises NoContext."""
        chosen = context if isinstance(context, Context) else load().choose(context)
        return cls(chosen, timeout_seconds)

    async def __aenter__(self) -> "Client":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self._leader.close()

    async def describe_scheduler(self, endpoint: str, timeout_seconds: float) -> DescribeSchedulerResponse:
        """What the scheduler there says of itself, whether it leads or not. Raises the errors of `shoal.errors`."""
        stub = scheduler_pb2_grpc.SchedulersStub(self._leader.channel(endpoint))
        try:
            return await stub.DescribeScheduler(DescribeSchedulerRequest(), timeout=timeout_seconds)
        except grpc.aio.AioRpcError as error:
            raise errors.from_rpc(error) from None

    async def hand_over(self, endpoint: str, timeout_seconds: float) -> HandOverResponse:
        """Has the leader there step down. Raises Conflict if it does not lead."""
        stub = scheduler_pb2_grpc.SchedulersStub(self._leader.channel(endpoint))
        try:
            return await stub.HandOver(HandOverRequest(), timeout=timeout_seconds)
        except grpc.aio.AioRpcError as error:
            raise errors.from_rpc(error) from None

    async def watch(
        self, cluster: str, tasks: Sequence[str] = (), after_revision: int | None = None
    ) -> AsyncGenerator[event_pb2.WatchResponse, None]:
        """The events from now on (or after a store revision), over changes of leader, without a gap, each of them once.

        The first answer tells where the stream starts. Raises HistoryLost if it fell behind what is kept, and
        Unreachable after two minutes without a leader.
        """
        delays, heard = _delays(), time.monotonic()
        told = Counter[_EventKey]()  # since the last revision that came: from there a new stream begins
        while True:
            again = told.copy()
            request = event_pb2.WatchRequest(cluster=cluster, tasks=tasks, after_revision=after_revision)
            try:
                async with contextlib.aclosing(_stream(self._leader, "Watch", request)) as answers:
                    async for answer in answers:
                        answer = _untold(answer, again)
                        told.update(map(_key_of, answer.events))
                        if answer.HasField("revision"):
                            after_revision = answer.revision
                            told.clear()
                        if answer.events:
                            delays = _delays()
                        yield answer
                        heard = time.monotonic()
            except errors.Unreachable:
                if time.monotonic() - heard > WATCH_PATIENCE_SECONDS:
                    raise
            await asyncio.sleep(next(delays))


def _key_of(event: event_pb2.Event) -> _EventKey:
    detail = getattr(event, event.WhichOneof("detail") or "", None)
    names = (getattr(detail, name, "") for name in ("task_arn", "container_instance_arn", "alarm_arn", "job_arn", "id"))
    return event.revision, next(filter(None, names), "")


def _untold(answer: event_pb2.WatchResponse, again: Counter[_EventKey]) -> event_pb2.WatchResponse:
    """Without the events that are told `again`, which are taken off that."""
    new = []
    for event in answer.events:
        if again[_key_of(event)] > 0:
            again[_key_of(event)] -= 1
        else:
            new.append(event)
    revision = answer.revision if answer.HasField("revision") else None
    return answer if len(new) == len(answer.events) else event_pb2.WatchResponse(events=new, revision=revision)


class _Leader:
    """Which scheduler is asked: the one that another said leads, else the last one that answered; the next of the
    list after a failure."""

    def __init__(self, endpoints: Sequence[str], credentials: Credentials) -> None:
        self._endpoints = tuple(endpoints)
        self._credentials = credentials
        self._open: dict[str, tuple[grpc.aio.Channel, Methods]] = {}
        self._at = 0
        self._told = ""

    @property
    def endpoint(self) -> str:
        return self._told or self._endpoints[self._at]

    @property
    def endpoints(self) -> tuple[str, ...]:
        return self._endpoints

    def channel(self, endpoint: str) -> grpc.aio.Channel:
        if endpoint not in self._open:
            channel = open_channel(endpoint, self._credentials)
            self._open[endpoint] = channel, Methods(channel)
        return self._open[endpoint][0]

    @property
    def answer_seconds(self) -> float:
        return ANSWER_SECONDS if len(self._endpoints) > 1 else math.inf

    async def stub(self) -> Methods:
        """Where there are others to ask, a host that is silent is not waited for long. Raises TimeoutError."""
        endpoint = self.endpoint
        channel = self.channel(endpoint)
        if len(self._endpoints) > 1 and channel.get_state(try_to_connect=True) is not grpc.ChannelConnectivity.READY:
            async with asyncio.timeout(CONNECT_SECONDS):
                await until_tried(channel)
        return self._open[endpoint][1]

    def failed(self, endpoint: str, told: str = "") -> None:
        """Moves on to where that scheduler said the leader is, or else to the next; unless another call has already."""
        if endpoint != self.endpoint:
            return
        self._told = told if told != endpoint else ""
        if self._told:
            return
        self._at = (self._at + 1) % len(self._endpoints)
        if self.endpoint == endpoint:
            self._at = (self._at + 1) % len(self._endpoints)

    def unreachable(self, cause: grpc.aio.AioRpcError | None) -> errors.Unreachable:
        asked = ", ".join(self._endpoints)
        why = (cause.details() or "") if cause is not None else ""
        if cause is not None and errors.packed_status(cause) is not None:
            return errors.Unreachable(f"{why} (asked: {asked})", "Try again soon.", code="UNAVAILABLE")
        return errors.Unreachable(
            f"No scheduler answered at {asked}{': ' if why else ''}{why}",
            "Is it up? `shoal up` starts a cluster on this machine, `shoal doctor` says what is wrong.",
            code="UNAVAILABLE",
        )

    async def close(self) -> None:
        for channel, _ in self._open.values():
            await channel.close()
        self._open.clear()


class _Stub:
    """The generated stubs' methods, each made to find the leader."""

    def __init__(self, leader: _Leader, timeout_seconds: float) -> None:
        self._leader = leader
        self._timeout_seconds = timeout_seconds

    def __getattr__(self, method: str) -> Any:
        if method.startswith("_") or not is_method(method):
            raise AttributeError(method)
        if method in STREAMING:
            return partial(_stream, self._leader, method)
        return partial(_unary, self._leader, method, self._timeout_seconds)


async def _unary(
    leader: _Leader, method: str, default_seconds: float, request: Any, timeout: float | None = None
) -> Any:
    seconds = default_seconds if timeout is None else timeout
    deadline = time.monotonic() + seconds
    request = with_client_token(request)
    delays, last, nobody_since = _delays(), None, None
    while (left := deadline - time.monotonic()) > 0:
        endpoint, told = leader.endpoint, ""
        attempt = left if method in _NOT_IDEMPOTENT else min(left, leader.answer_seconds)
        try:
            stub = await leader.stub()
            return await getattr(stub, method)(request, timeout=attempt)
        except TimeoutError:
            last = None
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                leader.failed(endpoint)  # it may be that it stands still, and that another leads
                if attempt < left:
                    continue
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise _typed(error, method, seconds, last, leader) from None
            if method in _NOT_IDEMPOTENT and not _surely_not_done(error):
                raise _outcome_unknown(method, error) from None
            last, told = error, trailer(error, LEADER_KEY)
        nobody_since = (nobody_since or time.monotonic()) if last is None or _nobody_there(last) else None
        if nobody_since is not None and time.monotonic() - nobody_since > NOBODY_TIMEOUT_SECONDS:
            break
        leader.failed(endpoint, told)
        await asyncio.sleep(min(next(delays), max(0.0, deadline - time.monotonic())))
    raise leader.unreachable(last)


async def _stream(
    leader: _Leader, method: str, request: Any, timeout: float | None = None
) -> AsyncGenerator[Any, None]:
    """One attempt: who can resume knows where to. Raises Unreachable if it breaks."""
    endpoint = leader.endpoint
    try:
        stub = await leader.stub()
    except TimeoutError:
        leader.failed(endpoint)
        raise leader.unreachable(None) from None
    call = getattr(stub, method)(request, timeout=timeout)
    try:
        async for answer in call:
            yield answer
    except grpc.aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.UNAVAILABLE:
            leader.failed(endpoint, trailer(error, LEADER_KEY))
            raise leader.unreachable(error) from None
        raise errors.from_rpc(error) from None
    finally:
        call.cancel()


def with_client_token(request: Any) -> Any:
    """The request itself, or a copy with a fresh client token if it has room for one and none is set."""
    if "client_token" not in request.DESCRIPTOR.fields_by_name or request.HasField("client_token"):
        return request
    copy = type(request)()
    copy.CopyFrom(request)
    copy.client_token = uuid.uuid4().hex
    return copy


def _surely_not_done(error: grpc.aio.AioRpcError) -> bool:
    """True if a server said so itself, or none was reached."""
    answered = errors.packed_status(error) is not None and errors.from_rpc(error).reason != errors.OUTCOME_UNKNOWN
    return answered or _nobody_there(error)


def _nobody_there(error: grpc.aio.AioRpcError) -> bool:
    return "failed to connect" in (error.details() or "")


def _outcome_unknown(method: str, error: grpc.aio.AioRpcError) -> errors.Unreachable:
    return errors.Unreachable(
        f"The connection broke during {method}: {error.details()}",
        "It may or may not have happened: look before you repeat it.",
        code="UNAVAILABLE",
    )


def _typed(
    error: grpc.aio.AioRpcError,
    method: str,
    timeout: float,
    last: grpc.aio.AioRpcError | None,
    leader: _Leader,
) -> errors.ShoalError:
    typed = errors.from_rpc(error)
    if not isinstance(typed, errors.TimedOut):
        return typed
    if last is not None:  # what used up the time was looking for a leader
        return leader.unreachable(last)
    return errors.TimedOut(
        f"No answer to {method} within {timeout:g} s.",
        "It may still happen: look before you repeat it.",
        code=typed.code,
    )


def _delays() -> Any:
    """Back-off with full jitter, so that many clients of one lost leader do not come back together."""
    limit = _BACKOFF_FIRST_SECONDS
    while True:
        yield random.uniform(limit / 5, limit)
        limit = min(_BACKOFF_MAX_SECONDS, limit * 2)


def _credentials(context: Context) -> Credentials:
    try:
        return Credentials.load(context.authority, context.certificate, context.key)
    except OSError as error:
        raise errors.NoContext(
            f"The certificate of context {context.name!r} cannot be read: {error.strerror}: {error.filename}",
            "Run `shoal up` again, or point the context at your certificate.",
        ) from None
