"""A service: so many tasks kept running, or one on each instance. What runs is in no record here: the tasks say it,
each launch naming the service, the revision and the deployment that it is of (`ServicePart`).

A revision says what the tasks are and never changes, but for the digests of its images, once they are known. A
deployment is the move of the service to a revision. The words are ECS's.
"""

from typing import Any

import msgspec

from shoal_scheduler.model.ask import Strategy

REPLICA, DAEMON = "REPLICA", "DAEMON"
ACTIVE, DRAINING, INACTIVE = "ACTIVE", "DRAINING", "INACTIVE"

# Of a deployment.
PENDING, IN_PROGRESS, SUCCESSFUL = "PENDING", "IN_PROGRESS", "SUCCESSFUL"
STOP_REQUESTED, STOPPED = "STOP_REQUESTED", "STOPPED"
ROLLBACK_REQUESTED, ROLLBACK_IN_PROGRESS = "ROLLBACK_REQUESTED", "ROLLBACK_IN_PROGRESS"
ROLLBACK_SUCCESSFUL, ROLLBACK_FAILED = "ROLLBACK_SUCCESSFUL", "ROLLBACK_FAILED"
OVER = frozenset({SUCCESSFUL, STOPPED, ROLLBACK_SUCCESSFUL, ROLLBACK_FAILED})

EVENTS_MAX = 100


class ServicePart(msgspec.Struct, frozen=True, array_like=True):
    """Of a launch: which service's tasks these are."""

    service: str
    revision: str
    deployment: str

    # By container, what it runs instead of what its definition names: name@digest.
    images: tuple[tuple[str, str], ...] = ()

    # What its images turn out to be, all tasks of the revision will run: their registries are asked.
    resolves: bool = False

    # It has load balancers: before such a task stops, requests are to end (see control.services.drain).
    is_target: bool = False


class CircuitBreaker(msgspec.Struct, frozen=True, array_like=True):
    enable: bool = False
    rollback: bool = False

    # COUNT, BOUNDED_PERCENT or UNBOUNDED_PERCENT.
    threshold_type: str = "BOUNDED_PERCENT"
    threshold_value: int = 50
    reset_on_healthy_task: bool = True


class DeploymentAlarms(msgspec.Struct, frozen=True, array_like=True):
    names: tuple[str, ...] = ()
    enable: bool = False
    rollback: bool = False


class DeploymentConfiguration(msgspec.Struct, frozen=True, array_like=True):
    minimum_healthy_percent: int = 100
    maximum_percent: int = 200
    circuit_breaker: CircuitBreaker = CircuitBreaker()
    alarms: DeploymentAlarms = DeploymentAlarms()
    bake_minutes: int = 0

    # A deployment that gets no further for so long is over. Ours: with ECS it may go on for ever.
    progress_minutes: int = 30


class LoadBalancer(msgspec.Struct, frozen=True, array_like=True):
    """`target_group` by name."""

    target_group: str
    container: str
    port: int


class ServiceRegistry(msgspec.Struct, frozen=True, array_like=True):
    """`name`: of the discovery name under which its tasks are found."""

    name: str
    container: str = ""
    port: int = 0


class Service(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is wanted."""

    cluster: str
    name: str
    created_at: int
    created_by: str = ""

    # ACTIVE; DRAINING once deleted, until its tasks are over; INACTIVE then.
    status: str = ACTIVE
    deleted_at: int = 0
    scheduling_strategy: str = REPLICA
    desired_count: int = 0

    # Ids: what it is to run, and the last deployment. After a rollback the revision is not that deployment's own.
    revision: str
    deployment: str
    configuration: DeploymentConfiguration = DeploymentConfiguration()
    grace_seconds: int = 0

    expressions: tuple[str, ...] = ()
    distinct_instance: bool = False
    strategies: tuple[Strategy, ...] = ()
    zone_rebalancing: bool = False

    # "", TASK_DEFINITION or SERVICE.
    propagate_tags: str = ""
    managed_tags: bool = False
    tags: dict[str, str] = {}
    enable_execute_command: bool = False

    # What becomes of its tasks when their instance is lost: see control.host_loss. Ours.
    on_disconnect: str = "keep"

    # When the desired count was last said to be reached, to say it once.
    is_steady: bool = False

    # Of the request that made it, and of the last ones that changed it, each with its token: the same again changes
    # nothing.
    client_token: str = ""
    request_digest: str = ""
    updates: tuple[tuple[str, str], ...] = ()
    version: int = 1

    @property
    def group(self) -> str:
        return group_of_service(self.name)

    @property
    def is_daemon(self) -> bool:
        return self.scheduling_strategy == DAEMON


class ServiceRevision(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    cluster: str
    service: str
    id: str
    created_at: int

    # With its number, as in "web:3".
    definition: str
    launch_type: str = "EC2"
    platform_version: str = ""
    load_balancers: tuple[LoadBalancer, ...] = ()
    registries: tuple[ServiceRegistry, ...] = ()

    # networkConfiguration as AWS JSON.
    network: dict[str, Any] = {}

    # By container, name@digest, once the first task has told; empty before. `is_resolved`: there is no more to tell.
    images: tuple[tuple[str, str], ...] = ()
    is_resolved: bool = False


class Deployment(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Times in milliseconds; 0 is not yet."""

    cluster: str
    service: str
    id: str

    # The revision it leads to, and those that ran when it began.
    revision: str
    sources: tuple[str, ...] = ()
    status: str = PENDING
    reason: str = ""
    created_at: int
    started_at: int = 0
    updated_at: int = 0
    stopped_at: int = 0

    # Tasks that failed, as the circuit breaker counts them; those of the rollback for themselves.
    failed_tasks: int = 0
    rollback_failed_tasks: int = 0

    # Tries in a row, of as many tasks as there were room for, that ended before a task was RUNNING: the next one is not
    # before `retry_at`.
    start_failures: int = 0
    retry_at: int = 0

    # A task ended with its instance before it was RUNNING: the next one is not before this.
    paused_until: int = 0

    # How far it got, since it began or its rollback did: the most tasks that were healthy, the fewest that were left of
    # other revisions (-1: not counted yet), and when either last changed.
    most_healthy: int = 0
    fewest_left: int = -1
    progressed_at: int = 0

    # All its tasks were healthy first then: the bake time begins.
    healthy_at: int = 0

    # An alarm rang when it began: it does not heed them. And those for which it failed.
    ignores_alarms: bool = False
    triggered_alarms: tuple[str, ...] = ()
    rollback_revision: str = ""
    rollback_reason: str = ""
    rollback_started_at: int = 0
    is_forced: bool = False

    # It ended because its tasks, an alarm or its time said so; and in such a way, or because somebody stopped it, that
    # no more tasks of its revision are to start.
    has_failed: bool = False
    is_halted: bool = False

    # It failed for want of time alone, and then all its tasks were healthy after all.
    recovered_at: int = 0

    @property
    def is_over(self) -> bool:
        return self.status in OVER

    @property
    def vouches_for(self) -> str:
        """The revision that it has shown to be good; "" for none."""
        if self.status == ROLLBACK_SUCCESSFUL:
            return self.rollback_revision
        return self.revision if self.status == SUCCESSFUL or self.recovered_at else ""

    @property
    def speaks_against(self) -> str:
        """The revision that it has shown to be bad; "" for none."""
        is_bad = self.has_failed and not self.recovered_at
        return self.revision if is_bad or self.status == ROLLBACK_SUCCESSFUL else ""

    @property
    def started_by(self) -> str:
        """Of its tasks."""
        return started_by(self.id)


class ServiceEvent(msgspec.Struct, frozen=True, array_like=True):
    id: str
    at: int
    message: str


class ServiceEvents(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The last ones, the oldest first."""

    cluster: str
    service: str
    events: tuple[ServiceEvent, ...] = ()

    # So many of them came when this was written.
    added: int = 0


def group_of_service(name: str) -> str:
    """The group of its tasks."""
    return f"service:{name}"


def started_by(deployment: str) -> str:
    """Of the tasks of the deployment."""
    return f"ecs-svc/{deployment}"
