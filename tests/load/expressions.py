"""Every case of a file of expressions, evaluated both ways: for one instance at a time, and for all rows at once.

    python -m tests.load.expressions ../shared/data/placement/expressions.json

The file holds `instances`, `cases` (an `expression` and the ids it `selects`) and `refused` (expressions, or objects
with an `expression` and perhaps the `column` of its fault). Exits 1 on a mismatch, 2 on a file of another form.
"""

import json
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from shoal_scheduler.placement.expression import ExpressionError, Facts, parse
from shoal_scheduler.state.columns import Column, column_of

from tests.load.report import arguments, store

Item = TypeVar("Item")


class Unreadable(Exception):  # noqa: N818  says what the file is, not what went wrong in the program
    """The file is not of the form; the message says where."""


class Table:
    """Facts as columns, in the plainest way."""

    def __init__(self, rows: Sequence[Facts]) -> None:
        self._rows = rows

    def texts(self, subject: str) -> Column:
        return column_of([self._text(subject, row) for row in self._rows])

    def _text(self, subject: str, row: Facts) -> str | None:
        texts = {
            "agentConnected": "true" if row.agent_connected else "false",
            "ec2InstanceId": row.ec2_instance_id,
            "agentVersion": row.agent_version,
        }
        return texts[subject] if subject in texts else row.attributes.get(subject.removeprefix("attribute:"))

    def numbers(self, subject: str) -> NDArray[np.int64]:
        field = {"registeredAt": "registered_at", "runningTasksCount": "running_tasks_count"}[subject]
        return np.array([getattr(row, field) for row in self._rows], dtype=np.int64)

    def rows_with_group(self, wanted: Callable[[str], bool], _names: frozenset[str] | None) -> NDArray[np.bool_]:
        return np.array([any(wanted(group) for group in row.task_groups) for row in self._rows], dtype=np.bool_)


class Cases(NamedTuple):
    instances: dict[str, Facts]
    # Expressions and what they select.
    selecting: list[tuple[str, list[str]]]
    # Expressions to refuse, and the column if the file knows it.
    refused: list[tuple[str, int | None]]


class Outcome(NamedTuple):
    mismatches: list[dict[str, Any]]
    refusals: list[dict[str, Any]]


def main() -> int:
    parser = arguments(__doc__ or "")
    parser.add_argument("file", type=Path, metavar="FILE", help="a file of the form of placement/expressions.json")
    options = parser.parse_args()
    try:
        cases = read(options.file)
    except Unreadable as unreadable:
        print(f"{options.file}: {unreadable}", file=sys.stderr)
        return 2
    outcome = evaluate(cases)
    for refusal in outcome.refusals:
        print(f"refused at column {refusal['column']}: {shown(refusal['expression'])}")
    for mismatch in outcome.mismatches:
        print(
            f"MISMATCH {shown(mismatch['expression'])}\n  expected {mismatch['expected']}\n  got      {mismatch['got']}"
        )
    total = len(cases.selecting) + len(cases.refused)
    wrong = len({mismatch["expression"] for mismatch in outcome.mismatches})
    print(
        f"{total - wrong} of {total} right: {len(cases.selecting)} select among {len(cases.instances)} instances, "
        f"{len(cases.refused)} to refuse"
    )
    store(options.json, {"file": str(options.file), "total": total, "wrong": wrong, **outcome._asdict()})
    return 1 if outcome.mismatches else 0


def evaluate(cases: Cases) -> Outcome:
    outcome = Outcome([], [])
    table = Table(list(cases.instances.values()))
    for expression, selects in cases.selecting:
        # In the order of the instances, whatever that of the file; what is no instance goes last.
        expected = [
            *(name for name in cases.instances if name in selects),
            *sorted(set(selects) - set(cases.instances)),
        ]
        for way, got in selected(expression, cases.instances, table).items():
            if got != expected:
                outcome.mismatches.append({"expression": expression, "expected": expected, "got": f"{way}: {got}"})
    for expression, column in cases.refused:
        wanted = f"refused at column {column}" if column else "refused"
        try:
            parse(expression)
        except ExpressionError as refused:
            outcome.refusals.append(
                {"expression": expression, "column": refused.column, "message": refused.message},
            )
            if column in (None, refused.column) and 1 <= refused.column <= len(expression) + 1:
                continue
            got = refused.message
        else:
            got = "accepted"
        outcome.mismatches.append({"expression": expression, "expected": wanted, "got": got})
    return outcome


def selected(expression: str, instances: dict[str, Facts], table: Table) -> dict[str, Any]:
    """What each way of evaluation selects, in the order of the instances."""
    try:
        parsed = parse(expression)
    except ExpressionError as refused:
        return {"parse": refused.message}
    return {
        "test": [name for name, facts in instances.items() if parsed.test(facts)],
        "mask": [name for name, passes in zip(instances, parsed.mask(table), strict=True) if passes],
    }


def shown(expression: str) -> str:
    return repr(expression if len(expression) <= 200 else f"{expression[:200]}…")


def read(path: Path) -> Cases:
    try:
        data = json.loads(path.read_text())
    except OSError as error:
        raise Unreadable(f"cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise Unreadable(f"is not JSON: {error}") from None
    if not isinstance(data, dict) or "instances" not in data:
        raise Unreadable("has no `instances`: needs an object with lists of instances, cases and refused")
    facts = items(data, "instances", facts_from)
    selecting, refused = items(data, "cases", case_from), items(data, "refused", refused_from)
    return Cases({row.ec2_instance_id: row for row in facts}, selecting, refused)


def items(data: dict[str, Any], field: str, convert: Callable[[Any], Item]) -> list[Item]:
    found = data.get(field, [])
    if not isinstance(found, list):
        raise Unreadable(f"{field} is no list")
    converted = []
    for number, item in enumerate(found):
        try:
            converted.append(convert(item))
        except KeyError as error:
            raise Unreadable(f"{field}[{number}]: {error.args[0]} is missing") from None
        except (TypeError, ValueError, AttributeError) as error:
            raise Unreadable(f"{field}[{number}]: {error}") from None
    return converted


def facts_from(item: Any) -> Facts:
    registered = datetime.fromisoformat(item["registeredAt"])
    moment = registered if registered.tzinfo else registered.replace(tzinfo=UTC)
    return Facts(
        attributes={str(name): str(value or "") for name, value in item.get("attributes", {}).items()},
        ec2_instance_id=text(item["ec2InstanceId"]),
        agent_connected=bool(item["agentConnected"]),
        agent_version=text(item["agentVersion"]),
        registered_at=round(moment.timestamp() * 1000),
        running_tasks_count=int(item["runningTasksCount"]),
        task_groups=frozenset(text(group) for group in item.get("taskGroups", ())),
    )


def case_from(item: Any) -> tuple[str, list[str]]:
    return text(item["expression"]), [text(name) for name in item["selects"]]


def refused_from(item: Any) -> tuple[str, int | None]:
    if isinstance(item, str):
        return item, None
    column = item.get("column")
    return text(item["expression"]), None if column is None else int(column)


def text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not a text")
    return value


if __name__ == "__main__":
    sys.exit(main())
