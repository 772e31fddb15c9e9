"""`shoal image`: images between this machine's engine and the cluster's registry, and what the registry holds."""

import importlib

import click

# Command -> (where it is, what it does); loaded when it is called, as those of the root.
COMMANDS: dict[str, tuple[str, str]] = {
    "push": ("image_push:push", "Push an image of this machine's engine to the registry."),
    "load": ("image_load:load", "Load an image of the registry, or of a file, into this machine's engine."),
    "save": ("image_load:save", "Save an image of the registry to a file."),
    "ls": ("image_list:ls", "List images in the registry."),
    "tags": ("image_list:tags", "List the tags of a repository."),
    "describe": ("image_list:describe", "Show all there is to know of an image in the registry."),
    "prepull": ("image_prepull:prepull", "Have instances fetch an image before tasks need it there."),
    "rm": ("image_list:rm", "Delete images or tags from the registry."),
}


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[name][0].partition(":")
        command = getattr(importlib.import_module(f"shoal.cli.{module}"), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=_Commands)
def image() -> None:
    """Push, load and list images of the cluster's registry."""
