"""What a container is told about itself, in its environment. Pure.

ECS_CONTAINER_METADATA_URI_V4                   where it finds its metadata, as in ECS; not with disabled networking
ECS_AGENT_URI                                   where it asks the agent, for its task's protection, likewise
SHOAL_CLUSTER SHOAL_TASK_ID SHOAL_TASK_ARN      which task it belongs to
SHOAL_CONTAINER_NAME                            which of the task's containers it is
SHOAL_CONTAINER_INSTANCE_ARN                    the host
TASK_FENCE                                      store revision of the assignment: later assignments have higher ones

In the tasks of jobs also, as in AWS Batch:

AWS_BATCH_JOB_ID                                of an array's child with its index, as in "ID:7"
AWS_BATCH_JOB_ATTEMPT                           from 1, those that were lost with their host counted as well
AWS_BATCH_JQ_NAME AWS_BATCH_CE_NAME             the job's queue, and the compute environment it was placed in
AWS_BATCH_JOB_ARRAY_INDEX                       in arrays only: which child it is, from 0
AWS_BATCH_JOB_ARRAY_SIZE                        in arrays only
"""

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass

from shoal import arn

from shoal_agent.definition.labels import Owner
from shoal_agent.task import JobAttempt

METADATA_URI = "ECS_CONTAINER_METADATA_URI_V4"
AGENT_URI = "ECS_AGENT_URI"
LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where containers reach the agent's metadata listener.

    `secret` is the agent's own: of it and a container's name the path is made, so that nobody can guess it and
    nothing has to be remembered. `bridge_address` is the host's on the engine's default network, once known.
    """

    port: int
    secret: bytes
    bridge_address: str | None = None

    def uris(self, task_id: str, container: str, network_mode: str) -> dict[str, str]:
        """By the variables that hold them; none for a container that reaches no address of the host."""
        addresses = {"host": LOOPBACK, "none": None}
        address = addresses.get(network_mode, self.bridge_address)
        if not address:
            return {}
        at, name = f"http://{address}:{self.port}", self.id_of(task_id, container)
        return {METADATA_URI: f"{at}/v4/{name}", AGENT_URI: f"{at}/api/{name}"}

    def id_of(self, task_id: str, container: str) -> str:
        """The task's id, and 128 bits that only this agent can make."""
        message = f"{task_id}/{container}".encode()
        return f"{task_id}-{hmac.new(self.secret, message, hashlib.sha256).hexdigest()[:32]}"

    def container_of(self, endpoint_id: str, task_id: str, containers: Iterable[str]) -> str | None:
        """Which of a task's `containers` was given this id."""
        given = endpoint_id.encode()
        return next((it for it in containers if hmac.compare_digest(self.id_of(task_id, it).encode(), given)), None)


def task_of(endpoint_id: str) -> str:
    """The task an id claims to be of."""
    return endpoint_id.rpartition("-")[0]


def variables(
    endpoint: Endpoint | None, owner: Owner, task_id: str, container: str, network_mode: str, fence: int
) -> dict[str, str]:
    """They stand whatever the definition says. Without an `endpoint` the container only learns its fence."""
    told = {"TASK_FENCE": str(fence)}
    if endpoint is None:
        return told
    return (
        told
        | endpoint.uris(task_id, container, network_mode)
        | {
            "SHOAL_CLUSTER": owner.cluster,
            "SHOAL_TASK_ID": task_id,
            "SHOAL_TASK_ARN": arn.task_arn(owner.cluster, task_id),
            "SHOAL_CONTAINER_NAME": container,
            "SHOAL_CONTAINER_INSTANCE_ARN": arn.container_instance_arn(owner.cluster, owner.instance),
        }
    )


def job_variables(job: JobAttempt | None) -> dict[str, str]:
    """As `variables`: they stand whatever the definition says. None but in the tasks of jobs."""
    if job is None:
        return {}
    told = {
        "AWS_BATCH_JOB_ID": f"{job.job_id}:{job.array_index}" if job.array_size else job.job_id,
        "AWS_BATCH_JOB_ATTEMPT": str(job.attempt),
        "AWS_BATCH_JQ_NAME": job.job_queue,
        "AWS_BATCH_CE_NAME": job.compute_environment,
    }
    if not job.array_size:
        return told
    return told | {
        "AWS_BATCH_JOB_ARRAY_INDEX": str(job.array_index),
        "AWS_BATCH_JOB_ARRAY_SIZE": str(job.array_size),
    }
