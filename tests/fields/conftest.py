"""One engine for all fields."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.fields.running import Document, Run, remove_all
from tests.ground.engine import Engine

MakeRun = Callable[..., Run]


@pytest.fixture(scope="session")
def task(engine: Engine, busybox_image: str) -> Iterator[MakeRun]:
    """`task(definition, rules=…, gpu_ids=…)` is that task on the shared engine; its containers are removed."""

    def make(document: Document, **more: Any) -> Run:
        return Run(engine, document, **more)

    yield make
    remove_all(engine)
