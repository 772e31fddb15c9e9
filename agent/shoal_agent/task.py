"""The values of the agent: what it knows of a task, what it sees of its containers, what it tells of both."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from shoal.stopping import STOP_TIMEOUT_SECONDS

from shoal_agent.engine.port import Port

ABSENT, CREATED, RUNNING, EXITED = "ABSENT", "CREATED", "RUNNING", "EXITED"


# What a container may wait for in another.
START, COMPLETE, SUCCESS, HEALTHY = "START", "COMPLETE", "SUCCESS", "HEALTHY"


@dataclass(frozen=True, slots=True)
class Dependency:
    """`container` must have come so far before the one that depends on it is made: it was started (START), ended
    (COMPLETE), ended with exit code 0 (SUCCESS), or runs and its health check passed (HEALTHY)."""

    container: str
    condition: str


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """A container that ends is started again in place, if it ran for the period and its exit code is not ignored."""

    ignored_exit_codes: tuple[int, ...] = ()
    attempt_period_seconds: int = 300


@dataclass(frozen=True, slots=True)
class ContainerPlan:
    """How one container of a task lives beside the others.

    essential              it takes the task with it when it ends
    start_timeout_seconds  so long after its start the others wait for it to end or to be healthy
    internal               made by the agent for itself: never reported, first to start, last to stop; if it ends by
                           itself, it takes the task with it
    """

    name: str
    essential: bool = True
    depends_on: tuple[Dependency, ...] = ()
    has_health_check: bool = False
    start_timeout_seconds: int | None = None
    restart: RestartPolicy | None = None
    internal: bool = False


@dataclass(frozen=True, slots=True)
class Ending:
    """Why a task is to end, or has ended. `container` is the one that could not start because of another."""

    stop_code: str | None
    reason: str | None
    container: str | None = None


@dataclass(frozen=True, slots=True)
class Interruption:
    """The host goes: why its tasks end, and by when nothing of them runs any more (seconds of its boot clock)."""

    stop_code: str
    reason: str
    ends_at: float


@dataclass(frozen=True, slots=True)
class Restarts:
    """How often a container was started again, and which end the last time was the answer to (milliseconds)."""

    count: int
    after: int


@dataclass(frozen=True, slots=True)
class ContainerReport:
    name: str
    last_status: str
    runtime_id: str | None = None
    exit_code: int | None = None
    reason: str | None = None
    image_digest: str | None = None
    ports: tuple[Port, ...] = ()
    health_status: str | None = None
    restart_count: int = 0
    ipv4_address: str | None = None


@dataclass(frozen=True, slots=True)
class Span:
    """One measured piece of work; microseconds of the wall clock."""

    name: str
    start_micros: int
    duration_micros: int


@dataclass(frozen=True, slots=True)
class Report:
    """The newest status of one task. Times are milliseconds since the epoch."""

    task_id: str
    last_status: str
    containers: tuple[ContainerReport, ...] = ()
    pull_started_at: int | None = None
    pull_stopped_at: int | None = None
    started_at: int | None = None
    execution_stopped_at: int | None = None
    stop_code: str | None = None
    stopped_reason: str | None = None
    trace: tuple[Span, ...] = ()


@dataclass(frozen=True, slots=True)
class Task:
    """What the agent was told and durably knows of one task.

    on_disconnect what becomes of it when no scheduler hears this host: it is ended if this is "stop" or "exclusive"
    launched      containers whose start was issued; written to disk before the call, so that none starts twice
    restarts      by container: what its restart policy has done; written to disk before the call
    failures      by container: why it cannot be had; begins with ECS's word, as CannotPullContainerError
    ending        why it ends, once that is decided: what the end itself does to containers changes nothing of it
    last_status   what the scheduler had recorded when it sent the assignment
    assigned      the scheduler named it to this process: its definition is at hand
    outcome       its final report; never changes again
    acknowledged  the scheduler has stored the outcome
    forget        the scheduler does not want to hear of it again: end it, clean up, drop it
    """

    id: str
    containers: tuple[ContainerPlan, ...] = ()
    desired_status: str = "RUNNING"
    last_status: str = "PENDING"
    assigned: bool = False
    stop_code: str | None = None
    stopped_reason: str | None = None
    on_disconnect: str = ""
    launched: frozenset[str] = frozenset()
    restarts: Mapping[str, Restarts] = field(default_factory=lambda: MappingProxyType({}))
    failures: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    ending: Ending | None = None
    outcome: Report | None = None
    acknowledged: bool = False
    forget: bool = False


@dataclass(frozen=True, slots=True)
class Seen:
    """What the engine said of one container when it was last asked. Times are milliseconds since the epoch.

    with_engine is true if it ended while the engine was away or coming back, so that its exit code is nobody's
    word: exit_code is None then. health_status is HEALTHY, UNHEALTHY or UNKNOWN; None without a health check.
    """

    status: str
    runtime_id: str | None = None
    exit_code: int | None = None
    oom_killed: bool = False
    with_engine: bool = False
    started_at: int | None = None
    finished_at: int | None = None
    ports: tuple[Port, ...] | None = None
    image_digest: str | None = None
    ipv4_address: str | None = None
    volumes: tuple[str, ...] = ()
    stop_timeout_seconds: int = STOP_TIMEOUT_SECONDS
    health_status: str | None = None

    # Of whose network it was made to join, by the engine's id; None for one of its own.
    network: str | None = None


@dataclass(frozen=True, slots=True)
class View:
    """What is observed of a task now.

    seen          by container name; no entry means that nobody has looked
    unclear       containers of which an event or a listing says that they are not as they were seen
    image_missing / pulled    containers whose create found no image / whose image was then pulled
    ports_open    containers with host ports or an address that the engine chooses: to be looked up once they run
    stop_sent     containers that were asked to stop
    busy          containers of which a call to the engine is under way
    evict         dead containers are too many: this task's go first
    network_lost  containers whose network, which had been kept ready, has ended
    lease_over    no scheduler has heard this host for too long: what must not run twice is to end
    interruption  the host goes: everything is to end
    """

    engine_up: bool = True
    lease_over: bool = False
    interruption: Interruption | None = None
    seen: Mapping[str, Seen] = field(default_factory=lambda: MappingProxyType({}))
    unclear: frozenset[str] = frozenset()
    image_missing: frozenset[str] = frozenset()
    pulled: frozenset[str] = frozenset()
    ports_open: frozenset[str] = frozenset()
    stop_sent: frozenset[str] = frozenset()
    busy: frozenset[str] = frozenset()
    evict: bool = False
    network_lost: frozenset[str] = frozenset()
    pull_started_at: int | None = None
    pull_stopped_at: int | None = None
    trace: tuple[Span, ...] = ()

    def of(self, name: str) -> Seen | None:
        return self.seen.get(name)


@dataclass(frozen=True, slots=True)
class JobAttempt:
    """Which attempt of which job a task is. array_size: 0 of a job that is no array."""

    job_id: str
    job_queue: str
    compute_environment: str
    attempt: int
    array_size: int = 0
    array_index: int = 0


@dataclass(frozen=True, slots=True)
class Assignment:
    """One entry of what the scheduler wants. `definition` and `overrides` are AWS-style JSON documents."""

    task_id: str
    desired_status: str = "RUNNING"
    last_status: str = "PENDING"
    definition: Mapping[str, Any] | None = None
    definition_arn: str = ""
    overrides: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    fence: int = 0
    stop_code: str | None = None
    stopped_reason: str | None = None
    gpu_ids: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    forget: bool = False
    group: str = ""
    on_disconnect: str = ""
    tags: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    job: JobAttempt | None = None

    # By container, what it runs instead of what the definition names: name@digest. And whether registries are asked for
    # its images even where they are here.
    images: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    refreshes_images: bool = False

    # Should the host go, it is not ended at once.
    replaced_first: bool = False
