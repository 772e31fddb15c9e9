"""Which service a request is about: ServiceNamespace, ResourceId, ScalableDimension."""

import re
from typing import Any, NamedTuple

from shoal.problems import quoted

from shoal_scheduler.model.refusal import invalid_field

NAMESPACE, DIMENSION = "ecs", "ecs:service:DesiredCount"
NAME = re.compile(r"[ -~]{1,256}")
_RESOURCE = re.compile(r"service/([A-Za-z0-9_-]{1,255})/([A-Za-z0-9_-]{1,255})")


class Resource(NamedTuple):
    cluster: str
    service: str


def resource_of(request: Any) -> Resource:
    """Of a request that must name one. Raises Refused."""
    check_kind(request)
    if not request.resource_id:
        raise invalid_field("ResourceId", "is required, as service/CLUSTER/SERVICE.")
    return parsed("ResourceId", request.resource_id)


def parsed(field: str, resource_id: str) -> Resource:
    found = _RESOURCE.fullmatch(resource_id)
    if found is None:
        raise invalid_field(field, f"{quoted(resource_id)} is no service: want service/CLUSTER/SERVICE.")
    return Resource(*found.groups())


def check_kind(request: Any) -> None:
    """Only counts of services are scaled; who leaves that away means it."""
    if request.service_namespace not in ("", NAMESPACE):
        raise invalid_field("ServiceNamespace", f"is {quoted(request.service_namespace)}: only {NAMESPACE} is there.")
    if request.scalable_dimension not in ("", DIMENSION):
        raise invalid_field("ScalableDimension", f"is {quoted(request.scalable_dimension)}: only {DIMENSION} is there.")


def resource_id(cluster: str, service: str) -> str:
    return f"service/{cluster}/{service}"


def checked_name(field: str, name: str) -> str:
    """Of a policy or a scheduled action."""
    if not name:
        raise invalid_field(field, "is required.")
    if not NAME.fullmatch(name) or any(sign in name for sign in ":/|"):
        raise invalid_field(field, f"{quoted(name)} is not 1 to 256 printable ASCII characters without : / and |.")
    return name
