"""`shoal repository template` and `on-push`: what the first push to a name makes."""

from collections.abc import Mapping, Sequence
from typing import Any

import click

from shoal import errors
from shoal.cli import show
from shoal.cli.options import connected, output_option
from shoal.cli.registry_reach import registry_option
from shoal.cli.repository_calls import all_of, ask, read_text
from shoal.cli.repository_mutability import mutability_options, mutability_request, mutability_words

COLUMNS = ("PREFIX", "TAGS", "LIFECYCLE", "DESCRIPTION")


@click.command(short_help="Say or set whether a push makes repositories.")
@click.argument("value", type=click.Choice(("enabled", "disabled")), required=False)
@registry_option
@connected
def on_push(value: str | None, registry: str | None) -> None:
    """Say whether the first push to a name makes a repository, or let it, or no longer."""
    request = {"name": "CREATE_ON_PUSH"}
    if value is None:
        answer = ask(registry, "GetAccountSetting", request)
    else:
        answer = ask(registry, "PutAccountSetting", {**request, "value": value.upper()})
    click.echo(answer["value"].lower())


@click.group(short_help="List, create and delete what a first push makes.")
def template() -> None:
    """List, create and delete templates of repositories that a first push makes."""


@template.command("ls")
@output_option
@registry_option
@connected
def list_all(output: str, registry: str | None) -> None:
    """List templates. ROOT is for all names that no other is for."""
    within = "repositoryCreationTemplates"
    found = all_of(registry, "DescribeRepositoryCreationTemplates", {}, within)
    show.emit(
        output,
        lambda: show.Table(COLUMNS, [_row(each) for each in found], "No templates."),
        lambda: {within: found},
        [each["prefix"] for each in found],
    )


@template.command("create")
@click.argument("prefix")
@mutability_options
@click.option("--lifecycle", "file", type=click.Path(exists=True, dir_okay=False), help="A lifecycle policy.")
@click.option("--policy", "policy", type=click.Path(exists=True, dir_okay=False), help="Who else may pull and push.")
@click.option("--description", default="", help="For people.")
@registry_option
@connected
def create(
    prefix: str,
    immutable: bool,
    exceptions: Sequence[str],
    file: str | None,
    policy: str | None,
    description: str,
    registry: str | None,
) -> None:
    """Create a template for names that begin with PREFIX/, or for all others: ROOT."""
    request = {
        "prefix": prefix,
        "appliedFor": ["CREATE_ON_PUSH"],
        "description": description,
        **mutability_request(immutable, exceptions),
        **({"lifecyclePolicy": read_text(file)} if file else {}),
        **({"repositoryPolicy": read_text(policy)} if policy else {}),
    }
    try:
        answer = ask(registry, "CreateRepositoryCreationTemplate", request)
    except errors.Conflict as error:
        error.hint = f"shoal repository template rm {prefix}, and create it anew; repositories stay as they are"
        raise
    click.echo(answer["repositoryCreationTemplate"]["prefix"])


@template.command("rm")
@click.argument("prefix")
@registry_option
@connected
def remove(prefix: str, registry: str | None) -> None:
    """Delete a template; repositories stay as they are."""
    ask(registry, "DeleteRepositoryCreationTemplate", {"prefix": prefix})
    click.echo(prefix)


def _row(found: Mapping[str, Any]) -> Sequence[str]:
    return (
        found["prefix"],
        mutability_words(found),
        "yes" if found.get("lifecyclePolicy") else "-",
        found["description"],
    )
