"""`shoal repository policy`: who else may pull from a repository, push to it and delete there."""

import json

import click

from shoal.cli.options import connected
from shoal.cli.registry_reach import registry_option
from shoal.cli.repository_calls import ask, read_text


@click.group()
def policy() -> None:
    """Read, set and delete a repository's policy."""


@policy.command("get")
@click.argument("name")
@registry_option
@connected
def read(name: str, registry: str | None) -> None:
    """Print a repository's policy."""
    answer = ask(registry, "GetRepositoryPolicy", {"repositoryName": name})
    click.echo(json.dumps(json.loads(answer["policyText"]), indent=2))


@policy.command("set")
@click.argument("name")
@click.argument("file", metavar="FILE|-", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@registry_option
@connected
def write(name: str, file: str, registry: str | None) -> None:
    """Set a repository's policy, in ECR's JSON."""
    ask(registry, "SetRepositoryPolicy", {"repositoryName": name, "policyText": read_text(file)})
    click.echo(name)


@policy.command("rm")
@click.argument("name")
@registry_option
@connected
def remove(name: str, registry: str | None) -> None:
    """Delete a repository's policy."""
    ask(registry, "DeleteRepositoryPolicy", {"repositoryName": name})
    click.echo(name)
