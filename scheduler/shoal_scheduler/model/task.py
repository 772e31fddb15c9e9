"""A task: one run of a task definition on one instance. It never moves and is never started again.

All tasks of one submission share a `Launch`; a task adds to it an index and what differs. The id of a task is the
launch's id (24 hexadecimal digits) and its index (8 more), so that a big answer can name its tasks as a range.
"""

import re
from sys import intern
from typing import Any

import msgspec

from shoal_scheduler.model.ask import Ask, Strategy, images_of, platform_of, resources_of
from shoal_scheduler.model.definition import Definition
from shoal_scheduler.model.job import Job, JobPart
from shoal_scheduler.model.service import ServicePart

LAUNCH_ID_DIGITS = 24
INDEX_DIGITS = 8

# int() takes signs, spaces and digits of other scripts as well: a task would have several names.
_TASK_ID = re.compile(r"[0-9a-f]{32}")


class TaskKey(msgspec.Struct, frozen=True, order=True, gc=False):
    """What names a task in the tables. Of these there are millions, which the collector need not look at."""

    launch: str
    ordinal: int

    @property
    def id(self) -> str:
        return f"{self.launch}{self.ordinal:0{INDEX_DIGITS}x}"

    @classmethod
    def parse(cls, task_id: str) -> "TaskKey | None":
        if not _TASK_ID.fullmatch(task_id):
            return None
        return cls(task_id[:LAUNCH_ID_DIGITS], int(task_id[LAUNCH_ID_DIGITS:], 16))


class Failure(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Tasks of a submission that were not placed, and why."""

    reason: str
    count: int = 1
    detail: str = ""
    arn: str = ""


class Launch(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One submission: what all its tasks have in common. Immutable."""

    id: str
    cluster: str
    definition: str
    created_at: int
    count: int
    group: str
    started_by: str = ""
    launch_type: str = "EC2"

    # What placement was told beside the definition.
    expressions: tuple[str, ...] = ()
    distinct_instance: bool = False
    strategies: tuple[Strategy, ...] = ()

    # Tasks that find no room wait for it, instead of being answered as failures.
    queue: bool = False

    # What becomes of its tasks when their instance is lost: "keep", "stop" or "exclusive"; "" as in ECS, nothing.
    on_disconnect: str = ""

    # Its tasks are attempts of a job's children.
    job: JobPart | None = None

    # Its tasks are a service's.
    service: ServicePart | None = None

    # Id of the task whose place its only task takes.
    replaces: str = ""

    # TaskOverride as AWS JSON.
    overrides: dict[str, Any] = {}
    tags: dict[str, str] = {}
    enable_execute_command: bool = False

    # The same token with the same request gets this launch again, with the same failures.
    client_token: str = ""
    request_digest: str = ""
    failures: tuple[Failure, ...] = ()


def ask_of(launch: Launch, definition: Definition) -> Ask:
    """What each task of the launch wants of an instance; its tasks are alike."""
    constraints = definition.document.get("placementConstraints", ())
    return Ask(
        resources=resources_of(definition, launch.overrides),
        group=launch.group,
        expressions=(*launch.expressions, *(constraint["expression"] for constraint in constraints)),
        distinct_instance=launch.distinct_instance,
        strategies=launch.strategies,
        required_attributes=platform_of(definition.document),
        images=images_of(definition),
    )


def ask_of_job(job: Job, definition: Definition) -> Ask:
    """What each task of the job wants, wherever it runs: without what a compute environment says of its instances."""
    constraints = definition.document.get("placementConstraints", ())
    return Ask(
        resources=resources_of(definition, job.overrides),
        group=group_of_queue(job.queue),
        expressions=tuple(constraint["expression"] for constraint in constraints),
        required_attributes=platform_of(definition.document),
        images=images_of(definition),
    )


def group_of_queue(queue: str) -> str:
    """The group of the tasks of its jobs."""
    return f"job-queue:{queue}"


class Binding(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A published port."""

    container_port: int
    host_port: int
    protocol: str = "tcp"
    bind_ip: str = "0.0.0.0"


class ContainerState(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What the agent last saw of one container. An exit code nobody knows is None, never a guess."""

    name: str
    last_status: str = "PENDING"
    runtime_id: str = ""
    exit_code: int | None = None
    reason: str = ""
    image_digest: str = ""
    health_status: str = ""
    bindings: tuple[Binding, ...] = ()
    restart_count: int = 0

    # Of the task's own network, if it has one; the same for all its containers.
    ipv4_address: str = ""


def shared(state: ContainerState) -> ContainerState:
    """The same, with the texts that many tasks have in common kept once: of a million tasks that is most of the
    memory."""
    return msgspec.structs.replace(
        state,
        name=intern(state.name),
        last_status=intern(state.last_status),
        image_digest=intern(state.image_digest),
        health_status=intern(state.health_status),
    )


class Task(msgspec.Struct, frozen=True, gc=False):
    launch: Launch
    index: int

    # Empty while the task waits for room.
    instance: str = ""
    last_status: str = "PENDING"
    desired_status: str = "RUNNING"

    # Grows with every change, so that consumers can drop what is stale.
    version: int = 1

    # Store revision of the assignment; 0 until the write that assigned it is known (see state.codec).
    fence: int = 0
    pull_started_at: int = 0
    pull_stopped_at: int = 0
    started_at: int = 0
    stopping_at: int = 0
    execution_stopped_at: int = 0
    stopped_at: int = 0
    stop_code: str = ""
    stopped_reason: str = ""
    containers: tuple[ContainerState, ...] = ()
    gpu_ids: dict[str, tuple[str, ...]] | None = None

    # None means the launch's.
    tags: dict[str, str] | None = None

    # Of a service's task: neither scale-in nor a deployment stops it before, in milliseconds; 0 for any time.
    protected_until: int = 0

    @property
    def key(self) -> TaskKey:
        return TaskKey(self.launch.id, self.index)

    @property
    def id(self) -> str:
        return self.key.id

    @property
    def is_stopped(self) -> bool:
        return self.last_status == "STOPPED"
