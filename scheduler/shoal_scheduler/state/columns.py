"""One fact of all instances as a column: each distinct text once, and which of them each row has."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from shoal_scheduler.model.instance import Instance

ABSENT = -1


class Column(NamedTuple):
    """`codes` point into `values`, ABSENT where the instance has none; `slots` are codes + 1, to index with."""

    codes: NDArray[np.int32]
    values: list[str]
    slots: NDArray[np.intp]
    code_of: dict[str, int]


def column_of(texts: list[str | None]) -> Column:
    index: dict[str, int] = {}
    codes = [ABSENT if text is None else index.setdefault(text, len(index)) for text in texts]
    return _column(np.array(codes, np.int32), list(index), index)


def with_text(column: Column, row: int, text: str | None) -> Column:
    """The column with this text on the row, which may be the one after the last. The same object if nothing
    changes."""
    code = ABSENT if text is None else column.code_of.get(text, len(column.values))
    if row < len(column.codes) and column.codes[row] == code:
        return column
    values, index = column.values, column.code_of
    if text is not None and code == len(values):
        values, index = [*values, text], {**index, text: code}
    codes = np.append(column.codes, np.int32(code)) if row == len(column.codes) else column.codes.copy()
    codes[row] = code
    return _column(codes, values, index)


def _column(codes: NDArray[np.int32], values: list[str], index: dict[str, int]) -> Column:
    return Column(codes, values, codes.astype(np.intp) + 1, index)


def text_of(instance: Instance | None, subject: str) -> str | None:
    """What the instance has under a subject of the query language; None for none."""
    if instance is None:
        return None
    if subject.startswith("attribute:"):
        return instance.attribute(subject[len("attribute:") :])
    if subject == "ec2InstanceId":
        return instance.hostname
    if subject == "agentVersion":
        return instance.agent_version
    raise ValueError(f"no text of an instance is called {subject!r}")
