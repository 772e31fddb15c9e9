"""What can move services, and how each is answered."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from shoal_scheduler.model.service import Deployment, Service, ServiceRevision
from shoal_scheduler.model.task import Failure, Task


@dataclass(frozen=True, slots=True)
class CreateService:
    """Answered with the Service. Ids and times in the records are the step's to say."""

    service: Service
    revision: ServiceRevision


@dataclass(frozen=True, slots=True)
class UpdateService:
    """Answered with the Service. Of each record, and of the service's configuration, the fields that change."""

    cluster: str
    name: str
    service: Mapping[str, Any] = field(default_factory=dict)
    configuration: Mapping[str, Any] = field(default_factory=dict)
    revision: Mapping[str, Any] = field(default_factory=dict)

    # The id of a revision to go back to, instead of a new one.
    back_to: str = ""
    is_forced: bool = False
    client_token: str = ""
    request_digest: str = ""


@dataclass(frozen=True, slots=True)
class DeleteService:
    """Answered with the Service."""

    cluster: str
    name: str
    force: bool = False


@dataclass(frozen=True, slots=True)
class StopServiceDeployment:
    """`stop_type`: ABORT or ROLLBACK. Answered with the Deployment."""

    cluster: str
    service: str
    deployment: str
    stop_type: str


@dataclass(frozen=True, slots=True)
class ProtectTasks:
    """Until `minutes` from now; 0 takes the protection away. Answered with TasksProtected."""

    cluster: str
    tasks: tuple[str, ...]
    minutes: int


@dataclass(frozen=True, slots=True)
class TasksProtected:
    tasks: tuple[Task, ...]
    failures: tuple[Failure, ...]


ServiceInput = CreateService | UpdateService | DeleteService | StopServiceDeployment | ProtectTasks
ServiceReply = Service | Deployment | TasksProtected
