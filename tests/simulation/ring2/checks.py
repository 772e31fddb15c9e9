"""What must hold at every moment of a simulation, and what must be so once all is well again."""

from collections import Counter
from typing import TYPE_CHECKING, Any

from shoal_scheduler.state import etcd_v3_pb2 as pb
from shoal_scheduler.state import keys

if TYPE_CHECKING:
    from tests.simulation.ring2.programs import Host, Keeper
    from tests.simulation.ring2.world import World

VIOLATIONS_MAX = 20

# So many agents are a herd if they dial within such a time of each other, so often in a row, so long into an outage.
HERD_MIN, HERD_SECONDS, HERD_ROUNDS, OUTAGE_SECONDS = 3, 0.05, 3, 6.0
TRY_SECONDS = 0.4
RANKS = {name: rank for rank, name in enumerate(("PROVISIONING", "PENDING", "ACTIVATING", "RUNNING", "DEACTIVATING"))}
RANKS |= {"STOPPING": 6, "DEPROVISIONING": 7, "STOPPED": 8}


class Checks:
    """`acknowledged`: tasks that RunTask answered with; `stopped`: those of which StopTask was answered."""

    def __init__(self, world: "World") -> None:
        self.violations: list[str] = []
        self.facts: Counter[str] = Counter()
        self.acknowledged: dict[str, str] = {}  # the id of a task, its definition
        self.stopped: set[str] = set()
        self._world = world
        self._starts: dict[str, str] = {}
        self._statuses: dict[str, str] = {}
        self._keepers: list[Keeper] = []
        self._dials: dict[str, list[float]] = {}  # of agents, since they were welcome last

    def violated(self, what: str) -> None:
        if self._world.loop.over:
            return
        self._world.trace.say("CHECK", what)
        if len(self.violations) < VIOLATIONS_MAX:
            self.violations.append(f"{self._world.loop.now:.3f} s: {what}")

    def on_start(self, host: "Host", task_id: str) -> None:
        """A container of a task was started, effectively."""
        self.facts["starts"] += 1
        if task_id in self._starts:
            self.violated(f"task {task_id} was started twice: on {self._starts[task_id]}, then on {host.name}")
        self._starts[task_id] = host.name
        self.on_epoch(host, host.epoch)

    def on_epoch(self, host: "Host", epoch: int) -> None:
        """What an agent obeys never goes back, whatever became of its process."""
        if epoch < host.epoch_seen:
            self.violated(f"{host.name} obeys epoch {epoch} after {host.epoch_seen}")
        host.epoch_seen = epoch

    def on_txn(self, client: str, request: pb.TxnRequest, answer: pb.TxnResponse) -> None:
        """Whatever is written but the leader's key needs the leader's guard; who looks for a leader has none."""
        if not request.compare and any(op.request_range.key == keys.LEADER for op in request.success):
            self.on_campaign(client)
        if not answer.succeeded:
            return
        puts = [op.request_put.key for op in request.success if op.HasField("request_put")]
        writes = any(key != keys.LEADER for key in puts) or any(
            op.HasField("request_txn") or op.HasField("request_delete_range") for op in request.success
        )
        guarded = any(
            it.key == keys.LEADER and it.target == pb.Compare.CREATE and it.create_revision for it in request.compare
        )
        self.facts["commits"] += writes
        if writes and not guarded:
            self.violated(f"{client} wrote without the leader's guard: {puts}")

    def on_lead(self, keeper: "Keeper") -> None:
        self.facts["leaderships"] += 1
        self._keepers.append(keeper)

    def on_campaign(self, client: str) -> None:
        """Who campaigns (again) has no loop of an earlier leadership any more."""
        process = self._world.running.get(client)
        if process is None:
            return
        alive = [task for task in process.tasks if not task.done() and "Engine.run" in repr(task.get_coro())]
        if alive:
            self.violated(f"{client} campaigns while {len(alive)} of its earlier leadership's loops run")

    def leader(self) -> str | None:
        """Who began to lead last, if it still does."""
        last = self._keepers[-1] if self._keepers else None
        return last.host if last is not None and last.leads else None

    def excuse(self, lease: int) -> None:
        """The lease is taken away by force: who has it cannot know at once."""
        for keeper in self._keepers:
            keeper.excused = keeper.excused or keeper.lease == lease

    def look(self) -> None:
        """Every so often: at most one scheduler may go on as the leader."""
        leading = {keeper.host for keeper in self._keepers if keeper.leads and keeper.at_work and not keeper.excused}
        if len(leading) > 1:
            self.violated(f"{sorted(leading)} lead at the same time")
        self.herds()

    def on_dial(self, host: str) -> None:
        """After an outage, agents come back one by one."""
        if host in self._world.hosts:
            self._dials.setdefault(host, []).append(self._world.loop.now)

    def on_welcome(self, host: str) -> None:
        self._dials.pop(host, None)

    def herds(self) -> None:
        """Every so often: of agents that have all been without a scheduler for long, some rounds coincide by chance,
        but not several in a row."""
        tries = [self._late_tries(times) for times in self._dials.values()]
        if len(tries) < HERD_MIN or min(map(len, tries)) < HERD_ROUNDS:
            return
        ends = [tried[-HERD_ROUNDS:] for tried in tries]
        together = all(max(round_) - min(round_) < HERD_SECONDS for round_ in zip(*ends, strict=True))
        if together:
            self.violated(f"{len(tries)} agents dialled together {HERD_ROUNDS} times: {ends[0]}")

    def _late_tries(self, times: list[float]) -> list[float]:
        """Those of an outage that has lasted so long that they are well apart; who is sent on at once is still at
        the same one."""
        tries: list[float] = []
        for time in times:
            if time > times[0] + OUTAGE_SECONDS and (not tries or time > tries[-1] + TRY_SECONDS):
                tries.append(time)
        return tries

    def on_status(self, task_id: str, status: str) -> None:
        """As somebody who watches is told."""
        before = self._statuses.get(task_id)
        if before is not None and RANKS[status] < RANKS[before]:
            self.violated(f"task {task_id} went back from {before} to {status}")
        self._statuses[task_id] = status

    def unconverged(self, tasks: dict[str, Any]) -> list[str]:
        """What is not yet as it must be. `tasks`: all there are, by id, as described."""
        wrong = []
        for task_id, definition in self.acknowledged.items():
            task = tasks.get(task_id)
            if task is None:
                wrong.append(f"task {task_id} was acknowledged and is not known")
            elif task_id in self.stopped and task.last_status != "STOPPED":
                wrong.append(f"task {task_id} was to stop and is {task.last_status}")
            elif task.last_status not in ("RUNNING", "STOPPED"):
                wrong.append(f"task {task_id} ({definition}) is {task.last_status}")
        wanted = {task_id for task_id, task in tasks.items() if task.last_status == "RUNNING"}
        found: Counter[str] = Counter()
        for host in self._world.hosts.values():
            found.update(host.task_of(box) for box in host.running().values())
        wrong += [f"task {each} is RUNNING and has no container" for each in sorted(wanted - found.keys())]
        wrong += [f"a container runs of task {each}, which does not" for each in sorted(found.keys() - wanted)]
        wrong += [f"task {each} runs {count} times" for each, count in found.items() if count > 1]
        return wrong
