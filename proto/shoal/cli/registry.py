"""`shoal registry`: who may push and pull, and how engines get to know the registry."""

import base64
import sys
from pathlib import Path

import click

from shoal import engine_trust
from shoal.cli.failures import Failed
from shoal.cli.options import connected
from shoal.cli.registry_accounts import account
from shoal.cli.registry_http import Registry, chosen
from shoal.cli.registry_reach import registry_option
from shoal.context import config_path

LOGIN = "AWS"


@click.group()
def registry() -> None:
    """Accounts of the image registry, and what engines need to use it."""


registry.add_command(account)


@registry.command(short_help="Let docker push and pull as you, or as an account.")
@click.option("--account", "name", metavar="NAME", help="As this one: its secret is read from stdin, or asked for.")
@click.option("--print", "only_print", is_flag=True, help="Print the password, for `docker login --password-stdin`.")
@registry_option
@connected
def login(name: str | None, only_print: bool, registry: str | None) -> None:
    """Let docker push and pull as you, for twelve hours; or as an account, for good.

    Writes what `docker login` would; podman, skopeo and buildah read that, too.
    """
    there = chosen(registry)
    if name is None:
        name, password = LOGIN, _authorization(there)
    else:
        password = click.prompt("Secret", hide_input=True, err=True) if sys.stdin.isatty() else sys.stdin.read().strip()
        if not password:
            raise Failed("Standard input has no secret.", f"shoal registry login --account {name} < FILE")
        there.check(name, password)
    if only_print:
        click.echo(password)
        if sys.stdout.isatty():
            click.echo(f"docker login --username {name} --password-stdin {there.address}", err=True)
        return
    from shoal.cli import docker_login

    click.echo(f"Logged in to {there.address} as {name}: {docker_login.keep(there.address, name, password)}")


def _authorization(there: Registry) -> str:
    answer = there.call("POST", "/ecr/GetAuthorizationToken", {})
    token = answer["authorizationData"][0]["authorizationToken"]
    return base64.b64decode(token).decode().partition(":")[2]


@registry.command(short_help="Let the engines of this machine know the registry.")
@click.option(
    "--to",
    type=click.Path(path_type=Path, file_okay=False),
    default=engine_trust.FOLDER,
    show_default=True,
    metavar="DIR",
    help="Where engines look for authorities.",
)
@registry_option
@connected
def trust(to: Path, registry: str | None) -> None:
    """Let the engines of this machine know the registry by the cluster's authority. Needs no restart of theirs.

    docker, podman, buildah and skopeo look there. Run it again whenever you like.
    """
    there = chosen(registry)
    path = to / there.address / engine_trust.FILE
    try:
        is_new = engine_trust.trust(there.address, there.authority.read_bytes(), to)
    except PermissionError:
        raise Failed(
            f"{path} is for root to write.", f"sudo SHOAL_CONFIG={config_path()} {sys.argv[0]} registry trust"
        ) from None
    click.echo(f"{there.address} is known {'now' if is_new else 'already'}: {path}")
