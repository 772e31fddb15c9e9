"""All there is to know about one task, in one place that its lane alone changes."""

import asyncio
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from shoal import image_reference

from shoal_agent.configuration import Configuration
from shoal_agent.definition import labels
from shoal_agent.definition.environment import Endpoint
from shoal_agent.definition.labels import Owner
from shoal_agent.definition.sandbox import PAUSE, joined, on_network, own_ports
from shoal_agent.definition.specification import Specification, specification
from shoal_agent.engine.port import Engine
from shoal_agent.images.cluster_registry import ClusterRegistry
from shoal_agent.lease import Lease
from shoal_agent.life.cgroup import Cgroups
from shoal_agent.life.verdict import EngineStart, is_stranded
from shoal_agent.logs.store import LogStore
from shoal_agent.memory.journal import Journal
from shoal_agent.networks.loan import Loan
from shoal_agent.networks.ready import ReadyNetworks
from shoal_agent.reporter import Reporter
from shoal_agent.slots import Pulls, Slots
from shoal_agent.task import ABSENT, Assignment, Report, Seen, Span, Task, View

TRACE_SPANS_MAX = 32


@dataclass(slots=True)
class Surroundings:
    """What all lanes share. `owner`, `engine_start`, `cgroups` and `endpoint` change while the agent lives.

    engine_trouble     set by whoever finds the engine silent
    guarded            whether a watchdog runs beside the agent
    pulled_before      images that earlier tasks had pulled
    networks           those that are kept ready for containers that start; None where none are
    registry           the cluster's own image registry; None where nobody asks for it
    endpoint_changed   set by whoever learns another address of the endpoint
    """

    engine: Engine
    journal: Journal
    log_store: LogStore
    reporter: Reporter
    rules: Configuration
    owner: Owner
    creates: Slots
    starts: Slots
    pulls: Pulls
    engine_trouble: asyncio.Event
    engine_start: EngineStart
    cgroups: Cgroups
    pulled_before: Collection[str] = ()
    lease: Lease = field(default_factory=Lease)
    guarded: Callable[[], bool] = field(default=lambda: False)
    endpoint: Endpoint | None = None
    networks: ReadyNetworks | None = None
    registry: ClusterRegistry | None = None
    endpoint_changed: asyncio.Event = field(default_factory=asyncio.Event)


class Case:
    """`task` and `view` are what the machine decides on; `changed` wakes the lane. `digests` is what the tags of its
    images were found to mean: once, so that all containers of the task run the same."""

    def __init__(self, task: Task, view: View, around: Surroundings) -> None:
        self.task = task
        self.view = view
        self.around = around
        self.changed = asyncio.Event()
        self.wanted: Assignment | None = None
        self.told: Report | None = None
        self.digests: dict[str, str | None] = {}
        self.pulling: dict[str, str] = {}  # images that containers wait for
        self.pull_errors: dict[str, str] = {}  # of containers that make do with the image that is here
        self._specifications: dict[str, Specification] = {}

    @property
    def unwanted(self) -> bool:
        """Nothing more is to be started."""
        task = self.task
        wished = task.desired_status == "STOPPED" or task.ending is not None or task.forget
        return wished or self.view.interruption is not None or is_stranded(task, self.view)

    def container_name(self, name: str) -> str:
        return labels.container_name(self.around.owner.cluster, self.task.id, name)

    def handle(self, name: str) -> str:
        """What the engine knows a container by: its id, or its name before anybody has seen it."""
        seen = self.view.of(name)
        known = seen.runtime_id if seen is not None and seen.status != ABSENT else None
        return known or self.container_name(name)

    def specification(self, name: str) -> Specification:
        """Raises Refused. Only for what was assigned to this process."""
        found = self._specifications.get(name)
        if found is None:
            assert self.wanted is not None, "the machine creates only what was assigned"
            around = self.around
            found = specification(self.wanted, name, around.owner, around.rules, around.endpoint)
            self._specifications[name] = found
            if found.ports.open:
                self.view = replace(self.view, ports_open=self.view.ports_open | {name})
        return found

    def body(self, name: str, cgroup: str | None, loan: Loan) -> Mapping[str, Any]:
        """What a container is made from, with what it shares with others of its task, or on the network that it is
        lent. Raises Refused."""
        body, pause = self.specification(name).body, self.view.of(PAUSE)
        if cgroup is not None:
            body = {**body, "HostConfig": body["HostConfig"] | {"CgroupParent": cgroup}}
        if loan.network is not None:
            counters = {labels.NETWORK_COUNTERS: labels.listed_counters(loan.counters)}
            return on_network(body, loan.network) | {"Labels": body["Labels"] | counters}
        if name == PAUSE or pause is None or pause.runtime_id is None:
            return body
        definition = (self.wanted.definition if self.wanted is not None else None) or {}
        # The engine lists no ports for a container on another's network: its label does.
        ports = labels.listed_ports(own_ports(definition, name, pause.ports or ()))
        return joined(body, definition, pause.runtime_id) | {"Labels": body["Labels"] | {labels.PORTS: ports}}

    @property
    def refreshes_images(self) -> bool:
        return self.wanted is not None and self.wanted.refreshes_images

    @property
    def images(self) -> set[str]:
        """As the definition or the assignment names them, and by the digests that these were found to mean."""
        named = {container["image"] for container in self._containers()}
        named |= set(self.wanted.images.values()) if self.wanted is not None else set()
        return named | {image_reference.pinned(image, self.known_digest(image)) for image in named}

    def known_digest(self, image: str) -> str | None:
        """What the tag was found to mean for this task: by this process, or by one before it, as the containers tell
        that it made."""
        return self.digests.get(image) or next(self._digests_in_use(image), None)

    def _digests_in_use(self, image: str) -> Iterator[str]:
        for container in self._containers():
            seen = self.view.of(container["name"])
            same = container["image"] == image and container.get("versionConsistency") != "disabled"
            if same and seen is not None and seen.image_digest:
                yield seen.image_digest

    def _containers(self) -> Sequence[Mapping[str, Any]]:
        """Of the definition, once it is at hand."""
        definition = (self.wanted.definition if self.wanted is not None else None) or {}
        found: Sequence[Mapping[str, Any]] = definition.get("containerDefinitions", ())
        return found

    def see(self, name: str, seen: Seen) -> None:
        self.view = replace(self.view, seen={**self.view.seen, name: seen})

    def fail(self, name: str, reason: str) -> None:
        """The container cannot be had; `reason` begins with ECS's word. An essential one takes the task with it."""
        self.task = replace(self.task, failures={**self.task.failures, name: reason})

    def doubt(self, names: Iterable[str]) -> None:
        self.view = replace(self.view, unclear=self.view.unclear | set(names))

    @contextmanager
    def doubting(self, name: str) -> Iterator[None]:
        """However the work ends, what became of the container is to be looked at."""
        try:
            yield
        finally:
            self.doubt([name])

    @contextmanager
    def span(self, name: str) -> Iterator[None]:
        """Measures a piece of work for the trace, until the task has been reported as up or over."""
        start = time.time_ns() // 1000
        try:
            yield
        finally:
            if (self.told is None or self.told.last_status == "PENDING") and len(self.view.trace) < TRACE_SPANS_MAX:
                span = Span(name, start, time.time_ns() // 1000 - start)
                self.view = replace(self.view, trace=(*self.view.trace, span))


def now_millis() -> int:
    return time.time_ns() // 1_000_000
