"""The network namespaces of the engine in memory: a container's is in use as long as another one on it runs."""

from collections.abc import Sequence

from shoal_agent.engine.port import Inspected
from shoal_agent.networks.namespaces import Finding, Namespace, Used
from shoal_agent.networks.snapshot import Counters, Snapshot

from tests.fakes import container_body
from tests.fakes.memory_engine import MemoryEngine


class MemoryNamespaces:
    """`changed` and `occupied` say of a namespace, by its keeper, what a look finds besides."""

    def __init__(self, engine: MemoryEngine) -> None:
        self._engine = engine
        self.changed: dict[str, str] = {}
        self.occupied: dict[str, str] = {}

    def trouble(self) -> str:
        return ""

    def made(self, keeper: Inspected) -> Namespace:
        return Namespace(keeper.container_id, 0, int(keeper.container_id, 16), Snapshot({}, {}))

    def is_there(self, namespace: Namespace) -> bool:
        box = self._engine.boxes.get(namespace.container_id)
        return box is not None and box.state == "running"

    def is_current(self, namespace: Namespace) -> bool:
        return self.is_there(namespace)

    def counters(self, namespace: Namespace) -> Counters:
        return {"eth0": {"rx_bytes": 90, "tx_packets": 0}}

    def look(self, used: Sequence[Used]) -> list[Finding]:
        return [self._finding(each.namespace) for each in used]

    def _finding(self, namespace: Namespace) -> Finding:
        keeper = namespace.container_id
        on_it = [box for box in self._engine.boxes.values() if container_body.joins(box.body) == keeper]
        running = [box.name for box in on_it if box.state == "running"]
        changed = [self.changed[keeper]] if keeper in self.changed else []
        occupied = [self.occupied[keeper]] if keeper in self.occupied else []
        if not self.is_there(namespace):
            changed.append("its keeper")
        return Finding(tuple(changed), (*occupied, *running))
