"""An agent without an engine: the real session protocol, tasks that live as the test says.

A task walks through `life` as soon as it is assigned, each status in a report of its own, and is STOPPED when the
scheduler wishes so. Many of them fit into one process, for load.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Any, Self

import grpc
from google.rpc import status_pb2
from shoal import PROTOCOL_VERSION
from shoal.v1 import agent_pb2 as pb
from shoal.v1 import agent_pb2_grpc, command_pb2, container_instance_pb2, image_pb2, log_pb2, resource_pb2, task_pb2

REPORTS_PER_MESSAGE = 1000

Life = Callable[[pb.Assignment], Sequence[pb.TaskReport]]


def now_millis() -> int:
    return time.time_ns() // 1_000_000


def runs(assignment: pb.Assignment) -> Sequence[pb.TaskReport]:
    """Until it is told to stop."""
    return [pb.TaskReport(task_id=assignment.task_id, last_status="RUNNING", started_at=now_millis())]


def exits_with(code: int, container: str = "app") -> Life:
    """Runs, and is over at once with this exit code."""

    def life(assignment: pb.Assignment) -> Sequence[pb.TaskReport]:
        ended = task_pb2.Container(name=container, last_status="STOPPED", exit_code=code)
        last = pb.TaskReport(
            task_id=assignment.task_id,
            last_status="STOPPED",
            containers=[ended],
            stop_code="EssentialContainerExited",
            stopped_reason="Essential container in task exited",
        )
        return [*runs(assignment), last]

    return life


def never_starts(_assignment: pb.Assignment) -> Sequence[pb.TaskReport]:
    """Stays PENDING."""
    return []


def hello(
    instance: str,
    cluster: str = "default",
    *,
    incarnation: int = 1,
    cpu: int = 4096,
    memory_mib: int = 16384,
    attributes: dict[str, str] | None = None,
    engine: pb.Heartbeat | None = None,
    run: str = "",
) -> pb.AgentMessage:
    """The first message of a session; whoever wants another one changes what is in it."""
    return pb.AgentMessage(
        hello=pb.Hello(
            protocol_version=PROTOCOL_VERSION,
            cluster=cluster,
            incarnation=incarnation,
            version_info=container_instance_pb2.VersionInfo(agent_version="0.1.0", docker_version="20.10.24"),
            resources=[
                resource_pb2.Resource(name="CPU", type="INTEGER", integer_value=cpu),
                resource_pb2.Resource(name="MEMORY", type="INTEGER", integer_value=memory_mib),
            ],
            attributes=[resource_pb2.Attribute(name=k, value=v) for k, v in (attributes or {}).items()],
            hostname=f"host-{instance[:8]}",
            engine=engine,
            run_id=run,
        )
    )


class SimulatedAgent:
    """`async with SimulatedAgent(channel, instance)`: connected and reporting. The channel is the caller's."""

    def __init__(self, channel: grpc.aio.Channel, instance: str, *, life: Life = runs, **said: Any) -> None:
        self.instance = instance
        self.life = life
        self.logs: Iterable[log_pb2.LogEvent] = ()
        self.log_error: status_pb2.Status | None = None

        # The newest status of each task it was ever assigned, and what it was assigned.
        self.tasks: dict[str, str] = {}
        self.assignments: dict[str, pb.Assignment] = {}
        self.forgotten: set[str] = set()

        # Once it has been told all that is wanted of it: what it knew beyond that is forgotten.
        self.complete = False
        self._named: set[str] = set()
        self.log_requests: list[pb.LogRequest] = []
        self.command_requests: list[pb.CommandRequest] = []
        self.command_takes = True  # its input; without that it only waits
        self.commands_ended = 0

        # What it says of a pull, and whether it goes on until that is over; how many of them the other side ended.
        self.pull_says: Sequence[image_pb2.PullProgress] = [image_pb2.PullProgress(outcome="PULLED")]
        self.pull_requests: list[image_pb2.PullRequest] = []
        self.pulls_left = 0
        self.acknowledged = 0

        # Heartbeats, and since when one of them is not acknowledged.
        self.beats, self.unheard_since = 0, 0.0
        self.welcome = pb.Welcome()
        self._hello = hello(instance, **said)
        self._stub = agent_pb2_grpc.AgentSessionStub(channel)
        self._pending: list[pb.TaskReport] = []

        # By the number of a message of reports: the tasks in it.
        self._unacknowledged: dict[int, list[str]] = {}
        self._waiting: list[asyncio.Future[None]] = []

        # The transport takes one message of a stream at a time.
        self._writing = asyncio.Lock()
        self._sequence = 0
        self.is_silent = False
        self._running: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self.call = self._stub.Session()
        await self.call.write(self._hello)
        first = await self.call.read()  # raises what the scheduler has to say against it
        assert isinstance(first, pb.SchedulerMessage)
        self.welcome = first.welcome
        await self.call.write(pb.AgentMessage(inventory=pb.Inventory(tasks=self._inventory())))
        self._running = [asyncio.create_task(each()) for each in (self._read, self._report, self._beat)]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.call.cancel()
        for each in self._running:
            each.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def until(self, condition: Callable[[], bool], timeout_seconds: float = 10.0) -> None:
        """Until the condition, looked at after every message, is true."""
        async with asyncio.timeout(timeout_seconds):
            await self._until(condition)

    async def report(self, *reports: pb.TaskReport) -> None:
        """Say this of tasks, whatever was said before."""
        self._pending.extend(reports)
        self._wake()

    @property
    def sequence(self) -> int:
        return self._sequence

    def _inventory(self) -> list[pb.TaskReport]:
        return [pb.TaskReport(task_id=task_id, last_status=status) for task_id, status in self.tasks.items()]

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            waiting = asyncio.get_running_loop().create_future()
            self._waiting.append(waiting)
            await waiting

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            if not each.done():
                each.set_result(None)

    async def _read(self) -> None:
        while isinstance(message := await self.call.read(), pb.SchedulerMessage):
            self._take(message)
            self._wake()

    def _take(self, message: pb.SchedulerMessage) -> None:
        match message.WhichOneof("kind"):
            case "assignments":
                for assignment in message.assignments.assignments:
                    self._named.add(assignment.task_id)
                    self._assign(assignment)
                if message.assignments.full and not message.assignments.more:
                    self._keep_only_named()
            case "heartbeat_ack" if message.heartbeat_ack.sequence == self.beats:
                self.unheard_since = 0.0
            case "reports_ack":
                self._acknowledge(message.reports_ack.sequence)
            case "command_request":
                self.command_requests.append(message.command_request)
                self._running.append(asyncio.create_task(self._attach(message.command_request)))
            case "pull_request":
                self.pull_requests.append(message.pull_request)
                self._running.append(asyncio.create_task(self._send_pull(message.pull_request)))
            case "log_request":
                self.log_requests.append(message.log_request)
                self._running.append(asyncio.create_task(self._send_logs(message.log_request)))

    def _keep_only_named(self) -> None:
        self.complete = True
        beyond = self.tasks.keys() - self._named
        self.forgotten |= beyond
        for task_id in beyond:  # in place: who follows the leader hands them on to its next session
            del self.tasks[task_id]

    def _assign(self, assignment: pb.Assignment) -> None:
        if assignment.forget:
            self.forgotten.add(assignment.task_id)
            return
        is_new = assignment.task_id not in self.assignments
        self.assignments[assignment.task_id] = assignment
        if assignment.desired_status == "STOPPED":
            self._pending.append(pb.TaskReport(task_id=assignment.task_id, last_status="STOPPED"))
        elif is_new:
            self._pending.extend(self.life(assignment))

    def _acknowledge(self, sequence: int) -> list[str]:
        """All messages up to this one are; the tasks in them."""
        self.acknowledged = sequence
        numbers = [number for number in self._unacknowledged if number <= sequence]
        return [task_id for number in numbers for task_id in self._unacknowledged.pop(number)]

    async def _report(self) -> None:
        while True:
            await self._until(lambda: bool(self._pending))
            batch = self._one_for_each_task()
            self._sequence += 1
            self._unacknowledged[self._sequence] = [report.task_id for report in batch]
            await self._write(pb.AgentMessage(reports=pb.Reports(sequence=self._sequence, tasks=batch)))
            self.tasks.update({report.task_id: report.last_status for report in batch})

    def _one_for_each_task(self) -> list[pb.TaskReport]:
        """The oldest reports, at most one of each task, so that every status is seen on its own."""
        batch: dict[str, pb.TaskReport] = {}
        rest = []
        for report in self._pending:
            if report.task_id in batch or len(batch) == REPORTS_PER_MESSAGE:
                rest.append(report)
            else:
                batch[report.task_id] = report
        self._pending = rest
        return list(batch.values())

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self.welcome.heartbeat_period_millis / 1000)
            if not self.is_silent:
                await self.beat("OK")

    async def beat(self, engine_status: str, reason: str = "") -> None:
        """Says how its engine is."""
        engine = pb.Heartbeat(engine_status=engine_status, engine_status_reason=reason)
        engine.sequence = self.beats = self.beats + 1
        self.unheard_since = self.unheard_since or time.monotonic()
        await self._write(pb.AgentMessage(heartbeat=engine))

    async def say(self, message: pb.AgentMessage) -> None:
        """Whatever the test wants said."""
        await self._write(message)

    async def _write(self, message: pb.AgentMessage) -> None:
        async with self._writing:
            await self.call.write(message)

    async def _attach(self, request: pb.CommandRequest) -> None:
        """A command that says all it is told, and exits with 7 when its input ends."""
        call = self._stub.AttachCommand()
        taken_bytes = 0

        async def say(**output: Any) -> None:
            await call.write(pb.AttachedOutput(output=command_pb2.CommandOutput(**output)))

        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            await call.write(pb.AttachedOutput(request_id=request.request_id))
            await say(started=command_pb2.CommandStarted(container=request.start.container))
            while isinstance(heard := await call.read(), command_pb2.CommandInput):
                kind = heard.WhichOneof("kind")
                if kind == "stdin" and self.command_takes:
                    taken_bytes += len(heard.stdin)
                    await say(stdout=heard.stdin)
                    await say(stdin_taken=taken_bytes)
                elif kind == "signal":
                    await say(stderr=heard.signal.encode())
                elif kind == "stdin_end" and self.command_takes:
                    await say(exit_code=7)
        self.commands_ended += 1
        self._wake()

    async def _send_pull(self, request: image_pb2.PullRequest) -> None:
        call = self._stub.SendPull()
        try:
            await call.write(image_pb2.PullProgress(request_id=request.request_id))
            for said in self.pull_says:
                await call.write(said)
            while not (self.pull_says and self.pull_says[-1].HasField("outcome")):
                await call.write(image_pb2.PullProgress())
                await asyncio.sleep(0.02)
            await call.done_writing()
            await call
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            self.pulls_left += 1
            self._wake()
        finally:
            call.cancel()

    async def _send_logs(self, request: pb.LogRequest) -> None:
        call = self._stub.SendLogs()
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            await call.write(pb.LogChunk(request_id=request.request_id, events=self.logs))
            await call.write(pb.LogChunk(last=self.log_error is None, error=self.log_error))
            await call.done_writing()
            await call
