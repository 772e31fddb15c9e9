"""An event loop of asyncio without threads, sockets or a clock of its own: time jumps to the next timer.

Everything that runs belongs to a process of the simulation, known by the context it was started in. A process can be
held (its callbacks wait, its timers ring late) and it can be killed: then not one more line of it runs, no `finally`
either.
"""

import asyncio
import heapq
import itertools
import socket
import sys
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar, copy_context
from typing import Any

CALLS_PER_MOMENT_MAX = 200_000
_RESOLUTION_SECONDS = 1e-7


class Stuck(Exception):  # noqa: N818 - reads as what it says
    """Nothing will ever happen again, or too much at once."""


class Process:
    """One run of a program. `skew_seconds`: what its wall clock is ahead. `thread_of`: it shares that one's death, but
    not its blocked event loop."""

    def __init__(self, host: str, skew_seconds: float = 0.0, thread_of: "Process | None" = None) -> None:
        self.host = host
        self.skew_seconds = skew_seconds
        self.killed = False
        self.held = False
        self.went_on_at = -1.0  # when it was last let go
        self.host_gone = False  # at its death: nobody closes its connections
        self.waiting: list[asyncio.Handle] = []  # what is to be done once it goes on
        self.tasks: list[asyncio.Task[Any]] = []  # not to be collected before the end of the simulation
        self.calls = 0
        self.die_at_call: int | None = None
        self.on_death: list[Callable[[], None]] = []
        self.threads: list[Process] = []
        if thread_of is not None:
            thread_of.threads.append(self)
        self.context = copy_context()
        self.context.run(CURRENT.set, self)

    def kill(self) -> None:
        if self.killed:
            return
        self.killed = True
        self.waiting.clear()
        for thread in self.threads:
            thread.kill()
        for tell in self.on_death:
            tell()


CURRENT: ContextVar[Process | None] = ContextVar("process", default=None)


class _Task(asyncio.Task):  # type: ignore[type-arg]
    """Sets of tasks are walked through in the same order in every run."""

    def __hash__(self) -> int:
        return self.number  # type: ignore[attr-defined, no-any-return]


class _Future(asyncio.Future):  # type: ignore[type-arg]
    def __hash__(self) -> int:
        return self.number  # type: ignore[attr-defined, no-any-return]


class VirtualLoop(asyncio.BaseEventLoop):
    """`faults` holds what nobody caught."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.over = False
        self.faults: list[str] = []
        self._numbers = itertools.count(1)
        self._calls_now = 0
        self.set_exception_handler(self._note_fault)

    def time(self) -> float:
        return self.now

    def create_future(self) -> "asyncio.Future[Any]":
        future = _Future(loop=self)
        future.number = next(self._numbers)  # type: ignore[attr-defined]
        return future

    def create_task(  # type: ignore[override]
        self, coro: Coroutine[Any, Any, Any], *, name: str | None = None, context: Context | None = None
    ) -> "asyncio.Task[Any]":
        process = context.get(CURRENT) if context is not None else CURRENT.get()
        task = _Task.__new__(_Task)
        task.number = next(self._numbers)  # type: ignore[attr-defined]
        task.__init__(coro, loop=self, name=name or f"task {task.number}", context=context)  # type: ignore[misc, attr-defined]
        if process is not None:
            process.tasks.append(task)
        return task

    def start(self, process: Process, coro: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
        return self.create_task(coro, context=process.context)

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> "asyncio.Future[Any]":  # type: ignore[override]
        """A thread's work is done at once, a little later."""
        done = self.create_future()

        def work() -> None:
            try:
                result = func(*args)
            except Exception as error:
                if not done.done():
                    done.set_exception(error)
            else:
                if not done.done():
                    done.set_result(result)

        self.call_later(0.0005, work)
        return done

    async def getaddrinfo(self, host: Any, port: Any, **_: Any) -> Any:
        """This machine's name servers know nothing of the hosts here, and would be asked in real time."""
        raise socket.gaierror(socket.EAI_NONAME, f"no address of {host}:{port}")

    def hold(self, process: Process) -> None:
        process.held = True

    def go_on(self, process: Process) -> None:
        if not process.held:
            return
        process.held, process.went_on_at = False, self.now
        self._ready.extend(process.waiting)  # type: ignore[attr-defined]
        process.waiting.clear()

    def run_until(self, task: "asyncio.Future[Any]") -> None:
        """Until it is done. Raises Stuck, and what it raised."""
        hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(finalizer=self._close_generator)
        asyncio.events._set_running_loop(self)
        try:
            while not task.done():
                self._run_once()
        finally:
            asyncio.events._set_running_loop(None)
            sys.set_asyncgen_hooks(*hooks)
        task.result()

    def _run_once(self) -> None:
        if not self._ready:  # type: ignore[attr-defined]
            self._advance()
        end = self.now + _RESOLUTION_SECONDS
        scheduled: list[asyncio.TimerHandle] = self._scheduled  # type: ignore[attr-defined]
        while scheduled and scheduled[0].when() <= end:
            handle = heapq.heappop(scheduled)
            handle._scheduled = False  # type: ignore[attr-defined]
            if not handle.cancelled():
                self._ready.append(handle)  # type: ignore[attr-defined]
        for _ in range(len(self._ready)):  # type: ignore[attr-defined]
            self._do(self._ready.popleft())  # type: ignore[attr-defined]

    def _advance(self) -> None:
        scheduled: list[asyncio.TimerHandle] = self._scheduled  # type: ignore[attr-defined]
        while scheduled and scheduled[0].cancelled():
            heapq.heappop(scheduled)._scheduled = False  # type: ignore[attr-defined]
        if not scheduled:
            raise Stuck("nothing is left to be done")
        if scheduled[0].when() > self.now:
            self.now = scheduled[0].when()
            self._calls_now = 0

    def _do(self, handle: asyncio.Handle) -> None:
        if handle.cancelled():
            return
        process: Process | None = handle._context.get(CURRENT)  # type: ignore[attr-defined]
        if process is not None:
            if process.killed:
                return
            if process.held:
                process.waiting.append(handle)
                return
            process.calls += 1
            if process.die_at_call is not None and process.calls >= process.die_at_call:
                process.kill()
                return
        self._calls_now += 1
        if self._calls_now > CALLS_PER_MOMENT_MAX:
            raise Stuck(f"no time passes any more: {handle!r}")
        handle._run()

    def _close_generator(self, generator: Any) -> None:
        if not self.over:
            self.call_soon(self.create_task, generator.aclose())

    def add_signal_handler(self, sig: int, callback: Callable[..., object], *args: Any) -> None:  # type: ignore[override]
        """Processes of a simulation are killed, not asked."""

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """It is passed over when its time comes."""

    def _write_to_self(self) -> None:
        pass

    def _note_fault(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if not self.over:
            error = context.get("exception")
            self.faults.append(f"{context['message']}: {error!r}")
