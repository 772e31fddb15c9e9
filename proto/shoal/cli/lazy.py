"""A group whose commands are loaded when they are called, as those of the root. Imports click only."""

import importlib
from collections.abc import Mapping
from typing import Any

import click


class Commands(click.Group):
    """`places`: by command, where it is (module:attribute) and what it does."""

    def __init__(self, *arguments: Any, places: Mapping[str, tuple[str, str]], **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._places = places

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._places)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in self._places:
            return None
        module, _, attribute = self._places[name][0].partition(":")
        command = getattr(importlib.import_module(f"shoal.cli.{module}"), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in self._places.items()])
