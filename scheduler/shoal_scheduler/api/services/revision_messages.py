"""What the tasks of a service are made of, as messages."""

from collections.abc import Sequence
from typing import Any

from shoal import arn, awsjson
from shoal.v1 import service_pb2 as pb
from shoal.v1 import task_pb2

from shoal_scheduler.model.service import LoadBalancer, ServiceRegistry, ServiceRevision


def revision_message(revision: ServiceRevision, images: Sequence[tuple[str, str]]) -> pb.ServiceRevision:
    """`images`: of the task definition, by container."""
    digests = dict(revision.images)
    return pb.ServiceRevision(
        service_revision_arn=arn.service_revision_arn(revision.cluster, revision.service, revision.id),
        service_arn=arn.service_arn(revision.cluster, revision.service),
        cluster_arn=arn.cluster_arn(revision.cluster),
        created_at=revision.created_at,
        container_images=[
            pb.ContainerImage(
                container_name=container,
                image=image,
                image_digest=digests.get(container, image).partition("@")[2] or None,
            )
            for container, image in images
        ],
        **fields_of_revision(revision),
    )


def fields_of_revision(revision: ServiceRevision) -> dict[str, Any]:
    """What the messages of a service and of a revision have in common."""
    family, _, number = revision.definition.rpartition(":")
    network, _ = awsjson.to_message(revision.network, task_pb2.NetworkConfiguration)
    return {
        "task_definition": arn.task_definition_arn(family, int(number)),
        "launch_type": revision.launch_type,
        "platform_version": revision.platform_version or None,
        "load_balancers": [_load_balancer(revision.cluster, each) for each in revision.load_balancers],
        "service_registries": list(map(_registry, revision.registries)),
        "network_configuration": network if revision.network else None,
    }


def _load_balancer(cluster: str, it: LoadBalancer) -> pb.LoadBalancer:
    return pb.LoadBalancer(
        target_group_arn=arn.target_group_arn(cluster, it.target_group),
        container_name=it.container,
        container_port=it.port,
    )


def _registry(it: ServiceRegistry) -> pb.ServiceRegistry:
    message = pb.ServiceRegistry(registry_arn=it.name)
    if it.container:
        message.container_name, message.container_port = it.container, it.port
    elif it.port:
        message.port = it.port
    return message
