"""Which tags may come to mean another image: as options, as requests say it, and in words."""

from collections.abc import Mapping, Sequence
from typing import Any

import click

from shoal.cli.options import Function


def mutability_options(command: Function) -> Function:
    command = click.option(
        "--except",
        "exceptions",
        multiple=True,
        metavar="FILTER",
        help="Tags for which the opposite holds, as latest or 'dev-*'; up to 5.",
    )(command)
    return click.option("--immutable", is_flag=True, help="Tags never come to mean another image.")(command)


def mutability_request(immutable: bool, exceptions: Sequence[str]) -> dict[str, Any]:
    """As requests say it."""
    kind = ("IMMUTABLE" if immutable else "MUTABLE") + ("_WITH_EXCLUSION" if exceptions else "")
    filters = [{"filterType": "WILDCARD", "filter": each} for each in exceptions]
    return {"imageTagMutability": kind, **({"imageTagMutabilityExclusionFilters": filters} if filters else {})}


def mutability_words(found: Mapping[str, Any]) -> str:
    kind = "immutable" if found["imageTagMutability"].startswith("IMMUTABLE") else "mutable"
    filters = [each["filter"] for each in found.get("imageTagMutabilityExclusionFilters", ())]
    return f"{kind}, except {', '.join(filters)}" if filters else kind
