"""One agent's stream: hello, inventory, then reports and heartbeats in; assignments out.

The stream lives as long as the agent speaks and this process leads. The pace is the scheduler's: the more instances,
the slower the heartbeat. A session never waits for another.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from dataclasses import dataclass

from google.protobuf.message import Message
from shoal import PROTOCOL_VERSION
from shoal.rpc import Identity
from shoal.v1 import agent_pb2 as pb

from shoal_scheduler.api import agent_convert as convert
from shoal_scheduler.api import copies, image_reports, samples
from shoal_scheduler.api.agent_checks import check_engine_status, check_hello, check_notice, check_report, text
from shoal_scheduler.api.validate_names import name_problems
from shoal_scheduler.control import inputs as i
from shoal_scheduler.control_plane import ControlPlane
from shoal_scheduler.dispatch import News, Outbox
from shoal_scheduler.engine import Unavailable
from shoal_scheduler.model.pace import heartbeat_seconds, session_deadline_seconds
from shoal_scheduler.model.refusal import Refused, invalid_field
from shoal_scheduler.model.task import TaskKey

log = logging.getLogger(__name__)

HELLO_SECONDS = 10.0
REPORTS_PER_MESSAGE_MAX = 10_000

Messages = AsyncIterator[pb.AgentMessage]

# Answers that wait for a slow agent; then its reports wait too.
OUTGOING_MAX = 64

# An alarm that rings so much later was held up by this program, not by the agent.
LATE_SECONDS = 1.0

# What an agent saw waits as long as the store is full: it is no fault of the agent's, and its session goes on.
FULL_RETRY_SECONDS = 1.0


@dataclass(slots=True)
class _Session:
    plane: ControlPlane
    instance: str
    incarnation: int
    outbox: Outbox
    deadline_seconds: float

    # Since when it waits for the agent to say something, and to read something.
    reading_since: float | None = None
    writing_since: float | None = None
    timed_out: bool = False


async def session(plane: ControlPlane, messages: Messages, caller: Identity) -> AsyncGenerator[Message | bytes]:
    if any(name_problems("instance", caller.name)):
        raise Refused("denied", "The certificate does not name an instance.", reason="AccessDeniedException")
    hello = await _hello(messages)
    if hello.cluster != caller.cluster:
        raise invalid_field("hello.cluster", f"must be the certificate's, {caller.cluster!r}.")
    await asyncio.sleep(plane.admission.wait_seconds(caller.name, asyncio.get_running_loop().time()))
    await _open(plane, hello, caller.name, heartbeat_seconds(len(plane.tables.sessions)))
    plane.engine.hear(caller.name)
    outbox = plane.dispatch.attach(caller.name)
    outbox.run = hello.run_id
    log.info("agent connected instance=%s host=%s", caller.name, text(hello.hostname, convert.NAME_CHARACTERS_MAX))
    try:
        instances = len(plane.tables.sessions)
        period, deadline = heartbeat_seconds(instances), session_deadline_seconds(instances)
        if not plane.leads():
            raise Unavailable("this scheduler does not lead any more")
        _refuse_if_closed(plane, caller.name, hello.incarnation)
        yield _welcome(plane.epoch, period, deadline, plane.registry, _interruption(plane, caller.name, outbox))
        opened = _Session(plane, caller.name, hello.incarnation, outbox, deadline)
        async with contextlib.aclosing(_exchange(opened, messages)) as outgoing:
            async for message in outgoing:
                yield message
    finally:
        plane.dispatch.detach(caller.name, outbox)
        await _say_closed(plane, caller.name, hello.incarnation)
        log.info("agent disconnected instance=%s", caller.name)


async def _open(plane: ControlPlane, hello: pb.Hello, instance: str, period_seconds: float) -> None:
    """If the agent goes while its session is being opened, the session is closed again."""
    said = convert.hello_input(hello, instance)
    await copies.keep_out(plane, said, period_seconds)
    opening = asyncio.create_task(plane.engine.submit(said))
    try:
        await asyncio.shield(opening)
    except asyncio.CancelledError:
        with contextlib.suppress(Refused, Unavailable):
            await opening
            await _say_closed(plane, instance, hello.incarnation)
        raise


def _refuse_if_closed(plane: ControlPlane, instance: str, incarnation: int) -> None:
    """Who closes a session in the very step that opens it finds no stream yet that could be ended: it ends here."""
    if plane.tables.sessions.get(instance) != incarnation:
        raise Unavailable("the session was closed as it was opened: begin another one")


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


def _welcome(
    epoch: int,
    period_seconds: float,
    deadline_seconds: float,
    registry: str | None,
    interruption: pb.HostInterruption | None = None,
) -> pb.SchedulerMessage:
    return pb.SchedulerMessage(
        welcome=pb.Welcome(
            epoch=epoch,
            heartbeat_period_millis=int(period_seconds * 1000),
            session_deadline_millis=int(deadline_seconds * 1000),
            registry=registry,
            interruption=interruption,
        )
    )


def _interruption(plane: ControlPlane, instance: str, outbox: Outbox) -> pb.HostInterruption | None:
    """What the agent is told of it now."""
    recorded = plane.tables.instances[instance]
    outbox.interruption = recorded.interruption
    return convert.interruption_message(recorded, plane.engine.now())


async def _exchange(open_session: _Session, messages: Messages) -> AsyncGenerator[bytes]:
    """What is to be sent, while another task reads. Ends with the reading, by its error if it has one, or with the
    outbox."""
    outbox, now = open_session.outbox, asyncio.get_running_loop().time
    reading = asyncio.create_task(_read(open_session, messages))
    reading.add_done_callback(lambda _: outbox.close())
    alarm = _Alarm(open_session)
    try:
        while (news := await outbox.take()) is not None:
            for message in _messages(open_session, news):
                open_session.writing_since = now()
                yield message
                open_session.writing_since = None
        if open_session.timed_out:
            raise Unavailable("the agent was silent, or did not listen, for too long")
        if reading.done():
            reading.result()
    finally:
        alarm.cancel()
        reading.cancel()


def _messages(open_session: _Session, news: News) -> Iterator[bytes]:
    tables = open_session.plane.tables
    if news.heartbeat is not None:
        yield pb.SchedulerMessage(heartbeat_ack=pb.HeartbeatAck(sequence=news.heartbeat)).SerializeToString()
    if news.interruption:
        # Also that there is none any more.
        said = _interruption(open_session.plane, open_session.instance, open_session.outbox)
        yield pb.SchedulerMessage(interruption=said or pb.HostInterruption()).SerializeToString()
    for wanted in news.log_requests:
        yield convert.log_request_message(wanted).SerializeToString()
    for command in news.command_requests:
        yield convert.command_request_message(command).SerializeToString()
    for pull in news.pull_requests:
        yield convert.pull_request_message(pull).SerializeToString()
    if news.everything:
        live = [task.key for task in tables.tasks_on(open_session.instance)]
        yield from convert.assignment_messages(tables, live, full=True)
    if news.keys:
        yield from convert.assignment_messages(tables, news.keys, full=False)
    if news.unknown:
        yield convert.forget_message(news.unknown).SerializeToString()
    if news.acknowledged is not None:
        ack = pb.ReportsAck(sequence=news.acknowledged)
        yield pb.SchedulerMessage(reports_ack=ack).SerializeToString()


class _Alarm:
    """Ends a session whose agent says nothing, or reads nothing, for too long. One timer, however much is said."""

    def __init__(self, watched: _Session) -> None:
        self._watched = watched
        self._sender = asyncio.current_task()
        self._loop = asyncio.get_running_loop()
        self._set(self._loop.time() + watched.deadline_seconds)

    def _set(self, due: float) -> None:
        self._timer = self._loop.call_at(due, self._ring, due)

    def _ring(self, due: float) -> None:
        watched, now = self._watched, self._loop.time()
        waits = [since for since in (watched.reading_since, watched.writing_since) if since is not None]
        since = now if now - due > LATE_SECONDS else min(waits, default=now)
        if now < since + watched.deadline_seconds:
            self._set(since + watched.deadline_seconds)
            return
        watched.timed_out = True
        watched.outbox.close()
        if watched.writing_since is not None and self._sender is not None:
            self._sender.cancel()  # it waits for an agent that does not listen

    def cancel(self) -> None:
        self._timer.cancel()


async def _read(open_session: _Session, messages: Messages) -> None:
    """Ends by raising, or when the agent ends the stream."""
    now, engine = asyncio.get_running_loop().time, open_session.plane.engine
    first = True
    while True:
        open_session.reading_since = now()
        message = await anext(messages, None)
        open_session.reading_since = None
        if message is None:
            # The end of a stream is no word of the agent's: it may be the transport that has given up on it.
            return
        open_session.outbox.heard_at = now()
        engine.hear(open_session.instance)
        await _take(open_session, message, first=first)
        first = False


async def _take(open_session: _Session, message: pb.AgentMessage, *, first: bool) -> None:
    kind = message.WhichOneof("kind")
    if kind == "hello":
        raise invalid_field("hello", "comes once in a session.")
    if first != (kind == "inventory"):
        raise invalid_field(kind or "message", "the inventory comes once, right after the hello.")
    if kind is None and not message.ByteSize():  # a newer agent's kinds are not known here, but they are not empty
        raise invalid_field("message", "is empty: say one of inventory, reports and heartbeat.")
    outbox = open_session.outbox
    if kind == "inventory":
        await _report(open_session, "inventory.tasks", message.inventory.tasks)
        outbox.put_everything()
    elif kind == "reports":
        unknown = await _report(open_session, "reports.tasks", message.reports.tasks)
        outbox.answer(message.reports.sequence, unknown)
        await outbox.room(OUTGOING_MAX)
    elif kind == "heartbeat":
        await _hear(open_session, message.heartbeat)
    elif kind == "interruption":
        await _take_notice(open_session, message.interruption)
    elif kind == "samples":
        samples.take(open_session.plane, open_session.instance, message.samples, open_session.plane.engine.now() / 1000)
    elif kind == "images":
        await image_reports.take(open_session.plane, open_session.instance, open_session.incarnation, message.images)


async def _hear(open_session: _Session, heartbeat: pb.Heartbeat) -> None:
    """Only news of the engine's health goes further. A leader that may have been deposed in its sleep does not answer:
    the agent would trust that its tasks are not given to others."""
    check_engine_status("heartbeat.engineStatus", heartbeat)
    plane = open_session.plane
    if heartbeat.sequence > 0 and plane.leads():
        open_session.outbox.hear(heartbeat.sequence)
    said = convert.health_input(heartbeat, open_session.instance, open_session.incarnation)
    known = plane.tables.health.get(open_session.instance)
    if known is None or (known.status, known.reason) != (said.status, said.reason):
        await plane.engine.submit(said)


async def _take_notice(open_session: _Session, notice: pb.HostInterruption) -> None:
    """The host goes. What is recorded of that is the answer, though it may be no news."""
    check_notice("interruption", notice)
    said = convert.notice_input(notice, open_session.instance, open_session.incarnation)
    await _stored(open_session.plane, [said])
    open_session.outbox.tell_interruption()


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
        if report.trace:
            _keep_trace(open_session, report)
    verdicts = await _stored(plane, inputs)
    return [
        report.task_id
        for report, verdict in zip(reports, verdicts, strict=True)
        if not (isinstance(verdict, i.Verdict) and verdict.known)
    ]


async def _stored(plane: ControlPlane, inputs: Sequence[i.Input]) -> list[i.Reply]:
    while True:
        try:
            return await plane.engine.submit_all(inputs)
        except Refused as refused:
            if refused.kind != "exhausted":
                raise
        await asyncio.sleep(FULL_RETRY_SECONDS)


def _keep_trace(open_session: _Session, report: pb.TaskReport) -> None:
    key = TaskKey.parse(report.task_id)
    task = open_session.plane.tables.task(key) if key is not None else None
    if key is not None and task is not None and task.instance == open_session.instance:
        open_session.plane.traces.add(key, convert.spans(report.trace))


async def _say_closed(plane: ControlPlane, instance: str, incarnation: int) -> None:
    """Even while this call is being cancelled; without a leader there is nobody to tell. Until it is heard: its step
    may carry what a full store does not take, and who counts as connected cannot come back."""

    async def say() -> None:
        with contextlib.suppress(Unavailable):
            await _stored(plane, [i.SessionClosed(instance, incarnation)])

    await asyncio.shield(say())
