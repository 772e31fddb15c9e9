"""Everything that can move the control plane, and what each is answered with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from shoal_scheduler.control.alarm_inputs import AlarmInput
from shoal_scheduler.control.autoscaling.inputs import AutoscalingInput, AutoscalingReply
from shoal_scheduler.control.batch.inputs import BatchInput, BatchReply
from shoal_scheduler.control.batch.job_inputs import CancelJob, SubmitJob, TerminateJob
from shoal_scheduler.control.rebalance.inputs import RebalanceInput, RebalanceReply
from shoal_scheduler.control.services.inputs import ServiceInput, ServiceReply
from shoal_scheduler.control.traffic.inputs import TrafficInput, TrafficReply
from shoal_scheduler.model.alarm import Alarm
from shoal_scheduler.model.ask import Strategy
from shoal_scheduler.model.cluster import Cluster
from shoal_scheduler.model.definition import Definition
from shoal_scheduler.model.held_image import HeldImage
from shoal_scheduler.model.instance import Instance
from shoal_scheduler.model.interruption import Noticed
from shoal_scheduler.model.job import Job
from shoal_scheduler.model.join_token import JoinToken
from shoal_scheduler.model.task import ContainerState, Failure, Launch, Task


@dataclass(frozen=True, slots=True)
class RegisterTaskDefinition:
    """Answered with a Definition. `document` was checked at the door."""

    document: dict[str, Any]
    tags: dict[str, str]
    registered_by: str


@dataclass(frozen=True, slots=True)
class DeregisterTaskDefinition:
    """Answered with a Definition."""

    name: str


@dataclass(frozen=True, slots=True)
class DeleteTaskDefinitions:
    """Answered with DeletedDefinitions."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DeletedDefinitions:
    definitions: tuple[Definition, ...]
    failures: tuple[Failure, ...]


@dataclass(frozen=True, slots=True)
class RunTask:
    """Answered with Launched. With `instances` it is StartTask: one task on each, the caller schedules."""

    cluster: str
    definition: str
    count: int = 1
    group: str = ""
    started_by: str = ""
    launch_type: str = "EC2"
    overrides: dict[str, Any] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    propagate_tags: bool = False
    expressions: tuple[str, ...] = ()
    distinct_instance: bool = False
    strategies: tuple[Strategy, ...] = ()

    # What finds no room waits for it, PROVISIONING, instead of being answered as a failure.
    queue: bool = False

    # What becomes of the tasks when their instance is lost: see control.host_loss.
    on_disconnect: str = ""
    enable_execute_command: bool = False
    client_token: str = ""

    # Of the request without its token: the same token with another request is refused.
    request_digest: str = ""
    instances: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Launched:
    """`launch` is None if nothing could be placed."""

    launch: Launch | None
    tasks: Sequence[Task]
    failures: tuple[Failure, ...]


@dataclass(frozen=True, slots=True)
class StopTask:
    """Answered with a Task."""

    cluster: str
    task: str
    reason: str


@dataclass(frozen=True, slots=True)
class PutClusterDocument:
    """CreateCluster, UpdateCluster, UpdateClusterSettings. Answered with a Cluster."""

    name: str
    document: dict[str, Any]
    create: bool
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DeleteCluster:
    """Answered with a Cluster."""

    name: str


@dataclass(frozen=True, slots=True)
class UpdateInstances:
    """ACTIVE or DRAINING. Answered with InstancesUpdated. With `interruption_seconds` the hosts go in that time, for
    the `reason`."""

    cluster: str
    instances: tuple[str, ...]
    status: str
    interruption_seconds: int | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class InstancesUpdated:
    instances: tuple[Instance, ...]
    failures: tuple[Failure, ...]


@dataclass(frozen=True, slots=True)
class DeregisterInstance:
    """Answered with an Instance."""

    cluster: str
    instance: str
    force: bool


@dataclass(frozen=True, slots=True)
class ChangeAttributes:
    """Per instance id: values to set, None to delete. Answered with a tuple of (instance id, name, value)."""

    cluster: str
    attributes: tuple[tuple[str, str, str | None], ...]


@dataclass(frozen=True, slots=True)
class ChangeTags:
    """Tags of one ARN: values to set, None to delete. Answered with the tags after it."""

    arn: str
    tags: Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class AgentHello:
    """An agent opened a session. Answered with an Instance."""

    cluster: str
    instance: str
    incarnation: int
    hostname: str
    cpu: int
    memory_mib: int
    gpu_ids: tuple[str, ...] = ()
    reserved_tcp: tuple[int, ...] = ()
    reserved_udp: tuple[int, ...] = ()
    agent_version: str = ""
    docker_version: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)

    # Resources of the cluster's own: how many the instance offers of each.
    custom: Mapping[str, int] = field(default_factory=dict)

    # Of its container engine: OK or IMPAIRED.
    health_status: str = "OK"
    health_reason: str = ""

    # Which run of the agent's program; "" if it does not say.
    run: str = ""

    # A process beside the agent ends what is exclusive when the agent cannot.
    watchdog: bool = False

    # One that no scheduler has acknowledged yet.
    notice: Noticed | None = None


@dataclass(frozen=True, slots=True)
class SessionClosed:
    """The session of this incarnation is over. Answered with None."""

    instance: str
    incarnation: int


@dataclass(frozen=True, slots=True)
class EngineHealth:
    """What the agent of this session says of its container engine: OK, or IMPAIRED. Answered with None."""

    instance: str
    incarnation: int
    status: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class InterruptionNoticed:
    """The agent of an open session tells that its host goes. Answered with the Instance, or None if it is over."""

    instance: str
    incarnation: int
    said: Noticed


@dataclass(frozen=True, slots=True)
class ImagesHeld:
    """What the agent of an open session says of its engine's images: see SetImages."""

    instance: str
    incarnation: int
    images: tuple[HeldImage, ...]
    removed: tuple[str, ...] = ()
    full: bool = False


@dataclass(frozen=True, slots=True)
class CopySeen:
    """While the instance's session was alive, another agent came with its key: which run of it, and from where.
    Answered with the Instance, or None if there is none."""

    instance: str
    run: str
    host: str


@dataclass(frozen=True, slots=True)
class CreateJoinToken:
    """Answered with a JoinToken. `hash`: SHA-256 of the secret, in hexadecimal digits."""

    cluster: str
    hash: str
    role: str
    ttl_seconds: int
    uses: int
    created_by: str


@dataclass(frozen=True, slots=True)
class UseJoinToken:
    """A host asks to become `instance` with a key of this fingerprint. Answered with Joined."""

    hash: str
    role: str
    key: str
    instance: str


@dataclass(frozen=True, slots=True)
class Joined:
    cluster: str
    instance: str


@dataclass(frozen=True, slots=True)
class RevokeJoinToken:
    """By the beginning of its hash. Answered with the JoinToken that was."""

    cluster: str
    id: str


@dataclass(frozen=True, slots=True)
class RevokeInstance:
    """Answered with an Instance."""

    cluster: str
    instance: str
    revoked_by: str


@dataclass(frozen=True, slots=True)
class TaskReport:
    """What the agent of `instance` last saw of a task. Answered with a Verdict. Safe to repeat."""

    instance: str
    incarnation: int
    task: str
    last_status: str
    containers: tuple[ContainerState, ...] = ()
    pull_started_at: int = 0
    pull_stopped_at: int = 0
    started_at: int = 0
    execution_stopped_at: int = 0
    stop_code: str = ""
    stopped_reason: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """`known` is False for a task the scheduler has no live record of on that instance: the agent drops it."""

    known: bool


Input = (
    RegisterTaskDefinition
    | DeregisterTaskDefinition
    | DeleteTaskDefinitions
    | RunTask
    | StopTask
    | PutClusterDocument
    | DeleteCluster
    | UpdateInstances
    | DeregisterInstance
    | ChangeAttributes
    | ChangeTags
    | AgentHello
    | SessionClosed
    | EngineHealth
    | InterruptionNoticed
    | ImagesHeld
    | CopySeen
    | CreateJoinToken
    | UseJoinToken
    | RevokeJoinToken
    | RevokeInstance
    | AlarmInput
    | TaskReport
    | SubmitJob
    | CancelJob
    | TerminateJob
    | BatchInput
    | RebalanceInput
    | ServiceInput
    | TrafficInput
    | AutoscalingInput
)
Reply = (
    Definition
    | DeletedDefinitions
    | Launched
    | Task
    | Cluster
    | InstancesUpdated
    | Instance
    | tuple[tuple[str, str, str], ...]
    | dict[str, str]
    | JoinToken
    | Joined
    | Alarm
    | Job
    | Verdict
    | BatchReply
    | RebalanceReply
    | ServiceReply
    | TrafficReply
    | AutoscalingReply
    | None
)
