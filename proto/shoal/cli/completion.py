import os
from pathlib import Path

import click

SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS), required=False)
def completion(shell: str | None) -> None:
    """Print the completion script of your shell.

    \b
    bash: eval "$(shoal completion bash)"        in ~/.bashrc
    zsh:  eval "$(shoal completion zsh)"         in ~/.zshrc
    fish: shoal completion fish | source         in ~/.config/fish/config.fish
    """
    from click.shell_completion import get_completion_class

    from shoal.cli.app import root

    chosen = shell or Path(os.environ.get("SHELL", "bash")).name
    found = get_completion_class(chosen)
    if found is None:
        raise click.UsageError(f"No completion for {chosen!r}: name one of {', '.join(SHELLS)}.")
    click.echo(found(root, {}, "shoal", "_SHOAL_COMPLETE").source())
