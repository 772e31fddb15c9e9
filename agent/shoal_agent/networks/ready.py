"""The network namespaces that are kept ready: made ahead, lent to one container, and looked through before the next.

A namespace is kept by a container of ours that does nothing. Whom it is lent to joins it, and gives it back when its
task is over: it is used again only if it is found as it was made (snapshot.py), and whatever is not certain of it - a
call to the engine without an answer, an agent that was started anew - makes it go. So two containers never share one,
also not for a moment.
"""

import asyncio
import logging
import time
import uuid
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager

from shoal_agent.definition.labels import Owner
from shoal_agent.engine.port import (
    CannotCreate,
    ContainerGone,
    Engine,
    EngineError,
    ImageNotFound,
    Listed,
    NameConflict,
)
from shoal_agent.networks.keeper import keeper_labels, keeper_name, make
from shoal_agent.networks.loan import REST_SECONDS, REST_SECONDS_MAX, REST_SECONDS_MIN, Borrower, Lent, Loan, Resting
from shoal_agent.networks.namespaces import Finding, Namespace, Namespaces, Used
from shoal_agent.networks.policy import Stock, shortage, starts_without, surplus
from shoal_agent.pause import either
from shoal_agent.slots import Pulls, Slots

log = logging.getLogger(__name__)

LOOK_SECONDS, LISTING_SECONDS = 5.0, 20.0
RETRY_SECONDS, RETRY_SECONDS_MAX = 10.0, 600.0

END_SECONDS = 3.0

# Of a create: the engine has made nothing.
_MADE_NOTHING = (ImageNotFound, NameConflict, CannotCreate)


class ReadyNetworks:
    """`limit` of them; 0 keeps none. `creates` and `starts` are the lanes' places at the engine. `lost` is told of a
    container whose network has ended while it was lent."""

    def __init__(
        self,
        engine: Engine,
        owner: Owner,
        limit: int,
        pulls: Pulls,
        creates: Slots,
        starts: Slots,
        namespaces: Namespaces,
    ) -> None:
        self._engine = engine
        self._owner = owner
        self._limit = limit
        self._pulls = pulls
        self._creates = creates
        self._starts = starts
        self._namespaces = namespaces
        self._begun = False
        self._wanted_at: float | None = None
        self._retry_seconds = RETRY_SECONDS
        self._ready: list[tuple[float, Namespace]] = []
        self._lent: dict[str, Lent] = {}
        self._resting: list[Resting] = []
        self._making: set[str] = set()  # names
        self._doomed: set[str] = set()
        self._suspected: set[str] = set()
        self._waiting: deque[tuple[asyncio.Future[Loan], Borrower]] = deque()
        self._changed = asyncio.Event()
        self.lost: Callable[[Borrower], None] = lambda borrower: None
        creates.changed = starts.changed = self._serve_waiting

    # For the lanes.

    @asynccontextmanager
    async def lend(self, borrower: Borrower, joins: bool) -> AsyncIterator[Loan]:
        """For the making of a container. `joins`: it may join a ready one."""
        loan = await self._take(borrower) if joins else Loan()
        try:
            yield loan
        except BaseException as error:
            if loan.network is not None and loan.used and not isinstance(error, _MADE_NOTHING):
                self._taint(loan.network)
            else:
                self._return_unused(loan)
            raise
        if not loan.used:
            self._return_unused(loan)

    async def holds(self, borrower: Borrower, network: str) -> bool:
        """Whether the container may run on that network: it is its own, and there."""
        if network in self._suspected:
            await self._confirm(network)
        lent = self._lent.get(network)
        return lent is not None and lent.to == borrower and not lent.lost

    def found(self, borrower: Borrower, network: str) -> None:
        """A container that is not over shows that it was made on that network."""
        if network not in self._lent:
            self._ready = [(since, it) for since, it in self._ready if it.container_id != network]
            self._resting = [it for it in self._resting if it.network != network]
            self._lent[network] = Lent(borrower, time.monotonic(), None, lost=network in self._doomed)
            self._suspected.add(network)  # that it is there is only what the container says
            self._changed.set()
            if network in self._doomed:
                self.lost(borrower)

    @contextmanager
    def certain(self, borrower: Borrower) -> Iterator[None]:
        """Around a call that starts the container: if its end is not known, nobody else gets its network."""
        try:
            yield
        except (EngineError, asyncio.CancelledError):
            for network in self._of(borrower.task_id):
                self._taint(network)
            raise

    def release(self, task_id: str) -> None:
        """The task is over: nothing of it runs, or will."""
        for network in self._of(task_id):
            lent = self._lent.pop(network)
            if lent.namespace is None or lent.lost or not self._begun:
                self._doom(network)
            else:
                now = time.monotonic()
                self._resting.append(Resting(Used(lent.namespace, lent.counters), now, now))
        self._changed.set()

    # From the engine.

    def engine_down(self) -> None:
        """It may come back with other rules for names and networks: what was made under the old ones goes."""
        for _, namespace in self._ready:
            self._doom(namespace.container_id)
        for resting in self._resting:
            self._doom(resting.network)
        self._ready.clear()
        self._resting.clear()
        for network in self._lent:
            self._taint(network)

    # By itself.

    async def run(self, settled: Awaitable[None]) -> None:
        """For ever. `settled`: all containers have been looked at that an agent before this one left."""
        await settled
        self._begun = True
        reason = self._namespaces.trouble() if self._limit else ""
        if reason:
            log.warning("no networks are kept ready reason=%s", reason)
            self._limit = 0
        async with asyncio.TaskGroup() as group:
            for step in (self._watch, self._fill, self._look_through, self._attend):
                group.create_task(_for_ever(step))

    async def close(self) -> None:
        """Removes those that nobody has, if the engine does it at once: a later agent would, too."""
        idle = [it.container_id for _, it in self._ready] + [it.network for it in self._resting]
        if not idle:
            return
        removals = [asyncio.ensure_future(self._engine.remove(network)) for network in idle]
        _, left = await asyncio.wait(removals, timeout=END_SECONDS)
        for removal in left:
            removal.cancel()
        await asyncio.gather(*removals, return_exceptions=True)

    async def _watch(self) -> None:
        """Whatever is ours and has no purpose goes; what is lent and does not run is looked at."""
        try:
            listing = await self._engine.containers(keeper_labels(self._owner))
        except EngineError as error:
            log.debug("keepers of networks not listed error=%s", error)
        else:
            self._observe({entry.container_id: entry for entry in listing})
        await asyncio.sleep(LISTING_SECONDS)

    def _observe(self, ours: Mapping[str, Listed]) -> None:
        known = {it.container_id for _, it in self._ready} | {it.network for it in self._resting} | self._lent.keys()
        for container_id, entry in ours.items():
            if container_id not in known and entry.name not in self._making:
                self._doom(container_id)
        for container_id in self._lent:
            if container_id not in ours or ours[container_id].state != "running":
                self._suspected.add(container_id)
        self._changed.set()

    async def _fill(self) -> None:
        for _ in range(surplus(self._stock(), time.monotonic())):
            self._doom(self._ready.pop(0)[1].container_id)
        if shortage(self._stock(), time.monotonic()):
            await self._make()
        else:
            await self._news(LOOK_SECONDS)

    async def _make(self) -> None:
        name = keeper_name(self._owner, uuid.uuid4().hex)
        self._making.add(name)
        try:
            namespace = await make(self._engine, self._pulls, self._namespaces, self._owner, name)
        except (EngineError, OSError, ValueError) as error:
            log.warning("no network made ready reason=%s", error)
            await asyncio.sleep(self._retry_seconds)  # what is left of it, the next listing shows
            self._retry_seconds = min(2 * self._retry_seconds, RETRY_SECONDS_MAX)
        else:
            self._retry_seconds = RETRY_SECONDS
            self._ready.append((time.monotonic(), namespace))
            self._serve_waiting()
        finally:
            self._making.discard(name)

    async def _look_through(self) -> None:
        now = time.monotonic()
        due = [it for it in self._resting if it.due <= now]
        if not due:
            await self._news(min([*(it.due - now for it in self._resting), LOOK_SECONDS]))
            return
        findings = await asyncio.to_thread(self._namespaces.look, [it.used for it in due])
        for resting, finding in zip(due, findings, strict=True):
            if resting in self._resting:  # the engine may have gone meanwhile
                self._judge(resting, finding)
        self._serve_waiting()

    def _judge(self, resting: Resting, finding: Finding) -> None:
        now, network = time.monotonic(), resting.network
        if finding.occupied and not finding.changed and now - resting.since < REST_SECONDS and not self._crowded():
            resting.due = now + resting.pause_seconds
            resting.pause_seconds = min(2 * resting.pause_seconds, REST_SECONDS_MAX)
            return
        self._resting.remove(resting)
        if finding.changed or finding.occupied:
            log.info("network not used again network=%s reason=%s", network[:12], finding)
            self._doom(network)
        else:
            self._ready.append((now, resting.used.namespace))

    def _crowded(self) -> bool:
        """Those that rest cost memory: making others is cheaper than to wait for so many."""
        return len(self._resting) > 2 * self._limit

    async def _attend(self) -> None:
        """Finds out about the suspected, and removes what is of no use."""
        if not self._suspected and not self._doomed:
            await self._news(LOOK_SECONDS)
        for network, lent in self._lent.items():
            if lent.namespace is not None and not lent.lost and not self._namespaces.is_there(lent.namespace):
                self._suspected.add(network)
        for network in list(self._suspected):
            await self._confirm(network)
        for network in list(self._doomed):
            try:
                await self._engine.remove(network)
            except EngineError as error:  # the next listing shows it again
                log.info("network not removed network=%s reason=%s", network[:12], error)
            self._doomed.discard(network)

    async def _confirm(self, network: str) -> None:
        self._suspected.discard(network)
        try:
            gone = (await self._engine.inspect(network)).state != "running"
        except ContainerGone:
            gone = True
        except EngineError:  # the next listing asks again
            return
        lent = self._lent.get(network)
        if gone and lent is not None and not lent.lost:
            log.warning("network ended network=%s task=%s", network[:12], lent.to.task_id)
            lent.lost = True
            self.lost(lent.to)

    # What it has.

    async def _take(self, borrower: Borrower) -> Loan:
        if not self._begun or not self._limit:
            return Loan()
        self._wanted_at = time.monotonic()
        self._changed.set()
        if not self._waiting:
            loan = self._lend_one(borrower)
            if loan.network is not None or self._starts_without():
                return loan
        answer: asyncio.Future[Loan] = asyncio.get_running_loop().create_future()
        self._waiting.append((answer, borrower))
        try:
            return await answer
        except asyncio.CancelledError:
            if answer.done() and not answer.cancelled():
                self._return_unused(answer.result())
            raise

    def _serve_waiting(self) -> None:
        while self._waiting:
            answer, borrower = self._waiting[0]
            loan = Loan() if answer.done() else self._lend_one(borrower)
            if loan.network is None and not answer.done():
                break
            self._waiting.popleft()
            if not answer.done():
                answer.set_result(loan)
        # One at a time: it is counted among those that have begun when it has.
        if self._waiting and self._starts_without():
            self._waiting.popleft()[0].set_result(Loan())

    def _starts_without(self) -> bool:
        creates, starts = self._creates, self._starts
        being_made = creates.places - creates.free + creates.waiting
        return starts_without(being_made + starts.waiting, starts.free)

    def _lend_one(self, borrower: Borrower) -> Loan:
        """Of none if none is ready."""
        while self._ready:
            _, namespace = self._ready.pop()
            try:
                loan = Loan(namespace, self._namespaces.counters(namespace))
            except OSError:  # its keeper has ended
                loan = Loan()
            if loan.network is not None and self._namespaces.is_current(namespace):
                self._lent[loan.network] = Lent(borrower, time.monotonic(), namespace, loan.counters)
                return loan
            self._doom(namespace.container_id)
        return Loan()

    def _return_unused(self, loan: Loan) -> None:
        if loan.namespace is None:
            return
        network = loan.namespace.container_id
        lent = self._lent.pop(network)
        if lent.namespace is None:
            self._doom(network)
        else:
            self._ready.append((time.monotonic(), lent.namespace))
            self._serve_waiting()

    def _taint(self, network: str) -> None:
        """Nobody gets it after its borrower."""
        self._lent[network].namespace = None

    def _doom(self, network: str) -> None:
        self._doomed.add(network)
        self._changed.set()

    def _of(self, task_id: str) -> list[str]:
        return [network for network, lent in self._lent.items() if lent.to.task_id == task_id]

    def _stock(self) -> Stock:
        lent = tuple(it.since for it in self._lent.values() if it.namespace is not None)
        looked_at = sum(it.pause_seconds == REST_SECONDS_MIN for it in self._resting)
        ready = tuple(since for since, _ in self._ready)
        return Stock(self._limit, ready, len(self._making), looked_at, lent, self._wanted_at)

    async def _news(self, seconds: float) -> None:
        self._changed.clear()
        await either(self._changed, seconds)


async def _for_ever(step: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            await step()
        except Exception:  # a fault of ours costs networks that are ready, never the agent
            log.exception("ready networks stumbled")
            await asyncio.sleep(RETRY_SECONDS)
