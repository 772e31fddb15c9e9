"""One agent's stream: hello, inventory, then reports and heartbeats in; assignments out.

The stream lives as long as the agent speaks and this process leads. The pace is the scheduler's: the more instances,
the slower the heartbeat. A session never waits for another.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass, field

from shoal import PROTOCOL_VERSION
from shoal.rpc import Identity
from shoal.v1 import agent_pb2 as pb

from shoal_scheduler.api import agent_convert as convert
from shoal_scheduler.api.agent_checks import check_hello, check_report, text
from shoal_scheduler.api.validate_names import name_problems
from shoal_scheduler.control import inputs as i
from shoal_scheduler.control_plane import ControlPlane
from shoal_scheduler.dispatch import Outbox
from shoal_scheduler.engine import Unavailable
from shoal_scheduler.model.refusal import Refused, invalid_field
from shoal_scheduler.model.task import TaskKey

log = logging.getLogger(__name__)

HELLO_SECONDS = 10.0
HEARTBEAT_MIN_SECONDS = 3.0
HEARTBEAT_MAX_SECONDS = 60.0
INSTANCES_PER_HEARTBEAT_SECOND = 100
SESSION_DEADLINE_MIN_SECONDS = 15.0
REPORTS_PER_MESSAGE_MAX = 10_000

Messages = AsyncIterator[pb.AgentMessage]
Outgoing = asyncio.Queue[pb.SchedulerMessage | None]

# Messages that wait for a slow agent; then its reports wait too.
OUTGOING_MAX = 64


@dataclass(frozen=True, slots=True)
class _Session:
    plane: ControlPlane
    instance: str
    incarnation: int
    outbox: Outbox
    deadline_seconds: float
    out: Outgoing = field(default_factory=lambda: asyncio.Queue(OUTGOING_MAX))

    async def send(self, message: pb.SchedulerMessage) -> None:
        """Raises TimeoutError if the agent reads nothing for so long that it counts as gone."""
        async with asyncio.timeout(self.deadline_seconds):
            await self.out.put(message)


def heartbeat_seconds(instances: int) -> float:
    """So that the whole cluster beats about a hundred times a second at most."""
    return min(max(instances / INSTANCES_PER_HEARTBEAT_SECOND, HEARTBEAT_MIN_SECONDS), HEARTBEAT_MAX_SECONDS)


async def session(plane: ControlPlane, messages: Messages, caller: Identity) -> AsyncGenerator[pb.SchedulerMessage]:
    if any(name_problems("instance", caller.name)):
        raise Refused("denied", "The certificate does not name an instance.", reason="AccessDeniedException")
    hello = await _hello(messages)
    if hello.cluster != caller.cluster:
        raise invalid_field("hello.cluster", f"must be the certificate's, {caller.cluster!r}.")
    await _open(plane, hello, caller.name)
    outbox = plane.dispatch.attach(caller.name)
    log.info("agent connected instance=%s host=%s", caller.name, text(hello.hostname, convert.NAME_CHARACTERS_MAX))
    try:
        period = heartbeat_seconds(len(plane.tables.sessions))
        deadline = max(SESSION_DEADLINE_MIN_SECONDS, 3 * period)
        yield _welcome(plane.epoch, period, deadline)
        opened = _Session(plane, caller.name, hello.incarnation, outbox, deadline)
        async with contextlib.aclosing(_exchange(opened, messages)) as outgoing:
            async for message in outgoing:
                yield message
    finally:
        plane.dispatch.detach(caller.name, outbox)
        await _say_closed(plane, caller.name, hello.incarnation)
        log.info("agent disconnected instance=%s", caller.name)


async def _open(plane: ControlPlane, hello: pb.Hello, instance: str) -> None:
    """If the agent goes while its session is being opened, the session is closed again."""
    opening = asyncio.create_task(plane.engine.submit(convert.hello_input(hello, instance)))
    try:
        await asyncio.shield(opening)
    except asyncio.CancelledError:
        with contextlib.suppress(Refused, Unavailable):
            await opening
            await _say_closed(plane, instance, hello.incarnation)
        raise


async def _hello(messages: Messages) -> pb.Hello:
    try:
        async with asyncio.timeout(HELLO_SECONDS):
            first = await anext(messages, None)
    except TimeoutError:
        raise invalid_field("hello", f"must come within {HELLO_SECONDS:.0f} s of the stream's start.") from None
    if first is None or first.WhichOneof("kind") != "hello":
        raise invalid_field("hello", "must be the first message of a session.")
    hello = first.hello
    if hello.protocol_version != PROTOCOL_VERSION:
        raise Refused(
            "failed_precondition",
            f"hello.protocolVersion: this scheduler speaks {PROTOCOL_VERSION}, the agent {hello.protocol_version}."
            " Upgrade the older of the two.",
        )
    check_hello(hello)
    return hello


def _welcome(epoch: int, period_seconds: float, deadline_seconds: float) -> pb.SchedulerMessage:
    return pb.SchedulerMessage(
        welcome=pb.Welcome(
            epoch=epoch,
            heartbeat_period_millis=int(period_seconds * 1000),
            session_deadline_millis=int(deadline_seconds * 1000),
        )
    )


async def _exchange(open_session: _Session, messages: Messages) -> AsyncGenerator[pb.SchedulerMessage]:
    """What is to be sent, while another task reads. Ends with the first of the two, by its error if it has one."""
    out = open_session.out
    sender, is_sending = asyncio.current_task(), False

    def end(ended: asyncio.Task[None]) -> None:
        if is_sending and sender is not None and _timed_out(ended):
            sender.cancel()  # it waits for an agent that does not listen
            return
        while out.full():
            out.get_nowait()
        out.put_nowait(None)

    tasks = [asyncio.create_task(_read(open_session, messages)), asyncio.create_task(_write(open_session))]
    for task in tasks:
        task.add_done_callback(end)
    try:
        while (message := await out.get()) is not None:
            is_sending = True
            yield message
            is_sending = False
        for task in tasks:
            if task.done():
                task.result()
    except TimeoutError:
        raise Unavailable("the agent was silent, or did not listen, for too long") from None
    finally:
        for task in tasks:
            task.cancel()


def _timed_out(ended: asyncio.Task[None]) -> bool:
    return not ended.cancelled() and isinstance(ended.exception(), TimeoutError)


async def _read(open_session: _Session, messages: Messages) -> None:
    """Ends by raising, or when the agent ends the stream."""
    first = True
    while True:
        async with asyncio.timeout(open_session.deadline_seconds):
            message = await anext(messages, None)
        if message is None:
            return
        await _take(open_session, message, first=first)
        first = False


async def _write(open_session: _Session) -> None:
    outbox = open_session.outbox
    while True:
        keys = await outbox.take()
        if outbox.closed:
            return
        for wanted in outbox.take_log_requests():
            await open_session.send(convert.log_request_message(wanted))
        for message in convert.assignment_messages(open_session.plane.tables, keys, full=False):
            await open_session.send(message)


async def _take(open_session: _Session, message: pb.AgentMessage, *, first: bool) -> None:
    kind = message.WhichOneof("kind")
    if kind == "hello":
        raise invalid_field("hello", "comes once in a session.")
    if first != (kind == "inventory"):
        raise invalid_field(kind or "message", "the inventory comes once, right after the hello.")
    if kind is None and not message.ByteSize():  # a newer agent's kinds are not known here, but they are not empty
        raise invalid_field("message", "is empty: say one of inventory, reports and heartbeat.")
    if kind == "inventory":
        await _report(open_session, "inventory.tasks", message.inventory.tasks)
        plane = open_session.plane
        live = [task.key for task in plane.tables.tasks_on(open_session.instance)]
        for each in convert.assignment_messages(plane.tables, live, full=True):
            await open_session.send(each)
    elif kind == "reports":
        unknown = await _report(open_session, "reports.tasks", message.reports.tasks)
        if unknown:
            await open_session.send(convert.forget_message(unknown))
        await open_session.send(pb.SchedulerMessage(reports_ack=pb.ReportsAck(sequence=message.reports.sequence)))


async def _report(open_session: _Session, field: str, reports: Sequence[pb.TaskReport]) -> list[str]:
    """Commit what the agent saw. The ids of tasks that are none of this instance's."""
    if len(reports) > REPORTS_PER_MESSAGE_MAX:
        raise invalid_field(field, f"has at most {REPORTS_PER_MESSAGE_MAX} items in a message.")
    for index, report in enumerate(reports):
        check_report(f"{field}[{index}]", report)
    plane = open_session.plane
    inputs = [convert.report_input(report, open_session.instance, open_session.incarnation) for report in reports]
    # Before the status: who sees a task RUNNING finds how it got there.
    for report in reports:
        _keep_trace(open_session, report)
    verdicts = await asyncio.gather(*(plane.engine.submit(each) for each in inputs))
    return [
        report.task_id
        for report, verdict in zip(reports, verdicts, strict=True)
        if not (isinstance(verdict, i.Verdict) and verdict.known)
    ]


def _keep_trace(open_session: _Session, report: pb.TaskReport) -> None:
    key = TaskKey.parse(report.task_id)
    task = open_session.plane.tables.task(key) if key is not None else None
    if key is not None and task is not None and task.instance == open_session.instance:
        open_session.plane.traces.add(key, convert.spans(report.trace))


async def _say_closed(plane: ControlPlane, instance: str, incarnation: int) -> None:
    """Even while this call is being cancelled; without a leader there is nobody to tell."""

    async def say() -> None:
        with contextlib.suppress(Unavailable):
            await plane.engine.submit(i.SessionClosed(instance, incarnation))

    await asyncio.shield(say())
