"""What each connected agent is still to be told: only which tasks changed, never copies of them.

A session takes its outbox and reads the tables for the newest state, so a slow reader costs no memory and old
news is never sent. What comes while it sends is sent together.
"""

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from shoal_scheduler.control.services.drain import is_draining
from shoal_scheduler.model.instance import Instance
from shoal_scheduler.model.interruption import Interruption
from shoal_scheduler.model.refusal import Refused
from shoal_scheduler.model.task import Task, TaskKey
from shoal_scheduler.state import changes as c

# Who was just told of tasks hears of the next ones a little later, and then of all of them: a message costs about as
# much for one task as for ten, and a start takes far longer.
PAUSE_SECONDS = 0.05

# An acknowledgement only lets the agent forget its reports: it may come a little later, and then covers more of them.
ACKNOWLEDGE_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class LogsWanted:
    """The agent is to open a stream with this id and send the logs of the task. `since` in milliseconds."""

    request_id: str
    task: str
    container: str = ""
    follow: bool = False
    since: int | None = None
    tail: int | None = None
    after: str = ""


@dataclass(frozen=True, slots=True)
class CommandWanted:
    """The agent is to open a stream with this id and run the command. `size`: rows and columns of the terminal."""

    request_id: str
    task: str
    container: str
    command: tuple[str, ...]
    tty: bool
    interactive: bool
    size: tuple[int, int]


@dataclass(frozen=True, slots=True)
class PullWanted:
    """The agent is to open a stream with this id, and to see that its engine has the image. In the `background` it
    goes on when the stream ends."""

    request_id: str
    image: str
    background: bool


@dataclass(slots=True)
class News:
    """What one session is to say next, in this order. Nothing of it if it is None or empty."""

    # The tasks that changed; with `everything` all there are, whether they changed or not.
    keys: dict[TaskKey, None] = field(default_factory=dict)
    everything: bool = False

    # Ids of tasks that are none of this instance's.
    unknown: list[str] = field(default_factory=list)

    # All messages of reports up to this one are committed.
    acknowledged: int | None = None

    # This heartbeat, and all before it, were heard while this process led.
    heartbeat: int | None = None

    # Whether the host is interrupted, or is no more.
    interruption: bool = False
    log_requests: list[LogsWanted] = field(default_factory=list)
    command_requests: list[CommandWanted] = field(default_factory=list)
    pull_requests: list[PullWanted] = field(default_factory=list)


class Outbox:
    """The news of one session. `closed` ends the session."""

    def __init__(self) -> None:
        self._news = News()
        self._ready = asyncio.Event()
        self._taken = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._quiet_until = 0.0
        self._waking: asyncio.TimerHandle | None = None

        # Reports that are committed and not yet acknowledged: the newest message of them, and how many.
        self._acknowledged: int | None = None
        self._acknowledging: asyncio.TimerHandle | None = None
        self.unacknowledged = 0
        self.closed = False

        # Which run of the agent's program this is, and when it last said something.
        self.run = ""
        self.heard_at = 0.0

        # What the agent was last told of its host's interruption.
        self.interruption: Interruption | None = None

    def put(self, key: TaskKey) -> None:
        self._news.keys[key] = None
        if self._loop.time() >= self._quiet_until:
            self._ready.set()
        elif self._waking is None:
            self._waking = self._loop.call_at(self._quiet_until, self._wake)

    def _wake(self) -> None:
        self._waking = None
        self._ready.set()

    def put_everything(self) -> None:
        self._news.everything = True
        self._ready.set()

    def answer(self, acknowledged: int, unknown: Sequence[str]) -> None:
        """All messages of reports up to this one are committed; these tasks in it are none of the instance's."""
        self._acknowledged = acknowledged
        self.unacknowledged += 1
        if unknown:
            self._news.unknown.extend(unknown)
            self._acknowledge()
        elif self._acknowledging is None:
            self._acknowledging = self._loop.call_later(ACKNOWLEDGE_SECONDS, self._acknowledge)

    def hear(self, heartbeat: int) -> None:
        self._news.heartbeat = heartbeat
        self._ready.set()

    def tell_interruption(self) -> None:
        """As it is recorded now."""
        self._news.interruption = True
        self._ready.set()

    def _acknowledge(self) -> None:
        if self._acknowledging is not None:
            self._acknowledging.cancel()
            self._acknowledging = None
        self._news.acknowledged = self._acknowledged
        self._ready.set()

    def ask_logs(self, request: LogsWanted) -> None:
        self._news.log_requests.append(request)
        self._ready.set()

    def ask_command(self, request: CommandWanted) -> None:
        self._news.command_requests.append(request)
        self._ready.set()

    def ask_pull(self, request: PullWanted) -> None:
        self._news.pull_requests.append(request)
        self._ready.set()

    def close(self) -> None:
        self.closed = True
        self._ready.set()

    async def room(self, unacknowledged_max: int) -> None:
        """Until fewer messages of reports than that wait for their acknowledgement to be taken."""
        while self.unacknowledged >= unacknowledged_max:
            self._taken.clear()
            await self._taken.wait()

    async def take(self) -> News | None:
        """All that came since the last call, once there is something. None is the end."""
        if not self._ready.is_set():
            await self._ready.wait()
        if self.closed:
            return None
        self._ready.clear()
        news, self._news = self._news, News()
        if news.keys:
            self._quiet_until = self._loop.time() + PAUSE_SECONDS
        if news.acknowledged is not None:
            self.unacknowledged = 0
            self._taken.set()
        return news


class _Call:
    """A task that answers an agent, and why it was cut short."""

    def __init__(self, task: "asyncio.Task[object] | None") -> None:
        assert task is not None
        self._task = task
        self._why = ""

    def cut(self, why: str) -> None:
        if not self._why:
            self._why = why
            self._task.cancel()

    def raise_cut(self) -> None:
        """Raises Refused if it was."""
        if self._why:
            self._task.uncancel()
            raise Refused("denied", self._why, reason="AccessDeniedException") from None


class Dispatch:
    def __init__(self) -> None:
        self._outboxes: dict[str, Outbox] = {}

        # Of the last session of an instance that ended: which run of the agent's program it was, and when.
        self.left: dict[str, tuple[str, float]] = {}
        self._calls: dict[str, set[_Call]] = {}

        # Until when the certificate by which an instance's agent last called is good, in seconds since 1970.
        self.certificate_ends: dict[str, float] = {}

    @contextlib.contextmanager
    def call_of(self, instance: str, certificate_end: float, now: float) -> Iterator[None]:
        """While the running task answers a call of this instance's agent. Raises Refused when the certificate has run
        out, or the agent's identity is revoked. Times in seconds since 1970."""
        call = _Call(asyncio.current_task())
        calls = self._calls.setdefault(instance, set())
        calls.add(call)
        self.certificate_ends[instance] = certificate_end
        runs_out = asyncio.get_running_loop().call_later(
            max(0.0, certificate_end - now), call.cut, "The certificate has run out."
        )
        try:
            yield
        except asyncio.CancelledError:
            call.raise_cut()
            raise
        finally:
            runs_out.cancel()
            calls.discard(call)
            if not calls:
                self._calls.pop(instance, None)
                self.certificate_ends.pop(instance, None)

    def outbox(self, instance: str) -> Outbox | None:
        return self._outboxes.get(instance)

    def attach(self, instance: str) -> Outbox:
        """A session starts: an earlier one of the same instance ends."""
        self.close(instance)
        self._outboxes[instance] = Outbox()
        return self._outboxes[instance]

    def detach(self, instance: str, outbox: Outbox) -> None:
        if self._outboxes.get(instance) is outbox:
            del self._outboxes[instance]
        self.left[instance] = outbox.run, asyncio.get_running_loop().time()

    def close(self, instance: str) -> None:
        if earlier := self._outboxes.pop(instance, None):
            earlier.close()

    def ask_logs(self, instance: str, request: LogsWanted) -> None:
        """Of a connected instance."""
        if outbox := self._outboxes.get(instance):
            outbox.ask_logs(request)

    def ask_command(self, instance: str, request: CommandWanted) -> None:
        """Of a connected instance."""
        if outbox := self._outboxes.get(instance):
            outbox.ask_command(request)

    def ask_pull(self, instance: str, request: PullWanted) -> None:
        """Of a connected instance."""
        if outbox := self._outboxes.get(instance):
            outbox.ask_pull(request)

    def close_all(self) -> None:
        for instance in list(self._outboxes):
            self.close(instance)

    def on_commit(self, changes: Sequence[c.Change]) -> None:
        for change in changes:
            match change:
                case c.PutTask(task) if task.instance in self._outboxes and _concerns_agent(task):
                    self._outboxes[task.instance].put(task.key)
                case c.PutInstance(instance):
                    self._on_instance(instance)
                case c.SetSession(instance_id, 0):
                    self.close(instance_id)

    def _on_instance(self, instance: Instance) -> None:
        if instance.revoked_at:
            for call in self._calls.get(instance.id, ()):
                call.cut(f"The identity of instance {instance.id} was revoked.")
        outbox = self._outboxes.get(instance.id)
        if outbox is not None and instance.interruption != outbox.interruption:
            outbox.tell_interruption()


def _concerns_agent(task: Task) -> bool:
    """A new assignment, or the wish to stop; what the agent itself reported is no news to it, nor is it told while
    requests to the task end."""
    return not task.fence or (task.desired_status == "STOPPED" and not task.is_stopped and not is_draining(task))
