"""Executes a command in a container for a caller: a stream of its own, opened by the agent, joins the two.

The stream is always read at once, so that the caller's end, a signal or a new size never waits for a command that does
not read its input; what may be sent ahead of it is bounded by the contract. Output is read from the engine only as
fast as the caller takes it. When the stream breaks the command is ended.
"""

import asyncio
import logging
from collections import deque
from typing import TypeAlias

import grpc
from google.rpc import status_pb2
from shoal.v1 import agent_pb2, agent_pb2_grpc
from shoal.v1 import command_pb2 as pb

from shoal_agent.engine.port import CannotExecute, Command, ContainerGone, EngineError, Execution, Piece
from shoal_agent.life.case import Surroundings
from shoal_agent.task import RUNNING
from shoal_agent.worker import Worker

log = logging.getLogger(__name__)

COMMANDS_MAX = 32
PIECE_BYTES_MAX = 64 * 1024
GOODBYE_SECONDS = 10.0

_Call: TypeAlias = grpc.aio.StreamStreamCall[agent_pb2.AttachedOutput, pb.CommandInput]


class CallerGone(Exception):  # noqa: N818 - reads as what it says
    """The other end of the stream."""


class Commands:
    """`close` waits until what was left running has been ended."""

    def __init__(self, around: Surroundings, worker: Worker) -> None:
        self._around = around
        self._worker = worker
        self._open = 0
        self._endings: set[asyncio.Task[None]] = set()

    async def run(self, stub: "agent_pb2_grpc.AgentSessionAsyncStub", wanted: agent_pb2.CommandRequest) -> None:
        """From the opening of the stream to its end; faults are told in it, or logged if it breaks."""
        call = stub.AttachCommand()
        self._open += 1
        try:
            await call.write(agent_pb2.AttachedOutput(request_id=wanted.request_id))
            await self._serve(call, wanted)
        except* (CallerGone, grpc.aio.AioRpcError, asyncio.InvalidStateError) as group:
            log.info("command broke off request=%s reason=%s", wanted.request_id, group.exceptions[0])
        except* Exception:  # a fault of ours ends this command, never the session
            log.exception("command stumbled request=%s", wanted.request_id)
        finally:
            self._open -= 1
            call.cancel()

    async def end_left(self) -> None:
        """What an agent of this instance executed that was killed: nobody is there to whom it would speak. Needs the
        engine up."""
        try:
            for found in await self._around.engine.containers(self._around.owner.labels):
                if found.state == "running":
                    await self._around.engine.end_executions(found.container_id)
        except EngineError as error:
            log.warning("commands may be left running reason=%s", error.message)

    async def close(self) -> None:
        await asyncio.gather(*self._endings)

    async def _serve(self, call: "_Call", wanted: agent_pb2.CommandRequest) -> None:
        caller = _Caller(call)
        try:
            execution = await self._begin(wanted.start)
        except EngineError as error:
            await caller.say_last(pb.CommandOutput(error=_why_not(error)))
            async with asyncio.timeout(GOODBYE_SECONDS):
                await caller.heard_all()
            return
        log.info("command began request=%s task=%s", wanted.request_id, wanted.start.task)
        try:
            await _join(caller, execution, wanted.start.container)
        finally:
            # It outlives this stream, and the session.
            ending = asyncio.create_task(_end(execution, wanted.request_id))
            self._endings.add(ending)
            ending.add_done_callback(self._endings.discard)

    async def _begin(self, start: pb.ExecuteCommandStart) -> Execution:
        """Raises EngineError."""
        if self._open > COMMANDS_MAX:
            raise TooMany(f"{COMMANDS_MAX} commands are being executed on this instance: end one of them")
        lane = self._worker.lane(start.task)
        seen = lane.seen(start.container) if lane is not None and not lane.is_internal(start.container) else None
        if seen is None or seen.status != RUNNING or not seen.runtime_id:
            raise ContainerGone(f"the container {start.container!r} of this task does not run any more")
        command = Command(tuple(start.command), start.tty, start.interactive, (start.size.rows, start.size.columns))
        # Nobody may be left who could end it: whoever is cancelled here waits for its beginning first.
        beginning = asyncio.ensure_future(self._around.engine.execute(seen.runtime_id, command))
        try:
            return await asyncio.shield(beginning)
        except asyncio.CancelledError:
            self._endings.add(ending := asyncio.create_task(_end_begun(beginning)))
            ending.add_done_callback(self._endings.discard)
            raise


class TooMany(EngineError):  # noqa: N818 - reads as what it says
    """An instance serves a bounded number of callers."""


class _Caller:
    """The stream's other end, to whom several tell things. Who is cancelled while it says or hears something ends
    the whole stream: such is the transport."""

    def __init__(self, call: "_Call") -> None:
        self._call = call
        self._writing = asyncio.Lock()
        self.knows_all = False

    async def say(self, output: pb.CommandOutput) -> None:
        async with self._writing:
            await self._call.write(agent_pb2.AttachedOutput(output=output))

    async def hear(self) -> pb.CommandInput | None:
        message = await self._call.read()
        return message if isinstance(message, pb.CommandInput) else None

    async def say_last(self, output: pb.CommandOutput) -> None:
        """The scheduler ends the stream when it has this."""
        await self.say(output)
        self.knows_all = True
        await self._call.done_writing()

    async def heard_all(self) -> None:
        while await self.hear() is not None:
            pass


class _Inputs:
    """What was heard and waits for the command. Of sizes only the newest counts, and of equal signals one."""

    def __init__(self) -> None:
        self.stdin: deque[bytes | None] = deque()  # None is its end
        self.size: pb.TerminalSize | None = None
        self.signals: dict[str, None] = {}
        self.fed, self.told = asyncio.Event(), asyncio.Event()

    def put(self, message: pb.CommandInput) -> None:
        match message.WhichOneof("kind"):
            case "stdin":
                self.stdin.append(message.stdin)
            case "stdin_end":
                self.stdin.append(None)
            case "resize":
                self.size = message.resize
            case "signal":
                self.signals[message.signal] = None
        self.fed.set()
        self.told.set()


async def _join(caller: _Caller, execution: Execution, container: str) -> None:
    """Until the command has ended and the caller knows."""
    inputs = _Inputs()
    async with asyncio.TaskGroup() as group:
        hearing = group.create_task(_hear(caller, inputs))
        beside = [
            group.create_task(_feed(caller, execution, inputs)),
            group.create_task(_control(execution, inputs)),
        ]
        await caller.say(pb.CommandOutput(started=pb.CommandStarted(container=container)))
        try:
            while (piece := await execution.read()) is not None:
                for output in _outputs(piece):
                    await caller.say(output)
            last = pb.CommandOutput(exit_code=await execution.exit_code())
        except EngineError as error:
            last = pb.CommandOutput(error=_why_not(error))
        for each in beside:
            each.cancel()
        await asyncio.wait(beside)
        await caller.say_last(last)
        async with asyncio.timeout(GOODBYE_SECONDS):
            await asyncio.wait({hearing})


async def _hear(caller: _Caller, inputs: _Inputs) -> None:
    while (message := await caller.hear()) is not None:
        inputs.put(message)
    if not caller.knows_all:
        raise CallerGone("the stream ended before the command")


async def _feed(caller: _Caller, execution: Execution, inputs: _Inputs) -> None:
    taken_bytes = 0
    while True:
        while not inputs.stdin:
            inputs.fed.clear()
            await inputs.fed.wait()
        data = inputs.stdin.popleft()
        if data is None:
            await execution.end_input()
            continue
        await execution.write(data)
        taken_bytes += len(data)
        await asyncio.shield(caller.say(pb.CommandOutput(stdin_taken=taken_bytes)))


async def _control(execution: Execution, inputs: _Inputs) -> None:
    while True:
        await inputs.told.wait()
        inputs.told.clear()
        size, inputs.size = inputs.size, None
        signals, inputs.signals = inputs.signals, {}
        try:
            if size is not None and size.rows and size.columns:
                await execution.resize(size.rows, size.columns)
            for name in signals:
                await execution.signal(name)
        except EngineError as error:  # it may just have ended
            log.info("command not told reason=%s", error.message)


def _outputs(piece: Piece) -> list[pb.CommandOutput]:
    parts = [piece.data[at : at + PIECE_BYTES_MAX] for at in range(0, len(piece.data), PIECE_BYTES_MAX)]
    return [pb.CommandOutput(**{piece.stream: part}) for part in parts]  # type: ignore[arg-type]


async def _end_begun(beginning: "asyncio.Future[Execution]") -> None:
    try:
        execution = await beginning
    except EngineError:
        return
    await _end(execution, "")


async def _end(execution: Execution, request_id: str) -> None:
    try:
        await execution.end()
    except EngineError as error:
        log.warning("command may be left running request=%s reason=%s", request_id, error.message)


def _why_not(error: EngineError) -> status_pb2.Status:
    codes: dict[type[EngineError], grpc.StatusCode] = {
        TooMany: grpc.StatusCode.RESOURCE_EXHAUSTED,
        ContainerGone: grpc.StatusCode.NOT_FOUND,
        CannotExecute: grpc.StatusCode.FAILED_PRECONDITION,
    }
    code = codes.get(type(error), grpc.StatusCode.UNAVAILABLE)
    return status_pb2.Status(code=code.value[0], message=f"The command cannot be executed: {error.message}.")
