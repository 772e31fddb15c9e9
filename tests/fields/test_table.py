"""The table of fields is whole and true: every field of the published model, a test for each, a page made from it."""

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.protobuf.descriptor import Descriptor
from shoal.v1.task_definition_pb2 import RegisterTaskDefinitionRequest

from tests.fields import page
from tests.fields.row import NOTED, REFUSED, RUNS, Row
from tests.fields.table import GROUPS, published_paths

TESTS = Path(__file__).parents[1]
ROWS = tuple(row for rows in GROUPS.values() for row in rows)


@pytest.mark.parametrize("path", published_paths())
def test_every_published_field_has_one_row(path: str) -> None:
    covering = [row.path for row in ROWS if row.covers(path)]
    assert len(covering) == 1


def test_every_row_is_of_a_published_field() -> None:
    assert [row.path for row in ROWS if row.path not in published_paths()] == []
    assert Counter(row.path for row in ROWS).most_common(1)[0][1] == 1


@pytest.mark.parametrize("row", ROWS, ids=[row.path for row in ROWS])
def test_every_row_names_a_test_that_is_there(row: Row) -> None:
    module, _, name = row.test.partition("::")
    tree = ast.parse((TESTS / module).read_text())
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    assert row.verdict in (RUNS, NOTED, REFUSED)


def test_the_page_is_what_the_table_makes() -> None:
    assert page.PAGE.read_text() == page.page(), "run python -m tests.fields.page and commit what it made"


def test_the_contract_has_every_published_field_and_no_other() -> None:
    assert set(paths(RegisterTaskDefinitionRequest.DESCRIPTOR)) == set(published_paths())


def paths(message: Descriptor, start: str = "") -> Iterator[str]:
    """Of the contract, in the words of the model; what is only read, from 100 on, is left out."""
    for field in message.fields:
        if field.number >= 100:
            continue
        path, kind = start + field.json_name, field.message_type
        if kind is not None and kind.GetOptions().map_entry:
            yield path + "{}"
            continue
        path += "[]" if field.is_repeated else ""
        yield path
        if kind is not None:
            yield from paths(kind, f"{path}.")
