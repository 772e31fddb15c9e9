"""How far each layer is, as bars on a terminal; nothing elsewhere."""

import contextlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shoal.bridge.steps import Step, Told

_LASTING = ("pushed", "pulled", "there already")


@contextlib.contextmanager
def bars(quiet: bool) -> "Iterator[Told]":
    """On stderr, so that what is written to stdout can be used."""
    from shoal.bridge.steps import nobody

    if quiet or not sys.stderr.isatty():
        yield nobody
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description:<14}"), BarColumn(), DownloadColumn(True), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True)) as shown:
        yield _Shown(shown).tell


class _Shown:
    def __init__(self, shown: Any) -> None:
        self._shown = shown
        self._tasks: dict[str, tuple[Any, str]] = {}

    def tell(self, step: "Step") -> None:
        if step.state == "done":
            if found := self._tasks.pop(step.name, None):
                self._shown.remove_task(found[0])
            return
        # A bar without an end swings to and fro.
        total = step.total or (None if step.state == "engine works" else 0)
        if step.name not in self._tasks:
            self._tasks[step.name] = self._shown.add_task(step.state, total=total), step.state
        task, state = self._tasks[step.name]
        if state != step.state and step.state not in _LASTING:
            # Its speed is of what it does now.
            self._shown.reset(task, total=total, description=step.state)
        self._tasks[step.name] = task, step.state
        self._shown.update(task, completed=step.done, total=total, description=step.state)
