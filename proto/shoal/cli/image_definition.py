"""The docker-run habit: from an image and a few options to a task definition, reused if it is the same."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from shoal import errors
from shoal.cli.failures import warn
from shoal.cli.session import Session
from shoal.v1 import resource_pb2, task_definition_pb2

# Enough for a small program, and soft: it may use more while the instance has it.
MEMORY_RESERVATION_MIB = 64
# What the cluster takes for a revision; a longer number is a date in an image's tag.
REVISION_DIGITS_MAX = 9
PORT_MAX = 65535
# Of a described definition, what registering it again would not send.
READ_ONLY = (
    "taskDefinitionArn",
    "revision",
    "status",
    "requiresAttributes",
    "compatibilities",
    "registeredAt",
    "registeredBy",
    "deregisteredAt",
    "deleteRequestedAt",
)


@dataclass(frozen=True, slots=True)
class ImageRun:
    """cpu: units of 1024 to the core. memory: a hard limit in MiB; None is a small soft one."""

    image: str
    command: Sequence[str] = ()
    name: str | None = None
    cpu: int | None = None
    memory: int | None = None
    publish: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    user: str | None = None
    network: str | None = None


def document(asked: ImageRun) -> dict[str, Any]:
    """As AWS-style JSON. Raises ValueError with a sentence if a port is wrong."""
    name = asked.name or container_name(asked.image)
    container: dict[str, Any] = {"name": name, "image": asked.image, "essential": True}
    if asked.memory is None:
        container["memoryReservation"] = MEMORY_RESERVATION_MIB
    optional = {
        "cpu": asked.cpu,
        "memory": asked.memory,
        "command": list(asked.command),
        "portMappings": [port_mapping(each) for each in asked.publish],
        "environment": [{"name": key, "value": value} for key, value in asked.environment.items()],
        "user": asked.user,
    }
    container |= {key: value for key, value in optional.items() if value not in (None, [])}
    whole = {"family": asked.name or f"run-{name}", "containerDefinitions": [container]}
    return whole if asked.network is None else {**whole, "networkMode": asked.network}


def container_name(image: str) -> str:
    """The last part of the image's name, in the letters a container name may have.

    >>> container_name("registry.example.com:5000/team/web.app:1.2"), container_name("nginx@sha256:00")
    ('web-app', 'nginx')
    """
    last = image.partition("@")[0].rpartition("/")[2].partition(":")[0]
    return "".join(letter if (letter.isascii() and letter.isalnum()) or letter in "-_" else "-" for letter in last)[
        :200
    ]


def port_mapping(words: str) -> dict[str, Any]:
    """`8080:80`, `80` (any free host port), `53:53/udp`. Raises ValueError.

    >>> port_mapping("8080:80"), port_mapping("53/udp")
    ({'containerPort': 80, 'protocol': 'tcp', 'hostPort': 8080}, {'containerPort': 53, 'protocol': 'udp'})
    """
    ports, _, protocol = words.partition("/")
    host, colon, container = ports.rpartition(":")
    numbers = [host, container] if colon else [container]
    if not all(each.isascii() and each.isdigit() for each in numbers):
        raise ValueError(f"{words!r} is not [HOST:]PORT, as in 80 or 8080:80")
    if max(int(each[:6]) for each in numbers) > PORT_MAX or int(container[:6]) == 0:
        raise ValueError(f"{words!r} is not [HOST:]PORT: a port is a number from 1 to {PORT_MAX}")
    mapping: dict[str, Any] = {"containerPort": int(container), "protocol": protocol or "tcp"}
    return {**mapping, "hostPort": int(host)} if colon else mapping


def looks_like_image(name: str) -> bool:
    """True for what cannot be FAMILY or FAMILY:REVISION.

    >>> [looks_like_image(each) for each in ("nginx:latest", "team/web", "web:3", "web", "web:202611231500")]
    [True, True, False, False, True]
    """
    family, colon, revision = name.partition(":")
    is_revision = revision.isdigit() and len(revision) <= REVISION_DIGITS_MAX
    return "/" in name or "@" in name or "." in family or bool(colon and not is_revision)


def registration(asked: ImageRun) -> task_definition_pb2.RegisterTaskDefinitionRequest:
    """Raises ValueError."""
    from shoal import awsjson

    request, _ = awsjson.to_message(document(asked), task_definition_pb2.RegisterTaskDefinitionRequest)
    return request


async def definition_for(
    session: Session, request: task_definition_pb2.RegisterTaskDefinitionRequest, tags: Iterable[resource_pb2.Tag] = ()
) -> str:
    """`family:revision` of a definition that says exactly this: the latest of its family, or a new one, with these
    tags."""
    from shoal import awsjson

    latest = await described(session, request.family)
    if latest is not None and _same(awsjson.to_document(latest), awsjson.to_document(request)):
        return f"{latest.family}:{latest.revision}"
    request.tags.extend(tags)
    answer = await session.client.cluster.RegisterTaskDefinition(request)
    for warning in answer.warnings:
        warn(f"{warning.field}: {warning.message}")
    return f"{answer.task_definition.family}:{answer.task_definition.revision}"


async def described(session: Session, name: str) -> task_definition_pb2.TaskDefinition | None:
    """The definition called FAMILY[:REVISION], the newest active one of a family; None if there is none."""
    try:
        request = task_definition_pb2.DescribeTaskDefinitionRequest(task_definition=name)
        return (await session.client.cluster.DescribeTaskDefinition(request)).task_definition
    except errors.Refused as error:
        # ECS says "unable to describe" as a plain ClientException.
        if isinstance(error, errors.NotFound) or error.reason == "ClientException":
            return None
        raise


def _same(described: dict[str, Any], wanted: dict[str, Any]) -> bool:
    return {key: value for key, value in described.items() if key not in READ_ONLY} == wanted
