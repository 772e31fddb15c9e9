"""An expression once it is read: a tree of frozen records that answers for one instance or for all rows at once.

Both answers come from the same test on a value, which each predicate holds: they cannot differ. A text is tested
once per distinct value of its column, and the outcome taken by code.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import reduce
from operator import and_, or_
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from shoal_scheduler.state.columns import Column

ATTRIBUTE = "attribute:"
TASK_GROUP = "task:group"
VOLATILE = frozenset({TASK_GROUP, "runningTasksCount"})

Mask = NDArray[np.bool_]


class Facts(NamedTuple):
    """What an expression may ask of an instance; its attributes may be absent, the rest it always has."""

    attributes: dict[str, str]
    ec2_instance_id: str = ""
    agent_connected: bool = True
    agent_version: str = ""
    registered_at: int = 0
    running_tasks_count: int = 0
    task_groups: frozenset[str] = frozenset()


class Columns(Protocol):
    """The same facts of many instances, a row each, by the names the language has for them."""

    def texts(self, subject: str) -> Column:
        """Of `attribute:<name>`, `agentConnected` ("true" or "false"), `ec2InstanceId` or `agentVersion`."""

    def numbers(self, subject: str) -> NDArray[np.int64]:
        """Of `registeredAt` (milliseconds since 1970) or `runningTasksCount`."""

    def rows_with_group(self, wanted: Callable[[str], bool], names: frozenset[str] | None) -> Mask:
        """The rows that run a task of a group that is wanted; `names` are those groups, where they are known."""


class Expression(Protocol):
    @property
    def is_volatile(self) -> bool:
        """Whether it reads what changes with every task: an answer is then good for one placement only."""

    def test(self, facts: Facts) -> bool:
        """Whether one instance passes."""

    def mask(self, columns: Columns) -> Mask:
        """Which rows pass."""


@dataclass(frozen=True, slots=True)
class AnyOf:
    parts: tuple[Expression, ...]

    @property
    def is_volatile(self) -> bool:
        return any(part.is_volatile for part in self.parts)

    def test(self, facts: Facts) -> bool:
        return any(part.test(facts) for part in self.parts)

    def mask(self, columns: Columns) -> Mask:
        return reduce(or_, (part.mask(columns) for part in self.parts))


@dataclass(frozen=True, slots=True)
class AllOf:
    parts: tuple[Expression, ...]

    @property
    def is_volatile(self) -> bool:
        return any(part.is_volatile for part in self.parts)

    def test(self, facts: Facts) -> bool:
        return all(part.test(facts) for part in self.parts)

    def mask(self, columns: Columns) -> Mask:
        return reduce(and_, (part.mask(columns) for part in self.parts))


@dataclass(frozen=True, slots=True)
class Not:
    part: Expression

    @property
    def is_volatile(self) -> bool:
        return self.part.is_volatile

    def test(self, facts: Facts) -> bool:
        return not self.part.test(facts)

    def mask(self, columns: Columns) -> Mask:
        return ~self.part.mask(columns)


@dataclass(frozen=True, slots=True)
class TextPredicate:
    """Whether the subject has a text, and one that passes: an absent attribute passes nothing, not even `!=`."""

    subject: str
    passes: Callable[[str], bool]

    @property
    def is_volatile(self) -> bool:
        return self.subject in VOLATILE

    def test(self, facts: Facts) -> bool:
        text = _text_of(self.subject, facts)
        return text is not None and self.passes(text)

    def mask(self, columns: Columns) -> Mask:
        column = columns.texts(self.subject)
        absent = False
        outcomes: Mask = np.array([absent, *map(self.passes, column.values)], dtype=np.bool_)
        found: Mask = outcomes[column.slots]
        return found


@dataclass(frozen=True, slots=True)
class NumberPredicate:
    """`compare` is one of the operators that numbers and arrays share."""

    subject: str
    compare: Callable[[Any, Any], Any]
    wanted: int

    @property
    def is_volatile(self) -> bool:
        return self.subject in VOLATILE

    def test(self, facts: Facts) -> bool:
        value = facts.registered_at if self.subject == "registeredAt" else facts.running_tasks_count
        return bool(self.compare(value, self.wanted))

    def mask(self, columns: Columns) -> Mask:
        outcomes: Mask = self.compare(columns.numbers(self.subject), self.wanted)
        return outcomes


@dataclass(frozen=True, slots=True)
class GroupPredicate:
    """Whether a task of a group that passes runs there. `names` are those that pass, where they are known."""

    passes: Callable[[str], bool]
    names: frozenset[str] | None = None

    @property
    def is_volatile(self) -> bool:
        return True

    def test(self, facts: Facts) -> bool:
        return any(map(self.passes, facts.task_groups))

    def mask(self, columns: Columns) -> Mask:
        return columns.rows_with_group(self.passes, self.names)


def group_tests(expression: Expression) -> Iterator[Callable[[str], bool]]:
    """What it asks of the groups of tasks that run somewhere."""
    match expression:
        case AnyOf(parts) | AllOf(parts):
            for part in parts:
                yield from group_tests(part)
        case Not(part):
            yield from group_tests(part)
        case GroupPredicate(passes):
            yield passes


def _text_of(subject: str, facts: Facts) -> str | None:
    if subject.startswith(ATTRIBUTE):
        return facts.attributes.get(subject[len(ATTRIBUTE) :])
    if subject == "agentConnected":
        return "true" if facts.agent_connected else "false"
    return facts.agent_version if subject == "agentVersion" else facts.ec2_instance_id
