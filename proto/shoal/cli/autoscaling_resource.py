"""How `shoal autoscaling` names services: by their names, in the cluster that is used."""

from collections.abc import Sequence

from shoal.cli.session import Session


def resource_id(session: Session, service: str) -> str:
    """Of the name of a service, or of what AWS calls it already."""
    return service if service.startswith("service/") else f"service/{session.cluster}/{service}"


def resource_ids(session: Session, services: Sequence[str]) -> list[str]:
    return [resource_id(session, service) for service in services]


def service_of(resource: str) -> str:
    """
    >>> service_of("service/default/web")
    'web'
    """
    return resource.rpartition("/")[2]
