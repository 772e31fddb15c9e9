"""What a step proposes: guarded writes to be made durable together, then applied to the tables.

Some are the exception: they live in memory only, because what can be found again must never cost a write.
"""

from dataclasses import dataclass

from shoal_scheduler.model.alarm import Alarm
from shoal_scheduler.model.cluster import Cluster
from shoal_scheduler.model.definition import Definition
from shoal_scheduler.model.held_image import HeldImage
from shoal_scheduler.model.instance import Health, Instance
from shoal_scheduler.model.join_token import JoinToken
from shoal_scheduler.model.task import Launch, Task
from shoal_scheduler.model.usage import UsageMonth
from shoal_scheduler.state.batch_changes import BatchChange
from shoal_scheduler.state.records import DeleteRecord, PutRecord
from shoal_scheduler.state.service_tables import SetServiceLooked, SetTargetHealth


@dataclass(frozen=True, slots=True)
class PutCluster:
    cluster: Cluster


@dataclass(frozen=True, slots=True)
class PutDefinition:
    definition: Definition


@dataclass(frozen=True, slots=True)
class DeleteDefinition:
    family: str
    revision: int


@dataclass(frozen=True, slots=True)
class PutInstance:
    instance: Instance


@dataclass(frozen=True, slots=True)
class PutLaunch:
    launch: Launch


@dataclass(frozen=True, slots=True)
class DeleteLaunch:
    """The launch and all its tasks, all of which are STOPPED."""

    launch: str


@dataclass(frozen=True, slots=True)
class PutTask:
    task: Task


@dataclass(frozen=True, slots=True)
class PutUsage:
    usage: UsageMonth


@dataclass(frozen=True, slots=True)
class DeleteUsage:
    cluster: str
    group: str
    month: str


@dataclass(frozen=True, slots=True)
class PutJoinToken:
    token: JoinToken


@dataclass(frozen=True, slots=True)
class DeleteJoinToken:
    cluster: str
    hash: str


@dataclass(frozen=True, slots=True)
class PutAlarm:
    alarm: Alarm


@dataclass(frozen=True, slots=True)
class DeleteAlarm:
    name: str


@dataclass(frozen=True, slots=True)
class SetSession:
    """An agent's stream opened (`incarnation` > 0) or closed (0). Volatile."""

    instance: str
    incarnation: int


@dataclass(frozen=True, slots=True)
class SetHealth:
    """What the agent of an open session says of its engine. It goes with the session. Volatile."""

    instance: str
    health: Health


@dataclass(frozen=True, slots=True)
class SetImages:
    """What the agent of an open session says of its engine's images: these came or changed and those with the ids are
    gone, or, with `full`, these are all. It goes with the session. Volatile."""

    instance: str
    images: tuple[HeldImage, ...]
    removed: tuple[str, ...] = ()
    full: bool = False


@dataclass(frozen=True, slots=True)
class SetHeld:
    """An instance is kept for the launch that has waited longest; "" for none. Volatile."""

    cluster: str
    instance: str = ""
    launch: str = ""


@dataclass(frozen=True, slots=True)
class SetUnsettled:
    """The next step is to look at the cluster's queue again: this one had no room for all it could place. Volatile."""

    cluster: str
    unsettled: bool


Change = (
    PutCluster
    | PutDefinition
    | DeleteDefinition
    | PutInstance
    | PutLaunch
    | DeleteLaunch
    | PutTask
    | PutAlarm
    | DeleteAlarm
    | PutUsage
    | DeleteUsage
    | PutJoinToken
    | DeleteJoinToken
    | SetSession
    | SetHealth
    | SetImages
    | SetHeld
    | SetUnsettled
    | BatchChange
    | PutRecord
    | DeleteRecord
    | SetServiceLooked
    | SetTargetHealth
)
