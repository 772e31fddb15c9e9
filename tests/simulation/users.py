"""Users: they run, stop, drain and deregister, and repeat what was not answered. Stands for shoal.client's unary call:
one scheduler after another until the deadline, the same client token in every try."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from shoal_scheduler.control import inputs as i
from shoal_scheduler.engine import Unavailable
from shoal_scheduler.model.refusal import Refused

from tests.simulation.clock import Clock
from tests.simulation.network import Network
from tests.simulation.scheduler import Scheduler

HOST = "user"
DEADLINE_SECONDS = 30.0
PATIENCE_SECONDS = (1.0, 15.0)
BACKOFF_SECONDS = (0.05, 1.0)


@dataclass
class Ledger:
    """What users were told. `launches`: by submission, the ids of its tasks."""

    launches: dict[str, tuple[str, ...]] = field(default_factory=dict)
    stopped: dict[str, None] = field(default_factory=dict)
    forced: dict[str, None] = field(default_factory=dict)
    refused: int = 0
    unanswered: int = 0
    under_way: int = 0


class Users:
    def __init__(self, clock: Clock, network: Network, schedulers: Sequence[Scheduler], rng: Random) -> None:
        self.clock, self.network, self.schedulers, self.rng = clock, network, schedulers, rng
        self.ledger = Ledger()
        self.repeats = 0.0
        self.on_answer: Callable[[i.Input, Any], None] = lambda _request, _reply: None
        self.on_silence: Callable[[i.Input], None] = lambda _request: None
        self._at = 0
        self._submissions = 0

    def run(self, family: str, count: int, *, queue: bool, on_disconnect: str = "") -> None:
        self._submissions += 1
        name = f"submission-{self._submissions}"
        request = i.RunTask(
            cluster="default",
            definition=family,
            count=count,
            queue=queue,
            on_disconnect=on_disconnect,
            started_by=name,
            client_token=name,
            request_digest=f"{family} {count}",
        )
        self.ask(request)

    def ask(self, request: i.Input) -> None:
        self.ledger.under_way += 1
        _Request(self, request, self.clock.now + DEADLINE_SECONDS).attempt()

    def answered(self, request: i.Input, reply: Any) -> None:
        """For good: with a reply, a refusal, or None if the deadline came first."""
        self.ledger.under_way -= 1
        if isinstance(reply, Refused):
            self.ledger.refused += 1
        elif reply is None:
            self.ledger.unanswered += 1
            self.on_silence(request)
        else:
            self._note(request, reply)
            self.on_answer(request, reply)

    def _note(self, request: i.Input, reply: Any) -> None:
        match request:
            case i.RunTask() if reply.launch is not None:
                self.ledger.launches[request.started_by] = tuple(task.id for task in reply.tasks)
            case i.StopTask():
                self.ledger.stopped[request.task] = None

    def next_endpoint(self, failed: Scheduler | None) -> Scheduler:
        if failed is not None and failed is self.schedulers[self._at % len(self.schedulers)]:
            self._at += 1
        return self.schedulers[self._at % len(self.schedulers)]


class _Request:
    def __init__(self, users: Users, request: i.Input, deadline: float) -> None:
        self.users, self.request, self.deadline = users, request, deadline
        self.tries = 0
        self.over = False

    def attempt(self) -> None:
        users = self.users
        if self.over:
            return
        if users.clock.now >= self.deadline:
            self.over = True
            users.answered(self.request, None)
            return
        self.tries += 1
        number, scheduler = self.tries, users.next_endpoint(None)
        request = to_send(self.request, number)
        again = 2 if users.repeats and users.rng.random() < users.repeats else 1
        for _ in range(again):
            users.clock.after(users.network.delay(), self._arrive, scheduler, request, number)
        patience = min(users.rng.uniform(*PATIENCE_SECONDS), self.deadline - users.clock.now)
        users.clock.after(patience, self._give_up, scheduler, number)

    def _arrive(self, scheduler: Scheduler, request: i.Input, number: int) -> None:
        users = self.users
        if users.network.reaches(HOST, scheduler.name):

            def answer(reply: Any, error: Exception | None) -> None:
                users.clock.after(users.network.delay(), self._hear, scheduler, number, reply, error)

            scheduler.ask(request, answer)

    def _hear(self, scheduler: Scheduler, number: int, reply: Any, error: Exception | None) -> None:
        if self.over or number != self.tries or not self.users.network.reaches(scheduler.name, HOST):
            return
        if isinstance(error, Unavailable):
            self._again(scheduler)
            return
        self.over = True
        self.users.answered(self.request, error if error is not None else reply)

    def _give_up(self, scheduler: Scheduler, number: int) -> None:
        if not self.over and number == self.tries:
            self._again(scheduler)

    def _again(self, scheduler: Scheduler) -> None:
        self.tries += 1  # what still comes of the last try is not heard
        self.users.next_endpoint(scheduler)
        self.users.clock.after(self.users.rng.uniform(*BACKOFF_SECONDS), self.attempt)


def to_send(request: i.Input, _number: int) -> i.Input:
    """Every try is the same request with the same token."""
    return request
