"""`shoal registry account`: people and robots that push and pull, and what each may do."""

import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import click

from shoal.cli import show, text
from shoal.cli.failures import one_by_one
from shoal.cli.options import Function, connected, duration, output_option
from shoal.cli.registry_http import chosen
from shoal.cli.registry_reach import registry_option

COLUMNS = ("ACCOUNT", "KIND", "MAY", "STATUS", "CREATED", "BY")


@click.group()
def account() -> None:
    """Create, list, change and remove accounts of the image registry."""


def rights_options(command: Function) -> Function:
    for name, words in (
        ("--delete", "Repositories whose images it may delete."),
        ("--push", "Repositories it may push to, and pull from."),
        ("--pull", "Repositories it may pull from; * stands for anything, as in 'team/*'."),
    ):
        command = click.option(name, multiple=True, metavar="REPOSITORIES", help=words)(command)
    return command


@account.command()
@click.argument("name")
@click.option("--user", is_flag=True, help="A person's; a robot's otherwise.")
@rights_options
@click.option("--expires", type=duration, metavar="DURATION", help="After which it is good for nothing, as in 90d.")
@registry_option
@connected
def create(
    name: str,
    user: bool,
    pull: Sequence[str],
    push: Sequence[str],
    delete: Sequence[str],
    expires: float | None,
    registry: str | None,
) -> None:
    """Create an account and print its secret, which is the only time it can be seen."""
    there = chosen(registry)
    document: dict[str, Any] = {
        "name": name,
        "kind": "user" if user else "robot",
        "rights": _rights(pull, push, delete),
    }
    if expires is not None:
        document["expiresAt"] = int(time.time() + expires)
    answer = there.call("POST", "/accounts", document)
    click.echo(answer["secret"])
    if sys.stdout.isatty():
        click.echo(f"docker login --username {name} {there.address}", err=True)


@account.command("ls")
@output_option
@registry_option
@connected
def list_all(output: str, registry: str | None) -> None:
    """List accounts."""
    answer = chosen(registry).call("GET", "/accounts")
    now = int(time.time())
    show.emit(
        output,
        lambda: show.Table(COLUMNS, [_row(each, now) for each in answer["accounts"]], "No accounts."),
        lambda: answer,
        [each["name"] for each in answer["accounts"]],
    )


@account.command()
@click.argument("name")
@rights_options
@click.option("--disable/--enable", "disabled", default=None, help="Whether it is good for anything.")
@click.option("--expires", type=duration, metavar="DURATION", help="After which it is good for nothing, as in 90d.")
@registry_option
@connected
def update(
    name: str,
    pull: Sequence[str],
    push: Sequence[str],
    delete: Sequence[str],
    disabled: bool | None,
    expires: float | None,
    registry: str | None,
) -> None:
    """Change what an account may do: the rights given here instead of those it has."""
    document: dict[str, Any] = {}
    if pull or push or delete:
        document["rights"] = _rights(pull, push, delete)
    if disabled is not None:
        document["disabled"] = disabled
    if expires is not None:
        document["expiresAt"] = int(time.time() + expires)
    if not document:
        raise click.UsageError("Say what to change: --pull, --push, --delete, --disable, --enable or --expires.")
    chosen(registry).call("PATCH", _path(name), document)
    click.echo(name)


@account.command()
@click.argument("name")
@registry_option
@connected
def rotate(name: str, registry: str | None) -> None:
    """Give an account another secret and print it. The old one, and what logged in by it, is good for nothing then."""
    click.echo(chosen(registry).call("POST", f"{_path(name)}/secret")["secret"])


@account.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@registry_option
@connected
def rm(names: Sequence[str], registry: str | None) -> int:
    """Remove accounts. Tokens that they have are good for five minutes at most."""
    there = chosen(registry)
    return one_by_one(names, lambda name: there.call("DELETE", _path(name)))


def _path(name: str) -> str:
    from urllib.parse import quote

    return f"/accounts/{quote(name, safe='')}"


def _rights(pull: Sequence[str], push: Sequence[str], delete: Sequence[str]) -> list[Mapping[str, Any]]:
    """Who pushes looks first at what is there, which is to pull."""
    given = (("pull", pull), ("push", push), ("delete", delete))
    actions = {"pull": ["pull"], "push": ["pull", "push"], "delete": ["delete"]}
    return [{"repositories": each, "actions": actions[name]} for name, patterns in given for each in patterns]


def _row(each: Mapping[str, Any], now: int) -> Sequence[str]:
    rights = [f"{','.join(right['actions'])} {right['repositories']}" for right in each["rights"]]
    left = each["expiresAt"] - now if "expiresAt" in each else None
    status = "ok"
    if each["disabled"]:
        status = "disabled"
    elif left is not None:
        status = f"expires in {text.span(left)}" if left > 0 else "expired"
    created = text.age(each["createdAt"] * 1000, now * 1000)
    return (each["name"], each["kind"], "; ".join(rights) or "nothing", status, created, each["createdBy"])
