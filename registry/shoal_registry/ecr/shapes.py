"""What is wrong with JSON that has not the shape it must have: the field's path, and what may stand there. Pure."""

import re
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import inspect

_STEP = re.compile(r"\[[^\]]*\]|[^.\[\]]+")


def problem(error: msgspec.ValidationError, shape: type[Any]) -> str:
    """
    >>> from typing import Literal
    >>> class Shape(msgspec.Struct):
    ...     ways: list[Literal["IN", "OUT"]]
    >>> try:
    ...     msgspec.convert({"ways": ["UP"]}, Shape)
    ... except msgspec.ValidationError as error:
    ...     problem(error, Shape)
    "ways[0]: is 'UP'; must be IN, OUT"
    """
    said, _, path = str(error).partition(" - at `")
    field = path.rstrip("`").removeprefix("$").removeprefix(".")
    given = said.removeprefix("Invalid enum value ")
    if given != said and (allowed := _allowed(inspect.type_info(shape), _STEP.findall(field))):
        said = f"is {given}; must be {', '.join(allowed)}"
    return f"{field}: {said}" if field else said


def _allowed(at: inspect.Type, steps: list[str]) -> list[str]:
    """The values of the field there, as JSON has them, but without quotes."""
    for step in steps:
        found = next(_within(at, step), None)
        if found is None:
            return []
        at = found
    values = [value for each in _alternatives(at) if isinstance(each, inspect.LiteralType) for value in each.values]
    return [str(value).lower() if isinstance(value, bool) else str(value) for value in values]


def _within(at: inspect.Type, step: str) -> Iterator[inspect.Type]:
    for each in _alternatives(at):
        if isinstance(each, inspect.StructType):
            yield from (field.type for field in each.fields if field.encode_name == step)
        elif isinstance(each, inspect.ListType | inspect.VarTupleType) and step.startswith("["):
            yield each.item_type


def _alternatives(at: inspect.Type) -> tuple[inspect.Type, ...]:
    return at.types if isinstance(at, inspect.UnionType) else (at,)
