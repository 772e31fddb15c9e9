"""The network between hosts: who reaches whom, how long it takes, and streams that break.

A stream is TCP's: what arrives, arrives once and in order; what is lost is sent again, later; what was under way when
the stream broke may have arrived or not. Requests that stand alone (clients, etcd) may be lost or come late, so that
whoever repeats them makes them twice.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from tests.simulation.clock import Clock
from tests.simulation.lives import Future, Life, life

# gRPC asks for a sign of life after 10 s of silence and gives up after 5 s more: both sides, whatever they do.
KEEPALIVE_SECONDS = (10.0, 15.0)
RETRANSMIT_SECONDS = 0.25


class StreamEnded(Exception):  # noqa: N818 - reads as what it says
    pass


@dataclass(frozen=True, slots=True)
class _End:
    """The last message of one side."""

    why: str
    told: Any = None


class Network:
    """`loss`, `slow` and `reset` are chances for each message."""

    def __init__(self, clock: Clock, rng: Random) -> None:
        self.clock = clock
        self.rng = rng
        self.loss = 0.0
        self.slow = 0.0
        self.reset = 0.0
        self._cuts: dict[tuple[str, str], float] = {}
        self._streams: dict[Stream, None] = {}

    def cut(self, sender: str, receiver: str) -> None:
        self._cuts.setdefault((sender, receiver), self.clock.now)
        for stream in list(self._streams):
            if {sender, receiver} == {stream.near.host, stream.far.host}:
                for end in (stream.near, stream.far):
                    self.clock.after(self.rng.uniform(*KEEPALIVE_SECONDS), self._look_alive, end, self.clock.now)

    def mend(self, sender: str, receiver: str) -> None:
        self._cuts.pop((sender, receiver), None)

    def mend_all(self) -> None:
        self._cuts.clear()
        self.loss = self.slow = self.reset = 0.0

    def reaches(self, sender: str, receiver: str) -> bool:
        return (sender, receiver) not in self._cuts

    def fall_silent(self, host: str, is_silent: Callable[[], bool]) -> None:
        """Its processes do not answer any more, though nothing is cut: each other side finds that out for itself."""

        def look(end: End) -> None:
            if is_silent():
                end.end("keepalive")

        for stream in list(self._streams):
            for end in (stream.near, stream.far):
                if stream.other(end).host == host:
                    self.clock.after(self.rng.uniform(*KEEPALIVE_SECONDS), look, end)

    def _look_alive(self, end: "End", since: float) -> None:
        """One side finds out what the other may not know yet."""
        one, other = end.host, end.stream.other(end).host
        cuts = [self._cuts[pair] for pair in ((one, other), (other, one)) if pair in self._cuts]
        if any(cut <= since for cut in cuts):
            end.end("keepalive")

    def delay(self) -> float:
        """Of one message: mostly short, now and then long, and what is lost takes as long as being sent again."""
        seconds = self.rng.uniform(0.0005, 0.004)
        if self.slow and self.rng.random() < self.slow:
            seconds += min(30.0, self.rng.lognormvariate(0.0, 1.2))
        pause = RETRANSMIT_SECONDS
        while self.loss and self.rng.random() < self.loss and pause < 30:
            seconds, pause = seconds + pause, pause * 2
        return seconds

    def connect(self, host: str, to: str, accept: Callable[["End"], None] | None) -> "End":
        """`accept` takes the other end, once it is reached; without it the port is closed."""
        stream = Stream(self, host, to)
        self._streams[stream] = None
        self.clock.after(self.delay(), self._arrive, stream, accept)
        return stream.near

    def _arrive(self, stream: "Stream", accept: Callable[["End"], None] | None) -> None:
        if not self.reaches(stream.near.host, stream.far.host) or not self.reaches(stream.far.host, stream.near.host):
            return  # it waits for the one who asked to lose patience
        if accept is None:
            stream.break_off("connection refused")
        elif not stream.near.ended:
            accept(stream.far)

    def forget(self, stream: "Stream") -> None:
        self._streams.pop(stream, None)

    def host_dies(self, host: str, *, silently: bool) -> None:
        """All streams of its processes break; `silently` nobody is told and keepalive has to find out."""
        for stream in list(self._streams):
            for end in (stream.near, stream.far):
                if end.host == host and not silently:
                    stream.break_off("connection reset")
                elif end.host == host:
                    self.clock.after(self.rng.uniform(*KEEPALIVE_SECONDS), stream.break_off, "keepalive")
                    stream.silent = True


class End:
    """One side of a stream: `write`, and `read` what the other side wrote."""

    def __init__(self, stream: "Stream", host: str) -> None:
        self.stream = stream
        self.host = host
        self.owner: Life | None = None
        self.ended = ""
        self.told: Any = None  # what the other side said as it ended the stream
        self.arrives = 0.0
        self.under_way: deque[Any] = deque()
        self._inbox: deque[Any] = deque()
        self._reader: Future | None = None

    def write(self, message: Any) -> None:
        if self.ended:
            raise StreamEnded(self.ended)
        self.stream.send(self, message)

    async def read(self) -> Any:
        """Raises StreamEnded."""
        while not self._inbox:
            if self.ended:
                raise StreamEnded(self.ended)
            self._reader = Future(life())
            await self._reader
        return self._inbox.popleft()

    def close(self, why: str = "closed by the other side", told: Any = None) -> None:
        """What was written before still arrives. Nothing can be said where this side is broken off already."""
        if self.ended:
            return
        self.end("closed here")
        self.stream.send(self, _End(why, told))

    def take(self, message: Any) -> None:
        if not self.ended:
            self._inbox.append(message)
            self._wake()

    def end(self, why: str) -> None:
        if not self.ended:
            self.ended = why
            self._wake()

    def _wake(self) -> None:
        if self._reader is not None:
            reader, self._reader = self._reader, None
            reader.set_result(None)


class Stream:
    def __init__(self, network: Network, host: str, to: str) -> None:
        self.network = network
        self.near = End(self, host)
        self.far = End(self, to)
        self.silent = False

    def other(self, end: End) -> End:
        return self.far if end is self.near else self.near

    def send(self, sender: End, message: Any) -> None:
        network, receiver = self.network, self.other(sender)
        if network.reset and network.rng.random() < network.reset:
            self._break_at_once(sender, network.rng)
        receiver.arrives = max(receiver.arrives, network.clock.now + network.delay())
        receiver.under_way.append(message)
        network.clock.at(receiver.arrives, self._deliver, sender, receiver)

    def _break_at_once(self, sender: End, rng: Random) -> None:
        """Before or after the message; and sometimes for one side only, until the other finds it silent."""
        clock, arrives_first = self.network.clock, rng.random() < 0.5
        if rng.random() < 0.6:
            clock.after(0.002 if arrives_first else 0.0, self.break_off, "connection reset")
        else:
            clock.after(0.002 if arrives_first else 0.0, sender.end, "connection reset")
            clock.after(rng.uniform(*KEEPALIVE_SECONDS), self.break_off, "keepalive")

    def _deliver(self, sender: End, receiver: End) -> None:
        """One message, the first that is under way. On a link that is cut it is sent again and again."""
        if self.silent or receiver.ended not in ("", "keepalive"):
            return
        if not self.network.reaches(sender.host, receiver.host):
            self.network.clock.after(RETRANSMIT_SECONDS, self._deliver, sender, receiver)
            return
        if receiver.ended:  # who gave the other side up as silent answers what still comes with a reset
            sender.end("connection reset")
            return
        message = receiver.under_way.popleft()
        if isinstance(message, _End):
            receiver.told = message.told
            receiver.end(message.why)
            self.network.forget(self)
        else:
            receiver.take(message)

    def break_off(self, why: str) -> None:
        self.near.end(why)
        self.far.end(why)
        self.network.forget(self)
