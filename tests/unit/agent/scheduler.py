"""A scheduler that says only what a test tells it to: the server's end of the agent's session, over real TLS."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
from shoal.awsjson import to_message
from shoal.rpc import Credentials, Identity, peer_identity, server_credentials, server_options
from shoal.v1 import agent_pb2, agent_pb2_grpc, command_pb2, image_pb2, log_pb2, service_pb2, task_definition_pb2

PATIENCE_SECONDS = 30.0


@dataclass(slots=True)
class Heard:
    """One session as the scheduler saw it. `reports` keeps the newest of each task."""

    hello: agent_pb2.Hello
    inventory: agent_pb2.Inventory | None = None
    reports: dict[str, agent_pb2.TaskReport] = field(default_factory=dict)
    history: list[tuple[int, str, str]] = field(default_factory=list)  # sequence, task, status
    heartbeats: list[str] = field(default_factory=list)
    samples: list[agent_pb2.Samples] = field(default_factory=list)
    images: list[image_pb2.ImageReport] = field(default_factory=list)
    # Each with how many reports had come before.
    notices: list[tuple[agent_pb2.HostInterruption, int]] = field(default_factory=list)
    outbox: "asyncio.Queue[agent_pb2.SchedulerMessage | None]" = field(default_factory=asyncio.Queue)

    @property
    def inventoried(self) -> dict[str, str]:
        """Status by task."""
        return {it.task_id: it.last_status for it in self.inventory.tasks} if self.inventory else {}


class FakeScheduler(agent_pb2_grpc.AgentSessionServicer):
    """What it welcomes with, and whether it acknowledges, may be changed between sessions."""

    def __init__(self, credentials: Credentials) -> None:
        self.credentials = credentials
        self.epoch = 10
        self.full: agent_pb2.Assignments | None = agent_pb2.Assignments(full=True)
        self.welcomes = True
        self.sends_away: dict[str, str] = {}  # by trailing metadata: who leads, when to come again
        self.acknowledges = True
        self.hears = True  # and says so, of every heartbeat
        self.heartbeat_millis = 200
        self.deadline_millis = 2000
        self.interruption: agent_pb2.HostInterruption | None = None  # as its welcome says
        self.identities: list[Identity | None] = []
        self.sessions: list[Heard] = []
        self.logs: dict[str, list[agent_pb2.LogChunk]] = {}
        self.logs_ended: set[str] = set()
        self.command_inputs: Sequence[command_pb2.CommandInput] = ()
        self.command_ends_with: Sequence[str] = ("exit_code", "error")
        self.commands: dict[str, list[command_pb2.CommandOutput]] = {}
        self.commands_ended: set[str] = set()

        # By id, what was said of a pull; those that are to be left before they end.
        self.pulls: dict[str, list[image_pb2.PullProgress]] = {}
        self.pulls_left: set[str] = set()
        self._changed = asyncio.Condition()
        self._server: grpc.aio.Server | None = None
        self._port = 0

    @property
    def endpoint(self) -> str:
        return f"127.0.0.1:{self._port}"

    async def start(self) -> None:
        """After a stop, on the port it had."""
        self._server = grpc.aio.server(options=server_options())
        agent_pb2_grpc.add_AgentSessionServicer_to_server(self, self._server)
        self._port = self._server.add_secure_port(self.endpoint, server_credentials(self.credentials))
        await self._server.start()

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.stop(0)

    # What a test says.

    async def say(self, *assignments: agent_pb2.Assignment, definitions: Sequence[Any] = ()) -> None:
        message = agent_pb2.Assignments(assignments=assignments, task_definitions=definitions)
        await self.sessions[-1].outbox.put(agent_pb2.SchedulerMessage(assignments=message))

    async def ask_for_logs(self, request_id: str, wanted: log_pb2.ReadLogsRequest) -> None:
        request = agent_pb2.LogRequest(request_id=request_id, request=wanted)
        await self.sessions[-1].outbox.put(agent_pb2.SchedulerMessage(log_request=request))

    async def ask_for_command(self, request_id: str, start: command_pb2.ExecuteCommandStart) -> None:
        request = agent_pb2.CommandRequest(request_id=request_id, start=start)
        await self.sessions[-1].outbox.put(agent_pb2.SchedulerMessage(command_request=request))

    async def ask_for_pull(self, request_id: str, image: str, *, background: bool = False) -> None:
        request = image_pb2.PullRequest(request_id=request_id, image=image, background=background)
        await self.sessions[-1].outbox.put(agent_pb2.SchedulerMessage(pull_request=request))

    async def say_of_interruption(self, **said: Any) -> None:
        """Without anything: there is none any more."""
        message = agent_pb2.HostInterruption(**said)
        await self.sessions[-1].outbox.put(agent_pb2.SchedulerMessage(interruption=message))

    async def hang_up(self) -> None:
        await self.sessions[-1].outbox.put(None)

    async def until(self, true: Callable[[], Any], seconds: float = PATIENCE_SECONDS) -> None:
        """Waits for something heard to make `true` so."""
        async with asyncio.timeout(seconds), self._changed:
            await self._changed.wait_for(true)

    async def report(self, task_id: str, status: str) -> agent_pb2.TaskReport:
        def found() -> agent_pb2.TaskReport | None:
            report = self.sessions[-1].reports.get(task_id) if self.sessions else None
            return report if report is not None and report.last_status == status else None

        await self.until(found)
        report = found()
        assert report is not None
        return report

    # What an agent says.

    async def Session(  # noqa: N802 - gRPC's name
        self, request_iterator: Any, context: Any
    ) -> AsyncIterator[agent_pb2.SchedulerMessage]:
        messages = aiter(request_iterator)
        heard = Heard((await anext(messages)).hello)
        self.identities.append(peer_identity(context))
        self.sessions.append(heard)
        await self._note()
        if self.sends_away:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "not here", tuple(self.sends_away.items()))
        if not self.welcomes:
            await asyncio.Event().wait()
        yield self._welcome()
        heard.inventory = (await anext(messages)).inventory
        await self._note()
        if self.full is not None:
            yield agent_pb2.SchedulerMessage(assignments=self.full)
        hearing = asyncio.create_task(self._hear(messages, heard))
        try:
            while (message := await heard.outbox.get()) is not None:
                yield message
        finally:
            hearing.cancel()

    def _welcome(self) -> agent_pb2.SchedulerMessage:
        welcome = agent_pb2.Welcome(
            epoch=self.epoch,
            heartbeat_period_millis=self.heartbeat_millis,
            session_deadline_millis=self.deadline_millis,
            interruption=self.interruption,
        )
        return agent_pb2.SchedulerMessage(welcome=welcome)

    async def _hear(self, messages: AsyncIterator[agent_pb2.AgentMessage], heard: Heard) -> None:
        async for message in messages:
            match message.WhichOneof("kind"):
                case "reports":
                    await self._hear_reports(message.reports, heard)
                case "heartbeat":
                    heard.heartbeats.append(message.heartbeat.engine_status)
                    await self._answer(message.heartbeat.sequence, heard)
                case "samples":
                    heard.samples.append(message.samples)
                case "images":
                    heard.images.append(message.images)
                case "interruption":
                    heard.notices.append((message.interruption, len(heard.history)))
            await self._note()
        await heard.outbox.put(None)

    async def _answer(self, heartbeat: int, heard: Heard) -> None:
        if self.hears:
            ack = agent_pb2.HeartbeatAck(sequence=heartbeat)
            await heard.outbox.put(agent_pb2.SchedulerMessage(heartbeat_ack=ack))

    async def _hear_reports(self, reports: agent_pb2.Reports, heard: Heard) -> None:
        for report in reports.tasks:
            heard.reports[report.task_id] = report
            heard.history.append((reports.sequence, report.task_id, report.last_status))
        if self.acknowledges:
            ack = agent_pb2.ReportsAck(sequence=reports.sequence)
            await heard.outbox.put(agent_pb2.SchedulerMessage(reports_ack=ack))

    async def SendLogs(self, request_iterator: Any, context: Any) -> agent_pb2.SendLogsResponse:  # noqa: N802
        request_id = ""
        async for chunk in request_iterator:
            request_id = request_id or chunk.request_id
            self.logs.setdefault(request_id, []).append(chunk)
            await self._note()
        self.logs_ended.add(request_id)
        await self._note()
        return agent_pb2.SendLogsResponse()

    async def AttachCommand(  # noqa: N802
        self, request_iterator: Any, context: Any
    ) -> AsyncIterator[command_pb2.CommandInput]:
        """Plays the caller's inputs, then hears the outputs to the end."""
        outputs = aiter(request_iterator)
        request_id = (await anext(outputs)).request_id
        for message in self.command_inputs:
            yield message
        async for message in outputs:
            self.commands.setdefault(request_id, []).append(message.output)
            await self._note()
            if message.output.WhichOneof("kind") in self.command_ends_with:
                break
        self.commands_ended.add(request_id)
        await self._note()

    async def SendPull(self, request_iterator: Any, context: Any) -> image_pb2.SendPullResponse:  # noqa: N802
        request_id = ""
        async for progress in request_iterator:
            request_id = request_id or progress.request_id
            self.pulls.setdefault(request_id, []).append(progress)
            await self._note()
            if request_id in self.pulls_left:
                break
        return image_pb2.SendPullResponse()

    async def ProtectTask(  # noqa: N802
        self, request: agent_pb2.ProtectTaskRequest, context: Any
    ) -> agent_pb2.ProtectTaskResponse:
        protected = service_pb2.ProtectedTask(protection_enabled=request.protection_enabled)
        return agent_pb2.ProtectTaskResponse(protected_task=protected)

    async def _note(self) -> None:
        async with self._changed:
            self._changed.notify_all()


def definition(document: Any, arn: str) -> task_definition_pb2.TaskDefinition:
    """A task definition as assignments carry it."""
    message, problems = to_message(document, task_definition_pb2.TaskDefinition)
    assert not problems
    message.task_definition_arn = arn
    return message
