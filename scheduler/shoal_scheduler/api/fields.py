"""Reads of request fields that many methods share."""

from collections.abc import Iterable
from typing import Any

from shoal import arn
from shoal.problems import Problem

from shoal_scheduler.api.validate_names import cluster_name_problems, tags_problems
from shoal_scheduler.control.clusters import find
from shoal_scheduler.control_plane import ControlPlane
from shoal_scheduler.model.cluster import Cluster
from shoal_scheduler.model.refusal import invalid, invalid_field
from shoal_scheduler.placement.expression import Expression, ExpressionError, parse
from shoal_scheduler.state.overlay import Overlay

DEFAULT_CLUSTER = "default"
NAMES_MAX = 1000


def cluster_name(request: Any) -> str:
    """The cluster a request names, by name or ARN; `default` if it names none."""
    name = arn.short(request.cluster) or DEFAULT_CLUSTER
    refuse(cluster_name_problems("cluster", name), "InvalidParameterException")
    return name


def existing_cluster(plane: ControlPlane, request: Any) -> Cluster:
    return find(Overlay(plane.tables), cluster_name(request))


def refuse(problems: Iterable[Problem], reason: str = "ClientException") -> None:
    """Raises Refused if there is any problem."""
    found = list(problems)
    if found:
        raise invalid(found, reason)


def required(request: Any, field: str, json_name: str) -> str:
    value: str = getattr(request, field)
    if not value:
        raise invalid_field(json_name, "is required.")
    return value


def bounded(values: Any, json_name: str, most: int = NAMES_MAX) -> list[str]:
    """A list of names that must not be empty, nor longer than one call may ask for."""
    if not values:
        raise invalid_field(json_name, "is required: at least one.")
    if len(values) > most:
        raise invalid_field(json_name, f"has {len(values)} items, at most {most} in one call.")
    return list(values)


def tags_of(tags: Any) -> dict[str, str]:
    refuse(
        tags_problems("tags", [{"key": tag.key, "value": tag.value} for tag in tags]),
        "InvalidParameterException",
    )
    return {tag.key: tag.value for tag in tags}


def check_expression(field: str, text: str, reason: str = "InvalidParameterException") -> Expression:
    """An expression of the cluster query language; refused with its field and the column."""
    try:
        return parse(text)
    except ExpressionError as refused:
        raise invalid([Problem(field, refused.message)], reason) from None
